"""On this machine: in this process, or in worker processes that end with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed, wait
from contextlib import suppress
from types import FrameType
from typing import Any

from samemind.errors import InvalidInput, SamemindError
from samemind.execution.base import Item, Key, Outcome, attempt
from samemind.lazy import Interruptions

# What a worker may take to finish its step and save it; clusters wait half a minute before they
# kill what they have asked to end.
SECONDS_TO_SAVE = 25.0
# Not SIGTERM, which whoever ends the whole group of processes has sent to the workers too: the
# second one of a kind is not held back until the work is saved.
ASK_TO_END = signal.SIGUSR1


class InProcess:
    """One item after the other, in this process: easy to debug, and the only one needing no copy.

    **Arguments:**

    - `threads`: of torch and BLAS. One by default: the number of threads decides the order of
      sums, so scores are the same bytes as in worker processes.
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads

    def map(
        self, do: Callable[[Item], Any], items: Sequence[Item], *, together: Key[Item] | None = None
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
        self._futures: list[Any] = []

    def map(
        self, do: Callable[[Item], Any], items: Sequence[Item], *, together: Key[Item] | None = None
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
            futures = {pool.submit(_attempt, do, item): i for i, item in enumerate(items)}
        except (BrokenProcessPool, ShutdownExecutorError):
            return
        self._futures = list(futures)
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
            initializer=_start_worker,
            initargs=(os.getpid(),),
            env={f"{name}_NUM_THREADS": str(self.threads) for name in limits},
        )

    def close(self) -> None:
        """Asks the workers to save and end, and ends them; the next run goes on from there."""
        if self._pool is None:
            return
        at_work = [future for future in self._futures if not future.cancel() and not future.done()]
        if at_work:
            for process in list(self._pool._processes.values()):
                with suppress(ProcessLookupError):
                    os.kill(process.pid, ASK_TO_END)
            wait(at_work, SECONDS_TO_SAVE)
        self._pool.shutdown(wait=True, kill_workers=True)
        self._pool = None
        self._futures = []


def _worker_died(item: object) -> str:
    return (
        f"The worker process died each time it did {item}. It was probably killed for want of "
        f"memory: use fewer workers (--workers 1) or a smaller batch (--batch-size)."
    )


class _Requests:
    """Of a worker: whether it was asked to end, and whether it is doing something.

    A worker that died of the request would take its pool along, and with it the other workers
    before they had saved. It lives on, and does nothing more.
    """

    are_there = False
    may_interrupt = False

    _interruptions = Interruptions()

    @classmethod
    def take(cls, number: int, frame: FrameType | None) -> None:
        cls.are_there = True
        if cls.may_interrupt:
            cls._interruptions(number, frame)


def _attempt(do: Callable[[Item], Any], item: Item) -> Outcome[Item]:
    """As `attempt`, in a worker: stops where the worker is asked to end."""
    _Requests.may_interrupt = True
    try:
        if _Requests.are_there:
            raise KeyboardInterrupt
        return attempt(do, item)
    except KeyboardInterrupt:
        return Outcome(item, SamemindError(f"Interrupted while it did {item}."))
    finally:
        _Requests.may_interrupt = False


def _start_worker(parent: int) -> None:
    """Makes this worker end with its parent, and save first where it is asked to end."""
    for number in (signal.SIGTERM, ASK_TO_END):
        signal.signal(number, _Requests.take)
    # Ctrl-C in a terminal reaches the workers too; the parent asks them to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent(parent)


def _end_with_parent(parent: int) -> None:
    """Ends this worker when its parent is gone, so that a killed run leaves nobody at work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
