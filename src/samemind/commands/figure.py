"""`samemind figure`: one figure of a study, without the rest of its report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from samemind.commands import completing

console = Console(highlight=False)


def figure(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FIGURE",
            help="A name from `list figures`.",
            autocompletion=completing.figures,
        ),
    ],
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="A study that ships, or a .toml file.",
            autocompletion=completing.studies,
        ),
    ],
    store: Annotated[
        Path,
        typer.Option("--store", envvar="SAMEMIND_STORE", help="Folder of the finished artifacts."),
    ] = Path("runs/store"),
    out: Annotated[
        Path | None,
        typer.Option(help="The file, without ending [default: runs/STUDY/FIGURE]."),
    ] = None,
) -> None:
    """Draw one figure of a study, as PDF and PNG, from what is finished."""
    from samemind.figures.base import FIGURES
    from samemind.reporting.report import save
    from samemind.store.artifacts import Store
    from samemind.study import read_study
    from samemind.study.collecting import collect

    member = FIGURES[name]
    read = read_study(study)
    path = out or Path("runs") / read.name / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save(member, collect(read, Store(store)), path)
    console.print(f"The figure is in {path}.pdf and {path}.png")
