"""What a checkpoint file is: suggested by its name, confirmed by its keys and shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints._layout import Layout
from samemind.checkpoints.fitting import Loaded, fit, fit_file
from samemind.checkpoints.layouts import layouts
from samemind.checkpoints.nearest import classes_in, fits, nearest
from samemind.checkpoints.parts import Part
from samemind.checkpoints.reading import Contents, read_file, split_part
from samemind.checkpoints.sharded import is_checkpoint
from samemind.errors import CheckpointError, InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = re.compile(r"(?:eps(?:ilon)?|[_-]e)[_=-]?(\d+(?:[._]\d+)?(?:e-?\d+)?)", re.IGNORECASE)
NORM = re.compile(r"(?<![a-z0-9])(l_?2|l_?inf)(?![a-z0-9])", re.IGNORECASE)
STANDARD = re.compile(r"(?<![a-z])(standard|natural|nat|std|clean)(?![a-z])", re.IGNORECASE)
NEAR = 0.2  # of keys and shapes; less is chance
DATASET_OF_CLASSES = {"digits": "digits", "cifar": "cifar10"}
IMAGENETS = {1000: "imagenet1k", 100: "imagenet100", 50: "imagenet50"}


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A checkpoint file: its architecture where the keys confirm one, norm and ε by its name.

    `problem` says why the architecture is not known, and is else empty. `is_unpickled` is True
    where only `--trust` reads the file.
    """

    path: Path
    part: str | int | None = None
    architecture: str | None
    classes: int | None
    image_size: int | None
    norm: str | None
    epsilon: float | None
    problem: str = ""
    is_unpickled: bool = False

    @property
    def dataset(self) -> str | None:
        """The dataset that samemind's architectures of this family are trained on, if one."""
        family = (self.architecture or "").partition("_")[0]
        return DATASET_OF_CLASSES.get(family) or IMAGENETS.get(self.classes or 0)

    @property
    def sentence(self) -> str:
        """One line for a reader."""
        if self.problem:
            return f"{self.path}: {self.problem.removeprefix(f'{self.path} ')}"
        robust = "ε not in its name" if self.epsilon is None else f"ε = {self.epsilon:g}"
        norm = f" ({self.norm})" if self.norm else ""
        return f"{self.path}: {self.architecture}, {self.classes} classes, {robust}{norm}"


def recognise_all(
    patterns: Sequence[str], *, is_trusted: bool = False, part: str | int | None = None
) -> list[Recognised]:
    """Every file of the patterns, recognised; `FILE::PART` is one network of a file.

    **Raises:** `InvalidInput` where no file is found.
    """
    split = [split_part(pattern) for pattern in patterns]
    paths = sorted(
        {(p, named or part) for pattern, named in split for p in _glob(pattern)}, key=str
    )
    files = [(p, wanted) for p, wanted in paths if is_checkpoint(p)]
    if not files:
        raise InvalidInput(
            f"No file fits {' '.join(patterns)}. Put the pattern in quotes, so that the shell "
            f"leaves it to samemind, and check the folder."
        )
    return [recognise(path, is_trusted=is_trusted, part=wanted) for path, wanted in files]


def _glob(pattern: str) -> Iterator[Path]:
    path = Path(pattern)
    return Path(path.anchor).glob(str(path.relative_to(path.anchor)))


def recognise(path: Path, *, is_trusted: bool = False, part: str | int | None = None) -> Recognised:
    """What one file is. Its ε and norm are only suggested: weights do not show them.

    **Arguments:**

    - `is_trusted`, `part`: see `samemind.checkpoints.reading.read_weights`.

    **Cost:** reads the weights, and builds networks without values until one fits.
    """
    norm, epsilon = norm_and_epsilon(path.stem)
    is_unpickled = False
    try:
        contents = read_file(path, is_trusted=is_trusted)
        is_unpickled = contents.is_unpickled
        chosen = _choose(contents, part)
        found = architecture_of(chosen.weights, path.stem)
    except CheckpointError as error:
        found = Keys(None, None, str(error).rstrip("."))
    architecture = found.architecture
    return Recognised(
        path=path,
        part=part,
        architecture=architecture,
        classes=found.classes,
        image_size=ARCHITECTURES[architecture].image_size if architecture else None,
        norm=norm,
        epsilon=epsilon,
        problem=found.problem,
        is_unpickled=is_unpickled,
    )


class Keys(NamedTuple):
    """What the names and shapes of weights say: an architecture, or why none is known."""

    architecture: str | None
    classes: int | None
    problem: str


def architecture_of(weights: dict[str, Tensor], stem: str = "") -> Keys:
    """The registered architecture whose names and shapes weights have, whole.

    **Arguments:**

    - `stem`: a name whose likes are tried first.

    **Cost:** builds networks without values until one fits.
    """
    views = list(layouts(weights))
    for name in _candidates(stem):
        fitting = [v for v in views if fits(name, v.weights)]
        if fitting:
            return Keys(name, classes_in(fitting[0].weights, ARCHITECTURES[name]), "")
    return Keys(None, None, _nearest(views))


def fitted(
    contents: Contents,
    name: str | None,
    *,
    part: str | int | None = None,
    classes: int | None = None,
    image_size: int | None = None,
) -> Loaded:
    """The network of a file: of the architecture named, or of the one that its keys are of.

    **Raises:** `CheckpointError` where the file does not fit, or its keys are of none.
    """
    if name is not None:
        return fit_file(
            contents, ARCHITECTURES[name], part=part, classes=classes, image_size=image_size
        )
    chosen = _choose(contents, part)
    found = architecture_of(chosen.weights, contents.path.stem)
    if found.architecture is None:
        raise CheckpointError(
            f"What network {contents.path} holds the weights of is not known: {found.problem}. "
            f"Name it: --architecture NAME (`samemind list architectures`), timm:NAME, "
            f"torchvision:NAME, or python:MODULE:FUNCTION for a network of your own."
        )
    return fit(
        chosen.weights,
        ARCHITECTURES[found.architecture],
        source=str(contents.path),
        classes=classes,
        image_size=image_size,
        steps=chosen.steps,
    )


def _choose(contents: Contents, part: str | int | None) -> Part:
    return contents.choose(
        part,
        fits=lambda weights: architecture_of(weights, contents.path.stem).architecture is not None,
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
