"""`samemind arms`: several studies by accuracy, each beside the first at equal accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samemind.commands import completing
from samemind.commands.options import DEFAULT_STORE, StorePath
from samemind.commands.terminal import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samemind.results import Results


def arms(
    studies: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY...",
            help="Studies that ship, or .toml files: the first is what the others are beside.",
            autocompletion=completing.studies,
        ),
    ],
    store: StorePath = DEFAULT_STORE,
    measure: Annotated[
        list[str] | None, typer.Option(help="Only this measure; again for another.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for arms.csv, arms.pdf and arms.png [default: none]."),
    ] = None,
) -> None:
    """Compare studies along different axes where their models are equally accurate.

    Each level of the second study and the others stands beside the first study at the accuracy of
    that level, between the levels of the first; intervals go by models, left out of both.
    """
    from samemind.store.artifacts import Store
    from samemind.study import read_study
    from samemind.study.collecting import collect

    results = [collect(read_study(study), Store(store)) for study in studies]
    tell(results, measure or (), out)


def tell(results: Sequence[Results], measures: Sequence[str], out: Path | None) -> None:
    """Prints the table of the arms, and writes it with its figure into a folder."""
    from samemind.commands.rows import print_rows
    from samemind.figures.style import house_style
    from samemind.reporting.arms import arms_table, draw_arms
    from samemind.reporting.table import not_a_formula, text_of

    table = arms_table(results, measures)
    shown = {
        "arm": "", "place": "", "inputs": "", "measure": "", "accuracy": ".3f", "score": ".3f",
        "reference_score": ".3f", "difference": ".3f", "lower": ".3f", "upper": ".3f",
        "p_holm": "p",
    }  # fmt: skip
    rows = [
        {column: text_of(row[column], form) for column, form in shown.items()}
        for row in table.to_dict("records")
    ]
    print_rows(rows, tuple(shown))
    for place, reason in dict.fromkeys(
        (f"{row['arm']}, {row['place']}", row["reason"])
        for row in table.to_dict("records")
        if isinstance(row["reason"], str)
    ):
        console.print(f"{place}: {reason}.", markup=False, soft_wrap=True)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        table.map(not_a_formula).to_csv(out / "arms.csv", index=False)
        drawing = draw_arms(results, measures)
        with house_style():
            drawing.savefig(out / "arms.png")
            drawing.savefig(out / "arms.pdf", metadata={"CreationDate": None})
        console.print(f"Table and figure are in {out}", markup=False, soft_wrap=True)
