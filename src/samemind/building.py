"""Every kind of recipe and the function that builds it: one address for any executor.

A build is idempotent: what is in the store is not made again, whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from samemind.artifacts import Recipe, Store
from samemind.comparison import Scores, build_scores
from samemind.devices import Execution
from samemind.extraction import Activations, build_activations
from samemind.inversion import (
    Inverted,
    Natural,
    Seeds,
    build_inverted,
    build_natural,
    build_seeds,
)
from samemind.probing import Probe, ProbeScores, build_probe, build_probe_scores
from samemind.training import Evaluated, Trained, build_checkpoint, build_evaluation

BUILDERS: dict[type[Recipe], Callable[[Any, Store, Execution], None]] = {
    Trained: build_checkpoint,
    Evaluated: build_evaluation,
    Natural: build_natural,
    Seeds: build_seeds,
    Inverted: build_inverted,
    Activations: build_activations,
    Scores: build_scores,
    Probe: build_probe,
    ProbeScores: build_probe_scores,
}


def build(recipe: Recipe, *, root: Path, execution: Execution) -> None:
    """Makes the artifact of a recipe, unless it is there."""
    store = Store(root)
    if not store.has(recipe):
        BUILDERS[type(recipe)](recipe, store, execution)


def upstream(recipe: Recipe) -> Iterator[Recipe]:
    """The recipes that a build of this one opens."""
    for item in fields(recipe):
        held = getattr(recipe, item.name)
        for value in held if isinstance(held, tuple) else (held,):
            if isinstance(value, Recipe):
                yield value
                # Whoever opens activations opens their input set too, for the labels.
                if isinstance(value, Activations):
                    yield value.inputs
