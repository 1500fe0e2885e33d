"""On Ray: the GPUs of one machine, or a cluster by its address."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from samemind.errors import InvalidInput, MissingExtra, SamemindError, reason
from samemind.execution.base import Item, Key, Outcome
from samemind.execution.batches import attempt_all, batches


class OnRay:
    """One task per item, or per batch of items that share what they load.

    Results go through the store, never through Ray: a cluster that is lost loses what it had in
    work. A task whose worker or node dies is done again, elsewhere.

    **Arguments:**

    - `address`: of a running cluster, such as 'auto' or '10.0.0.1:6379'; None starts Ray here.
    - `gpus`, `cpus`: of one task; a fraction of a GPU lets several tasks share it. `gpus = None`
      takes one where the cluster has any.
    - `retries`: how often an item may kill its worker before it is given up.

    **Raises:** `MissingExtra` without Ray; `InvalidInput` when no node has what a task needs.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        gpus: float | None = None,
        cpus: float = 1,
        retries: int = 3,
        threads: int = 1,
    ) -> None:
        self.address = address
        self.gpus = gpus
        self.cpus = cpus
        self.retries = retries
        self.threads = threads
        self._has_started = False

    def map(
        self, do: Callable[[Item], Any], items: Sequence[Item], *, together: Key[Item] | None = None
    ) -> Iterator[Outcome[Item]]:
        ray = self._start()
        waiting = batches(items, together, self._places(ray))
        # A batch that kills its worker again and again is taken apart, so that only the item to
        # blame is lost.
        for is_last in (False, True):
            again: list[list[Item]] = []
            for batch, outcomes in self._done(ray, do, waiting):
                if isinstance(outcomes, list):
                    yield from outcomes
                elif is_last or len(batch) == 1:
                    yield from (Outcome(item, SamemindError(outcomes)) for item in batch)
                else:
                    again += [[item] for item in batch]
            waiting = again

    def _done(
        self, ray: Any, do: Callable[[Item], Any], waiting: Sequence[list[Item]]
    ) -> Iterator[tuple[list[Item], list[Outcome[Item]] | str]]:
        task = ray.remote(
            num_cpus=self.cpus,
            num_gpus=self.gpus or 0,
            max_retries=self.retries,
            scheduling_strategy="SPREAD",
        )(attempt_all)
        # What is to be done travels once, not with every task.
        shared = ray.put(do)
        pending = {task.remote(shared, batch, self.threads): batch for batch in waiting}
        while pending:
            ready, _ = ray.wait(list(pending), num_returns=1)
            for reference in ready:
                batch = pending.pop(reference)
                try:
                    yield batch, ray.get(reference)
                except ray.exceptions.RayError as error:
                    first = str(error).strip().splitlines()[0] if str(error).strip() else ""
                    yield (
                        batch,
                        f"Ray gave up {batch[0]}: {type(error).__name__} {first}. Look at its "
                        f"logs, ask for less at once, or run again: what is finished is kept.",
                    )

    def _start(self) -> Any:
        # Read by Ray when it is imported; nothing is told to anybody.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError:
            raise MissingExtra(
                "Running on Ray needs the extra 'ray': pip install 'samemind[ray]'."
            ) from None
        if not ray.is_initialized():
            quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
            try:
                if self.address:
                    ray.init(address=self.address, **quiet)
                else:
                    ray.init(
                        num_cpus=_cores(), include_dashboard=False, _temp_dir=_folder(), **quiet
                    )
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                raise InvalidInput(
                    f"Ray cannot be reached at '{self.address or 'this machine'}': "
                    f"{reason(error)}. Start it (`ray start --head`) or leave --address out."
                ) from None
            self._has_started = True
        self._check_resources(ray)
        return ray

    def _check_resources(self, ray: Any) -> None:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        most = {name: max((n.get(name, 0) for n in nodes), default=0) for name in ("GPU", "CPU")}
        if self.gpus is None:
            self.gpus = 1 if most["GPU"] else 0
        for name, wanted in (("GPU", self.gpus), ("CPU", self.cpus)):
            if wanted > most[name]:
                raise InvalidInput(
                    f"A task asks for {wanted:g} {name}, but the largest node of this Ray cluster "
                    f"has {most[name]:g}. Ask for less, or give another --address."
                )

    def _places(self, ray: Any) -> int:
        there = ray.cluster_resources()
        fits = [there.get("CPU", 1) / self.cpus] if self.cpus else []
        fits += [there.get("GPU", 0) / self.gpus] if self.gpus else []
        return max(1, int(min(fits, default=1)))

    def close(self) -> None:
        """Leaves the cluster; what its workers had not finished is done by the next run."""
        if self._has_started:
            import ray

            ray.shutdown()
            self._has_started = False


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _folder() -> str:
    """Short, for Ray keeps sockets in it, and this user's own."""
    return str(Path(tempfile.gettempdir()) / f"ray-{os.getuid()}")
