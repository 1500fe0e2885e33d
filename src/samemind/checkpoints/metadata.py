"""What a checkpoint file says beside the weights: epoch, accuracies, ε, architecture.

Pure: from what a file holds to plain numbers and names, and to sentences where these contradict
what is known or measured. Files are not believed: what they say is shown beside what was found.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from samemind.checkpoints.kinds import INDEX
from samemind.errors import UnreadableFile
from samemind.files.reading import is_folder, read_json

CLEAN, ADVERSARIAL = "clean_accuracy", "adversarial_accuracy"
KEYS = {
    "epoch": ("epoch", "epochs"),
    "architecture": ("arch", "architecture", "model_name"),
    "epsilon": ("eps", "epsilon", "train_eps"),
    # The robustness library; PyTorch's examples; common training code.
    CLEAN: (
        "nat_prec1", "best_prec1", "best_acc1", "prec1", "acc1", "best_acc", "test_acc", "val_acc",
        "clean_acc", "nat_acc", "accuracy", "acc",
    ),
    ADVERSARIAL: ("adv_prec1", "adv_acc", "robust_acc", "robust_accuracy", "adversarial_accuracy"),
}  # fmt: skip
"""What training code calls each fact, the surest name first."""
INSIDE = ("args", "config", "hyper_parameters", "hparams", "metadata", "meta", "params")
"""Where training code keeps them, if not beside the weights."""
LONGEST_NAME = 80
# Accuracies of other test images, another attack or another precision differ by so much.
CLEAN_TOLERANCE, ADVERSARIAL_TOLERANCE = 0.02, 0.05
ERRORS = 3  # standard errors of what was measured, if those are more


def metadata_in(held: Any) -> dict[str, float | str]:
    """The facts that a file states, by the keys of `KEYS`; accuracies in [0, 1].

    Of several names for one fact the surest counts. What is no finite number or short text is left
    out, and so is an accuracy outside 0 … 100.
    """
    places = list(_places(held))
    found: dict[str, float | str] = {}
    for fact, names in KEYS.items():
        stated = (place[name] for name in names for place in places if name in place)
        is_name = fact == "architecture"
        value = next(
            (v for v in map(_plain if is_name else _number, stated) if v is not None), None
        )
        if value is None or isinstance(value, str) is not is_name:
            continue
        if fact in (CLEAN, ADVERSARIAL):
            assert isinstance(value, float)
            value = value / 100 if value > 1 else value
            if not 0 <= value <= 1:
                continue
        found[fact] = value
    return found


def _places(held: Any) -> Iterator[Mapping[Any, Any]]:
    if isinstance(held, Mapping):
        yield held
        yield from (held[name] for name in INSIDE if isinstance(held.get(name), Mapping))


def _plain(value: Any) -> float | str | None:
    """A number or a short name; of a tensor or an array of one number that number."""
    if isinstance(value, str):
        return value if value.isprintable() and 0 < len(value) <= LONGEST_NAME else None
    if isinstance(value, (bool, Mapping)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _number(value: Any) -> float | None:
    """A number, also one that is written as text: headers of safetensors hold nothing else."""
    found = _plain(value)
    if isinstance(found, str):
        try:
            found = float(found)
        except ValueError:
            return None
    return found if found is not None and math.isfinite(found) else None


def said_beside(path: Path) -> dict[str, Any]:
    """What the files beside shards say: the index of the shards, and config.json.

    - `path`: the folder, or the index.
    """
    folder = path if is_folder(path) else path.parent
    found: dict[str, Any] = {}
    indexes = sorted(folder.glob(f"*{INDEX}")) if is_folder(path) else [path]
    for file in (*indexes, folder / "config.json"):
        try:
            found = metadata_in(read_json(file)) | found
        except (UnreadableFile, OSError):
            continue
    return found


def sentence(metadata: Mapping[str, Any]) -> str:
    """What the file says, for a reader; '' where it says nothing."""
    words = {
        "epoch": lambda v: f"epoch {v:g}",
        "architecture": lambda v: f"architecture {v}",
        "epsilon": lambda v: f"ε = {v:g}",
        CLEAN: lambda v: f"clean accuracy {v:.2%}",
        ADVERSARIAL: lambda v: f"adversarial accuracy {v:.2%}",
    }
    said = [words[fact](metadata[fact]) for fact in KEYS if fact in metadata]
    return f"the file says: {', '.join(said)}" if said else ""


def contradictions(
    name: str, metadata: Mapping[str, Any], epsilon: float, measured: Mapping[Any, Any]
) -> list[str]:
    """A sentence for each thing that a file says and that is otherwise.

    - `epsilon`: what the study says that the model was trained at.
    - `measured`: `clean_accuracy`, `adversarial_accuracy` and `n_test`, as evaluated, and
      `architecture`, as the weights were read.

    Accuracies contradict each other where they differ by more than 2 points (adversarial ones by
    5: attacks differ) and by more than three standard errors of what was measured.
    """
    found = []
    stated = metadata.get("epsilon")
    # Training code counts ε in [0, 1] or in 255 steps.
    if stated is not None and not any(
        math.isclose(e, epsilon, rel_tol=1e-3, abs_tol=1e-6) for e in (stated, stated / 255)
    ):
        found.append(f"{name}: its file says ε = {stated:g}, the study ε = {epsilon:g}.")
    said, read_as = metadata.get("architecture"), measured.get("architecture")
    # One's own function may have any name.
    is_own = read_as is None or re.search(r"::|\.py|/", read_as)
    if said is not None and read_as is not None and not is_own and _bare(said) != _bare(read_as):
        found.append(f"{name}: its file says architecture {said}, it was read as {read_as}.")
    tolerances = {CLEAN: CLEAN_TOLERANCE, ADVERSARIAL: ADVERSARIAL_TOLERANCE}
    for fact, tolerance in tolerances.items():
        said, seen = metadata.get(fact), measured.get(fact)
        if said is None or seen is None or seen != seen:
            continue
        error = math.sqrt(seen * (1 - seen) / max(1, int(measured.get("n_test", 1))))
        if abs(said - seen) > max(tolerance, ERRORS * error):
            word = fact.replace("_", " ")
            found.append(f"{name}: its file says {word} {said:.2%}, measured were {seen:.2%}.")
    return found


# What a name of an architecture may have before or behind it and stay the same network.
_AROUND = re.compile(r"^(cifar10|cifar|imagenet|digits|tv|timm|torchvision)_|_imagenet_stem$")


def _bare(architecture: str) -> str:
    """The name without spelling: 'cifar_resnet18', 'ResNet-18' and 'resnet18.a1_in1k' are one."""
    name = architecture.rpartition("::")[2].rpartition(":")[2].partition(".")[0].lower()
    name = _AROUND.sub("", _AROUND.sub("", re.sub(r"[^a-z0-9]+", "_", name)))
    return name.replace("_", "").replace("wrn", "wideresnet")
