"""`samemind compare`: one's own models, or their activations, pair by pair."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samemind.commands.gate import could_not_run, exit_of_swaps
from samemind.commands.numbers import numbers_of_each
from samemind.commands.options import options_of
from samemind.commands.terminal import console
from samemind.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from samemind.comparison.work import Asked
    from samemind.reporting.comparison import Comparison


class Format(StrEnum):
    """What scores are printed as."""

    MARKDOWN = "markdown"
    CSV = "csv"
    LATEX = "latex"
    JSON = "json"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `samemind compare` takes."""

    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Checkpoint files (with --architecture), timm:NAME, torchvision:NAME, "
            "hf:NAME, onnx:FILE or python:MODULE:FUNCTION; language models as hf:NAME or "
            "gguf:FILE; files of arrays, rdm:FILE and "
            "labels:FILE. NAME=MODEL names one.",
        ),
    ]
    inputs: Annotated[
        str | None,
        typer.Option(
            help="A dataset (cifar10, digits:train), a folder of images (class folders give "
            "labels), or a .npy, .npz or .safetensors tensor (N, channels, H, W) in [0, 1]; for "
            "language models texts: .txt (one a line), .jsonl, .csv, .tsv or .parquet."
        ),
    ] = None
    activations: Annotated[
        bool,
        typer.Option(
            "--activations",
            help="MODELs are files of activations, a row per input: .npy, .npz, .pt, .safetensors, "
            "HDF5, .mat, .csv, .parquet or a folder of these; FILE::ARRAY takes one array. Not "
            "needed where no inputs are given and the files can be nothing else.",
        ),
    ] = False
    logits: Annotated[
        bool, typer.Option("--logits", help="Unnamed arrays are logits, not representations.")
    ] = False
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", help="Unnamed arrays are probabilities: rows add to 1."),
    ] = False
    labels: Annotated[
        str | None,
        typer.Option(
            help="A file of class numbers, one per input in their order, or of lines FILE,LABEL."
        ),
    ] = None
    join: Annotated[
        str,
        typer.Option(
            help="Rows with ids: exact wants the same ids on all sides, inner compares those that "
            "all have."
        ),
    ] = "exact"
    drop_missing: Annotated[
        bool,
        typer.Option(
            "--drop-missing", help="Leave inputs with missing values (NaN) out, on all sides."
        ),
    ] = False
    count: Annotated[
        int | None, typer.Option(min=1, help="So many inputs at random [default: all].")
    ] = None
    measures: Annotated[
        str | None, typer.Option(help="Names from `list measures`, with commas between.")
    ] = None
    permutations: Annotated[
        int, typer.Option(min=0, help="Shuffles for the floor of each score.")
    ] = 20
    errors: Annotated[
        bool, typer.Option("--errors/--no-errors", help="Standard errors of scores.")
    ] = True
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Scores from chance (0) to identity (1), and a p-value."),
    ] = False
    extrapolate: Annotated[
        bool,
        typer.Option("--extrapolate", help="Scores at N/4 and N/2 inputs: do they still move?"),
    ] = False
    differences: Annotated[
        bool,
        typer.Option(
            "--differences", help="Which pairs are more alike than others: paired, with a ranking."
        ),
    ] = False
    tolerance: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of inputs that may turn from right to wrong."),
    ] = 0.01
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="no, undecided or both with a comma between: exit with 1 if the answer is no, "
            "with 2 if it is undecided, and with 3 if there is none."
        ),
    ] = None
    architecture: Annotated[
        str | None,
        typer.Option(
            help="Of checkpoint files: from `list architectures`, timm:, torchvision:, python:; "
            "one for all, or one for each with commas between."
        ),
    ] = None
    classes: Annotated[
        int | None, typer.Option(min=2, help="Of checkpoint files [default: read from them].")
    ] = None
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Unpickle files that hold more than weights: runs their code."
        ),
    ] = False
    part: Annotated[
        str | None,
        typer.Option(
            help="Which network, by name or number from 0, where files hold several; for one file "
            "of some, FILE::PART."
        ),
    ] = None
    normalise: Annotated[
        str | None,
        typer.Option(
            help="imagenet, inception, cifar10, cifar10-pixels, …, a dataset, none; one for all, "
            "or one for each with commas between [default: the model's]."
        ),
    ] = None
    mean: Annotated[
        str | None,
        typer.Option(
            help="Instead of --normalise: numbers per channel, with commas, for pixels in [0, 1] "
            "or 0 … 255; those of several models with semicolons between."
        ),
    ] = None
    std: Annotated[str | None, typer.Option(help="As --mean.")] = None
    head: Annotated[
        str | None, typer.Option(help="The layer that makes the logits, of several heads.")
    ] = None
    representation: Annotated[
        str | None,
        typer.Option(
            help="The layer, or the field of the output, that is compared, LAYER[0] its first "
            "token; one for all, or one for each [default: what the head reads]."
        ),
    ] = None
    precision: Annotated[
        str | None,
        typer.Option(
            help="float32, bfloat16, float16, float64, autocast-bfloat16; one for all, or one for "
            "each [default: the model's]."
        ),
    ] = None
    image_size: Annotated[
        str | None,
        typer.Option(
            help="Pixels that models are given; one for all, or one for each with commas between "
            "[default: the model's]."
        ),
    ] = None
    crop: Annotated[
        str | None,
        typer.Option(
            help="The share of the resized picture that is kept, as --image-size "
            "[default: the model's]."
        ),
    ] = None
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="timm and torchvision models untrained.")
    ] = False
    download: Annotated[
        bool, typer.Option("--download", help="Fetch published weights that are not here.")
    ] = False
    random_seed: Annotated[int, typer.Option(help="Of --count and of random weights.")] = 0
    invert: Annotated[
        int, typer.Option(min=0, metavar="N", help="Compare on N inverted images of each model.")
    ] = 0
    invert_steps: Annotated[int, typer.Option(min=1, help="Of gradient descent.")] = 1000
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Retrain heads (needs labels): on half of the inputs, compared on the other half.",
        ),
    ] = False
    probe_inputs: Annotated[
        str | None,
        typer.Option(
            help="Retrain heads on these instead, named as --inputs are; compared on all of those."
        ),
    ] = None
    layers: Annotated[
        str | None,
        typer.Option(
            help="'all', or names and relative depths (0.5) with commas between: compare layer "
            "by layer."
        ),
    ] = None
    pooling: Annotated[
        str, typer.Option(help="Of layers: mean (over space or tokens) or flatten.")
    ] = "mean"
    tokens: Annotated[
        str | None,
        typer.Option(
            help="Of texts, what is read: mean, last, first, model (an encoder's own pooling), "
            "words, all; several with commas between, mean+last for one of each model "
            "[default: mean]."
        ),
    ] = None
    special_tokens: Annotated[
        bool,
        typer.Option(
            "--special-tokens/--no-special-tokens",
            help="Whether those that tokenizers add take part in mean, last and first.",
        ),
    ] = True
    max_length: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens of a text that are read [default: the model's]."),
    ] = None
    text_column: Annotated[
        str | None, typer.Option(help="Of a file of texts [default: text, sentence, …].")
    ] = None
    id_column: Annotated[str | None, typer.Option(help="What each text is called.")] = None
    label_column: Annotated[
        str | None, typer.Option(help="The class of each text: a number, or a name.")
    ] = None
    layer_measure: Annotated[str, typer.Option(help="Which measure compares layers.")] = (
        "debiased_linear_cka"
    )
    out: Annotated[Path | None, typer.Option(help="Folder for the full report.")] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False
    form: Annotated[
        Format | None,
        typer.Option(
            "--format", help="Print the scores as markdown, csv or latex; or everything as json."
        ),
    ] = None
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto"
    batch_size: Annotated[int, typer.Option(min=1, help="Images per forward pass.")] = 64

    @property
    def is_for_machines(self) -> bool:
        """Whether what is printed is read by a program, so that nothing else is."""
        return self.as_json or self.form is not None


OF_PICTURES = (
    *("architecture", "classes", "trust", "part", "normalise", "mean", "std", "head"),
    *("representation", "precision", "image_size", "crop", "random_weights"),
)
"""How networks are read that look at pictures."""

_OF_TEXT_FILES = ("text_column", "id_column", "label_column")
_OF_TOKENS = ("tokens", "special_tokens", "max_length")
OF_TEXTS = (*_OF_TEXT_FILES, *_OF_TOKENS)
"""Options without any use where no model reads texts."""

PANELS = {
    "What they look at": (
        *("inputs", "activations", "logits", "probabilities", "labels", "count"),
        *(*_OF_TEXT_FILES, "join", "drop_missing"),
    ),
    "What is compared": (
        *("measures", "permutations", "errors", "calibrate", "extrapolate", "differences"),
        *("layers", "pooling", "layer_measure", "invert", "invert_steps", "probe", "probe_inputs"),
    ),
    "How networks are read": (*OF_PICTURES, "download", *_OF_TOKENS),
    "What is said of it": ("tolerance", "fail_on", "out", "as_json", "form"),
}
"""The options by what they are about, for the help; what is not here comes last."""

OF_NETWORKS = (
    *(*OF_PICTURES, *OF_TEXTS, "download"),
    *("count", "pooling", "layer_measure", "invert_steps"),
)
"""Options without any use, or a message of their own, where no network runs."""


@options_of(Options)
def compare(given: Options) -> None:
    """Compare your own models on your own inputs, and say whether one can replace another."""
    if given.fail_on is None:
        _deliver(_found(given), given)
        return
    with could_not_run():
        found = _found(given)
        _deliver(found, given)
        answers = [r.swap.answer(given.tolerance) for r in found.replacements]
        code = exit_of_swaps(answers, split(given.fail_on))
    raise typer.Exit(code)


def _found(given: Options) -> Comparison:
    asked = _asked(given)
    if given.activations or (given.inputs is None and _are_arrays(given.models)):
        return _of_arrays(given, asked)
    return _of_networks(given, asked)


def _are_arrays(models: list[str]) -> bool:
    """Whether all that was given can be nothing but arrays."""
    from samemind.inputs.arrays import is_of_arrays

    return all(is_of_arrays(one) for one in models)


def _asked(given: Options) -> Asked:
    from samemind.comparison.work import Asked

    return Asked(
        measures=split(given.measures) or None,
        errors=given.errors,
        permutations=given.permutations,
        calibrate=given.calibrate,
        extrapolate=given.extrapolate,
        differences=given.differences,
        layers=_layers(given.layers),
        layer_measure=given.layer_measure,
        pooling=given.pooling,
        invert=given.invert,
        invert_steps=given.invert_steps,
        probe=given.probe,
        probe_inputs=given.probe_inputs,
        random_seed=given.random_seed,
        join=given.join,
        drop_missing=given.drop_missing,
        tokens=given.tokens,
        special_tokens=given.special_tokens,
        max_length=given.max_length,
    )


def _of_arrays(given: Options, asked: Asked) -> Comparison:
    from samemind.comparison.activations import compare_activations
    from samemind.inputs.arrays import read_activations

    if given.inputs or given.invert or given.layers or given.probe_inputs:
        raise InvalidInput(
            "With --activations no model runs, so leave --inputs, --invert, --layers and "
            "--probe-inputs out."
        )
    _refuse(given, OF_NETWORKS, "is of networks, and with --activations none runs")
    if given.logits and given.probabilities:
        raise InvalidInput("Arrays are logits or probabilities. Leave one of the two out.")
    kind = "probabilities" if given.probabilities else "representation"
    kind = "logits" if given.logits else kind
    return compare_activations(read_activations(given.models, kind=kind), given.labels, asked)


def _refuse(given: Options, names: Iterable[str], why: str) -> None:
    """Raises `InvalidInput` for the first of these options that was given."""
    usual = {field.name: field.default for field in fields(Options)}
    for name in names:
        if getattr(given, name) != usual[name]:
            raise InvalidInput(f"--{name.replace('_', '-')} {why}. Leave it out.")


def _of_networks(given: Options, asked: Asked) -> Comparison:
    from samemind.comparison.networks import compare_models
    from samemind.execution.devices import Execution
    from samemind.inputs.images import open_images
    from samemind.inputs.tensors import Tensors
    from samemind.inputs.texts import is_texts
    from samemind.networks.opening import Loading, open_models
    from samemind.networks.options import refuse_unused
    from samemind.reporting.terminal import progress_bars

    if given.inputs is None:
        raise InvalidInput(
            "Models are compared on inputs: --inputs with a dataset, a folder of images or a "
            "tensor. For arrays that you have already, add --activations."
        )
    if is_texts(given.inputs) or any("gguf:" in one for one in given.models):
        return _of_texts(given, asked)
    _refuse(given, OF_TEXTS, "is of texts, and the inputs are none")
    seed = given.random_seed
    images = open_images(given.inputs, labels=given.labels, count=given.count, random_seed=seed)
    loading = Loading(
        architecture=given.architecture,
        classes=given.classes,
        image_size=given.image_size,
        normalise=given.normalise,
        crop=given.crop,
        mean=numbers_of_each(given.mean, "--mean"),
        std=numbers_of_each(given.std, "--std"),
        head=given.head,
        representation=given.representation,
        precision=given.precision,
        shape=images.shape,
        example=images.read(range(min(2, len(images)))) if isinstance(images, Tensors) else None,
        is_trusted=given.trust,
        part=given.part,
        dataset=images.dataset,
        has_random_weights=given.random_weights,
        allows_download=given.download,
        random_seed=seed,
    )
    for name in ("logits", "probabilities"):
        if getattr(given, name):
            raise InvalidInput(
                f"--{name} says what arrays hold, and networks were given. Leave it out, or add "
                f"--activations."
            )
    loaded = open_models(given.models, loading)
    refuse_unused(loading, loaded)
    execution = Execution(device=given.device, batch_size=given.batch_size)
    with progress_bars(is_shown=not given.is_for_machines) as watch:
        return compare_models(loaded, images, asked, execution=execution, watch=watch)


def _of_texts(given: Options, asked: Asked) -> Comparison:
    """Through the door that Python has: the names are of references alone."""
    _refuse(given, OF_PICTURES, "is of networks that look at pictures, and the inputs are texts")
    from samemind.own_models import compare as compare_own

    return compare_own(
        given.models,
        given.inputs,
        labels=given.labels,
        count=given.count,
        batch_size=given.batch_size,
        device=given.device,
        progress=not given.is_for_machines,
        text_column=given.text_column,
        id_column=given.id_column,
        label_column=given.label_column,
        download=given.download,
        **asdict(asked),
    )


def split(text: str | None) -> list[str]:
    """What stands between commas."""
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def _layers(text: str | None) -> list[str | float] | str | None:
    """Layers as `Asked` takes them: 'all', or names and relative depths."""
    names = split(text)
    if names == ["all"]:
        return "all"
    return [float(one) if re.fullmatch(r"[01]|[01]?\.\d+", one) else one for one in names] or None


def _deliver(found: Comparison, given: Options) -> None:
    from samemind.reporting.terminal import show, verdict

    if given.form not in (None, Format.JSON):
        typer.echo(found.as_text(str(given.form)), nl=False)
    elif given.as_json or given.form is Format.JSON:
        record = found.as_record()
        for held, replacement in zip(record["replacements"], found.replacements, strict=True):
            held["tolerance"] = given.tolerance
            held["answer"] = replacement.swap.answer(given.tolerance)
            held["verdict"] = verdict(replacement, given.tolerance)
        typer.echo(json.dumps(record, indent=1, allow_nan=False))
    else:
        show(found, console, tolerance=given.tolerance)
    if given.out is not None:
        from samemind.commands.engines import to_draw_on
        from samemind.reporting import write_report

        with to_draw_on() as drawers:
            page = write_report(
                replace(found, tolerance=given.tolerance), given.out, executor=drawers
            )
        if not given.is_for_machines:
            console.print(f"\nThe report is in {page}")
