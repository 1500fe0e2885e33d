"""On SLURM: a real one of one node where it may be started, and submitit's local executor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

import slurm_here
import torture
from samemind.building import Ended, build, shares
from samemind.errors import InvalidInput
from samemind.execution import InProcess
from samemind.execution.devices import Execution
from samemind.execution.on_slurm import OnSlurm
from samemind.store.artifacts import Store
from samemind.study import read_study
from samemind.study.running import advance

pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]

STUDY = read_study(torture.TINY)
EXECUTION = Execution(device="cpu", save_every=0.2)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("serial") / "store"
    assert not advance(STUDY, Store(root), InProcess(), EXECUTION).failed
    return root


@pytest.fixture
def slurm(tmp_path_factory, monkeypatch):
    pytest.importorskip("submitit")
    if not slurm_here.is_possible():
        pytest.skip("needs root and the packages slurmctld, slurmd, slurm-client and munge")
    source = Path(__file__).parents[1] / "src"
    monkeypatch.setenv("PYTHONPATH", f"{source}{os.pathsep}{Path(__file__).parent}")
    with slurm_here.slurm(tmp_path_factory.mktemp("slurm")) as configuration:
        monkeypatch.setenv("SLURM_CONF", configuration)
        yield


def kill_one_in_work(store: Store, killed: list[str], ended: threading.Event) -> None:
    while not ended.wait(0.01) and not killed:
        for name, holder in store.leases.in_work().items():
            os.kill(holder["process"], signal.SIGKILL)
            killed.append(name)
            break


def test_a_study_on_slurm_survives_a_killed_driver_and_a_killed_job(slurm, reference, tmp_path):
    store = Store(tmp_path / "store")
    # No `sacct` can answer here: what is done is read from the store and the result files.
    assert subprocess.run(["sacct"], capture_output=True, check=False).returncode != 0
    ask = [sys.executable, "-m", "samemind", "run", torture.TINY, "--store", store.root]
    ask += ["--out", tmp_path / "out", "--on", "slurm", "--partition", "short", "--at-most", "2"]
    driver = subprocess.Popen([*map(str, ask), "--device", "cpu"])
    deadline = time.monotonic() + 600
    while not (store.root / "jobs" / "submitted.json").exists():
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    first = set((store.root / "jobs").glob("*_*"))
    before = torture.finished(store.root)

    executor = OnSlurm(store.root / "jobs", partition="short", at_most=2, poll=0.5, grace=3)
    adopted = executor._submitted_before()
    assert set(adopted) <= {c.name for c in STUDY.checkpoints}
    assert adopted or before  # still there, or done already
    killed: list[str] = []
    ended = threading.Event()
    killer = threading.Thread(target=kill_one_in_work, args=(store, killed, ended), daemon=True)
    killer.start()
    try:
        done = advance(STUDY, store, executor, EXECUTION)
    finally:
        ended.set()
        killer.join()
        executor.close()
    assert killed
    assert not done.failed, [o.trace or str(o.error) for o in done.failed]
    assert before.items() <= torture.finished(store.root).items()
    assert torture.same_artifacts(store.root, reference)
    assert set((store.root / "jobs").glob("*_*")) > first


def test_submitits_local_processes_give_the_same_bytes(reference, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "src"))
    store = Store(tmp_path / "store")
    recipes = [STUDY.natural, STUDY.checkpoints[0]]
    executor = OnSlurm(store.root / "jobs", engine="local", poll=0.1, grace=1)
    try:
        do = partial(build, root=store.root, execution=EXECUTION)
        outcomes = list(executor.map(do, recipes, together=shares))
    finally:
        executor.close()
    assert [o.error for o in outcomes] == [None, None]
    assert {o.result for o in outcomes} == {Ended.BUILT}
    for recipe in recipes:
        assert Store.fault(store.path(recipe)) is None
        ours, theirs = (r / recipe.name / "checksums.json" for r in (store.root, reference))
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_job_that_fails_before_its_work_begins_stops_no_other(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    (tmp_path / "only_here.py").write_text("def double(item):\n    return 2 * item\n")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "src"))
    monkeypatch.syspath_prepend(tmp_path)
    from only_here import double  # pyright: ignore[reportMissingImports]

    executor = OnSlurm(tmp_path / "jobs", engine="local", poll=0.1, grace=1)
    try:
        outcomes = list(executor.map(double, [1, 2]))
    finally:
        executor.close()
    assert sorted(o.item for o in outcomes) == [1, 2]
    for outcome in outcomes:
        assert "failed before its work began" in str(outcome.error)
        assert "only_here" in str(outcome.error)


def test_without_sbatch_the_message_says_where_to_run(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"no `sbatch` on this machine\. Run on a login node"):
        list(OnSlurm(tmp_path).map(print, [1]))
