"""`samemind init`: a study file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samemind.commands.options import Trust
from samemind.commands.terminal import console
from samemind.errors import InvalidInput


def init(
    study: Annotated[Path, typer.Argument(metavar="FILE", help="The .toml file to write.")],
    source: Annotated[
        str | None,
        typer.Option("--from", help="A study that ships, or a file, to begin from."),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            help="Checkpoints, as 'ckpts/*.pt', or FILE::PART of one: what they are is suggested "
            "and checked."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="That the checkpoints were trained on, if they do not say.")
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            help="Of checkpoints whose keys are of none that is known: timm:NAME, "
            "torchvision:NAME, python:MODULE:FUNCTION; of several with commas, the first that fits."
        ),
    ] = None,
    trust: Trust = False,
    part: Annotated[
        str | None,
        typer.Option(help="Which network, by name or number from 0, where files hold several."),
    ] = None,
    axis: Annotated[
        str | None,
        typer.Option(
            help="Compare the checkpoints along this instead of ε: a word such as step or width, "
            "which the number follows in the path of each."
        ),
    ] = None,
) -> None:
    """Write a commented study file, from nothing, another study or a folder of checkpoints."""
    from samemind.study.template import study_text, suggested, write_study

    found, refused = [], []
    if axis and not models:
        raise InvalidInput("--axis is read from the paths of --models. Name them as well.")
    if models:
        from samemind.checkpoints.recognising import recognise_all

        recognised = recognise_all(models, is_trusted=trust, part=part)
        for model in recognised:
            # Where --architecture says what it is, that its keys do not is no news.
            if model.architecture or not architecture:
                console.print(model.sentence, markup=False, soft_wrap=True)
        found, refused = suggested(
            recognised,
            folder=study.parent,
            dataset=dataset,
            architecture=architecture,
            axis=axis,
        )
        for model in found:
            for guess in model.guesses:
                console.print(f"To check: {model.file}: {guess}.", markup=False, soft_wrap=True)
    write_study(study, study_text(study.stem, source=source, models=found, axis=axis))
    for why in refused:
        console.print(f"Left out: {why}", markup=False, soft_wrap=True)
    # A command that is broken over two lines cannot be copied.
    console.print(
        f"{study} is written. `samemind plan {study}` says what it takes.",
        markup=False,
        soft_wrap=True,
    )
