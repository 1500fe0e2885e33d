"""On a Ray cluster of two nodes on loopback: the same bytes, and deaths that lose nothing."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from functools import partial
from operator import attrgetter
from pathlib import Path

import pytest

import torture
from samemind.building import build
from samemind.errors import InvalidInput
from samemind.execution import InProcess
from samemind.execution.devices import Execution
from samemind.execution.on_ray import OnRay
from samemind.store.artifacts import Store
from samemind.study import read_study
from samemind.study.running import advance

# Ray's own processes and sockets warn when they are killed; that is what is done to them here.
pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]

SMALL = Path(__file__).parent / "data" / "small-digits.toml"
EXECUTION = Execution(device="cpu", save_every=0.2)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("serial") / "store"
    assert not advance(read_study(SMALL), Store(root), InProcess(), EXECUTION).failed
    return root


@pytest.fixture
def cluster(monkeypatch):
    """A Ray cluster of two nodes of one processor each."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    source, tests = Path(__file__).parents[1] / "src", Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{source}{os.pathsep}{tests}")
    from ray.cluster_utils import Cluster

    made = Cluster()
    for _ in range(2):
        made.add_node(num_cpus=1, num_gpus=0, include_dashboard=False)
    yield made
    made.shutdown()


@pytest.fixture
def two_gpus(monkeypatch, tmp_path_factory):
    """Ray on this machine, told of two GPUs that are not there: it schedules all the same."""
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    source, tests = Path(__file__).parents[1] / "src", Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{source}{os.pathsep}{tests}")
    ray.init(num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class Killer(threading.Thread):
    """Kills the process, and later the node, of something in work; watches what is finished."""

    def __init__(self, store: Store, cluster) -> None:
        super().__init__(daemon=True)
        self.store = store
        self.cluster = cluster
        self.killed: list[str] = []
        self.finished: dict[str, int] = {}
        self.rebuilt: set[str] = set()
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.02):
            now = torture.finished(self.store.root)
            self.rebuilt |= {n for n, folder in self.finished.items() if now.get(n) != folder}
            self.finished = now
            for name, holder in self.store.leases.in_work().items():
                age = time.time() - holder["since"]
                # Soon after they begin: a task that is short must be met at work as well.
                if age < 0.05 or name in self.killed:
                    continue
                if not self.killed:
                    os.kill(holder["process"], signal.SIGKILL)
                    self.killed.append(name)
                elif len(self.killed) == 1 and len(self.finished) >= 2:
                    node = self._node_of(holder["process"])
                    # The first node is the head, which the driver itself hangs on.
                    if node is not None and node is not self.cluster.head_node:
                        self.cluster.remove_node(node, allow_graceful=False)
                        self.killed.append(name)

    def _node_of(self, process: int):
        stat = Path(f"/proc/{process}/stat")
        parent = int(stat.read_text().rpartition(")")[2].split()[1]) if stat.exists() else 0
        for node in self.cluster.list_all_nodes():
            raylets = node.all_processes.get("raylet", [])
            if any(raylet.process.pid == parent for raylet in raylets):
                return node
        return None


def test_a_killed_worker_and_a_killed_node_lose_only_what_they_had_in_work(
    cluster, reference, tmp_path
):
    store = Store(tmp_path / "store")
    study = read_study(SMALL)
    executor = OnRay(cluster.address, gpus=0)
    killer = Killer(store, cluster)
    killer.start()
    try:
        done = advance(study, store, executor, EXECUTION)
    finally:
        killer.ended.set()
        killer.join()
        executor.close()
    assert len(killer.killed) == 2, "nothing was killed, so nothing was shown"
    assert not done.failed, [str(o.error) for o in done.failed]
    assert not killer.rebuilt
    assert torture.same_artifacts(store.root, reference)
    # The drafts of what died are gone with the next run.
    assert advance(study, store, InProcess(), EXECUTION).built == 0
    assert not torture.leftovers(store.root)


def test_a_task_that_no_node_can_take_is_refused_at_once(cluster):
    executor = OnRay(cluster.address, gpus=2)
    try:
        with pytest.raises(InvalidInput, match="asks for 2 GPU, but the largest node"):
            list(executor.map(print, [1]))
    finally:
        executor.close()


# -- GPUs and fractions of them


def occupy(folder: Path, others: int, item: int) -> None:
    """Holds what Ray gave to this task until so many have begun; writes down what it was, and when.

    All of them can only have begun where so many are at work at once. A second more shows whether
    there are too many.
    """
    began = time.time()
    (folder / f"{item}.began").touch()
    while len(list(folder.glob("*.began"))) < others and time.time() < began + 120:
        time.sleep(0.05)
    time.sleep(1)
    held = {"gpus": os.environ["CUDA_VISIBLE_DEVICES"], "began": began, "ended": time.time()}
    (folder / f"{item}.json").write_text(json.dumps(held))


def most_at_once(held: list[dict]) -> int:
    return max(sum(h["began"] <= at["began"] < h["ended"] for h in held) for at in held)


@pytest.mark.parametrize(
    ("gpus", "at_once", "on_each"), [(0.5, 4, 2), (1, 2, 1), (None, 2, 1), (2, 1, 1)]
)
def test_tasks_share_gpus_as_their_fraction_says(two_gpus, tmp_path, gpus, at_once, on_each):
    executor = OnRay(gpus=gpus)
    outcomes = list(executor.map(partial(occupy, tmp_path, at_once), range(6)))
    assert not [o.error for o in outcomes if o.error]
    held = [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(6)]
    assert most_at_once(held) == at_once
    devices = {"0,1"} if gpus == 2 else {"0", "1"}
    assert {h["gpus"] for h in held} == devices
    for device in devices:
        assert most_at_once([h for h in held if h["gpus"] == device]) == on_each


def test_a_study_at_half_a_gpu_for_each_task_gives_the_same_bytes(two_gpus, tmp_path):
    study = read_study(torture.TINY)
    serial, store = Store(tmp_path / "serial"), Store(tmp_path / "store")
    assert not advance(study, serial, InProcess(), EXECUTION).failed
    done = advance(study, store, OnRay(gpus=0.5), EXECUTION)
    assert not done.failed, [o.trace or str(o.error) for o in done.failed]
    assert torture.same_artifacts(store.root, serial.root)


def test_more_of_a_gpu_than_there_is_is_refused_at_once(two_gpus):
    with pytest.raises(InvalidInput, match=r"asks for 2\.5 GPU, but the largest node"):
        list(OnRay(gpus=2.5).map(print, [1]))


# -- what is shared is loaded once


def build_and_tell(recipe, *, root: Path, told: Path):
    """Builds, and writes down each file of arrays that was read on the way, and by whom."""
    import safetensors.numpy

    read = safetensors.numpy.load_file

    def tell(file, *arguments):
        with told.open("a") as stream:
            stream.write(f"{os.getpid()} {Path(file).parent.name}\n")
        return read(file, *arguments)

    safetensors.numpy.load_file = tell
    try:
        return build(recipe, root=root, execution=EXECUTION)
    finally:
        safetensors.numpy.load_file = read


def test_builds_that_share_an_input_set_or_a_model_load_it_once_in_one_place(two_gpus, tmp_path):
    study = read_study(torture.TINY)
    extraction = next(s for s in study.stages if s.name == "extraction").recipes
    store = Store(tmp_path / "store")
    assert not advance(study, store, InProcess(), EXECUTION).failed
    by = {"inputs": attrgetter("inputs"), "checkpoint": attrgetter("checkpoint")}
    for shared, together in by.items():
        # In the order of the other one, so that whoever takes them as they come shares nothing.
        other = by["inputs" if shared == "checkpoint" else "checkpoint"]
        mixed = sorted(extraction, key=lambda recipe, other=other: other(recipe).name)
        names = {together(recipe).name.partition("/")[2] for recipe in mixed}
        loads = {}
        for how, key in (("together", together), ("apart", None)):
            for recipe in mixed:
                store.remove(store.path(recipe))
            told = tmp_path / f"told-{shared}-{how}"
            do = partial(build_and_tell, root=store.root, told=told)
            # Four processors for a task: one place, so that batches are as long as they can be.
            outcomes = list(OnRay(gpus=0, cpus=4).map(do, mixed, together=key))
            assert not [o.error for o in outcomes if o.error]
            lines = [line.split() for line in told.read_text().splitlines()]
            loads[how] = Counter(name for _, name in lines if name in names)
        assert loads["together"] == dict.fromkeys(names, 1), shared
        assert sum(loads["apart"].values()) > len(names), "the test could not have failed"
