"""What a checkpoint file is: suggested by its name, confirmed by its keys and shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from math import log
from pathlib import Path
from typing import TYPE_CHECKING

from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.layouts import Layout, layouts
from samemind.checkpoints.reading import read_weights
from samemind.errors import CheckpointError, InvalidInput
from samemind.lazy import LazyModule

if TYPE_CHECKING:
    import torch
else:
    torch = LazyModule("torch")

EPSILON = re.compile(r"(?:eps(?:ilon)?|[_-]e)[_=-]?(\d+(?:[._]\d+)?(?:e-?\d+)?)", re.IGNORECASE)
NORM = re.compile(r"(?<![a-z0-9])(l_?2|l_?inf)(?![a-z0-9])", re.IGNORECASE)
STANDARD = re.compile(r"(?<![a-z])(standard|natural|nat|std|clean)(?![a-z])", re.IGNORECASE)
BUILT = 6
NEAR = 0.2  # of keys and shapes; less is chance
DATASET_OF_CLASSES = {"digits": "digits", "cifar": "cifar10"}


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A checkpoint file: its architecture where the keys confirm one, norm and ε by its name.

    `problem` says why the architecture is not known, and is else empty.
    """

    path: Path
    architecture: str | None
    classes: int | None
    image_size: int | None
    norm: str | None
    epsilon: float | None
    problem: str = ""

    @property
    def dataset(self) -> str | None:
        """The dataset that samemind's architectures of this family are trained on, if one."""
        family = (self.architecture or "").partition("_")[0]
        return DATASET_OF_CLASSES.get(family)

    @property
    def sentence(self) -> str:
        """One line for a reader."""
        if self.problem:
            return f"{self.path}: {self.problem}"
        robust = "ε not in its name" if self.epsilon is None else f"ε = {self.epsilon:g}"
        norm = f" ({self.norm})" if self.norm else ""
        return f"{self.path}: {self.architecture}, {self.classes} classes, {robust}{norm}"


def recognise_all(patterns: Sequence[str]) -> list[Recognised]:
    """Every file of the patterns, recognised.

    **Raises:** `InvalidInput` where no file is found.
    """
    paths = sorted({p for pattern in patterns for p in _glob(pattern)})
    files = [p for p in paths if p.is_file()]
    if not files:
        raise InvalidInput(
            f"No file fits {' '.join(patterns)}. Put the pattern in quotes, so that the shell "
            f"leaves it to samemind, and check the folder."
        )
    return [recognise(path) for path in files]


def _glob(pattern: str) -> Iterator[Path]:
    path = Path(pattern)
    return Path(path.anchor).glob(str(path.relative_to(path.anchor)))


def recognise(path: Path) -> Recognised:
    """What one file is. Its ε and norm are only suggested: weights do not show them.

    **Cost:** reads the weights, and builds networks without values until one fits.
    """
    norm, epsilon = norm_and_epsilon(path.stem)
    classes, fitting, problem = None, [], ""
    try:
        views = list(layouts(read_weights(path)))
    except CheckpointError as error:
        views, problem = [], str(error)
    for name in _candidates(path.stem) if views else ():
        found = [c for v in views if (c := _classes_of(name, v)) and _fits(name, c, v.weights)]
        if found:
            classes = found[0]
            fitting = [name]
            break
    if views and not fitting:
        problem = _nearest(views)
    architecture = fitting[0] if fitting else None
    return Recognised(
        path=path,
        architecture=architecture,
        classes=classes,
        image_size=ARCHITECTURES[architecture].image_size if architecture else None,
        norm=norm,
        epsilon=epsilon,
        problem=problem,
    )


def norm_and_epsilon(name: str) -> tuple[str | None, float | None]:
    """The norm and the radius that a file's name speaks of; None where it does not.

    >>> norm_and_epsilon("resnet18_l2_eps0.25")
    ('L2', 0.25)
    """
    found = NORM.search(name)
    norm = None if found is None else {"2": "L2"}.get(found[1][-1], "Linf")
    radius = EPSILON.search(name)
    if radius:
        epsilon = float(radius[1].replace("_", "."))
        # L∞ radii are written in units of 1/255; one of half the range of a pixel is no attack.
        return norm, epsilon / 255 if norm == "Linf" and epsilon >= 0.5 else epsilon
    return norm, 0.0 if STANDARD.search(name) else None


def _candidates(stem: str) -> Iterator[str]:
    """All architectures, those whose names are nearest to the file's first."""
    plain = stem.lower().replace("-", "_")

    def distance(name: str) -> float:
        longest = SequenceMatcher(None, plain, name).find_longest_match()
        return -longest.size

    yield from sorted(ARCHITECTURES, key=distance)


@cache
def _shapes(name: str, classes: int) -> dict[str, tuple[int, ...]]:
    record = ARCHITECTURES[name]
    # On the meta device a network has shapes and no values: the largest takes a fraction of a
    # second and no memory.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = record.build(classes, record.image_size)
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def _fits(name: str, classes: int, weights: dict[str, torch.Tensor]) -> bool:
    counts = ARCHITECTURES[name].parameters
    # Statistics of batch norm add at most a few per cent to the values of a file.
    n_values = sum(value.numel() for value in weights.values())
    if classes in counts and not counts[classes] <= n_values <= 1.1 * counts[classes]:
        return False
    try:
        wanted = _shapes(name, classes)
    except (RuntimeError, NotImplementedError):  # a network that computes while it is built
        return False
    counters = {k for k in wanted if k.endswith("num_batches_tracked")}
    return set(wanted) - counters <= set(weights) <= set(wanted) and all(
        tuple(weights[key].shape) == wanted[key] for key in weights
    )


def _size(name: str) -> int:
    return max(ARCHITECTURES[name].parameters.values())


def _classes_of(name: str, layout: Layout) -> int | None:
    head = layout.weights.get(f"{ARCHITECTURES[name].head}.weight")
    return None if head is None or head.ndim != 2 else len(head)


def _nearest(views: Sequence[Layout]) -> str:
    """Why nothing fits, with the architecture that shares most keys and shapes."""
    n_values = max(min(sum(w.numel() for w in v.weights.values()) for v in views), 1)

    def shared(name: str) -> float:
        best = 0.0
        for view in views:
            try:
                wanted = _shapes(name, _classes_of(name, view) or 10)
            except (RuntimeError, NotImplementedError):
                continue
            held = view.weights
            same = sum(tuple(held[k].shape) == s for k, s in wanted.items() if k in held)
            best = max(best, same / max(len(wanted), len(held)))
        return best

    # Only those of about this size are built: that takes a second, all of them ten.
    near = sorted(ARCHITECTURES, key=lambda name: abs(log(_size(name) / n_values)))[:BUILT]
    name = max(near, key=shared)
    share = shared(name)
    if share < NEAR:
        return "its keys are of no architecture that samemind knows"
    return f"no architecture fits; {name} is nearest ({share:.0%} of keys and shapes)"
