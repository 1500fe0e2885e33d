"""What input sets there are: natural images, seed images, inverted and adversarial images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from samemind.attacks import Attack, L2Ball, LinfBall
from samemind.store.artifacts import Recipe, later
from samemind.training import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Natural(Recipe):
    """Images of a dataset as they are: all of a split in order, or `count` drawn at random.

    - `preprocessing`: what the dataset's record does to each image, in its words.
    - `fingerprint`: of the files of the split, where the dataset's record has one.
    """

    kind: ClassVar[str] = "inputs"

    dataset: str
    split: str
    count: int | None
    random_seed: int
    preprocessing: str = later("")
    fingerprint: str = later("")

    @property
    def label(self) -> str:
        return f"natural-{self.dataset}-{self.split}-{self.count or 'all'}"

    @property
    def form(self) -> str:
        """What tables call this kind of inputs."""
        return "natural"

    @property
    def owner(self) -> Checkpoint | None:
        """The model that the images were made for; natural ones were made for none."""
        return None

    @property
    def source(self) -> Natural:
        """The natural inputs that they are, or were made from."""
        return self


@dataclass(frozen=True, kw_only=True)
class Seeds(Recipe):
    """For each target an image of another class, drawn at random from the same split."""

    kind: ClassVar[str] = "inputs"

    targets: Natural
    random_seed: int

    @property
    def label(self) -> str:
        return f"seeds-{self.targets.dataset}-{self.targets.split}-{self.targets.count or 'all'}"


@dataclass(frozen=True, kw_only=True)
class Until:
    """When an image is done before its last step: its best loss has all but stopped falling.

    That is, it fell by less than `relative_loss` within the last `patience` steps. Before the image
    leaves, its step size is halved `halvings` times, each time that this happens: steps of one
    length circle around the optimum at a distance of about that length.
    """

    relative_loss: float
    patience: int
    halvings: int = 0


@dataclass(frozen=True, kw_only=True)
class Descent:
    """How a seed image is moved: normalised gradient steps with momentum, the best iterate kept.

    The defaults are those of the study's code; its text speaks of three steps, which move an
    image by at most 0.07 and cannot give its figure 2.
    """

    steps: int = 1000
    step_size: float = 0.125  # pixel units, Euclidean length per image
    momentum: float = 0.9
    precision: str = "float32"
    until: Until | None = later(None)


class MadeFor(Recipe):
    """Images that were made for one checkpoint, from natural ones."""

    checkpoint: Checkpoint
    targets: Natural

    @property
    def owner(self) -> Checkpoint:
        """The model that the images were made for."""
        return self.checkpoint

    @property
    def source(self) -> Natural:
        """The natural inputs that they were made from."""
        return self.targets


@dataclass(frozen=True, kw_only=True)
class Inverted(MadeFor):
    """The inverted images of one checkpoint. Targets and seeds are the same for every model."""

    kind: ClassVar[str] = "inputs"

    checkpoint: Checkpoint
    targets: Natural
    seeds: Seeds
    descent: Descent
    storage: str = "float16"  # rounding to 8 bits moves an image as far as a small attack does

    @property
    def label(self) -> str:
        return f"inverted-{self.targets.dataset}-{self.checkpoint.label}"

    @property
    def form(self) -> str:
        """What tables call this kind of inputs."""
        return "inverted"


@dataclass(frozen=True, kw_only=True)
class Adversarial(MadeFor):
    """The adversarial examples of one checkpoint: natural images under an attack on it.

    - `ball`: how far an image is moved, the same for every model, so that all are seen alike.
    - `random_seed`: of random starts, for each image of its own.
    """

    kind: ClassVar[str] = "inputs"

    checkpoint: Checkpoint
    targets: Natural
    ball: L2Ball | LinfBall
    attack: Attack
    random_seed: int = 0

    @property
    def label(self) -> str:
        ball = f"{self.ball.norm}-{self.ball.epsilon:g}"
        return f"adversarial-{self.targets.dataset}-{ball}-{self.checkpoint.label}"

    @property
    def form(self) -> str:
        """What tables call this kind of inputs."""
        return "adversarial"


Inputs = Natural | Inverted | Adversarial
