"""The command line: quick answers, helpful errors without a traceback, and nothing lost."""

import io
import json
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pandas as pd
import pytest

from samemind.cli import main

SMALL = Path(__file__).parent / "data" / "small-digits.toml"


def samemind(*words: str | Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "samemind", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def here(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The same in this process, where nothing has to be imported again."""
    command = ["samemind", *map(str, words)]
    code = 0
    with (
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as errors,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", command)
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    return subprocess.CompletedProcess(command, code, out.getvalue(), errors.getvalue())


QUICK = [
    ("--help",), ("list", "measures"), ("list", "studies"), ("plan", "digits"), ("status", SMALL),
]  # fmt: skip
# What takes seconds to import. How long the commands take is `make bench-starting`'s.
HEAVY = ("torch", "torchvision", "timm", "sklearn", "matplotlib")


@pytest.mark.parametrize("words", QUICK, ids=lambda words: str(words[0]))
def test_quick_commands_import_nothing_heavy(words, tmp_path: Path):
    store = ("--store", str(tmp_path)) if words[0] in ("plan", "status") else ()
    code = (
        "import sys; from samemind.cli import main\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        f"finally: print(*(m for m in {HEAVY!r} if m in sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *map(str, words), *store]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("family", ["measures", "architectures", "datasets", "figures", "studies"])
def test_every_family_can_be_listed(family: str):
    members = json.loads(here("list", family, "--json").stdout)
    assert members
    assert all(member["name"] for member in members)
    assert members[0]["name"] in here("list", family).stdout


def test_the_version_is_printed():
    assert samemind("--version").stdout.startswith("samemind 0.")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "digit"), "No study is called 'digit'. Did you mean 'digits'"),
        (("plan", "missing.toml"), "There is no study file missing.toml"),
        (("list", "mesures"), "There is no family 'mesures'. Did you mean 'measures'"),
        (("report", "digits", "--store", "nowhere"), "has no finished comparison"),
        (("run", SMALL, "--store", SMALL), "Cannot write to the store"),
        (("run", SMALL, "--store", "here", "--device", "warp"), "No device is called 'warp'"),
    ],
)
def test_bad_input_is_a_sentence_and_status_one(words, expected: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = here(*words)
    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_plan_and_status_count_what_is_there(tmp_path: Path):
    planned = json.loads(here("plan", SMALL, "--store", tmp_path, "--json").stdout)
    stages = {row["stage"]: row for row in planned["stages"]}
    assert stages["training"]["missing"] == 6
    assert stages["extraction"]["parts"] == 2 * 3 * (4 + 1)
    status = json.loads(here("status", SMALL, "--store", tmp_path, "--json").stdout)
    assert sum(row["done"] for row in status) == 0


@pytest.mark.slow
def test_a_run_that_is_killed_and_interrupted_continues_to_the_same_scores(tmp_path: Path):
    def run(store: str) -> list[str | Path]:
        return ["run", SMALL, "--store", tmp_path / store, "--out", tmp_path / f"{store}-out"]

    assert samemind(*run("calm")).returncode == 0
    for number, how in enumerate((signal.SIGKILL, signal.SIGINT, signal.SIGTERM)):
        victim = subprocess.Popen(
            [sys.executable, "-m", "samemind", *map(str, run("troubled"))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(5 + number)
        victim.send_signal(how)
        _, errors = victim.communicate(timeout=300)
        assert victim.returncode != 0
        if how != signal.SIGKILL:
            assert "Interrupted. What was finished is kept" in errors
            assert "Traceback" not in errors
    done = samemind(*run("troubled"))
    assert done.returncode == 0
    assert done.stdout.strip().endswith("index.html")
    calm, troubled = (
        pd.read_parquet(tmp_path / f"{name}-out" / "report" / "scores.parquet")
        for name in ("calm", "troubled")
    )
    pd.testing.assert_frame_equal(calm, troubled)
    again = samemind(*run("troubled"))
    assert "nothing was built" in again.stdout
    twice = ["report", SMALL, SMALL, "--store", tmp_path / "calm", "--out", tmp_path / "both"]
    assert samemind(*twice).returncode == 0
    both = pd.read_parquet(tmp_path / "both" / "report" / "scores.parquet")
    pd.testing.assert_frame_equal(both, calm)  # what two studies share is there once
