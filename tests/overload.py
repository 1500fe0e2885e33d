"""What a busy machine does to samemind, each in a process of its own; tests/test_under_load.py.

    python tests/overload.py reports --count 16
    python tests/overload.py company --count 8 --kills 20

Like torture.py: forks of one process that has imported all, so that sixteen of them cost little
more than one. What must hold is raised as an AssertionError; what is told is printed as JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import samemind
import torture
from samemind.reporting.fingerprint import MADE_FILE
from samemind.store import leases
from samemind.store.artifacts import Store
from samemind.study import Study, read_study


def arrays(count: int, n: int = 60, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 8))
    return {f"m{i}": shared + 0.3 * rng.normal(size=(n, 8)) for i in range(count)}


def peak_mb(who: int = resource.RUSAGE_SELF) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def held_mb() -> float:
    """The resident memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def all_end_well(children: list[int], within: float = 1800) -> None:
    statuses = [torture.ended(child, within) for child in children]
    assert statuses == [0] * len(children), statuses


# -- reports


def reports(count: int, folder: Path) -> dict[str, Any]:
    """So many comparisons at once write their reports to one place, and each to one of its own."""
    out = folder / "report"

    def compare(number: int, place: Path) -> None:
        found = samemind.compare(arrays(3, seed=number), measures=["linear_cka"], progress=False)
        found.report(place)

    compare(0, folder / "warm")
    began = torture.children_seconds()
    forks = [torture.fork(lambda i=i: compare(i, out)) for i in range(count)]
    forks += [torture.fork(lambda i=i: compare(i, folder / f"own-{i}")) for i in range(count)]
    all_end_well(forks)
    names = {path.name for path in folder.iterdir()}
    assert names == {"warm", "report", *(f"own-{i}" for i in range(count))}, names
    for place in folder.iterdir():
        made = json.loads((place / MADE_FILE).read_text())
        sizes = {n: (place / n).stat().st_size for n in made["files"]}
        assert sizes == made["files"], place
    there = (out / "scores.parquet").read_bytes()
    assert there in [(folder / f"own-{i}" / "scores.parquet").read_bytes() for i in range(count)]
    return {"reports": 2 * count, "cpu_seconds": torture.children_seconds() - began}


# -- company


def overlapping(count: int) -> list[Study]:
    """Studies that share networks, inputs and scores with one another, each with its own too."""
    text = torture.TINY.read_text()
    studies = []
    for number in range(count):
        text_of_this = text.replace("count = 40", f"count = {40 + number % 2}")
        if number % 4 >= 2:
            text_of_this = text_of_this.replace("steps = 2", "steps = 3")
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(text_of_this)
            file.flush()
            studies.append(read_study(Path(file.name)))
    return studies


def company(count: int, kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """Overlapping studies run on one store, and are killed and begun again, until all are done."""
    studies, draw = overlapping(count), random.Random(seed)
    alone, root = folder / "alone", folder / "store"
    began = torture.children_seconds()
    for study in {id(s): s for s in studies[:4]}.values():
        torture.live(study, alone)
    life = torture.undisturbed(studies[0], folder / "warm")
    running: dict[int, tuple[int, float]] = {}
    done, killed = set(), 0
    before: dict[str, int] = {}
    while len(done) < count:
        for number in range(count):
            if number in done or number in running:
                continue
            child = torture.fork(lambda s=studies[number]: torture.live(s, root))
            moment = draw.uniform(0, life / 3) if killed < kills else float("inf")
            running[number] = child, moment
        for number, (child, moment) in list(running.items()):
            status = torture.ended(child, 0.01, moment)
            if status is None and torture.cpu_seconds(child) >= moment:
                os.kill(child, signal.SIGKILL)
                torture.ended(child, 60)
                killed += 1
                del running[number]
            elif status is not None:
                assert status == 0, f"a life ended with status {status}"
                done.add(number)
                del running[number]
        after = torture.finished(root)
        lost = {name for name, inode in before.items() if after.get(name) != inode}
        assert not lost, f"finished and yet built again or gone: {lost}"
        before = after
    assert killed >= kills, killed
    assert torture.same_artifacts(root, alone)
    torture.live(studies[0], root)  # what the last killed one left is removed by the next run
    assert not torture.leftovers(root), torture.leftovers(root)
    seconds = torture.children_seconds() - began
    return {"studies": count, "kills": killed, "artifacts": len(before), "cpu_seconds": seconds}


# -- stopped


def stopped(folder: Path) -> dict[str, Any]:
    """A run of another host is stopped for longer than patience, replaced, and wakes up again."""
    study, root = read_study(torture.TINY), folder / "store"
    torture.undisturbed(study, folder / "alone")

    def impatient(where: str) -> Callable[[], None]:
        def work() -> None:
            leases.place = lambda: where  # as another host has another: nobody sees who is alive
            made = leases.Leases.__init__
            leases.Leases.__init__ = lambda self, at: made(self, at, beat=0.1, patience=1.0)
            torture.live(study, root)

        return work

    sleeper = torture.fork(impatient("aaaaaaaa"))
    held = Store(root).leases.folder
    while not (held.is_dir() and any(held.iterdir())):
        assert torture.ended(sleeper, 0.001) is None, "it ended before it could be stopped"
    os.kill(sleeper, signal.SIGSTOP)
    began = time.monotonic()
    in_work = [path.name for path in held.iterdir()]
    assert in_work, "it gave its lease back in this moment"
    all_end_well([torture.fork(impatient("bbbbbbbb"))])
    waited = time.monotonic() - began
    assert waited >= 1.0, waited
    before = torture.finished(root)
    os.kill(sleeper, signal.SIGCONT)
    all_end_well([sleeper])
    assert torture.finished(root) == before, "what the other had built was replaced"
    assert torture.same_artifacts(root, folder / "alone")
    return {"stopped_for": waited, "in_work": in_work, "left": torture.leftovers(root)}


# -- without growth


def many_compares(count: int) -> dict[str, Any]:
    """So many comparisons in one process: what it holds after a tenth of them, and at the end."""
    held = []
    for number in range(count):
        found = samemind.compare(arrays(4, 200, seed=number), progress=False)
        assert len(found.scores)
        del found
        gc.collect()
        held.append(held_mb())
    return {
        "compares": count,
        "first_tenth_mb": max(held[: max(10, count // 10)]),
        "end_mb": held[-1],
    }


def memory_of_pairs(count: int) -> dict[str, Any]:
    """The peak of comparing so many models of 1,000 inputs, beyond what the process held before."""
    models = arrays(count, 1000)
    samemind.compare(arrays(2, 100), measures=["linear_cka"], progress=False)
    before = held_mb()
    found = samemind.compare(models, progress=False)
    return {"models": count, "rows": len(found.scores), "peak_mb": peak_mb() - before}


def pictures(count: int, folder: Path) -> dict[str, Any]:
    """A folder of so many pictures: what looking at forty of them costs."""
    from PIL import Image

    rng = np.random.default_rng(0)
    few = folder / "few"
    few.mkdir()
    for number in range(8):
        image = Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
        image.save(few / f"{number}.png")
    for group in range(10):
        (folder / "pictures" / f"class-{group}").mkdir(parents=True)
    for number in range(count):
        place = folder / "pictures" / f"class-{number % 10}" / f"{number:06}.png"
        os.link(few / f"{number % 8}.png", place)
    networks = {name: _network(seed) for seed, name in enumerate("ab")}
    before, began = held_mb(), time.process_time()
    found = samemind.compare(
        networks, str(folder / "pictures"), count=40, image_size=32, progress=False,
        normalise="none",
    )  # fmt: skip
    assert set(found.scores["n_inputs"]) == {40}
    seconds = time.process_time() - began
    return {"pictures": count, "cpu_seconds": seconds, "peak_mb": peak_mb() - before}


def _network(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))


def report_of_many(count: int, measures: int, folder: Path) -> dict[str, Any]:
    """A report of so many models, and all their pairs."""
    from samemind.reporting import write_report
    from samemind.reporting.shown import MOST_ROWS
    from simulated_results import FLOORS, simulated

    study = simulated(
        architectures=[f"network-{i}" for i in range(count)], epsilons=(0.0,),
        measures=tuple(FLOORS)[:measures],
    )  # fmt: skip
    before, began = held_mb(), time.process_time()
    page = write_report(study, folder / "report")
    size = page.stat().st_size
    says = "charts would grow too large: they show the first" in page.read_text(encoding="utf-8")
    assert says == (len(study.main) > MOST_ROWS)
    return {
        "models": count,
        "rows": len(study.scores),
        "cpu_seconds": time.process_time() - began,
        "peak_mb": peak_mb() - before,
        "page_mb": size / 1e6,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", choices=["reports", "company", "stopped", "compares", "pairs", "pictures", "models"]
    )
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--measures", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a process with threads of CUDA cannot be forked
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = {
            "reports": lambda: reports(asked.count, folder),
            "company": lambda: company(asked.count, asked.kills, asked.seed, folder),
            "stopped": lambda: stopped(folder),
            "compares": lambda: many_compares(asked.count),
            "pairs": lambda: memory_of_pairs(asked.count),
            "pictures": lambda: pictures(asked.count, folder),
            "models": lambda: report_of_many(asked.count, asked.measures, folder),
        }[asked.what]()
    print(json.dumps({k: round(v, 2) if isinstance(v, float) else v for k, v in told.items()}))


if __name__ == "__main__":
    main()
