"""`samemind compare`: one's own models, or their activations, pair by pair."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samemind.commands.numbers import numbers_in
from samemind.commands.terminal import console
from samemind.errors import InvalidInput

if TYPE_CHECKING:
    from samemind.own_models import Comparison


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Checkpoint files (with --architecture), timm:NAME, torchvision:NAME or "
            "python:MODULE:FUNCTION; with --activations, files of arrays. NAME=MODEL names one.",
        ),
    ],
    inputs: Annotated[
        str | None,
        typer.Option(
            help="A dataset (cifar10, digits:train), a folder of images (class folders give "
            "labels), or a .npy, .npz or .safetensors tensor (N, channels, H, W) in [0, 1]."
        ),
    ] = None,
    activations: Annotated[
        bool,
        typer.Option(
            "--activations",
            help="MODELs are files of activations, a row per input: .npy, .npz, .safetensors, "
            "HDF5 or .mat; FILE::ARRAY takes one array of a file.",
        ),
    ] = False,
    logits: Annotated[
        bool, typer.Option("--logits", help="Unnamed arrays are logits, not representations.")
    ] = False,
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", help="Unnamed arrays are probabilities: rows add to 1."),
    ] = False,
    labels: Annotated[
        str | None, typer.Option(help="A file of class numbers, one per input.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="So many inputs at random [default: all].")
    ] = None,
    measures: Annotated[
        str | None, typer.Option(help="Names from `list measures`, with commas between.")
    ] = None,
    permutations: Annotated[
        int, typer.Option(min=0, help="Shuffles for the floor of each score.")
    ] = 20,
    errors: Annotated[
        bool, typer.Option("--errors/--no-errors", help="Standard errors of scores.")
    ] = True,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Scores from chance (0) to identity (1), and a p-value."),
    ] = False,
    extrapolate: Annotated[
        bool,
        typer.Option("--extrapolate", help="Scores at N/4 and N/2 inputs: do they still move?"),
    ] = False,
    tolerance: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of inputs that may turn from right to wrong."),
    ] = 0.01,
    architecture: Annotated[
        str | None,
        typer.Option(
            help="Of checkpoint files: from `list architectures`, timm:, torchvision:, python:; "
            "one for all, or one for each with commas between."
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=2, help="Of checkpoint files [default: read from them].")
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Unpickle files that hold more than weights: runs their code."
        ),
    ] = False,
    part: Annotated[
        str | None,
        typer.Option(
            help="Which network, by name or number from 0, where files hold several; for one file "
            "of some, FILE::PART."
        ),
    ] = None,
    normalise: Annotated[
        str | None,
        typer.Option(
            help="imagenet, inception, cifar10, cifar10-pixels, …, a dataset, none; one for all, "
            "or one for each with commas between [default: the model's]."
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            help="Instead of --normalise: numbers per channel, with commas, for pixels in [0, 1] "
            "or 0 … 255."
        ),
    ] = None,
    std: Annotated[str | None, typer.Option(help="As --mean.")] = None,
    head: Annotated[
        str | None, typer.Option(help="The layer that makes the logits, of several heads.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Pixels that models are given [default: the model's].")
    ] = None,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="timm and torchvision models untrained.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch published weights that are not here.")
    ] = False,
    random_seed: Annotated[int, typer.Option(help="Of --count and of random weights.")] = 0,
    invert: Annotated[
        int, typer.Option(min=0, metavar="N", help="Compare on N inverted images of each model.")
    ] = 0,
    invert_steps: Annotated[int, typer.Option(min=1, help="Of gradient descent.")] = 1000,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Retrain heads (needs labels): on half of the inputs, compared on the other half.",
        ),
    ] = False,
    probe_inputs: Annotated[
        str | None,
        typer.Option(
            help="Retrain heads on these instead, named as --inputs are; compared on all of those."
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="'all', or names and relative depths (0.5) with commas between: compare layer "
            "by layer."
        ),
    ] = None,
    pooling: Annotated[
        str, typer.Option(help="Of layers: mean (over space or tokens) or flatten.")
    ] = "mean",
    layer_measure: Annotated[
        str, typer.Option(help="Which measure compares layers.")
    ] = "debiased_linear_cka",
    out: Annotated[Path | None, typer.Option(help="Folder for the full report.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Images per forward pass.")] = 64,
) -> None:
    """Compare your own models on your own inputs, and say whether one can replace another."""
    from samemind.execution.devices import Execution
    from samemind.own_models import Asked, compare_activations, compare_models
    from samemind.reporting.terminal import progress_bars

    asked = Asked(
        measures=split(measures) or None,
        errors=errors,
        permutations=permutations,
        calibrate=calibrate,
        extrapolate=extrapolate,
        layers=_layers(layers),
        layer_measure=layer_measure,
        pooling=pooling,
        invert=invert,
        invert_steps=invert_steps,
        probe=probe,
        probe_inputs=probe_inputs,
        random_seed=random_seed,
    )
    if activations:
        from samemind.inputs.arrays import read_activations

        if inputs or invert or layers or probe_inputs:
            raise InvalidInput(
                "With --activations no model runs, so leave --inputs, --invert, --layers and "
                "--probe-inputs out."
            )
        if logits and probabilities:
            raise InvalidInput("Arrays are logits or probabilities. Leave one of the two out.")
        kind = "probabilities" if probabilities else "logits" if logits else "representation"
        arrays = read_activations(models, kind=kind)
        found = compare_activations(arrays, labels, asked)
    else:
        from samemind.inputs.images import open_images
        from samemind.networks.opening import Loading, open_models

        if inputs is None:
            raise InvalidInput(
                "Models are compared on inputs: --inputs with a dataset, a folder of images or a "
                "tensor. For arrays that you have already, add --activations."
            )
        images = open_images(inputs, labels=labels, count=count, random_seed=random_seed)
        loading = Loading(
            architecture=architecture,
            classes=classes,
            image_size=image_size,
            normalise=normalise,
            mean=numbers_in(mean, "--mean"),
            std=numbers_in(std, "--std"),
            head=head,
            shape=images.shape,
            is_trusted=trust,
            part=part,
            dataset=images.dataset,
            has_random_weights=random_weights,
            allows_download=download,
            random_seed=random_seed,
        )
        loaded = open_models(models, loading)
        execution = Execution(device=device, batch_size=batch_size)
        with progress_bars(is_shown=not as_json) as watch:
            found = compare_models(loaded, images, asked, execution=execution, watch=watch)
    _deliver(found, out, as_json=as_json, tolerance=tolerance)


def split(text: str | None) -> list[str]:
    """What stands between commas."""
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def _layers(text: str | None) -> list[str | float] | str | None:
    """Layers as `Asked` takes them: 'all', or names and relative depths."""
    names = split(text)
    if names == ["all"]:
        return "all"
    return [float(one) if re.fullmatch(r"[01]|[01]?\.\d+", one) else one for one in names] or None


def _deliver(found: Comparison, out: Path | None, *, as_json: bool, tolerance: float) -> None:
    from samemind.reporting.terminal import show, verdict

    if as_json:
        record = found.as_record()
        for held, replacement in zip(record["replacements"], found.replacements, strict=True):
            held["tolerance"] = tolerance
            held["answer"] = replacement.swap.answer(tolerance)
            held["verdict"] = verdict(replacement, tolerance)
        typer.echo(json.dumps(record, indent=1, allow_nan=False))
    else:
        show(found, console, tolerance=tolerance)
    if out is not None:
        from samemind.commands.engines import to_draw_on
        from samemind.reporting import write_report

        with to_draw_on() as drawers:
            page = write_report(found, out, executor=drawers)
        if not as_json:
            console.print(f"\nThe report is in {page}")
