"""Precomputed activations, pair by pair; no model is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samemind.arrays import Array
from samemind.comparison.arrays import Rows, rows_of, sides_of_rows
from samemind.comparison.labelling import told_of_labels
from samemind.comparison.work import OF_IMAGES, OF_TEXTS, Asked, Work, refuse_options
from samemind.inputs.labels import read_labels
from samemind.measures.choosing import check_kinds
from samemind.reporting.comparison import Comparison
from samemind.sides.side import Side


def compare_activations(
    arrays: Mapping[str, Mapping[str, Array]],
    labels: Array | str | None = None,
    asked: Asked | None = None,
    *,
    name: str = "activations",
) -> Comparison:
    """Every pair of precomputed activations; no model is needed.

    **Arguments:**

    - `arrays`: for each model its `representation (N, D)`, its `logits (N, C)`, or both.

    **Raises:** `InvalidInput` for fewer than two, or measures that cannot be computed, which those
    of mechanisms never can.
    """
    given = {model: rows_of(model, held) for model, held in arrays.items()}
    return compare_rows(given, labels, asked or Asked(), name)


def compare_rows(given: Mapping[str, Rows], labels: Any, asked: Asked, name: str) -> Comparison:
    """Every pair of what was given, joined so that row i of each is one input."""
    if isinstance(labels, (str, Path)):
        labels = read_labels(Path(labels))
    sides, notes = sides_of_rows(given, labels, join=asked.join, drops_missing=asked.drop_missing)
    return _compare_sides(sides, asked, name, notes)


def _compare_sides(
    sides: dict[str, Side], asked: Asked, name: str, notes: Sequence[str] = ()
) -> Comparison:
    refuse_options(
        asked,
        (*OF_IMAGES, *OF_TEXTS, "layers"),
        "'{}' needs networks that look at inputs, but arrays were given.",
    )
    no_model = "it needs inverted images, and arrays make none. Leave it out."
    check_kinds(asked.measures, {"mechanism": no_model})
    work = Work(asked=asked, sides=sides, name=name)
    work.notes += notes
    work.score()
    work.notes += told_of_labels(sides)
    work.add_flips()
    if asked.probe:
        work.add_probes()
    return work.finished()
