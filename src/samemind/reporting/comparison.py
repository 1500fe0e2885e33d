"""What `samemind.compare` found, and where it goes: a terminal, a notebook, a report, a paper."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.errors import InvalidInput, UnknownName
from samemind.lazy import pd
from samemind.measures.aliases import canonical
from samemind.registry import did_you_mean
from samemind.results import PARTS, Results

if TYPE_CHECKING:
    import matplotlib.figure

    from samemind.comparison.fidelity import Fidelity
    from samemind.comparison.flips import Replacement

_JSON_PARTS = tuple(part for part in PARTS if part.name != "contributions")


#: What is told of scores in text, in its order.
TOLD = (
    *("model_a", "model_b", "inputs", "inverted_by", "measure", "score", "standard_error"),
    *("lower", "upper", "floor", "floor_p95", "calibrated", "p_value", "reason"),
)


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(k): None if v is None or v != v else v for k, v in row.items()}
        for row in table.to_dict("records")
    ]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Results):
    """Everything that a comparison of one's own models found.

    - `measures`: those that were computed. `n_inputs`: how many the models looked at.
    - `replacements`: of the first model by each other one, where there are labels.
    - `fidelities`: whether it and each other one are still the same network, where they are seen
      on the same inputs with outputs of the same shape.
    - `tolerance`: the share of inputs that may turn from right to wrong, for the page.
    - `class_names`: of the models, which labels are counted in; `input_classes`: of the inputs.
    """

    measures: Sequence[str] = ()
    n_inputs: int = 0
    replacements: Sequence[Replacement] = ()
    fidelities: Sequence[Fidelity] = ()
    class_names: Sequence[str] = ()
    input_classes: Sequence[str] = ()
    tolerance: float = 0.01
    probe_accuracies: Mapping[str, float] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        """What it has not itself its table of scores may have, as `.empty` or `.set_index`."""
        if name.startswith("_") or "scores" not in vars(self):
            raise AttributeError(f"'{type(self).__name__}' has no attribute '{name}'")
        return getattr(self.scores, name)

    def __getitem__(self, columns: Any) -> Any:
        """Columns of the table of scores."""
        return self.scores[columns]

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        from samemind.printing import Terminal
        from samemind.reporting.terminal import show

        held = io.StringIO()
        show(self, Terminal(file=held, width=100), tolerance=0.01)
        return held.getvalue()

    def _repr_html_(self) -> str:
        from samemind.reporting.terminal import as_html

        return as_html(self)

    def report(self, folder: str | Path) -> Path:
        """Writes the page, figures and tables into a folder, and names the page.

        **Raises:** `InvalidInput` for a folder that holds something else; `StoreError` where it
        cannot be written.
        """
        from samemind.reporting import write_report

        return write_report(self, Path(folder))

    def figure(self, name: str) -> matplotlib.figure.Figure:
        """The figure of this name, from `samemind list figures`.

        **Raises:** `UnknownName`; `InvalidInput` where the results lack what it needs.
        """
        from samemind.figures.base import FIGURES

        return FIGURES[name](self)

    def heat_map(self, measure: str | None = None) -> matplotlib.figure.Figure:
        """Every model with every other one, by one measure: the first unless named."""
        return self._drawn("heat_maps", measure or str(self.scores["measure"].iloc[0]))

    def model_map(self, measure: str | None = None) -> matplotlib.figure.Figure:
        """Models as points, alike ones near each other, by one measure: the first unless named."""
        return self._drawn("model_map", measure or str(self.scores["measure"].iloc[0]))

    def boxes(self) -> matplotlib.figure.Figure:
        """The scores of all pairs, a box for each measure."""
        return self._drawn("similarity_by_epsilon")

    def layer_map(self) -> matplotlib.figure.Figure:
        """Every layer with every other one; asked for by `layers=` of `samemind.compare`."""
        return self._drawn("layer_map")

    def _drawn(self, name: str, measure: str | None = None) -> matplotlib.figure.Figure:
        if measure is None:
            return self.figure(name)
        from samemind.figures.base import FIGURES

        chosen, _ = canonical(measure)
        there = [str(one) for one in self.scores["measure"].unique()]
        if chosen not in there:
            raise InvalidInput(
                f"The comparison has no score of {chosen}. It has {', '.join(there)}."
            )
        return FIGURES[name](self.only(measure=chosen))

    def latex(self, name: str = "scores-summary") -> str:
        """A table of the report in LaTeX (booktabs); "pairs" has every score with its error.

        **Raises:** `UnknownName`, with the tables that there are.
        """
        from samemind.reporting.pairs_table import NAME, latex_of
        from samemind.reporting.table import latex
        from samemind.reporting.tables import tables_of

        if name == NAME:
            return latex_of(self)
        tables = {table.name: table for table in tables_of(self)}
        if name not in tables:
            there = [NAME, *tables]
            raise UnknownName(
                f"No table is called '{name}'. {did_you_mean(name, there)}"
                f"There are: {', '.join(there)}."
            )
        return latex(tables[name])

    def as_text(self, form: str) -> str:
        """The scores as "markdown", "csv" or "latex", with a column for what each has to say.

        **Raises:** `InvalidInput` for another form.
        """
        shown = self.scores.dropna(axis=1, how="all")
        shown = shown[[c for c in TOLD if c in shown]]
        if form == "csv":
            return shown.to_csv(index=False)
        if form not in ("markdown", "latex"):
            raise InvalidInput(f"No form is called '{form}'. Known: markdown, csv, latex.")
        from samemind.reporting.table import Table, latex

        digits = {str(c): ".4f" for c in shown if shown[c].dtype == float}
        caption = f"{len(self.models)} models on {self.n_inputs:,} inputs."
        table = Table("scores", "Scores", caption, shown, digits)
        if form == "latex":
            return latex(table)
        cells = [[str(c) for c in shown], *table.texts()]
        lines = ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in cells]
        lines.insert(1, "|" + "|".join("---:" if c in digits else "---" for c in shown) + "|")
        return "\n".join(lines) + "\n"

    def as_record(self) -> dict[str, Any]:
        """Everything as plain data; what is undefined is None."""
        models = [
            {
                "name": m["model"],
                "reference": m["reference"],
                "architecture": m["architecture"],
                "parameters": m["parameters"] or None,
                "representation_size": m["representation_size"] or None,
                "classes": m["classes"],
                "accuracy": m["clean_accuracy"],
            }
            for m in _plain(self.models)
        ]
        dataset = str(self.models["dataset"].iloc[0])
        optional = {part.name: None for part in _JSON_PARTS} | {
            part.name: _plain(table) for part, table in self.parts() if part in _JSON_PARTS
        }
        return {
            "schema": 1,
            "inputs": {
                "name": dataset,
                "count": self.n_inputs,
                "classes": list(self.input_classes),
            },
            "models": models,
            "scores": _plain(self.scores),
            "replacements": [{"a": r.a, "b": r.b} | r.swap.as_record() for r in self.replacements],
            "notes": list(self.notes),
            **optional,
        }

    def to_json(self) -> str:
        """`as_record` as JSON text."""
        return json.dumps(self.as_record(), indent=1, allow_nan=False, default=str)
