"""Every kind of recipe and the function that builds it: one address for any executor.

A build is idempotent: what is in the store is not made again, whoever asks, and what another
process is making is left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from samemind.checkpoints.importing import build_imported
from samemind.comparison.layers import LayerScores, build_layer_scores
from samemind.comparison.mechanisms import (
    MechanismScores,
    build_mechanism_scores,
)
from samemind.comparison.pairs import Scores, build_scores
from samemind.comparison.probes import Probe, ProbeScores, build_probe, build_probe_scores
from samemind.comparison.sets import SetScores, build_set_scores
from samemind.costing import bytes_of
from samemind.errors import SamemindError
from samemind.execution.devices import Execution
from samemind.extraction.activations import (
    Activations,
    LayerActivations,
    build_activations,
    build_layer_activations,
)
from samemind.inversion import (
    Adversarial,
    Inverted,
    Natural,
    Seeds,
    build_adversarial,
    build_inverted,
    build_natural,
    build_seeds,
)
from samemind.store.artifacts import Recipe, Store
from samemind.store.disk import storage_error
from samemind.training import Evaluated, Imported, Trained, build_checkpoint, build_evaluation

BUILDERS: dict[type[Recipe], Callable[[Any, Store, Execution], None]] = {
    Trained: build_checkpoint,
    Imported: build_imported,
    Evaluated: build_evaluation,
    Natural: build_natural,
    Seeds: build_seeds,
    Inverted: build_inverted,
    Adversarial: build_adversarial,
    Activations: build_activations,
    LayerActivations: build_layer_activations,
    LayerScores: build_layer_scores,
    MechanismScores: build_mechanism_scores,
    SetScores: build_set_scores,
    Scores: build_scores,
    Probe: build_probe,
    ProbeScores: build_probe_scores,
}
EXTRACTIONS = (Activations, LayerActivations)


class Ended(StrEnum):
    """How a build ended that met no error."""

    BUILT = "built"
    THERE = "there already"
    IN_WORK = "in the work of another process"


def build(recipe: Recipe, *, root: Path, execution: Execution) -> Ended:
    """Makes the artifact of a recipe, unless it is there or somebody else is making it.

    **Raises:** what the build raises; a disk that is full or read-only is a `StoreError`.
    """
    store = _store_for(recipe, root)
    if store.has(recipe):
        return Ended.THERE
    try:
        lease = store.leases.take(recipe.name)
        if lease is None:
            return Ended.IN_WORK
        with lease:
            if store.has(recipe):
                return Ended.THERE
            store.remove_drafts_of(recipe)
            store.build_began()
            BUILDERS[type(recipe)](recipe, store, execution)
    except OSError as error:
        # Resume states and leases are written outside of `Store.create`.
        if isinstance(error, SamemindError) or not storage_error(root, error).cannot_write:
            raise
        raise storage_error(root, error) from error
    return Ended.BUILT


_STORES: dict[Path, Store] = {}


def _store_for(recipe: Recipe, root: Path) -> Store:
    """A store that still holds in memory what the former build of this process read, if needed.

    One input set is read by the activations of many models, and a model by those of many sets.
    """
    if not isinstance(recipe, EXTRACTIONS):
        _STORES.clear()
        return Store(root)
    store = _STORES.setdefault(root, Store(root))
    store.keep_in_memory([recipe.inputs, recipe.checkpoint])
    return store


def shares(recipe: Recipe) -> Recipe:
    """What is worth loading once for several builds: those that share it like one place.

    Of activations, the input set or the checkpoint, whichever has more bytes.
    """
    if not isinstance(recipe, EXTRACTIONS):
        return recipe
    return max(recipe.inputs, recipe.checkpoint, key=bytes_of)


def upstream(recipe: Recipe) -> Iterator[Recipe]:
    """The recipes that a build of this one opens."""
    for item in fields(recipe):
        held = getattr(recipe, item.name)
        for value in held if isinstance(held, tuple) else (held,):
            if isinstance(value, Recipe):
                yield value
                # Whoever opens activations opens their input set too, for the labels.
                if isinstance(value, EXTRACTIONS):
                    yield value.inputs
