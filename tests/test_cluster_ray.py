"""On a Ray cluster of two nodes on loopback: the same bytes, and deaths that lose nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import torture
from samemind.artifacts import Store
from samemind.devices import Execution
from samemind.errors import InvalidInput
from samemind.executors import InProcess
from samemind.executors.on_ray import OnRay
from samemind.running import advance
from samemind.study import read_study

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
                if age < 0.3 or name in self.killed:
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
