"""`samemind trajectory`: checkpoints along one training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from samemind.commands.compare import split
from samemind.commands.options import options_of
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
    count: Annotated[
        int | None, typer.Option(min=1, help="So many inputs at random [default: all].")
    ] = None
    measures: Annotated[
        str | None,
        typer.Option(
            help="Names from `list measures`, with commas between [default: debiased_linear_cka "
            "and agreement]."
        ),
    ] = None
    permutations: Annotated[
        int, typer.Option(min=0, help="Shuffles for the floor of each score.")
    ] = 20
    errors: Annotated[
        bool, typer.Option("--errors/--no-errors", help="Standard errors of scores.")
    ] = True
    architecture: Annotated[
        str | None,
        typer.Option(help="Of the files [default: recognised]: see `compare`."),
    ] = None
    classes: Annotated[
        int | None, typer.Option(min=2, help="Of the files [default: read from them].")
    ] = None
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Unpickle files that hold more than weights: runs their code."
        ),
    ] = False
    part: Annotated[str | None, typer.Option(help="Which network, where files hold several.")] = (
        None
    )
    normalise: Annotated[
        str | None, typer.Option(help="As `compare` has it [default: the model's].")
    ] = None
    head: Annotated[
        str | None, typer.Option(help="The layer that makes the logits, of several heads.")
    ] = None
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Pixels that models are given [default: the model's].")
    ] = None
    random_seed: Annotated[int, typer.Option(help="Of --count.")] = 0
    out: Annotated[Path | None, typer.Option(help="Folder for the full report.")] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto"
    batch_size: Annotated[int, typer.Option(min=1, help="Images per forward pass.")] = 64


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
    if given.out is not None:
        from samemind.commands.engines import to_draw_on
        from samemind.reporting import write_report

        with to_draw_on() as drawers:
            page = write_report(found, given.out, executor=drawers)
        if not given.as_json:
            console.print(f"\nThe report is in {page}")
