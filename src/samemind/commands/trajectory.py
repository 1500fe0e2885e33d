"""`samemind trajectory`: checkpoints along one training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from samemind.commands.options import (
    AsJson,
    BatchSize,
    Count,
    Device,
    Errors,
    Head,
    Permutations,
    ReportPath,
    Trust,
    options_of,
    split,
)
from samemind.commands.reports import write_to
from samemind.commands.terminal import console


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `samemind trajectory` takes."""

    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Files of one training, or a pattern in quotes ('run/step*.safetensors'); the "
            "step is the number in which they differ, or STEP=FILE. With --activations, arrays.",
        ),
    ]
    inputs: Annotated[
        str | None,
        typer.Option(help="A dataset, a folder of images or a tensor, as `compare` has it."),
    ] = None
    activations: Annotated[
        bool, typer.Option("--activations", help="CHECKPOINTs are files of activations.")
    ] = False
    labels: Annotated[str | None, typer.Option(help="A file of class numbers, one per input.")] = (
        None
    )
    count: Count = None
    measures: Annotated[
        str | None,
        typer.Option(
            help="Names from `list measures`, with commas between [default: debiased_linear_cka "
            "and agreement]."
        ),
    ] = None
    permutations: Permutations = 20
    errors: Errors = True
    architecture: Annotated[
        str | None,
        typer.Option(help="Of the files [default: recognised]: see `compare`."),
    ] = None
    classes: Annotated[
        int | None, typer.Option(min=2, help="Of the files [default: read from them].")
    ] = None
    trust: Trust = False
    part: Annotated[str | None, typer.Option(help="Which network, where files hold several.")] = (
        None
    )
    normalise: Annotated[
        str | None, typer.Option(help="As `compare` has it [default: the model's].")
    ] = None
    head: Head = None
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Pixels that models are given [default: the model's].")
    ] = None
    random_seed: Annotated[int, typer.Option(help="Of --count.")] = 0
    out: ReportPath = None
    as_json: AsJson = False
    device: Device = "auto"
    batch_size: BatchSize = 64


_LOADING = ("architecture", "classes", "trust", "part", "normalise", "head", "image_size")


@options_of(Options)
def trajectory(given: Options) -> None:
    """Follow one network through its training, and find checkpoints that are not what they seem."""
    from samemind.errors import InvalidInput
    from samemind.trajectories import trajectory as follow

    if given.activations == (given.inputs is not None):
        raise InvalidInput(
            "Checkpoints are compared on inputs: --inputs with a dataset, a folder of images or a "
            "tensor; arrays that you have already need none: --activations."
        )
    found = follow(
        given.checkpoints,
        given.inputs,
        measures=split(given.measures) or None,
        labels=given.labels,
        count=given.count,
        errors=given.errors,
        permutations=given.permutations,
        batch_size=given.batch_size,
        device=given.device,
        progress=False if given.as_json else None,
        random_seed=given.random_seed,
        **{name: getattr(given, name) for name in _LOADING},
    )
    if given.as_json:
        typer.echo(found.to_json())
    else:
        from samemind.reporting.along import show_along

        show_along(found, console)
    write_to(given.out, found, is_told=not given.as_json)
