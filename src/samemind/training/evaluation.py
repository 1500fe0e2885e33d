"""How accurate a classifier is, clean and under attack. Pure: tensors in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from samemind.arrays import as_pixels
from samemind.attacks import (
    Attack,
    L2Ball,
    LinfBall,
    ball_of,
    frozen_for_attack,
    random_starts,
)
from samemind.errors import MissingExtra
from samemind.execution.devices import memory_reused
from samemind.execution.unchanged import unchanged
from samemind.lazy import torch
from samemind.randomness import seed_of
from samemind.training.loading import SplitImages
from samemind.training.loop import Attacked

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.classifier import Classifier


def accuracy(
    classifier: Classifier,
    images: Tensor | SplitImages,
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
    right = is_right(
        classifier,
        images,
        labels,
        ball=ball,
        attack=attack,
        random_seed=random_seed,
        batch_size=batch_size,
        device=device,
    )
    return int(right.sum()) / len(right)


@memory_reused()
def is_right(
    classifier: Classifier,
    images: Tensor | SplitImages,
    labels: Tensor,
    *,
    ball: L2Ball | LinfBall | None = None,
    attack: Attack | None = None,
    random_seed: int = 0,
    among: Tensor | None = None,
    batch_size: int = 256,
    device: torch.device,
) -> Tensor:
    """Which images (N,) are classified as labelled, whatever restart of the attack is tried.

    **Arguments:**

    - `among`: (N,), which images to look at; the others count as wrong.

    **Cost:** an image that one restart breaks is spared the next ones, which changes no number.
    """
    right = torch.ones(len(labels), dtype=torch.bool) if among is None else among.clone()
    attacked = Attacked(classifier, replace(attack, restarts=1) if attack is not None else None)
    with unchanged(classifier):
        classifier.to(device).eval()
        for restart in range(attack.restarts if ball is not None and attack is not None else 1):
            if not right.any():
                break
            for chunk in torch.nonzero(right).flatten().split(batch_size):
                x, y = as_pixels(images[chunk]).to(device), labels[chunk].to(device)
                start = None
                if ball is not None and attack is not None and attack.random_start:
                    # Seeded by image, so that neither the batch nor those spared matter.
                    seeds = (seed_of(random_seed, "attack", restart, int(i)) for i in chunk)
                    start = random_starts(ball, x, seeds)
                x = attacked(x, y, ball, start=start)
                with torch.no_grad():
                    right[chunk] = (classifier(x).logits.argmax(1) == y).cpu()
    return right


def robustness_curve(
    classifier: Classifier,
    images: Tensor | SplitImages,
    labels: Tensor,
    *,
    norm: str,
    epsilons: Sequence[float],
    attack: Attack,
    random_seed: int = 0,
    batch_size: int = 256,
    device: torch.device,
) -> list[tuple[float, float]]:
    """(ε, accuracy under the attack within ε), ascending, with the clean accuracy at ε = 0.

    A ball lies within every larger one, so an image that is broken at one ε is broken at all
    above it: it is not attacked again, and the curve never rises.

    **Cost:** that of the attack, per ε and image that still stands.
    """
    measure = partial(
        is_right,
        classifier,
        images,
        labels,
        random_seed=random_seed,
        batch_size=batch_size,
        device=device,
    )
    right = measure()
    curve = [(0.0, int(right.sum()) / len(right))]
    for epsilon in sorted(set(epsilons) - {0}):
        right = measure(ball=ball_of(norm, epsilon), attack=attack, among=right)
        curve.append((float(epsilon), int(right.sum()) / len(right)))
    return curve


@memory_reused()
def autoattack_accuracy(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    ball: L2Ball | LinfBall,
    random_seed: int = 0,
    batch_size: int = 256,
    device: torch.device,
) -> float:
    """The accuracy under AutoAttack, the ensemble of four attacks of Croce and Hein (2020).

    **Raises:** `MissingExtra` where the package is not installed.

    **Cost:** thousands of forward and backward passes per image that is hard to break.
    """
    try:
        from pyautoattack import AutoAttack
    except ImportError:
        raise MissingExtra(
            "AutoAttack needs the package pyautoattack: install `samemind[attacks]`, or leave "
            "`autoattack` out of [evaluation]."
        ) from None
    x, y = as_pixels(images).to(device), labels.to(device)
    with unchanged(classifier), frozen_for_attack(classifier):
        classifier.to(device)
        ensemble = AutoAttack(
            _logits_of(classifier),
            norm=ball.norm,  # pyright: ignore[reportArgumentType]
            eps=ball.epsilon,
            seed=random_seed % 2**31,
            device=device,
        )
        found, *_ = ensemble.run_standard_evaluation(x, y, batch_size=batch_size)
        with torch.no_grad():
            right = [
                (classifier(a).logits.argmax(1) == b).sum()
                for a, b in zip(found.split(batch_size), y.split(batch_size), strict=True)
            ]
    return int(sum(right)) / len(y)


def _logits_of(classifier: Classifier) -> torch.nn.Module:
    """The classifier as a module that returns its logits alone."""

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = classifier

        def forward(self, images: Tensor) -> Tensor:
            return self.classifier(images).logits

    return Logits().eval()
