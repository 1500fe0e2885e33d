"""`samemind data check`: whether a data set on disk is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samemind.commands.terminal import console
from samemind.errors import DataError

app = typer.Typer(help="Look after the data sets on disk.", no_args_is_help=True)


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="See `list datasets`.")],
    root: Annotated[
        Path | None,
        typer.Option(help="Folder of the data sets [default: SAMEMIND_DATA, else the cache]."),
    ] = None,
) -> None:
    """Verify a data set: files, checksums where they are known, counts, and every image."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    from samemind.datasets.checking import check as steps_of

    faults = 0
    checked: dict[str, int] = {}
    columns = (
        TextColumn("{task.description:<8}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeLeft(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {}
        for step in steps_of(name, root):
            if step.split not in tasks:
                tasks[step.split] = progress.add_task(step.split, total=step.total)
            progress.update(tasks[step.split], completed=step.done)
            checked[step.split] = step.done
            if step.absent:
                checked.pop(step.split)
                progress.console.print(
                    f"Not checked: '{step.split}' is not there. {step.absent}",
                    soft_wrap=True, markup=False,
                )  # fmt: skip
            if step.fault:
                faults += 1
                progress.console.print(step.fault, soft_wrap=True, markup=False)
    if faults:
        raise DataError(f"The data set '{name}' has {faults} fault(s), listed above.")
    counts = ", ".join(f"{split} {count:,}" for split, count in checked.items())
    console.print(f"The data set '{name}' is whole: {counts} images.")
