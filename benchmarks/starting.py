"""What quick commands cost before they answer, beside a bare start of Python: CPU seconds.

    python benchmarks/starting.py [--rounds N]

Interleaved; the least of all rounds counts, since what else a machine does can only add.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STUDY = Path(__file__).parents[1] / "tests" / "data" / "small-digits.toml"
COMMANDS = {
    "--help": ("--help",),
    "list measures": ("list", "measures"),
    "list studies": ("list", "studies"),
    "plan": ("plan", "digits"),
    "status": ("status", str(STUDY)),
}


def cpu_seconds(command: list[str]) -> float:
    """User and system seconds of one run of a command."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )


def main() -> None:
    """Times every command and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as store:
        commands = {"python -c pass": [sys.executable, "-c", "pass"]}
        for name, words in COMMANDS.items():
            where = ["--store", store] if words[0] in ("plan", "status") else []
            commands[name] = [sys.executable, "-m", "samemind", *words, *where]
        best = {
            name: min(cpu_seconds(command) for _ in range(rounds))
            for name, command in commands.items()
        }
    bare = best["python -c pass"]
    print(f"{'command':<16} {'CPU seconds':>11} {'of a bare start':>16}   (n = {rounds})")
    for name, seconds in best.items():
        print(f"{name:<16} {seconds:>11.2f} {seconds / bare:>16.1f}")


if __name__ == "__main__":
    main()
