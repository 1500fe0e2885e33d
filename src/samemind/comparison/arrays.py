"""Arrays, tables and sides of several models, joined so that row i of each is one input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from samemind.errors import InvalidInput
from samemind.inputs.joining import joined_by_id, without_missing
from samemind.lazy import torch
from samemind.sides.given_distances import GivenDistances, are_distances, checked
from samemind.sides.held import as_tensor, index_of, only_counts, refuse_recounted
from samemind.sides.predictions import KINDS as PREDICTIONS
from samemind.sides.predictions import checked_labels
from samemind.sides.side import Side

if TYPE_CHECKING:
    from torch import Tensor

WHAT = ("representation", *PREDICTIONS)


@dataclass(frozen=True, eq=False)
class Rows:
    """What is known of one model, before it is known to be of the same inputs as others.

    - `held`: arrays by what they are, in `WHAT`, or distances `(N, N)`; or a side as it was given.
    - `ids`: `(N,)`, or None.
    - `only_counts`: whether it came with an index that says no more than the number of each row.
    """

    held: Mapping[str, Tensor] | Side
    ids: Any = None
    only_counts: bool = False

    @property
    def n_inputs(self) -> int:
        if isinstance(self.held, Side):
            return self.held.n_inputs
        return len(next(iter(self.held.values())))

    @property
    def missing(self) -> np.ndarray:
        """Whether a row has a value that is missing, `(N,)`."""
        found = np.zeros(self.n_inputs, dtype=bool)
        for values in () if isinstance(self.held, Side) else self.held.values():
            if values.is_floating_point():
                found |= values.isnan().reshape(len(values), -1).any(1).cpu().numpy()
        return found

    def taken(self, rows: np.ndarray | None, labels: Tensor | None) -> Side:
        """The side of these rows, in their order."""
        held = self.held
        places = None if rows is None else torch.from_numpy(rows)
        if isinstance(held, Side):
            side = held if places is None else held.restricted(places.to(held.device))
            return side if labels is None else side.labelled(labels)
        if places is not None:
            held = {what: values[places.to(values.device)] for what, values in held.items()}
        if "distances" in held:
            matrix = held["distances"]
            matrix = matrix if places is None else matrix[:, places]  # its rows are taken above
            return GivenDistances(matrix, labels=labels)
        kind = next((k for k in PREDICTIONS if k in held), None)
        return Side(
            representation=held.get("representation"),
            logits=None if kind is None else held[kind],
            labels=labels,
            kind=None if kind == "logits" else kind,
        )


@contextmanager
def of_model(name: str) -> Iterator[None]:
    """What is wrong with the arrays of a model is told with its name."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}") from None


def rows_of(name: str, given: Any, kind: str = "representation") -> Rows:
    """What was given of one model: a side, an array of a kind, or arrays by what they are.

    **Raises:** `InvalidInput` for what holds no numbers, or no row per input.
    """
    with of_model(name):
        if isinstance(given, Rows):
            return given
        if isinstance(given, Side):
            return Rows(given, given.ids, given.only_counts)
        if isinstance(given, Mapping):
            held = {what: _matrix(given[what], what) for what in WHAT if what in given}
            if "distances" in given:
                held = {"distances": checked(as_tensor(given["distances"], "distances"))}
            return Rows(held, given.get("ids"))
        if kind not in WHAT:
            raise InvalidInput(f"No kind of array is called '{kind}'. Known: {', '.join(WHAT)}.")
        return Rows({kind: _matrix(given, kind)}, index_of(given), only_counts(given))


def _matrix(given: Any, what: str) -> Tensor:
    if isinstance(given, np.ma.MaskedArray) and given.dtype.kind == "f":
        given = given.filled(np.nan)
    values = as_tensor(given, "representation" if what == "representation" else "logits")
    if what != "representation":
        return values
    if values.ndim < 2:
        raise InvalidInput(
            f"The representation has the shape {tuple(values.shape)}, but a model gives a row per "
            f"input, (N, D). Of class numbers say kind='decisions'; of one unit give (N, 1)."
        )
    if not values.numel():
        raise InvalidInput(
            f"The representation has the shape {tuple(values.shape)}, so there is nothing to "
            f"compare. Give at least one input and one value per input."
        )
    # A row per input, whatever the shape of what one input gave.
    return values.reshape(len(values), -1)


def sides_of_rows(
    given: Mapping[str, Rows],
    labels: Any = None,
    *,
    join: str = "exact",
    drops_missing: bool = False,
) -> tuple[dict[str, Side], list[str]]:
    """The sides of all models with row i of each one input, and what a reader must know of it.

    **Arguments:**

    - `labels`: `(N,)`, joined by an index of their own; else in the order of the first model that
      has ids.
    - `join`, `drops_missing`: see `samemind.inputs.joining`.

    **Raises:** `InvalidInput` for rows that cannot be matched, missing values, or labels that do
    not fit.
    """
    rows = dict(given)
    if not rows:
        return {}, []
    ids = {name: one.ids for name, one in rows.items()}
    counts = {name: one.n_inputs for name, one in rows.items()}
    numbers, called = None, "labels" if "labels" not in rows else "the labels given"
    counting = [name for name, one in rows.items() if one.only_counts]
    if labels is not None:
        numbers, of_labels = checked_labels(labels, None), index_of(labels)
        counting += [called] if only_counts(labels) else []
        if of_labels is None:
            _check_labels(len(numbers), counts, ids)
        ids[called], counts[called] = of_labels, len(numbers)
    refuse_recounted(counting, ids)
    joined = joined_by_id(ids, counts, join)
    notes = [note for note in joined.notes if not note.startswith(f"{called} came")]
    some = {name: _of_rows(one.missing, joined.rows[name]) for name, one in rows.items()}
    kept, told = without_missing(some, drops_missing)
    notes += [told] if told else []

    def final(name: str) -> np.ndarray | None:
        chosen = joined.rows[name]
        if len(kept) == len(next(iter(some.values()))):
            return chosen
        return kept if chosen is None else chosen[kept]

    notes += [
        f"{name} is a square symmetric matrix with a zero diagonal, and was taken for a "
        f"representation: rdm:FILE takes it for distances between inputs."
        for name, one in rows.items()
        if isinstance(one.held, Mapping)
        and "representation" in one.held
        and are_distances(one.held["representation"])
    ]
    classes = None
    if numbers is not None:
        at = final(called)
        classes = numbers if at is None else numbers[torch.from_numpy(at)]
    sides = {}
    for name, one in rows.items():
        with of_model(name):
            sides[name] = one.taken(final(name), classes)
    return sides, notes


def _check_labels(n_labels: int, counts: Mapping[str, int], ids: Mapping[str, Any]) -> None:
    first = next((name for name, held in ids.items() if held is not None), next(iter(counts)))
    if n_labels != counts[first]:
        raise InvalidInput(f"{n_labels} labels were given for {counts[first]} inputs.")


def _of_rows(values: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    return values if rows is None else values[rows]
