"""What to train and what to evaluate, and the two ways of training that have a name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from samemind.attacks import Attack, L2Ball, LinfBall
from samemind.errors import InvalidInput
from samemind.registry import did_you_mean
from samemind.store.artifacts import Recipe, later

WARM_UP = 0.25  # of the steps of 'one_cycle'


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Stochastic gradient descent with momentum: for how long, and how fast.

    - `policy`: 'step' divides the learning rate by ten every `step_epochs`; 'one_cycle' rises
      linearly for the first quarter of the steps and falls to zero along a cosine.
    - `augmentation`: the name of one of `samemind.training.augmentation.AUGMENTATIONS`.
    - `precision`: 'float32', or 'bfloat16' for mixed precision.
    - `fallback_learning_rates`: tried in turn, from the same start, when training fails.
    - `count`: so many training images, drawn at random by the random seed of the model; None: all.
    - `share`: of the training images, in place of `count`; the images of a smaller share are among
      those of a larger one.
    - `steps`: training ends after so many, at learning rates that are those of all steps of the
      epochs. `keep_every`: on its way it leaves behind what it would be if it ended after this many
      steps, twice as many, and so on: the very artifacts that recipes with these `steps` name.
    - `normalisation`: of pixels before the network: 'dataset' for that of the dataset, or a name
      of `samemind.datasets.base.normalisation`.
    - `chance_epochs`: training fails when the accuracy on what it trains on was no better than
      chance at the end of so many epochs in a row after the warm-up; 0 never stops it.
    - `noise`: the standard deviation of Gaussian noise on every pixel of every training image, in
      pixel units of [0, 1], drawn anew at every step and not clipped (Cohen et al. 2019).
    - `stop_at_accuracy`: training ends at the first look at which the accuracy on `stop_count`
      training images, held out at random, is so high; looks come every `stop_every` steps. One
      that never gets there fails. None: all steps, on all images.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    policy: str = "step"
    step_epochs: int = 30
    augmentation: str = "none"
    precision: str = "float32"
    fallback_learning_rates: tuple[float, ...] = later(())
    chance_epochs: int = later(5)
    count: int | None = later(None)
    normalisation: str = later("dataset")
    noise: float = later(0.0)
    stop_at_accuracy: float | None = later(None)
    stop_count: int = later(1000)
    stop_every: int = later(10)
    share: float | None = later(None)
    steps: int | None = later(None)
    keep_every: int | None = later(None)

    @property
    def label(self) -> str:
        """What tells a model of this schedule by its name: how it is trained beside ε."""
        noise = f"-noise{self.noise:g}" if self.noise else ""
        stop = f"-stop{self.stop_at_accuracy:g}" if self.stop_at_accuracy is not None else ""
        share = f"-share{self.share:g}" if self.share is not None else ""
        steps = f"-step{self.steps}" if self.steps is not None else ""
        return noise + stop + share + steps

    @property
    def warm_up_epochs(self) -> int:
        """The epochs in which the learning rate has not reached its height at their end."""
        return math.ceil(WARM_UP * self.epochs) if self.policy == "one_cycle" else 0

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of one step; steps count from 0."""
        if self.policy == "step":
            return self.learning_rate * 0.1 ** (step // steps_per_epoch // self.step_epochs)
        if self.policy != "one_cycle":
            raise InvalidInput(
                f"No learning-rate policy is called '{self.policy}'. Known: one_cycle, step."
            )
        progress = (step + 1) / (self.epochs * steps_per_epoch)
        if progress < WARM_UP:
            return self.learning_rate * progress / WARM_UP
        return (
            self.learning_rate * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2
        )


PRESETS: dict[str, dict[str, Any]] = {
    # Appendix A of the paper, which follows Salman et al. (2020).
    "paper": {
        "epochs": 90,
        "batch_size": 512,
        "learning_rate": 0.1,
        "momentum": 0.9,
        "policy": "step",
        "step_epochs": 30,
    },
    # A third of the epochs in half the precision; the batch and the objective are the same.
    "fast": {
        "epochs": 30,
        "batch_size": 512,
        "learning_rate": 0.2,
        "momentum": 0.9,
        "policy": "one_cycle",
        "precision": "bfloat16",
    },
}


def preset_of(name: str, *, image_size: int, family: str = "") -> dict[str, Any]:
    """The fields of `Schedule` that a preset sets, for images of a size and a kind of network.

    'paper' trains as the study did; 'fast' is for one GPU and an evening. Weight decay and
    augmentation follow the image size: as for ImageNet above 64 pixels, as for CIFAR-10 from 28,
    and none below. Vision transformers are trained with batches of 256.
    """
    if name not in PRESETS:
        raise InvalidInput(
            f"No preset of training is called '{name}'. {did_you_mean(name, list(PRESETS))}"
            f"Known: {', '.join(PRESETS)}."
        )
    fields = dict(PRESETS[name])
    fields["weight_decay"] = 1e-4 if image_size > 64 else 5e-4
    if image_size > 64:
        fields["augmentation"] = "imagenet"
    elif image_size >= 28:
        fields["augmentation"] = "cifar"
    if family == "vision transformer":
        fields["batch_size"] = 256
    return fields


@dataclass(frozen=True, kw_only=True)
class Trained(Recipe):
    """A checkpoint that samemind trains: standard where `ball` is None, else adversarially."""

    kind: ClassVar[str] = "checkpoints"

    dataset: str
    architecture: str
    ball: L2Ball | LinfBall | None
    attack: Attack | None
    schedule: Schedule
    random_seed: int
    preprocessing: str = later("")  # of the dataset's images, in the words of its record
    fingerprint: str = later("")  # of its training images, where the record has one

    @property
    def version(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        # In version 1, 'cifar10' meant in a schedule what is now called 'cifar10-pixels'.
        return 2 if self.schedule.normalisation == "cifar10" else 1

    @property
    def epsilon(self) -> float:
        return self.ball.epsilon if self.ball else 0.0

    @property
    def model(self) -> str:
        """The name of the model in tables and figures."""
        trained = f"{self.architecture}-eps{self.epsilon:g}{self.schedule.label}"
        return f"{trained}-seed{self.random_seed}"

    @property
    def label(self) -> str:
        return f"{self.dataset}-{self.model}"


@dataclass(frozen=True, kw_only=True)
class Imported(Recipe):
    """A checkpoint from elsewhere, known by the SHA-256 of its file (`checkpoints.importing`).

    - `source`: the file's name, or `timm:NAME` or `torchvision:NAME`.
    - `mean`, `std`: the normalisation that it was trained with.
    - `random_seed`: tells runs apart, where several of one kind are imported.
    - `head`: the layer that makes the logits, of a network that has several; '' where it has one.
    """

    kind: ClassVar[str] = "checkpoints"

    source: str
    sha256: str
    dataset: str
    architecture: str
    ball: L2Ball | LinfBall | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    random_seed: int = 0
    head: str = later("")

    def __post_init__(self) -> None:
        # 0 and 0.0 are the same constant, so they must be the same recipe.
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))

    @property
    def epsilon(self) -> float:
        return self.ball.epsilon if self.ball else 0.0

    @property
    def model(self) -> str:
        """The name of the model in tables and figures; the hash tells two files apart."""
        head = f"-{self.head}" if self.head else ""
        return f"{self.architecture}-eps{self.epsilon:g}{head}-{self.sha256[:8]}"

    @property
    def label(self) -> str:
        return f"{self.dataset}-{self.model}"


Checkpoint = Trained | Imported


@dataclass(frozen=True, kw_only=True)
class Evaluated(Recipe):
    """The accuracies of a checkpoint on a split: clean, and under attacks.

    - `ball`, `attack`: of the accuracy on the split, as in the paper's tables.
    - `count`: so many images of the split, drawn at random, instead of all.
    - `fingerprint`: of the files of the split, where the dataset's record has one.
    - `strong_attack`: a second attack, in the same ball, on `strong_count` images drawn at
      random (None: all of them).
    - `epsilons`: the radii of the robustness curve, which the stronger of the two attacks makes.
    - `autoattack`: also the ensemble of Croce and Hein (2020), on the images of the strong attack.
    """

    kind: ClassVar[str] = "evaluations"

    checkpoint: Checkpoint
    split: str
    ball: L2Ball | LinfBall
    attack: Attack
    random_seed: int
    strong_attack: Attack | None = later(None)
    strong_count: int | None = later(None)
    epsilons: tuple[float, ...] = later(())
    autoattack: bool = later(False)
    count: int | None = later(None)
    fingerprint: str = later("")

    @property
    def label(self) -> str:
        return f"{self.checkpoint.label}-{self.ball.norm}-{self.ball.epsilon:g}"
