"""The training loop: standard and adversarial, resumable to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from samemind.attacks import (
    Attack,
    Ball,
    L2Ball,
    LinfBall,
    frozen_for_attack,
    projected_gradient_descent,
    value_and_gradient,
)
from samemind.errors import InvalidInput
from samemind.execution.devices import memory_reused
from samemind.execution.memory_format import memory_format_for
from samemind.execution.replaying import Replayed
from samemind.lazy import torch
from samemind.randomness import torch_generator
from samemind.training.loading import OriginalImages, SplitImages, loaded
from samemind.training.parallel import Group, alone
from samemind.training.progress import Seen, SoFar, steps_in_epoch
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
      ends with its step, and also has 'held_out_accuracy'.

    **Raises:** `TrainingFailed` when the loss is not finite, the accuracy stays at chance, or it
    never gets where the schedule stops.

    **Cost:** per step a forward and a backward pass; with an attack of k steps, k more of both
    (to the pixels only), and a forward pass more to keep the best iterate.
    """
    group = group or alone()
    group.check_batches(len(labels), schedule.batch_size)
    memory_format = memory_format_for(classifier, device)
    classifier.to(device, memory_format=memory_format).train()  # pyright: ignore[reportCallIssue]
    group.share_statistics(classifier)
    labels = labels.to(device)
    so_far = SoFar(classifier, labels, schedule, group, looks, state)
    compile_if_asked: Any = torch.compile if compiled else lambda module: module  # two graphs
    attacked = Attacked(compile_if_asked(classifier), attack, precision=schedule.precision)
    update = Update(compile_if_asked(group.wrap(classifier)), schedule.precision, group)
    seen = Seen(schedule, group, random_seed, memory_format)
    order = enumerate(batches(len(labels), schedule, random_seed, so_far.done), so_far.done)
    forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with forked, classifier.watched():
        for indices, batch in loaded(images, order, device=device, workers=loaders):
            step = so_far.begin_step(random_seed)
            y = labels[indices.to(device, non_blocking=True)]
            x, y, own_ball = seen(batch, y, ball, step)
            x = attacked(x, y, own_ball, generator=torch_generator(random_seed, "attack", step))
            so_far.optimiser.zero_grad(set_to_none=True)
            losses, right = update(x, y, len(indices))
            so_far.optimiser.step()
            so_far.end_step(losses, right, len(indices))
            # Before the state is saved: a run that goes on from it must not miss the look.
            if (looks and looks.are_enough(classifier, so_far.done)) or so_far.is_at_its_end:
                return so_far.ended_early()
            if after_step is not None:
                after_step(so_far.done, so_far.total, so_far.state)
    if looks is not None:
        raise looks.failure(so_far.total)
    return so_far.history


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
