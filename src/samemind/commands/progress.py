"""Progress of a run on the terminal: one bar per stage, with the time left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from samemind.execution import Outcome
from samemind.store.artifacts import Recipe, Store
from samemind.store.resume import fraction_done
from samemind.study import Stage


def _bar_of(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<11}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left", markup=False),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def report_progress(console: Console) -> Iterator[Callable[[int, int, str], None]]:
    """A bar while a report is written: (done, of how many, what comes next) moves it."""
    with _bar_of(console) as progress:
        task = progress.add_task("report", total=None)
        yield lambda done, total, _: progress.update(task, completed=done, total=total)


class StageProgress:
    """Watches the outcomes of each stage; use as the `watch` of `study.advance`.

    In a terminal a bar moves, also within long items, whose builds say how far they are. Where
    output goes to a file, a plain line is written now and then instead.
    """

    def __init__(self, store: Store, console: Console) -> None:
        self.store = store
        self.console = console

    def __call__(
        self, stage: Stage, items: Sequence[Recipe], outcomes: Iterator[Outcome[Recipe]]
    ) -> Iterator[Outcome[Recipe]]:
        shown = self._bar if self.console.is_terminal else self._lines
        with shown(stage, items) as advance:
            for outcome in outcomes:
                advance(outcome)
                yield outcome

    @contextmanager
    def _bar(self, stage: Stage, items: Sequence[Recipe]):
        progress = _bar_of(self.console)
        done: set[Recipe] = set()
        with progress:
            task = progress.add_task(stage.name, total=len(items))
            ended = threading.Event()

            def follow() -> None:
                while not ended.wait(0.5):
                    parts = [
                        fraction_done(self.store.scratch_path(i)) for i in items if i not in done
                    ]
                    progress.update(task, completed=len(done) + sum(p for p in parts if p))

            watcher = threading.Thread(target=follow, daemon=True)
            watcher.start()

            def advance(outcome: Outcome[Recipe]) -> None:
                done.add(outcome.item)
                progress.update(task, completed=len(done))

            try:
                yield advance
            finally:
                ended.set()
                watcher.join()

    @contextmanager
    def _lines(self, stage: Stage, items: Sequence[Recipe]):
        started = told = time.monotonic()
        done = 0

        def advance(_: Outcome[Recipe]) -> None:
            nonlocal done, told
            done += 1
            now = time.monotonic()
            if done == len(items) or now - told > 10:
                left = (now - started) / done * (len(items) - done)
                self.console.print(
                    f"{stage.name}: {done}/{len(items)}, {now - started:.0f} s, "
                    f"about {left:.0f} s left"
                )
                told = now

        yield advance
