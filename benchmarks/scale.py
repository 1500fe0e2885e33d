"""What sharing the work costs and gains: overhead of a task, speed-up of two workers.

    python benchmarks/scale.py

Each engine does the same tasks in turn, interleaved over the rounds, in one run. The work of a task
is a fixed number of small matrix products on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from samemind.execution import InProcess, LocalProcesses


def nothing(_: int) -> None:
    """A task that is all overhead."""


def work(seed: int) -> float:
    """About a third of a second on one core."""
    matrix = np.random.default_rng(seed).standard_normal((300, 300))
    for _ in range(150):
        matrix = matrix @ matrix
        matrix /= np.abs(matrix).max()
    return float(matrix[0, 0])


def seconds(executor, do: Callable, count: int) -> float:
    """Wall-clock seconds for so many tasks."""
    began = time.perf_counter()
    outcomes = list(executor.map(do, range(count)))
    assert not any(o.error for o in outcomes)
    return time.perf_counter() - began


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray", action="store_true", help="Also on Ray, with two processors.")
    asked = parser.parse_args()
    engines = {"this process": InProcess(), "two processes": LocalProcesses(2)}
    if asked.ray:
        from samemind.execution.on_ray import OnRay

        engines["Ray"] = OnRay(gpus=0)
    for engine in engines.values():
        seconds(engine, nothing, 4)  # start the workers
    overhead: dict[str, list[float]] = {name: [] for name in engines}
    took: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(asked.rounds):
        for name, engine in engines.items():
            overhead[name].append(seconds(engine, nothing, 200) / 200)
            took[name].append(seconds(engine, work, 12))
    one = took["this process"]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {asked.rounds} rounds")
    for name, engine in engines.items():
        gain = [a / b for a, b in zip(one, took[name], strict=True)]
        told = {
            "ms_per_empty_task": round(1000 * statistics.median(overhead[name]), 2),
            "speed_up": [round(g, 2) for g in sorted(gain)],
        }
        print(f"{name:14} {json.dumps(told)}")
        engine.close()


if __name__ == "__main__":
    main()
