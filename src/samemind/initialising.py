"""A study file to start from: every key with its default and what it means."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samemind.errors import InvalidInput
from samemind.study import Study, read_study, study_path

if TYPE_CHECKING:
    from samemind.recognising import Recognised

# Lines that begin with "# key = value" hold the default: take off the "# " to change it. A test
# compares them with the schema, so that none is missing and none is out of date.
TEMPLATE = """\
# {name}: a study for samemind.
#
#   samemind plan {name}.toml     what it consists of, what is there, what is missing
#   samemind run {name}.toml      builds what is missing and writes the report; again: goes on
#
# Keys behind a "#" show their defaults; take off the "#" to change one.
{models}
{title}
# `samemind list datasets` and `samemind list architectures` show what there is.
dataset = "{dataset}"
architectures = [{architectures}]

# One model is trained for each architecture, radius and random seed. ε is the radius of the
# attack in training, in pixel units of [0, 1]; 0 is standard training. Comparisons are made
# within one ε.
epsilons = [{epsilons}]
# random_seeds = [0]
# norm = "L2"

# To leave a model out:
# [[exclude]]
# architecture = "{first}"
# epsilons = [1.0]

# To compare checkpoints from elsewhere, which `samemind import` brings in (it prints these lines):
# [[imported]]
# source = "resnet18_l2_eps1.ckpt"
# sha256 = "…"
# architecture = "resnet18"
# epsilon = 1.0
# mean = [0.485, 0.456, 0.406]
# std = [0.229, 0.224, 0.225]

[training]
# preset = "paper"  # or "fast"; what is set below then differs from the preset
epochs = {epochs}
batch_size = {batch_size}
learning_rate = {learning_rate}
policy = "{policy}"  # "step" divides the rate by 10 every `step_epochs`; "one_cycle" is shorter
# momentum = 0.9
# weight_decay = 5e-4
# step_epochs = 30
# count = 1000  # so many training images at random instead of all
# normalisation = "dataset"  # or "imagenet", "cifar10", another dataset's name, "none"
# augmentation = "none"
# precision = "float32"  # "bfloat16" is faster where the hardware has it
# fallback_learning_rates = []  # tried in order where a training does not leave chance
# chance_epochs = 5  # a training still at chance after so many epochs has failed
# exceptions = []  # models trained differently: {{architectures = [...], learning_rate = ...}}

[attack]  # projected gradient descent, in training (where ε > 0) and in evaluation
# steps = 3
# relative_step = 0.6666666666666666  # of ε
# random_start = false
# restarts = 1
# keep_best = true

[evaluation]
# split = "test"
# count = 1000  # so many images at random instead of the whole split
# standard_epsilon = 0.25  # the radius at which models with ε = 0 are attacked
# epsilons = [0.25, 0.5, 1.0]  # of the robustness curve [every ε of the study]
# strong_count = 1000  # images for the strong attack (more steps and restarts); 0: none
# autoattack = false  # AutoAttack too; needs samemind[attacks]
# weak_below = 0.28  # models below this clean accuracy are marked in every table and figure

[inputs]  # the images that models are compared on; also the targets of inversion
# dataset = "digits"  # another one than the models': out of distribution
# split = "test"
# count = 1000  # so many at random instead of the whole split
# random_seed = 0

[inversion]
steps = {steps}  # the paper's code takes 1000; 0 leaves inversion out
# step_size = 0.125
# momentum = 0.9
# precision = "float32"
# storage = "float16"

[comparison]
# measures = [{measures}]
# permutations = 20  # shuffles for the floor of each score; 0 leaves floors out
# random_seed = 0
# driving_inputs = 3  # per pair and measure, the inputs that add most and least to the score
# subgroups = true  # scores where two models agree and where they disagree
# layers = []  # inside the networks: "all", ["layer3", 0.5] (names, relative depths), or a list
#   for each architecture: `samemind list layers {first}` shows names
# pooling = "mean"  # of layers, over space or tokens; "flatten" keeps every value
# layer_measure = "debiased_linear_cka"  # of the map of every layer with every other
# layer_inputs = ["natural"]  # "inverted" as well: takes the square of the models in passes

[probes]  # linear heads retrained on frozen representations
# split = "train"
# count = 1000  # so many training images at random instead of the whole split
# epochs = 0  # 30 is what the paper's later revision takes; 0 leaves probes out
# learning_rate = 5e-3
# batch_size = 1024
# random_seed = 0
"""


def study_text(name: str, *, source: str | None = None, models: Sequence[Recognised] = ()) -> str:
    """The text of a new study file: the commented template, or a shipped study to change.

    **Arguments:**

    - `source`: a study that ships, or a study file, whose text is the start.
    - `models`: checkpoints that were recognised; the grid is theirs, and they are listed.

    **Raises:** `UnknownName` or `InvalidInput` where there is no such study.
    """
    if source is not None and not models:
        path = study_path(source)
        read_study(path)
        head = f"# {name}: begun from '{source}'. `samemind plan {name}.toml` says what it takes.\n"
        return head + path.read_text(encoding="utf-8")
    from samemind.comparison import STUDY_MEASURES

    grid = _grid(models)
    text = TEMPLATE.format(
        name=name,
        title=f'title = "{name}"',
        models=_listed(models),
        measures=", ".join(f'"{m}"' for m in STUDY_MEASURES),
        **grid,
    )
    return "\n".join(_with_other_keys(text))


def _with_other_keys(text: str) -> Iterator[str]:
    """The text with the keys of the schema that the template does not speak of, by section."""
    parts = re.split(r"^(?=\[\w+\])", text, flags=re.MULTILINE)
    yield parts[0].rstrip() + "\n"
    for part in parts[1:]:
        section = part[1 : part.index("]")]
        keys = Study.model_fields[section].annotation.model_fields  # pyright: ignore
        spoken_of = set(re.findall(r"^(?:# )?(\w+) = ", part, flags=re.MULTILINE))
        others = [
            f"# {key} = {_toml(found.get_default(call_default_factory=True))}"
            for key, found in keys.items()
            if key not in spoken_of
        ]
        yield "\n".join([part.rstrip(), *others]) + "\n"
    for name, field in Study.model_fields.items():
        keys = getattr(field.annotation, "model_fields", None)
        if keys and f"\n[{name}]" not in text:
            held = [
                (key, found.get_default(call_default_factory=True)) for key, found in keys.items()
            ]
            yield "\n".join([f"[{name}]", *(f"# {key} = {_toml(v)}" for key, v in held)]) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, (bool, str)):
        return json.dumps(value)
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_toml(v) for v in value)}]"
    return "...  # not set" if value is None else str(value)


def _grid(models: Sequence[Recognised]) -> dict[str, str]:
    known = [m for m in models if m.architecture]
    if models and not known:
        raise InvalidInput(
            "None of the checkpoints fits an architecture that samemind knows "
            "(`samemind list architectures`). Compare them with `samemind compare` and "
            "--architecture timm:NAME or torchvision:NAME."
        )
    architectures = sorted({m.architecture for m in known if m.architecture})
    epsilons = sorted({m.epsilon for m in known if m.epsilon is not None})
    if not known:
        architectures, epsilons = ["digits_resnet", "digits_vgg_bn", "digits_vit"], [0, 0.5, 1]
    sizes = {m.image_size for m in known}
    dataset = next((m.dataset for m in known if m.dataset), "digits")
    is_large = bool(sizes) and max(s or 0 for s in sizes) >= 32
    return {
        "dataset": dataset,
        "architectures": ", ".join(f'"{a}"' for a in architectures),
        "first": architectures[0],
        "epsilons": ", ".join(f"{e:g}" for e in epsilons or [0]),
        "epochs": "90" if is_large else "20",
        "batch_size": "512" if is_large else "128",
        "learning_rate": "0.1",
        "policy": "step" if is_large else "one_cycle",
        "steps": "1000" if is_large else "100",
    }


def _listed(models: Sequence[Recognised]) -> str:
    if not models:
        return ""
    lines = ["#", "# Found, with what their names suggest and their keys confirm:"]
    lines += [f"#   {model.sentence}" for model in models]
    lines += [
        "#",
        "# The grid below trains models like these. To compare these very files,",
    ]
    known = [m for m in models if m.architecture]
    if len(known) > 1:
        lines.append(f"#   samemind compare {' '.join(str(m.path) for m in known)} --inputs DATA")
    for model in known:
        radius = "" if model.epsilon is None else f" --epsilon {model.epsilon:g}"
        lines.append(
            f"#   samemind import {model.path} --architecture {model.architecture}"
            f"{radius} --dataset {model.dataset or 'DATASET'}"
        )
    lines.append(
        "# (`import` prints lines to put here; leave `architectures` out to train nothing.)"
    )
    return "\n".join(lines) + "\n"


def write_study(path: Path, text: str, *, replace: bool = False) -> None:
    """Writes a new study file and reads it back.

    **Raises:** `InvalidInput` if a file is there already, or the text is no valid study.
    """
    if path.suffix != ".toml":
        raise InvalidInput(f"A study is a .toml file, but '{path}' was named. Try {path}.toml.")
    if path.exists() and not replace:
        raise InvalidInput(f"{path} is there already and was left as it is. Name another file.")
    draft = path.with_name(f".{path.stem}-draft.toml")
    try:
        draft.write_text(text, encoding="utf-8")
        read_study(draft)
        draft.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        draft.unlink(missing_ok=True)
