"""`samemind init`: a study file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console(highlight=False)


def init(
    study: Annotated[Path, typer.Argument(metavar="FILE", help="The .toml file to write.")],
    source: Annotated[
        str | None,
        typer.Option("--from", help="A study that ships, or a file, to begin from."),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(help="Checkpoints, as 'ckpts/*.pt': what they are is suggested and checked."),
    ] = None,
) -> None:
    """Write a commented study file, from nothing, another study or a folder of checkpoints."""
    from samemind.initialising import study_text, write_study

    found = []
    if models:
        from samemind.recognising import recognise_all

        found = recognise_all(models)
        for model in found:
            console.print(model.sentence)
    write_study(study, study_text(study.stem, source=source, models=found))
    console.print(f"{study} is written. `samemind plan {study}` says what it takes.")
