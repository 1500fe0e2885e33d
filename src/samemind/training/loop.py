"""The training loop: standard and adversarial, resumable to the last bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from samemind.arrays import as_pixels
from samemind.attacks import (
    Attack,
    Ball,
    L2Ball,
    LinfBall,
    frozen_for_attack,
    projected_gradient_descent,
    value_and_gradient,
)
from samemind.errors import InvalidInput, TrainingFailed
from samemind.execution.devices import memory_reused
from samemind.execution.replaying import Replayed
from samemind.lazy import torch
from samemind.randomness import seed_of, torch_generator
from samemind.training.augmentation import augmentation_of, gaussian_noise
from samemind.training.loading import OriginalImages, SplitImages, loaded
from samemind.training.parallel import Group, alone
from samemind.training.recipes import Schedule
from samemind.training.stopping import Looks

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.classifier import Classifier

AfterStep = Callable[[int, int, Callable[[], dict[str, Any]]], None]


@memory_reused()
def train(
    classifier: Classifier,
    images: Tensor | SplitImages | OriginalImages,
    labels: Tensor,
    *,
    schedule: Schedule,
    ball: L2Ball | LinfBall | None,
    attack: Attack | None,
    random_seed: int,
    device: torch.device,
    state: dict[str, Any] | None = None,
    after_step: AfterStep | None = None,
    loaders: int = 0,
    compiled: bool = False,
    group: Group | None = None,
    looks: Looks | None = None,
) -> list[dict[str, float]]:
    """Trains in place; returns loss and accuracy (on what was trained on) of each epoch.

    **Arguments:**

    - `images`, `labels`: (N, channels, H, W), uint8 or [0, 1], or a reader of images that do not
      fit in memory; (N,) class numbers.
    - `ball`, `attack`: for adversarial training (Madry et al. 2018): the attack runs in
      evaluation mode and the update sees adversarial examples only. None: standard training.
    - `state`: what `after_step` got, to go on from there with the same result to the last bit.
    - `after_step`: called with (steps done, steps in all, a function that gives the state).
    - `loaders`: processes that read images ahead, for a reader.
    - `compiled`: whether torch compiles the network; the values agree to rounding.
    - `group`: the processes that train this model together, see `samemind.training.parallel`.
    - `looks`: at images held out, for a schedule that stops at an accuracy; the last epoch then
      ends with its step, and also has the accuracy on these, 'held_out_accuracy'.

    **Raises:** `TrainingFailed` when the loss is not finite, the accuracy stays at chance, or it
    never gets where the schedule stops.

    **Cost:** per step a forward and a backward pass; with an attack of k steps, k more of both
    (to the pixels only), and a forward pass more to keep the best iterate.
    """
    group = group or alone()
    group.check_batches(len(labels), schedule.batch_size)
    classifier.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    classifier.train()
    group.share_statistics(classifier)
    labels = labels.to(device)
    optimiser = torch.optim.SGD(
        classifier.parameters(),
        lr=schedule.learning_rate,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
    )
    steps_per_epoch = steps_in_epoch(len(labels), schedule.batch_size)
    total = steps_per_epoch * schedule.epochs
    done, history, running = 0, [], [0.0, 0, 0]
    if state is not None:
        done, history, running = state["done"], list(state["history"]), list(state["running"])
        classifier.load_state_dict(state["classifier"])
        optimiser.load_state_dict(state["optimiser"])
        if looks is not None:
            looks.best = state["best"]
    # In evaluation mode for the attack and in training mode for the update: two graphs.
    compile_if_asked: Any = torch.compile if compiled else lambda module: module
    attacked = Attacked(compile_if_asked(classifier), attack, precision=schedule.precision)
    update = Update(compile_if_asked(group.wrap(classifier)), schedule.precision, group)
    augment = augmentation_of(schedule.augmentation).on_device
    chance = Chance(labels, schedule.chance_epochs, warm_up=schedule.warm_up_epochs)

    def current() -> dict[str, Any]:
        return {
            "done": done,
            "history": history,
            "running": running,
            "classifier": classifier.state_dict(),
            "optimiser": optimiser.state_dict(),
            **({"best": looks.best} if looks is not None else {}),
        }

    order = enumerate(batches(len(labels), schedule, random_seed, first=done), start=done)
    forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with forked, classifier.watched():
        for indices, batch in loaded(images, order, device=device, workers=loaders):
            # Dropout draws from torch's own state: seeded by step, so a resumed run draws alike.
            torch.manual_seed(seed_of(random_seed, "step", done))
            for settings in optimiser.param_groups:
                settings["lr"] = schedule.learning_rate_at(done, steps_per_epoch)
            x = augment(as_pixels(batch), torch_generator(random_seed, "augmentation", done))
            if schedule.noise:
                x = gaussian_noise(x, schedule.noise, torch_generator(random_seed, "noise", done))
            y = labels[indices.to(device, non_blocking=True)]
            # Every process makes the whole batch and keeps its share, so that the random numbers
            # of an image do not depend on how many processes there are.
            own_ball = group.share_of_ball(ball, x)
            x, y = group.share(x), group.share(y)
            x = x.contiguous(memory_format=torch.channels_last)
            generator = torch_generator(random_seed, "attack", done)
            x = attacked(x, y, own_ball, generator=generator)
            optimiser.zero_grad(set_to_none=True)
            losses, right = update(x, y, len(indices))
            optimiser.step()
            done += 1
            running = [running[0] + losses, running[1] + right, running[2] + len(indices)]
            if done % steps_per_epoch == 0:
                history.append(_epoch(group.summed(running), done // steps_per_epoch))
                chance.check(history)
                running = [0.0, 0, 0]
            # Before the state is saved: a run that goes on from it must not miss the look.
            if looks is not None and looks.are_enough(classifier, done):
                if running[2]:
                    history.append(_epoch(group.summed(running), done / steps_per_epoch))
                return [*history[:-1], history[-1] | {"held_out_accuracy": looks.best}]
            if after_step is not None:
                after_step(done, total, current)
    if looks is not None:
        raise looks.failure(total)
    return history


def steps_in_epoch(count: int, batch_size: int) -> int:
    """The number of batches of an epoch; a single image left over joins the last batch."""
    # One image alone has no variance for batch normalisation.
    return max(1, math.ceil(count / batch_size) - (count % batch_size == 1))


def batches(count: int, schedule: Schedule, random_seed: int, first: int = 0) -> Iterator[Tensor]:
    """The indices of each batch, from step `first` on; every epoch has an order of its own."""
    steps = steps_in_epoch(count, schedule.batch_size)
    for epoch in range(first // steps, schedule.epochs):
        order = torch.randperm(count, generator=torch_generator(random_seed, "order", epoch))
        for step in range(max(0, first - epoch * steps), steps):
            end = (step + 1) * schedule.batch_size if step + 1 < steps else count
            yield order[step * schedule.batch_size : end]


class Update:
    """The gradients of one step of a network's training, left with its parameters.

    **Arguments:**

    - `network`: as it is called in training: compiled, or for a group of processes.
    """

    def __init__(self, network: Classifier, precision: str, group: Group) -> None:
        self.group = group
        self.losses = partial(_summed_losses, network, precision)
        self.reached: list[Tensor] = []  # those of the parameters that the loss depends on
        parameters = [p for p in network.parameters() if p.requires_grad]
        self.gradients = Replayed(partial(_gradients, self.losses, parameters, self.reached))

    def __call__(self, x: Tensor, y: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The summed loss of the images, and how many are right; `count` over all processes."""
        if self.group.size > 1:  # gradients travel while they are made
            losses, right = self.losses(x, y)
            self.group.backward(losses / count)
            return losses.detach(), right
        losses, right, *gradients = self.gradients(x, y)
        for parameter, gradient in zip(self.reached, gradients, strict=True):
            parameter.grad = gradient
        return losses, right


# What is recorded holds nothing of its owner: on a GPU, memory would else outlive its last use.
def _summed_losses(
    network: Classifier, precision: str, x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    with mixed_precision(precision, x.device):
        logits = network(x).logits
    losses = torch.nn.functional.cross_entropy(logits.float(), y, reduction="sum")
    return losses, (logits.detach().argmax(1) == y).sum()


def _gradients(
    losses_of: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    parameters: Sequence[Tensor],
    reached: list[Tensor],
    x: Tensor,
    y: Tensor,
) -> tuple[Tensor, ...]:
    losses, right = losses_of(x, y)
    found = torch.autograd.grad(losses / len(x), parameters, allow_unused=True)
    reached[:] = [p for p, g in zip(parameters, found, strict=True) if g is not None]
    return losses.detach(), right, *(g for g in found if g is not None)


class Attacked:
    """Images under the attack that a network is trained with or evaluated under.

    **Arguments:**

    - `attack`: None leaves the images as they are.
    """

    def __init__(
        self, classifier: Classifier, attack: Attack | None, *, precision: str = "float32"
    ) -> None:
        self.classifier = classifier
        self.attack = attack
        self.loss = partial(cross_entropy_of, classifier, precision=precision)
        self.ascent = Replayed(partial(_ascent, self.loss))

    def __call__(
        self,
        x: Tensor,
        y: Tensor,
        ball: Ball | None,
        *,
        generator: torch.Generator | None = None,
        start: Tensor | None = None,
    ) -> Tensor:
        if ball is None or self.attack is None:
            return x
        with frozen_for_attack(self.classifier):
            return projected_gradient_descent(
                partial(self.loss, labels=y),
                x,
                ball,
                self.attack,
                ascent=lambda images: self.ascent(images, y),
                generator=generator,
                start=start,
            ).detach()


def _ascent(loss: Callable[..., Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return value_and_gradient(partial(loss, labels=labels), images)


def cross_entropy_of(
    classifier: Classifier, images: Tensor, *, labels: Tensor, precision: str = "float32"
) -> Tensor:
    """The cross-entropy of each image (N,): what an attack makes large."""
    with mixed_precision(precision, images.device):
        logits = classifier(images).logits
    return torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")


def mixed_precision(precision: str, device: torch.device):
    """The autocast context of a named precision: nothing for float32."""
    if precision == "float32":
        return nullcontext()
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    raise InvalidInput(f"No precision is called '{precision}'. Known: bfloat16, float32.")


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
