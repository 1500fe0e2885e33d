"""What a result was made with: versions, host and commit. Kept beside results, never hashed."""

import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pandas")


@cache
def described() -> dict[str, str]:
    """Python, host, processor, commit and the versions of the packages that decide numbers."""
    found = {
        "python": platform.python_version(),
        "host": platform.node(),
        "machine": platform.machine(),
        "commit": commit(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


@cache
def commit() -> str:
    """The commit of a source checkout, or 'installed package'."""
    source = Path(__file__).resolve().parents[3]
    if not (source / ".git").exists():
        return "installed package"
    git = ["git", "-C", str(source), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
