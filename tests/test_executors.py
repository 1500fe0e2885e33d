"""Executors: every item once, an error stops no other, a dead worker costs its own item only."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from samemind.errors import InvalidInput
from samemind.execution import InProcess, LocalProcesses, executor_for
from samemind.store.resume import read


def record(folder: Path, item: int) -> None:
    if item == 3:
        raise InvalidInput("three is not wanted")
    if item == 4:
        raise ZeroDivisionError("a bug")
    (folder / str(item)).write_text("done")


def kill_on_two(folder: Path, item: int) -> None:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    record(folder, item)


@pytest.fixture(params=["in this process", "in two processes"])
def executor(request):
    executor = InProcess() if request.param == "in this process" else LocalProcesses(2)
    yield executor
    executor.close()


def test_every_item_is_done_once_and_an_error_stops_no_other(executor, tmp_path: Path):
    outcomes = list(executor.map(partial(record, tmp_path), range(8)))
    assert sorted(o.item for o in outcomes) == list(range(8))
    failed = {o.item: o for o in outcomes if o.error}
    assert set(failed) == {3, 4}
    assert str(failed[3].error) == "three is not wanted"
    assert not failed[3].trace
    assert "ZeroDivisionError: a bug" in failed[4].trace
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1", "2", "5", "6", "7"]


def test_a_worker_that_is_killed_costs_its_own_item_only(tmp_path: Path):
    executor = LocalProcesses(2)
    try:
        outcomes = list(executor.map(partial(kill_on_two, tmp_path), [0, 1, 2, 5, 6, 7]))
    finally:
        executor.close()
    failed = [o for o in outcomes if o.error]
    assert [o.item for o in failed] == [2]
    assert "--workers 1" in str(failed[0].error)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1", "5", "6", "7"]


SLEEPER = """
import os, sys, time
from samemind.execution import LocalProcesses
def sleep(item):
    open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
    time.sleep(600)
if __name__ == "__main__":
    list(LocalProcesses(2).map(sleep, [1, 2]))
"""


def test_workers_end_with_their_parent(tmp_path: Path):
    script = tmp_path / "sleeper.py"
    script.write_text(SLEEPER)
    pids = tmp_path / "pids"
    pids.mkdir()
    parent = subprocess.Popen([sys.executable, str(script), str(pids)])
    deadline = time.monotonic() + 600
    while len(list(pids.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = [int(p.name) for p in pids.iterdir()]
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    while any(Path(f"/proc/{w}").exists() for w in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{w}").exists() for w in workers)


STEPPER = """
import signal, sys, time
from pathlib import Path
from samemind.execution import LocalProcesses
from samemind.store.resume import ResumeState
def steps(item):
    folder = Path(sys.argv[1]) / str(item)
    folder.mkdir()
    with ResumeState(folder, every=600) as resume:
        for done in range(1, 6000):
            time.sleep(0.1)
            if resume.is_due:
                resume.write(folder / "state", str(done).encode())
                resume.give_way()
            (folder / "step").write_text(str(done))
def end(*_):
    raise KeyboardInterrupt
if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    executor = LocalProcesses(2)
    try:
        list(executor.map(steps, range(8)))
    except KeyboardInterrupt:
        executor.close()
        sys.exit(7)
"""


@pytest.mark.parametrize("asked", ["the parent", "all of them"])
def test_workers_that_are_asked_to_end_save_what_they_have_in_work(tmp_path: Path, asked: str):
    script = tmp_path / "stepper.py"
    script.write_text(STEPPER)
    folder = tmp_path / "work"
    folder.mkdir()
    parent = subprocess.Popen([sys.executable, str(script), str(folder)], start_new_session=True)
    deadline = time.monotonic() + 600
    while len(list(folder.glob("*/step"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    if asked == "the parent":
        parent.send_signal(signal.SIGTERM)
    else:
        os.killpg(parent.pid, signal.SIGTERM)
    assert parent.wait(30) == 7
    assert {p.name for p in folder.iterdir()} == {"0", "1"}
    for item in folder.iterdir():
        steps = int((item / "step").read_text())
        assert int((read(item / "state") or b"0").decode()) == steps + 1


def test_one_worker_is_this_process():
    assert isinstance(executor_for(1), InProcess)
    assert isinstance(executor_for(2), LocalProcesses)
    with pytest.raises(InvalidInput, match="At least one worker"):
        LocalProcesses(0)
