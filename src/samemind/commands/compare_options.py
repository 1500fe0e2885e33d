"""What `samemind compare` takes, and what each option is of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
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
)


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
    count: Count = None
    measures: Annotated[
        str | None, typer.Option(help="Names from `list measures`, with commas between.")
    ] = None
    permutations: Permutations = 20
    errors: Errors = True
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
    trust: Trust = False
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
    head: Head = None
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
    out: ReportPath = None
    as_json: AsJson = False
    form: Annotated[
        Format | None,
        typer.Option(
            "--format", help="Print the scores as markdown, csv or latex; or everything as json."
        ),
    ] = None
    device: Device = "auto"
    batch_size: BatchSize = 64

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
