"""Checkpoints: standard and adversarial training, and evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from samemind.architectures.base import ARCHITECTURES
from samemind.arrays import as_pixels
from samemind.artifacts import Recipe, Store
from samemind.attacks import (
    Attack,
    L2Ball,
    LinfBall,
    frozen_for_attack,
    projected_gradient_descent,
)
from samemind.datasets.base import DATASETS
from samemind.devices import Execution
from samemind.errors import InvalidInput, TrainingFailed
from samemind.lazy import LazyModule
from samemind.randomness import seed_of, torch_generator

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from samemind.classifier import Classifier
else:
    torch = LazyModule("torch")

WEIGHTS_FILE = "weights.safetensors"


# -- recipes


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Stochastic gradient descent with momentum: for how long, and how fast.

    - `policy`: 'step' divides the learning rate by ten every `step_epochs`; 'one_cycle' rises
      linearly for the first quarter of the steps and falls to zero along a cosine.
    - `precision`: 'float32', or 'bfloat16' for mixed precision.
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

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of one step; steps count from 0."""
        if self.policy == "step":
            return self.learning_rate * 0.1 ** (step // steps_per_epoch // self.step_epochs)
        if self.policy != "one_cycle":
            raise InvalidInput(
                f"No learning-rate policy is called '{self.policy}'. Known: one_cycle, step."
            )
        progress = (step + 1) / (self.epochs * steps_per_epoch)
        if progress < 0.25:
            return self.learning_rate * progress / 0.25
        return self.learning_rate * (1 + math.cos(math.pi * (progress - 0.25) / 0.75)) / 2


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

    @property
    def epsilon(self) -> float:
        return self.ball.epsilon if self.ball else 0.0

    @property
    def model(self) -> str:
        """The name of the model in tables and figures."""
        return f"{self.architecture}-eps{self.epsilon:g}-seed{self.random_seed}"

    @property
    def label(self) -> str:
        return f"{self.dataset}-{self.model}"


Checkpoint = Trained


@dataclass(frozen=True, kw_only=True)
class Evaluated(Recipe):
    """The accuracies of a checkpoint on a split: clean, and under an attack of radius ε."""

    kind: ClassVar[str] = "evaluations"

    checkpoint: Checkpoint
    split: str
    ball: L2Ball | LinfBall
    attack: Attack
    random_seed: int

    @property
    def label(self) -> str:
        return f"{self.checkpoint.label}-{self.ball.norm}-{self.ball.epsilon:g}"


# -- pure functions


def train(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    schedule: Schedule,
    ball: L2Ball | LinfBall | None,
    attack: Attack | None,
    random_seed: int,
    device: torch.device,
    state: dict[str, Any] | None = None,
    after_step: Callable[[int, int, Callable[[], dict[str, Any]]], None] | None = None,
) -> list[dict[str, float]]:
    """Trains in place; returns loss and accuracy (on what was trained on) of each epoch.

    **Arguments:**

    - `images`, `labels`: (N, channels, H, W), uint8 or [0, 1]; (N,) class numbers.
    - `ball`, `attack`: for adversarial training (Madry et al. 2018): the attack runs in
      evaluation mode and the update sees adversarial examples only. None: standard training.
    - `state`: what `after_step` got, to go on from there with the same result to the last bit.
    - `after_step`: called with (steps done, steps in all, a function that gives the state).

    **Raises:** `TrainingFailed` when the loss is not finite.

    **Cost:** per step a forward and a backward pass; with an attack of k steps, k more of both
    (to the pixels only), and a forward pass more to keep the best iterate.
    """
    classifier.to(device).train()
    images, labels = images.to(device), labels.to(device)
    optimiser = torch.optim.SGD(
        classifier.parameters(),
        lr=schedule.learning_rate,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
    )
    steps_per_epoch = steps_in_epoch(len(images), schedule.batch_size)
    total = steps_per_epoch * schedule.epochs
    done, history, running = 0, [], [0.0, 0, 0]
    if state is not None:
        done, history, running = state["done"], list(state["history"]), list(state["running"])
        classifier.load_state_dict(state["classifier"])
        optimiser.load_state_dict(state["optimiser"])

    def current() -> dict[str, Any]:
        return {
            "done": done,
            "history": history,
            "running": running,
            "classifier": classifier.state_dict(),
            "optimiser": optimiser.state_dict(),
        }

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for indices in batches(len(images), schedule, random_seed, first=done):
            # Dropout draws from torch's own state: seeded by step, so a resumed run draws alike.
            torch.manual_seed(seed_of(random_seed, "step", done))
            for group in optimiser.param_groups:
                group["lr"] = schedule.learning_rate_at(done, steps_per_epoch)
            x, y = as_pixels(images[indices]), labels[indices]
            if ball is not None and attack is not None:
                x = _attacked(classifier, x, y, ball, attack, schedule.precision, random_seed, done)
            with mixed_precision(schedule.precision, device):
                logits = classifier(x).logits
            loss = torch.nn.functional.cross_entropy(logits.float(), y)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            done += 1
            running = [
                running[0] + loss.detach() * len(y),
                running[1] + (logits.detach().argmax(1) == y).sum(),
                running[2] + len(y),
            ]
            if done % steps_per_epoch == 0:
                history.append(_epoch(running, done, steps_per_epoch))
                running = [0.0, 0, 0]
            if after_step is not None:
                after_step(done, total, current)
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


def _attacked(
    classifier: Classifier,
    x: Tensor,
    y: Tensor,
    ball: L2Ball | LinfBall,
    attack: Attack,
    precision: str,
    random_seed: int,
    step: int,
) -> Tensor:
    generator = torch_generator(random_seed, "attack", step) if attack.random_start else None
    with frozen_for_attack(classifier):
        return projected_gradient_descent(
            partial(cross_entropy_of, classifier, labels=y, precision=precision),
            x,
            ball,
            attack,
            generator=generator,
        ).detach()


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


def _epoch(running: list[Any], done: int, steps_per_epoch: int) -> dict[str, float]:
    loss = float(running[0]) / running[2]
    epoch = done // steps_per_epoch
    if not math.isfinite(loss):
        raise TrainingFailed(
            f"The training loss was {loss} in epoch {epoch}. Lower the learning rate of the "
            f"study ([training] learning_rate), or train this architecture by itself."
        )
    return {"epoch": epoch, "loss": loss, "accuracy": float(running[1]) / running[2]}


def accuracy(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    ball: L2Ball | LinfBall | None = None,
    attack: Attack | None = None,
    random_seed: int = 0,
    batch_size: int = 256,
    device: torch.device,
) -> float:
    """The share of images classified as labelled; under the attack where one is given.

    **Cost:** a forward pass per image; under an attack, its cost more.
    """
    classifier.to(device).eval()
    right = 0
    for i, chunk in enumerate(torch.arange(len(images)).split(batch_size)):
        x, y = as_pixels(images[chunk]).to(device), labels[chunk].to(device)
        if ball is not None and attack is not None:
            x = _attacked(classifier, x, y, ball, attack, "float32", random_seed, i)
        with torch.no_grad():
            right += int((classifier(x).logits.argmax(1) == y).sum())
    return right / len(images)


# -- builds


def build_checkpoint(recipe: Trained, store: Store, execution: Execution) -> None:
    """Trains the checkpoint of a recipe, or goes on where a killed run left off."""
    from samemind.classifier import new_classifier
    from samemind.resume import ResumeState

    device = execution.start()
    dataset = DATASETS[recipe.dataset]
    classifier = new_classifier(
        ARCHITECTURES[recipe.architecture], dataset, random_seed=seed_of(recipe.random_seed, "init")
    )
    split = dataset.split("train")
    resume = ResumeState(store.scratch(recipe), every=execution.save_every)
    history = train(
        classifier,
        torch.from_numpy(split.read(range(len(split)))),
        torch.from_numpy(split.labels),
        schedule=recipe.schedule,
        ball=recipe.ball,
        attack=recipe.attack,
        random_seed=recipe.random_seed,
        device=device,
        state=resume.load(),
        after_step=resume.after_step,
    )
    with store.create(recipe, device=str(device)) as draft:
        weights = classifier.network.state_dict()
        draft.write_arrays(WEIGHTS_FILE, {k: v.cpu().numpy() for k, v in weights.items()})
        draft.write_json("training.json", history)
    resume.remove()


def load_checkpoint(recipe: Checkpoint, store: Store) -> Classifier:
    """The classifier of a checkpoint in the store, on the CPU, in evaluation mode."""
    from samemind.classifier import new_classifier

    artifact = store.open(recipe)
    dataset = DATASETS[recipe.dataset]
    classifier = new_classifier(ARCHITECTURES[recipe.architecture], dataset, random_seed=0)
    weights = artifact.arrays(WEIGHTS_FILE)
    classifier.network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    return classifier.eval()


def build_evaluation(recipe: Evaluated, store: Store, execution: Execution) -> None:
    """Measures the accuracies of a checkpoint and writes them down."""
    device = execution.start()
    classifier = load_checkpoint(recipe.checkpoint, store)
    split = DATASETS[recipe.checkpoint.dataset].split(recipe.split)
    measure = partial(
        accuracy,
        classifier,
        torch.from_numpy(split.read(range(len(split)))),
        torch.from_numpy(split.labels),
        batch_size=execution.batch_size,
        device=device,
    )
    result = {
        "clean_accuracy": measure(),
        "adversarial_accuracy": measure(
            ball=recipe.ball, attack=recipe.attack, random_seed=recipe.random_seed
        ),
        "n_test": len(split),
        "parameters": sum(p.numel() for p in classifier.network.parameters()),
        "representation_size": ARCHITECTURES[recipe.checkpoint.architecture].representation_size,
    }
    with store.create(recipe, device=str(device)) as draft:
        draft.write_json("evaluation.json", result)
