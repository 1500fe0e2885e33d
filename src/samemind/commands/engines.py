"""Which executor the command line asks for: this machine, Ray or SLURM."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from samemind.errors import InvalidInput
from samemind.store.artifacts import Store
from samemind.store.marking import JOBS_FOLDER

if TYPE_CHECKING:
    from samemind.execution import Executor
    from samemind.study.sections import Cluster


class Engine(StrEnum):
    """Where a study can be run."""

    LOCAL = "local"
    RAY = "ray"
    SLURM = "slurm"


def executor_on(
    engine: Engine, cluster: Cluster, store: Store, *, workers: int, device: str
) -> Executor:
    """The executor for an engine; `cluster` is the study's table with the flags put in.

    **Raises:** `InvalidInput` where options contradict one another; `MissingExtra`.
    """
    if engine is Engine.LOCAL:
        from samemind.execution import executor_for

        return executor_for(workers or useful_workers(device))
    if workers:
        raise InvalidInput(
            f"--workers is for this machine; with --on {engine} say --gpus, --cpus or --at-most."
        )
    if engine is Engine.RAY:
        from samemind.execution.on_ray import OnRay

        gpus = 0 if device == "cpu" else cluster.gpus
        return OnRay(cluster.address, gpus=gpus, cpus=cluster.cpus or 1)
    from samemind.execution.on_slurm import OnSlurm

    if cluster.gpus is not None and cluster.gpus % 1:
        raise InvalidInput(
            f"SLURM gives whole GPUs, but gpus = {cluster.gpus:g} was asked for. Ray can share one."
        )
    asked: dict[str, Any] = cluster.model_dump(exclude={"address"}, exclude_none=True)
    asked["gpus"] = int(asked.get("gpus", 0))
    return OnSlurm(store.root / JOBS_FOLDER, **asked)


@contextmanager
def to_draw_on(executor: Executor | None = None) -> Iterator[Executor]:
    """Processes of this machine for the figures of a report: those of a run, or one per core.

    A cluster is not asked to draw, and a GPU does not help.
    """
    from samemind.execution import LocalProcesses, executor_for

    if isinstance(executor, LocalProcesses):
        yield executor
        return
    own = executor_for(useful_workers("cpu"))
    try:
        yield own
    finally:
        own.close()


def useful_workers(device: str) -> int:
    """One process per core on the CPU; with a GPU this process alone."""
    if device == "cpu":
        return os.cpu_count() or 1
    import torch

    wants_gpu = device.startswith("cuda") or torch.cuda.is_available()
    return 1 if wants_gpu else len(os.sched_getaffinity(0))
