"""What a checkpoint file is: suggested by its name, confirmed by its keys and shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.layouts import Layout, layouts
from samemind.checkpoints.nearest import classes_in, fits, nearest
from samemind.checkpoints.reading import read_weights
from samemind.errors import CheckpointError, InvalidInput
from samemind.files.reading import is_file

EPSILON = re.compile(r"(?:eps(?:ilon)?|[_-]e)[_=-]?(\d+(?:[._]\d+)?(?:e-?\d+)?)", re.IGNORECASE)
NORM = re.compile(r"(?<![a-z0-9])(l_?2|l_?inf)(?![a-z0-9])", re.IGNORECASE)
STANDARD = re.compile(r"(?<![a-z])(standard|natural|nat|std|clean)(?![a-z])", re.IGNORECASE)
NEAR = 0.2  # of keys and shapes; less is chance
DATASET_OF_CLASSES = {"digits": "digits", "cifar": "cifar10"}
IMAGENETS = {1000: "imagenet1k", 100: "imagenet100", 50: "imagenet50"}


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
        return DATASET_OF_CLASSES.get(family) or IMAGENETS.get(self.classes or 0)

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
    files = [p for p in paths if is_file(p)]
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
        found = [v for v in views if fits(name, v.weights)]
        if found:
            classes = classes_in(found[0].weights, ARCHITECTURES[name])
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


def _nearest(views: Sequence[Layout]) -> str:
    """Why nothing fits, with the architecture that shares most keys and shapes."""
    near = nearest(views)
    if near.share < NEAR:
        return "its keys are of no architecture that samemind knows"
    return f"no architecture fits; {near.name} is nearest ({near.share:.0%} of keys and shapes)"
