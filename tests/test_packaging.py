"""What is published: citation, changes, and a wheel that holds all that the package reads."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import samemind

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_citation_changes_and_package_name_the_same_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == samemind.__version__  # pyright: ignore
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\d\S+)", changes, re.MULTILINE)[1] == samemind.__version__  # pyright: ignore


def test_every_core_dependency_is_imported_by_the_package() -> None:
    source = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "src").rglob("*.py"))
    for requirement in PROJECT["project"]["dependencies"]:
        name = re.split(r"[<>=]", requirement)[0]
        module = {"scikit-learn": "sklearn"}.get(name, name)
        # pandas writes Parquet through pyarrow.
        used = (
            rf"(?:import|from) {module}\b|LazyModule\(\"{module}" if name != "pyarrow" else "parq"
        )
        assert re.search(used, source), f"{name} is a dependency, but nothing imports it"


def test_extras_are_imported_only_inside_functions() -> None:
    extras = ("h5py", "onnx", "onnxruntime", "ray", "submitit", "sphinx", "transformers")
    for path in (ROOT / "src").rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.match(rf"(?:import|from) (?:{'|'.join(extras)})\b", line), path


@pytest.mark.slow
def test_wheel_and_sdist_build_and_the_wheel_runs_outside_of_the_checkout(tmp_path: Path) -> None:
    uv = [sys.executable, "-m", "uv"]
    built = subprocess.run(
        [*uv, "build", "--out-dir", str(tmp_path / "dist"), str(ROOT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (source,) = (tmp_path / "dist").glob("*.tar.gz")
    assert source.stat().st_size < 5_000_000
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        str(p.relative_to(ROOT / "src"))
        for p in (ROOT / "src" / "samemind").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert wanted <= held, f"left out: {sorted(wanted - held)[:5]}"
    assert not [n for n in held if not n.startswith(("samemind/", "samemind-"))]
    # Its dependencies come from this environment; its code from the wheel alone.
    target = tmp_path / "site"
    subprocess.run(
        [*uv, "pip", "install", "--no-deps", "--target", str(target), str(wheel)],
        capture_output=True, check=True,
    )  # fmt: skip
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r}); import samemind, samemind.cli; "
        f"assert samemind.__file__.startswith({str(target)!r}); "
        "sys.argv = ['samemind', 'list', 'studies']; samemind.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "digits" in done.stdout
