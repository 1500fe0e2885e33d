"""On this machine: in this process, or in worker processes that end with it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from typing import Any

from samemind.errors import InvalidInput, SamemindError
from samemind.executors.base import Item, Key, Outcome, attempt


class InProcess:
    """One item after the other, in this process: easy to debug, and the only one needing no copy.

    **Arguments:**

    - `threads`: of torch and BLAS. One by default: the number of threads decides the order of
      sums, so scores are the same bytes as in worker processes.
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads

    def map(
        self, do: Callable[[Item], Any], items: Sequence[Item], *, together: Key | None = None
    ) -> Iterator[Outcome[Item]]:
        del together  # the order of the items keeps them near enough
        from threadpoolctl import threadpool_limits

        for item in items:
            with threadpool_limits(self.threads):
                yield attempt(do, item)

    def close(self) -> None:
        """Nothing is kept open."""


class LocalProcesses:
    """Worker processes on this machine, each with few threads; they end with their parent.

    Small networks gain more from two processes of one thread than from one process of two.
    """

    def __init__(self, workers: int, threads: int = 1) -> None:
        if workers < 1:
            raise InvalidInput(f"At least one worker is needed, but {workers} was asked for.")
        self.workers = workers
        self.threads = threads
        self._pool = None

    def map(
        self, do: Callable[[Item], Any], items: Sequence[Item], *, together: Key | None = None
    ) -> Iterator[Outcome[Item]]:
        del together  # the order of the items keeps them near enough
        waiting = list(items)
        # A killed worker takes its whole pool along. What is not done is tried again with a new
        # pool, and at last one by one, so that only the item which kills its worker fails.
        for _ in range(2):
            done: list[int] = []
            for index, outcome in self._map_until_broken(do, waiting, self.workers):
                done.append(index)
                yield outcome
            waiting = [item for i, item in enumerate(waiting) if i not in set(done)]
            if not waiting:
                return
        for item in waiting:
            outcomes = [o for _, o in self._map_until_broken(do, [item], 1)]
            yield outcomes[0] if outcomes else Outcome(item, SamemindError(_worker_died(item)))

    def _map_until_broken(
        self, do: Callable[[Item], Any], items: Sequence[Item], workers: int
    ) -> Iterator[tuple[int, Outcome[Item]]]:
        from loky.process_executor import BrokenProcessPool, ShutdownExecutorError

        try:
            pool = self._pool = self._start(workers)
            futures = {pool.submit(attempt, do, item): i for i, item in enumerate(items)}
        except (BrokenProcessPool, ShutdownExecutorError):
            return
        try:
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result()
                except BrokenProcessPool:
                    continue
        except BaseException:
            self.close()
            raise

    def _start(self, workers: int):
        from loky import get_reusable_executor

        limits = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")
        return get_reusable_executor(
            max_workers=workers,
            timeout=60,
            initializer=_end_with_parent,
            initargs=(os.getpid(),),
            env={f"{name}_NUM_THREADS": str(self.threads) for name in limits},
        )

    def close(self) -> None:
        """Ends the workers at once; what they had not finished is done again by the next run."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None


def _worker_died(item: object) -> str:
    return (
        f"The worker process died each time it did {item}. It was probably killed for want of "
        f"memory: use fewer workers (--workers 1) or a smaller batch (--batch-size)."
    )


def _end_with_parent(parent: int) -> None:
    """Ends this worker when its parent is gone, so that a killed run leaves nobody at work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
