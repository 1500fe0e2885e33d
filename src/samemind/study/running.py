"""Running a study: what is missing is built, stage by stage, by this process and any others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from samemind.building import Ended, build, shares, upstream
from samemind.checkpoints.importing import bring_in
from samemind.comparison.layers import check_layers
from samemind.costing import longest_first
from samemind.errors import DamagedArtifact, StoreError
from samemind.execution import Executor, Outcome
from samemind.execution.devices import Execution
from samemind.files.reading import is_file
from samemind.store.artifacts import Recipe, Store
from samemind.study import Stage, Study

MOST_REPAIRS = 5  # of one artifact, in one run

Watch = Callable[[Stage, Sequence[Recipe], Iterator[Outcome[Recipe]]], Iterator[Outcome[Recipe]]]


@dataclass(frozen=True)
class Advance:
    """What a run did: how many artifacts it built, and what went wrong."""

    built: int
    failed: tuple[Outcome[Recipe], ...]
    blocked: int  # could not be tried, because something they need failed
    damaged: tuple[str, ...] = ()  # what was found damaged, set aside and built again


def advance(
    study: Study,
    store: Store,
    executor: Executor,
    execution: Execution,
    *,
    watch: Watch | None = None,
) -> Advance:
    """Builds what is missing and can be built, stage by stage, like `make`.

    An artifact that turns out damaged is set aside where it is opened, and built again. What
    another process builds in the same store is waited for, not built twice.

    **Arguments:**

    - `watch`: sees the outcomes of each stage on their way, to show progress.
    """
    built = 0
    damaged: dict[str, list[str]] = {}
    if any(not store.has(r) for stage in study.stages for r in stage.recipes):
        store.check_writable()
    if any(not store.has(a) for scores in study.layer_scores for a in scores.activations):
        # A wrong name is better told now than after days of training.
        check_layers(
            {
                a.checkpoint.architecture: a.layers
                for s in study.layer_scores
                for a in s.activations
            },
            is_shared=not isinstance(study.comparison.layers, dict),
        )
    store.sweep()
    for recipe, file in study.files.items():
        if not store.has(recipe) and is_file(file):
            bring_in(recipe, file, store)
    while True:
        failed: list[Outcome[Recipe]] = []
        blocked = 0
        for stage in study.stages:
            missing = [r for r in stage.recipes if not store.has(r)]
            ready = longest_first(r for r in missing if all(store.has(u) for u in upstream(r)))
            blocked += len(missing) - len(ready)
            if not ready:
                continue
            outcomes = _each_once(ready, store, executor, execution)
            for outcome in watch(stage, ready, outcomes) if watch else outcomes:
                built += outcome.result is Ended.BUILT
                failed += [outcome] if outcome.error else []
            if any(isinstance(o.error, StoreError) and o.error.cannot_write for o in failed):
                return Advance(built, tuple(failed), blocked, _told(damaged))
        found = {
            o.error.artifact: o.error.found
            for o in failed
            if isinstance(o.error, DamagedArtifact) and o.error.is_set_aside
        }
        for name, message in found.items():
            damaged.setdefault(name, []).append(message)
        # What is damaged again and again is the disk's doing, and no more building helps.
        if not found or max(len(damaged[name]) for name in found) >= MOST_REPAIRS:
            return Advance(built, tuple(failed), blocked, _told(damaged))


def _each_once(
    ready: Sequence[Recipe], store: Store, executor: Executor, execution: Execution
) -> Iterator[Outcome[Recipe]]:
    """The outcomes of the builds; those that other processes have in work come last."""
    # Absolute: workers elsewhere stand in other folders.
    do = partial(build, root=store.root.absolute(), execution=execution)
    waiting: list[Recipe] = []
    while ready:
        for outcome in executor.map(do, ready, together=shares):
            if outcome.result is Ended.IN_WORK:
                waiting.append(outcome.item)
                continue
            if outcome.error and not outcome.trace and store.has(outcome.item):
                # An engine may lose track of what is done; the store says what is.
                outcome = Outcome(outcome.item, result=Ended.THERE)
            yield outcome
            if isinstance(outcome.error, StoreError) and outcome.error.cannot_write:
                return
        ready = _free_ones(waiting, store) if waiting else ()
        waiting = [r for r in waiting if r not in set(ready)]


def _free_ones(waiting: Sequence[Recipe], store: Store) -> list[Recipe]:
    """Returns when others have finished or given up some recipes: those."""
    pause = 0.05
    while True:
        free = [r for r in waiting if store.has(r) or store.leases.is_free(r.name)]
        if free:
            return free
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


def _told(damaged: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(message for messages in damaged.values() for message in messages)
