"""`samemind figure`: one figure of a study, or of several, without the rest of a report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samemind.commands import completing
from samemind.commands.options import DEFAULT_STORE, StorePath
from samemind.commands.terminal import console
from samemind.errors import InvalidInput
from samemind.registry import listing

if TYPE_CHECKING:
    from samemind.figures.base import Results


class Format(StrEnum):
    """What a figure is written as."""

    PDF = "pdf"
    SVG = "svg"
    PNG = "png"


Width = Annotated[
    str | None,
    typer.Option(
        metavar="one|two|MM",
        help="One or two columns of a two-column paper, or millimetres. "
        "[default: what the figure needs]",
    ),
]
Formats = Annotated[
    list[Format] | None,
    typer.Option("--format", help="Again for another. [default: pdf and png]"),
]


def figure(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FIGURE",
            help="A name from `list figures`.",
            autocompletion=completing.figures,
        ),
    ],
    studies: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY...",
            help="Studies that ship, or .toml files; several are drawn together.",
            autocompletion=completing.studies,
        ),
    ],
    store: StorePath = DEFAULT_STORE,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this measure; again for another. A figure that shows one measure is "
            "otherwise drawn for each of the study's, a file each."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The file, without ending [default: runs/STUDY/FIGURE]."),
    ] = None,
    width: Width = None,
    formats: Formats = None,
) -> None:
    """Draw one figure of a study, or of several together, from what is finished.

    Letters have the same sizes (8, 7 and 6 points) at every width, so that a figure goes into a
    paper as it is.
    """
    from samemind.figures.base import FIGURES
    from samemind.figures.widths import width_of
    from samemind.reporting.report import save, single_variants
    from samemind.reporting.together import together
    from samemind.store.artifacts import Store
    from samemind.study import read_study
    from samemind.study.collecting import collect

    member = FIGURES[name]
    wide = width_of(width) if width is not None else None
    endings = [one.value for one in dict.fromkeys(formats or (Format.PDF, Format.PNG))]
    read = [read_study(study) for study in studies]
    results = together([collect(study, Store(store)) for study in read])
    if measure:
        results = of_measures(results, measure)
    readings = member.readings(results)
    path = out or Path("runs") / "+".join(study.name for study in read) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = single_variants(member, results)
    for ending, chosen in drawn:
        # One drawing has the name that was asked for; several need one each.
        file = path if len(drawn) == 1 and (out or measure) else path.with_name(path.name + ending)
        written = save(member, chosen, file, formats=endings, width=wide)
        told = listing([str(one) for one in written])
        console.print(f"The figure is in {told}", soft_wrap=True)
    if readings:
        console.print(readings, soft_wrap=True)


def of_measures(results: Results, names: list[str]) -> Results:
    """The same results with the measures of these names only.

    **Raises:** `InvalidInput` where the results have no score of one of them.
    """
    there = [str(name) for name in results.defined["measure"].unique()]
    absent = [name for name in names if name not in there]
    if absent:
        raise InvalidInput(
            f"'{results.name}' has no score of {', '.join(absent)}. It has {', '.join(there)}. "
            f"Name one of these, or add it to [comparison] measures and run the study again."
        )
    return results.only(measure=names)
