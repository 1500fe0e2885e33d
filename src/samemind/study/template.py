"""A study file to start from: every key with its default and what it means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from samemind.datasets.base import DATASETS
from samemind.errors import CheckpointError, InvalidInput
from samemind.files.reading import read_text
from samemind.files.toml import toml_line, toml_remark, toml_value
from samemind.study import Study, read_study, study_path
from samemind.study.along import Place, place_in

if TYPE_CHECKING:
    from samemind.checkpoints.recognising import Recognised
    from samemind.training import Imported

FEW, LONGEST = 4, 200  # reasons that a message lists, and letters of each

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
dataset = {dataset}
architectures = [{architectures}]
# width = 1.0  # of the small networks for 32 pixels also 0.25, 0.5 and 2 times the channels

# One model is trained for each architecture, radius and random seed. ε is the radius of the
# attack in training, in pixel units of [0, 1]; 0 is standard training. Comparisons are made
# within one ε.
epsilons = [{epsilons}]
# random_seeds = [0]
{norm}

# To compare within and along something else than ε: "noise", "share" (of the training images),
# "step", "stop_at_accuracy" or "width" of what is trained, or a "label" that imported models have
# as `at`.
{axis}

# To leave a model out:
# [[exclude]]
# architecture = {first}
# epsilons = [1.0]
# at = [0.5]  # along another axis than ε

# To compare checkpoints from elsewhere (`samemind import` and `init --models` write these lines;
# with `file`, the path from this folder, a run brings one in by itself):
# [[imported]]
# source = "resnet18_l2_eps1.ckpt"
# sha256 = "…"
# architecture = "resnet18"
# epsilon = 1.0
# mean = [0.485, 0.456, 0.406]
# std = [0.229, 0.224, 0.225]
# at = 100  # its place along an axis that is a label
# family = "resnet"  # what it is counted as among architectures, for sizes of one kind
{imported}
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
# keep_every = 100  # steps from one checkpoint to the next, for an axis of training steps
# share = 0.5  # of the training images, in place of count
# normalisation = "dataset"  # or "imagenet", "cifar10", another dataset's name, "none"
# augmentation = "none"
# noise = 0.0  # standard deviation of Gaussian noise on training images, in pixel units
# stop_at_accuracy = 0.5  # ends a training there, on images held out, instead of after all epochs
# stop_count = 1000  # training images that are held out for it
# stop_every = 10  # steps from one look at them to the next
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

[adversarial]  # examples made for each model, which all models of its level then see
# epsilon = 0  # how far an image is moved; 0 leaves them out
# steps = 10
# relative_step = 0.25  # of ε
# random_start = false
# restarts = 1
# random_seed = 0

[comparison]
# measures = [{measures}]
#   "knn_jaccard@100" is it at k = 100, not 10: NAME@VALUE sets a measure's parameter
# convention = "recommended"  # or "as_printed", "authors_code": which CKA, Procrustes and JSD the
#   figures and the verdict take
# errors = true  # standard errors and intervals of scores
# permutations = 20  # shuffles for the floor of each score; 0 leaves floors out
# random_seed = 0
# driving_inputs = 3  # per pair and measure, the inputs that add most and least to the score
# subgroups = true  # scores where two models agree and where they disagree
# subgroup_shuffles = 0  # random groups that their difference is compared with, for a p-value
# layers = []  # inside the networks: "all", ["layer3", 0.5] (names, relative depths), or a list
#   for each architecture: `samemind list layers NAME` shows names
# pooling = "mean"  # of layers, over space or tokens; "flatten" keeps every value
# layer_measure = "debiased_linear_cka"  # of the map of every layer with every other
# layer_inputs = ["natural"]  # also "inverted", "adversarial": the square of the models in passes

[probes]  # linear heads retrained on frozen representations
# split = "train"
# count = 1000  # so many training images at random instead of the whole split
# epochs = 0  # 30 is what the paper's later revision takes; 0 leaves probes out
# learning_rate = 5e-3
# batch_size = 1024
# random_seed = 0
# random_seeds = []  # several probes of each model, such as [0, 1]: what can two of them agree on?
# normalised = false  # also on units of mean 0 and deviation 1
"""


AXIS = (
    '# axis = {of = "label", name = "step", text = "training step", symbol = "step", '
    "values = [0, 100]}"
)


def study_text(
    name: str,
    *,
    source: str | None = None,
    models: Sequence[Suggested] = (),
    axis: str | None = None,
) -> str:
    """The text of a new study file: the commented template, or a shipped study to change.

    **Arguments:**

    - `source`: a study that ships, or a study file, whose text is the start.
    - `models`: checkpoints to compare, from `suggested`; the grid is theirs.
    - `axis`: the name of what these have as a label, along which they are compared.

    **Raises:** `UnknownName` or `InvalidInput` where there is no such study.
    """
    if source is not None and not models:
        path = study_path(source)
        read_study(path)
        head = f"# {name}: begun from '{source}'. `samemind plan {name}.toml` says what it takes."
        return toml_remark(head) + "\n" + read_text(path)
    from samemind.measures.choosing import usual_measures

    grid = _grid(models)
    text = TEMPLATE.format(
        name=toml_remark(name),
        title=toml_line("title", name),
        models="",
        imported=_imported(models),
        axis=f'axis = {{of = "label", name = {toml_value(axis)}}}' if axis else AXIS,
        measures=", ".join(map(toml_value, usual_measures())),
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
    return "...  # not set" if value is None else toml_value(value)


def _grid(models: Sequence[Suggested]) -> dict[str, str]:
    architectures = ["digits_resnet", "digits_vgg_bn", "digits_vit"]
    epsilons, dataset, norm = [0, 0.5, 1], "digits", '# norm = "L2"'
    if models:
        recipes = [m.recipe for m in models]
        architectures = list(dict.fromkeys(r.architecture for r in recipes))
        epsilons = sorted({r.epsilon for r in recipes})
        dataset = recipes[0].dataset
        norms = {r.ball.norm for r in recipes if r.ball}
        norm = toml_line("norm", norms.pop()) if norms else norm
    is_large = DATASETS[dataset].image_size >= 32
    return {
        "dataset": toml_value(dataset),
        # These very files are compared: what is listed here would be trained as well.
        "architectures": "" if models else ", ".join(map(toml_value, architectures)),
        "first": toml_value(architectures[0]),
        "epsilons": ", ".join(map(toml_value, epsilons)),
        "norm": norm,
        "epochs": "90" if is_large else "20",
        "batch_size": "512" if is_large else "128",
        "learning_rate": "0.1",
        "policy": "step" if is_large else "one_cycle",
        "steps": "1000" if is_large else "100",
    }


@dataclass(frozen=True)
class Suggested:
    """A checkpoint file as a study names it, and what of that was only guessed."""

    recipe: Imported
    file: str
    guesses: tuple[str, ...] = ()
    needs_trust: bool = False
    at: float | None = None
    run: str = ""  # its file without the place along the axis: what runs are told apart by


def suggested(
    models: Sequence[Recognised],
    *,
    folder: Path,
    dataset: str | None = None,
    architecture: str | None = None,
    axis: str | None = None,
) -> tuple[list[Suggested], list[str]]:
    """What a study can compare of some checkpoint files, and why it cannot the others.

    **Arguments:**

    - `folder`: of the study file, from which their paths are written.
    - `dataset`, `architecture`: of files that do not say; the architecture of those whose keys
      are of none that samemind knows, or several with commas between, of which the first that
      fits is taken.
    - `axis`: a word, the number after which in the path of each file is its place along an axis,
      as the 100 of 'run-a/step100.pt'. Runs of one architecture are told apart by the rest of the
      path, so that a run keeps its random seed from place to place.

    **Raises:** `InvalidInput` if there is none left, or they do not belong to one dataset and norm.

    **Cost:** reads, hashes and fits each file.
    """
    found: list[Suggested] = []
    refused: list[str] = []
    others = [name.strip() for name in (architecture or "").split(",") if name.strip()]
    norms = [m.norm for m in models if m.norm]
    norm = max(norms, key=norms.count, default="L2")
    dataset = dataset or next((m.dataset for m in models if m.dataset), None)
    radii = [m.epsilon or 0.0 for m in models]
    epsilon = max(radii, key=radii.count, default=0.0)
    for model in models:
        names = [model.architecture] if model.architecture else others
        if not names or dataset is None:
            which = "its dataset is not known: --dataset" if names else model.problem
            refused.append(f"{model.path}: {which}")
            continue
        if model.norm not in (None, norm):
            refused.append(f"{model.path}: its norm is {model.norm}, the others' is {norm}")
            continue
        place = place_in(model.path, axis) if axis else None
        if axis and (place is None or (model.epsilon or 0.0) != epsilon):
            lacks = f"its ε is {model.epsilon or 0:g}, the others' is {epsilon:g}"
            refused.append(
                f"{model.path}: {lacks if place else f'no number follows {axis!r} in its path'}"
            )
            continue
        trouble = ""
        for name in names:
            try:
                found.append(_suggestion(model, name, dataset, norm, folder, found, place))
                break
            except (CheckpointError, InvalidInput) as error:
                trouble = trouble or str(error)
        else:
            refused.append(trouble)
    if not found:
        raise InvalidInput(_none_left(refused))
    return found, refused


def _none_left(refused: Sequence[str]) -> str:
    """Why no checkpoint can be compared: of many, the first few reasons, shortened."""
    few = [why if len(why) <= LONGEST else f"{why[:LONGEST]}…" for why in refused[:FEW]]
    more = [f"and {len(refused) - FEW} more"] if len(refused) > FEW else []
    return (
        "\n  ".join(["None of the checkpoints can be compared in a study:", *few, *more])
        + "\nState what they do not say with --architecture and --dataset."
    )


def _suggestion(
    model: Recognised,
    architecture: str,
    dataset: str,
    norm: str,
    folder: Path,
    others: Sequence[Suggested],
    place: Place | None,
) -> Suggested:
    from samemind.checkpoints.importing import Claims, read_checkpoint

    guesses = []
    if model.epsilon is None:
        guesses.append("ε is not in its name: 0, standard training, is a guess")
    claims = Claims(
        dataset=dataset,
        architecture=architecture,
        epsilon=model.epsilon or 0.0,
        norm=norm,
        is_trusted=model.is_unpickled,
        part=model.part,
    )
    recipe, loaded = read_checkpoint(str(model.path), claims)
    if loaded.mean is None:
        guesses.append(f"mean and std are those of {dataset}: the file does not say its own")
    at, run = place or (None, str(model.path))
    alike = [o.run for o in others if (o.recipe.architecture, o.recipe.epsilon)
             == (recipe.architecture, recipe.epsilon)]  # fmt: skip
    runs = list(dict.fromkeys(alike)) if place else alike
    path = Path(os.path.relpath(model.path.resolve(), folder.resolve())).as_posix()
    # Runs of one kind are told apart by their seeds in tables and figures.
    recipe = replace(recipe, random_seed=runs.index(run) if place and run in runs else len(runs))
    return Suggested(recipe, path, tuple(guesses), model.is_unpickled, at, run)


def _imported(models: Sequence[Suggested]) -> str:
    if not models:
        return ""
    from samemind.checkpoints.importing import command_of, section_of

    parts = ["\n# What is compared: names suggested it, keys and shapes confirmed it.\n"]
    for model in models:
        lines = [f"# {toml_remark(guess)}" for guess in model.guesses]
        # A run reads files by itself only where no code of theirs can run.
        file = None if model.needs_trust else model.file
        if model.needs_trust:
            first = f"Before a run: {command_of(model.recipe, model.file)} --trust"
            lines.append(f"# {toml_remark(first)}")
        parts.append("\n".join([*lines, section_of(model.recipe, file, model.at)]) + "\n")
    return "\n".join(parts)


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
