"""How far a training is, and what it sees of each batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from samemind.arrays import as_pixels
from samemind.attacks import Ball
from samemind.errors import InvalidInput, TrainingFailed
from samemind.lazy import torch
from samemind.randomness import seed_of, torch_generator
from samemind.training.augmentation import augmentation_of, gaussian_noise
from samemind.training.parallel import Group
from samemind.training.recipes import Schedule
from samemind.training.stopping import Looks

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.classifier import Classifier


def steps_in_epoch(count: int, batch_size: int) -> int:
    """The number of batches of an epoch; a single image left over joins the last batch."""
    # One image alone has no variance for batch normalisation.
    return max(1, math.ceil(count / batch_size) - (count % batch_size == 1))


class SoFar:
    """How far a training is: the optimiser, the steps done and what the epochs gave."""

    def __init__(
        self,
        classifier: Classifier,
        labels: Tensor,
        schedule: Schedule,
        group: Group,
        looks: Looks | None,
        state: dict[str, Any] | None,
    ) -> None:
        self.classifier, self.schedule, self.group, self.looks = classifier, schedule, group, looks
        self.per_epoch = steps_in_epoch(len(labels), schedule.batch_size)
        self.total = self.per_epoch * schedule.epochs
        if schedule.steps is not None and schedule.steps > self.total:
            raise InvalidInput(
                f"A training was to end after {schedule.steps} steps, but its {schedule.epochs} "
                f"epochs have {self.total}. Give it more epochs, or fewer steps."
            )
        self.chance = Chance(labels, schedule.chance_epochs, warm_up=schedule.warm_up_epochs)
        self.optimiser = torch.optim.SGD(
            classifier.parameters(),
            lr=schedule.learning_rate,
            momentum=schedule.momentum,
            weight_decay=schedule.weight_decay,
        )
        self.done = 0
        self.history: list[dict[str, float]] = []
        self.running: list[Any] = [0.0, 0, 0]  # losses, right ones, images of this epoch
        if state is not None:
            self._restore(state)

    def _restore(self, state: dict[str, Any]) -> None:
        self.done, self.history = state["done"], list(state["history"])
        self.running = list(state["running"])
        self.classifier.load_state_dict(state["classifier"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.looks is not None:
            self.looks.best = state["best"]

    def state(self) -> dict[str, Any]:
        """What a training goes on from, with the same result to the last bit."""
        return {
            "done": self.done,
            "history": self.history,
            "running": self.running,
            "classifier": self.classifier.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            **({"best": self.looks.best} if self.looks is not None else {}),
        }

    def begin_step(self, random_seed: int) -> int:
        """The number of the step, whose learning rate is set."""
        # Dropout draws from torch's own state: seeded by step, so a resumed run draws alike.
        torch.manual_seed(seed_of(random_seed, "step", self.done))
        for settings in self.optimiser.param_groups:
            settings["lr"] = self.schedule.learning_rate_at(self.done, self.per_epoch)
        return self.done

    def end_step(self, losses: Any, right: Any, count: int) -> None:
        """Counts a step, and an epoch that ends with it.

        **Raises:** `TrainingFailed` when the loss is not finite, or the accuracy stays at chance.
        """
        self.done += 1
        self.running = [self.running[0] + losses, self.running[1] + right, self.running[2] + count]
        if self.done % self.per_epoch:
            return
        self.history.append(_epoch(self.group.summed(self.running), self.done // self.per_epoch))
        self.chance.check(self.history)
        self.running = [0.0, 0, 0]

    def ended_early(self) -> list[dict[str, float]]:
        """The epochs, of which the last ended with this step."""
        self.history = epochs_of(self.history, self.group.summed(self.running), self.part)
        if self.looks is None:
            return self.history
        last = self.history[-1] | {"held_out_accuracy": self.looks.best}
        return [*self.history[:-1], last]

    @property
    def part(self) -> float:
        """How many epochs are done, the one in work as a part."""
        return self.done / self.per_epoch

    @property
    def is_at_its_end(self) -> bool:
        """Whether the schedule ends here, before all its epochs or with them."""
        return self.done == self.schedule.steps


def epochs_of(
    history: list[dict[str, float]], running: Sequence[Any], part: float
) -> list[dict[str, float]]:
    """The epochs of a training that ends now, the one in work with those that are done.

    **Arguments:**

    - `running`: summed losses, right ones and images of the epoch in work.
    - `part`: how many epochs are done, the one in work as a part.
    """
    return [*history, _epoch([float(v) for v in running], part)] if running[2] else list(history)


class Seen:
    """What a process sees of a batch: augmented, with noise, and its share of it."""

    def __init__(
        self,
        schedule: Schedule,
        group: Group,
        random_seed: int,
        memory_format: torch.memory_format,
    ) -> None:
        self.schedule, self.group, self.random_seed = schedule, group, random_seed
        self.memory_format = memory_format
        self.augment = augmentation_of(schedule.augmentation).on_device

    def __call__(
        self, batch: Tensor, y: Tensor, ball: Ball | None, step: int
    ) -> tuple[Tensor, Tensor, Ball | None]:
        seed = self.random_seed
        x = self.augment(as_pixels(batch), torch_generator(seed, "augmentation", step))
        if self.schedule.noise:
            x = gaussian_noise(x, self.schedule.noise, torch_generator(seed, "noise", step))
        # Every process makes the whole batch and keeps its share, so that the random numbers of an
        # image do not depend on how many processes there are.
        own_ball = self.group.share_of_ball(ball, x)
        x, y = self.group.share(x), self.group.share(y)
        return x.contiguous(memory_format=self.memory_format), y, own_ball


def _epoch(running: list[float], epoch: float) -> dict[str, float]:
    loss = running[0] / running[2]
    if not math.isfinite(loss):
        raise TrainingFailed(f"The training loss was {loss} in epoch {math.ceil(epoch)}. {ADVICE}")
    return {"epoch": epoch, "loss": loss, "accuracy": running[1] / running[2]}


ADVICE = (
    "Lower the learning rate of the study ([training] learning_rate), name lower ones to fall "
    "back on ([training] fallback_learning_rates), or make an exception for this architecture "
    "([[training.exceptions]])."
)


class Chance:
    """The rule that stops a training which learns nothing.

    Chance is the share of the most frequent class, and no better means: within three standard
    errors of it. The accuracy is the one on what is trained on, adversarial examples included, on
    which a network that gives one answer for everything does no better than chance either. Epochs
    of the warm-up do not count: its first learning rates may be too low to learn by.
    """

    def __init__(self, labels: Tensor, epochs: int, warm_up: int = 0) -> None:
        self.epochs = epochs
        self.warm_up = warm_up
        share = float(labels.bincount().max()) / len(labels)
        self.level = share + 3 * math.sqrt(share * (1 - share) / len(labels))

    def check(self, history: list[dict[str, float]]) -> None:
        """Raises `TrainingFailed` when the last epochs were all at chance."""
        last = history[self.warm_up :][-self.epochs :] if self.epochs else []
        if not last or len(last) < self.epochs or self.level >= 1:
            return
        best = max(epoch["accuracy"] for epoch in last)
        if best <= self.level:
            raise TrainingFailed(
                f"After {len(history)} epochs the accuracy in training was still at chance: at "
                f"most {best:.1%} in the last {self.epochs} epochs, where a constant answer gives "
                f"{self.level:.1%} or less. {ADVICE}"
            )
