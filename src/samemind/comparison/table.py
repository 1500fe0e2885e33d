"""The tidy table of scores: its columns, and where a row of it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Protocol

from samemind.lazy import pd

if TYPE_CHECKING:
    from samemind.inversion import Inputs
    from samemind.training import Checkpoint

COLUMNS = {
    "dataset": "str",
    "epsilon": "float64",
    "model_a": "str",
    "model_b": "str",
    "architecture_a": "str",
    "architecture_b": "str",
    "random_seed_a": "int64",
    "random_seed_b": "int64",
    "inputs": "str",
    "inputs_dataset": "str",
    "inverted_by": "str",
    "layer": "str",
    "measure": "str",
    "score": "float64",
    "standard_error": "float64",
    "lower": "float64",
    "upper": "float64",
    "floor": "float64",
    "floor_p95": "float64",
    "n_inputs": "int64",
    "accuracy_a": "float64",
    "accuracy_b": "float64",
    "reason": "str",
}


#: What a reader of a comparison looks for first.
READ_FIRST = (
    *("model_a", "model_b", "measure", "score", "standard_error", "lower", "upper", "floor"),
    *("floor_p95", "calibrated", "p_value", "n_inputs"),
)


def as_read(table: pd.DataFrame) -> pd.DataFrame:
    """The same table with its columns in the order in which one reads, `reason` last."""
    first = [name for name in READ_FIRST if name in table]
    last = [name for name in ("reason",) if name in table]
    return table[[*first, *(n for n in table if n not in (*first, *last)), *last]]


@dataclass(frozen=True)
class At:
    """Where a cell lies along another axis than ε: part of a recipe, so of its identity."""

    axis: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which cell and which inputs rows of scores are of.

    - `models`: architecture and random seed of each model, by its name.
    - `inverted_by`: the model that the inputs were made for, or None for natural ones.
    - `made`: what the inputs of a model are called, "inverted" or "adversarial".
    - `accuracies`: of the models on these very inputs, where their labels apply; else empty.
    - `at`: where the cell lies along another axis than ε, which is a column then.
    """

    dataset: str
    epsilon: float
    models: Mapping[str, tuple[str, int]]
    inputs_dataset: str
    n_inputs: int
    inverted_by: str | None = None
    made: str = "inverted"
    accuracies: Mapping[str, float] = field(default_factory=dict)
    at: At | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """The columns that say on which inputs of which cell a row is."""
        return {
            "dataset": self.dataset,
            "epsilon": self.epsilon,
            **({self.at.axis: self.at.value} if self.at else {}),
            "inputs": "natural" if self.inverted_by is None else self.made,
            "inputs_dataset": self.inputs_dataset,
            "inverted_by": self.inverted_by,
        }

    def pairs(self) -> list[tuple[str, str]]:
        """All pairs on natural inputs; on those of a model, the ones that it is the first of."""
        if self.inverted_by is None:
            return list(combinations(self.models, 2))
        return [(self.inverted_by, other) for other in self.models if other != self.inverted_by]

    @property
    def both_ways(self) -> bool:
        """Whether an asymmetric measure is scored in both directions of a pair.

        On inputs made for a model every ordered pair comes by itself, on those of its first model.
        """
        return self.inverted_by is None

    def placed(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rows about `model_a` and `model_b` with the columns that say where they are from."""
        return [
            {
                "n_inputs": self.n_inputs,
                **self.columns,
                **{
                    f"{what}_{side}": self.models[row[f"model_{side}"]][i]
                    for side in "ab"
                    for i, what in enumerate(("architecture", "random_seed"))
                },
                **{
                    f"accuracy_{side}": self.accuracies[row[f"model_{side}"]]
                    for side in "ab"
                    if row[f"model_{side}"] in self.accuracies
                },
                **row,
            }
            for row in rows
        ]


class Cell(Protocol):
    """What every comparison within one cell says of itself."""

    @property
    def dataset(self) -> str: ...
    @property
    def epsilon(self) -> float: ...
    @property
    def at(self) -> At | None: ...


def cell_label(cell: Cell) -> str:
    """The readable name of a cell: its dataset, and where it lies along the axis of its study."""
    if cell.at is None:
        return f"{cell.dataset}-eps{cell.epsilon:g}"
    return f"{cell.dataset}-{cell.at.axis}{cell.at.value:g}"


def place_of(cell: Cell, inputs: Inputs, checkpoints: Iterable[Checkpoint], n_inputs: int) -> Place:
    """Where scores of these checkpoints of a study on one of its input sets are from."""
    return Place(
        dataset=cell.dataset,
        epsilon=cell.epsilon,
        at=cell.at,
        models={c.model: (c.architecture, c.random_seed) for c in checkpoints},
        inputs_dataset=inputs.source.dataset,
        n_inputs=n_inputs,
        inverted_by=inputs.owner.model if inputs.owner else None,
        made=inputs.form,
    )


def tidy(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table with the columns, types and order of `COLUMNS`, where they have them."""
    if not rows:
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.DataFrame(list(rows))
    columns = [name for name in COLUMNS if name in table]
    others = [name for name in table if name not in COLUMNS]
    kinds = {c: COLUMNS[c] for c in columns if COLUMNS[c] != "str"}
    return table.astype(kinds)[columns + others]
