"""Runs a small study and kills it at random moments until it is complete; `make torture`.

Moments are drawn by the CPU time of the process itself: on a busy machine seconds of the clock
would all fall into its imports.

Each life is a fork of a process that has imported torch already, so that a hundred lives take a
minute and not ten. What must hold is raised as an AssertionError.

    python tests/torture.py --kills 100 --signal KILL
"""

from __future__ import annotations

import argparse
import filecmp
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from samemind.execution import InProcess
from samemind.execution.devices import Execution
from samemind.lazy import Interruptions
from samemind.store.artifacts import NO_KINDS, Store
from samemind.study import Study, read_study
from samemind.study.running import Advance, advance

TINY = Path(__file__).parent / "data" / "tiny-digits.toml"


def fork(work: Callable[[], object]) -> int:
    """The process id of a child that does the work; it exits with 0 where that ended well."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.signal(signal.SIGTERM, Interruptions())
        work()
        status = 0
    except KeyboardInterrupt:
        status = 2
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    os._exit(status)


def live(study: Study, root: Path, tell: Path | None = None) -> Advance:
    """One run of the study; writes how many artifacts it built where it is asked to tell."""
    execution = Execution(device="cpu", save_every=0.05)
    done = advance(study, Store(root), InProcess(), execution)
    assert not done.failed, [f"{o.item.name}: {o.trace or o.error}" for o in done.failed]
    if tell is not None:
        tell.write_text(json.dumps(done.built))
    return done


def ended(child: int, within: float, used: float = math.inf) -> int | None:
    """The exit status of a child.

    None when it is still at work after so many seconds, or once it used so many of CPU time.
    """
    deadline = time.monotonic() + within
    while True:
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline or cpu_seconds(child) >= used:
            return None
        time.sleep(0.002)


def cpu_seconds(process: int, *, with_children: bool = False) -> float:
    """The CPU time that a process, and the processes that it started, have used so far."""
    try:
        task = Path(f"/proc/{process}/task/{process}")
        # In nanoseconds; the ticks of /proc/PID/stat are as long as a small artifact takes.
        used = int((task / "schedstat").read_text().split()[0]) / 1e9
        children = (task / "children").read_text().split() if with_children else []
    except (OSError, IndexError):
        return 0.0  # it has ended
    return used + sum(cpu_seconds(int(child), with_children=True) for child in children)


def finished(root: Path) -> dict[str, int]:
    """Every finished artifact and the number of its folder on the disk, which a rebuild changes."""
    return {str(p.relative_to(root)): p.stat().st_ino for p in Store(root).paths()}


def leftovers(root: Path) -> list[str]:
    """All that is in a store and belongs to no finished artifact."""
    special = [p for n in NO_KINDS if (root / n).is_dir() for p in (root / n).iterdir()]
    return sorted(
        str(p.relative_to(root)) for p in [*special, *root.glob("*/.*"), *root.glob(".*")]
    )


def same_artifacts(first: Path, second: Path) -> bool:
    """Whether two stores hold the same artifacts, byte for byte but for when and where."""

    def files(root: Path) -> list[str]:
        found = (f for p in Store(root).paths() for f in p.iterdir())
        return sorted(str(f.relative_to(root)) for f in found if f.name != "made.json")

    names = files(first)
    return names == files(second) and all(
        filecmp.cmp(first / n, second / n, shallow=False) for n in names
    )


def undisturbed(study: Study, root: Path) -> float:
    """Runs the study in this process, so that its forks find all imported; CPU-s of a life."""
    live(study, root)
    with tempfile.TemporaryDirectory() as folder:
        began = children_seconds()
        assert ended(fork(lambda: live(study, Path(folder) / "store")), 600) == 0
        return children_seconds() - began


def children_seconds() -> float:
    """The CPU time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def killed_until_complete(
    study: Study, root: Path, blow: int, draw: random.Random, longest: float
) -> int:
    """Runs and kills the study until a life completes it; returns the number of kills."""
    kills = 0
    while True:
        before = finished(root)
        child = fork(lambda: live(study, root))
        # A study of ever longer lives: it ends, however slow the machine is.
        status = ended(child, 600, draw.uniform(0, longest * (1 + kills / 20)))
        if status is None:
            os.kill(child, blow)
            status = ended(child, 60)
            assert status is not None, "a life did not end when it was asked to"
            kills += 1
        else:
            assert status == 0, f"a life ended with status {status}"
        after = finished(root)
        lost = {name for name, folder in before.items() if after.get(name) != folder}
        assert not lost, f"finished and yet built again or gone: {lost}"
        assert not [n for n in leftovers(root) if n.startswith("damaged/")], leftovers(root)
        if status == 0:
            return kills


def torture(kills: int, blow: int, seed: int, folder: Path) -> dict[str, float]:
    """Kills studies until there were so many kills; what is told of it."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a process with threads of CUDA cannot be forked
    torch.set_num_threads(1)
    draw = random.Random(seed)
    study = read_study(TINY)
    reference = folder / "undisturbed"
    seconds = undisturbed(study, reference)
    assert not leftovers(reference), leftovers(reference)
    done, rounds = 0, 0
    while done < kills:
        root = folder / f"round-{rounds}"
        done += killed_until_complete(study, root, blow, draw, seconds / 4)
        assert same_artifacts(root, reference), f"round {rounds} gave other bytes"
        assert not leftovers(root), leftovers(root)
        shutil.rmtree(root)
        rounds += 1
    return {"kills": done, "studies": rounds, "cpu_seconds_undisturbed": round(seconds, 2)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    blow = getattr(signal, f"SIG{asked.signal}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told = torture(asked.kills, blow, asked.seed, Path(folder))
    told |= {"seconds": round(time.monotonic() - began, 1), "seed": asked.seed}
    print(json.dumps({"signal": asked.signal} | told))


if __name__ == "__main__":
    main()
