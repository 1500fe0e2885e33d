"""Inversion against the textbook loop, which calls the network twice a step. One run, interleaved.

    python benchmarks/inversion.py                                      ratios
    python benchmarks/inversion.py --figure docs/inversion-curves.png   and the curves as a figure

CPU seconds of this process, one thread. Two networks (standard and robust) are trained on the
digits first; their images are inverted by the textbook loop, by samemind with the same steps, and
by samemind with images leaving when they have stopped improving. The ratio of the loops alone is
also measured on ResNet-18 for CIFAR-10.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
import torch
from training import versions

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import Attack, L2Ball
from samemind.classifier import Classifier, new_classifier
from samemind.datasets.base import DATASETS
from samemind.inversion import Descent, Until, draw_seeds, inversions, invert
from samemind.training import Schedule, train

UNTIL = Until(relative_loss=0.0005, patience=50, halvings=2)


def textbook(classifier: Classifier, targets, seeds, descent: Descent) -> torch.Tensor:
    """The usual loop: the network's output, then a loss that calls the network again."""
    classifier.eval()
    with torch.no_grad():
        wanted = classifier(targets).representation
    scale = wanted.norm(dim=1)

    def loss_of(images):
        classifier(images)  # the output, which the loss does not use
        return (classifier(images).representation - wanted).norm(dim=1) / scale

    x, velocity = seeds.clone(), torch.zeros_like(seeds)
    best, best_loss = x, torch.full_like(scale, torch.inf)
    for _ in range(descent.steps):
        x = x.clone().requires_grad_(True)
        loss = loss_of(x)
        (gradient,) = torch.autograd.grad(loss.sum(), x)
        with torch.no_grad():
            better = loss < best_loss
            best = torch.where(better.reshape(-1, 1, 1, 1), x, best)
            best_loss = torch.where(better, loss, best_loss)
            length = gradient.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
            direction = gradient / length
            velocity = descent.momentum * velocity + (1 - descent.momentum) * direction
            x = (x - descent.step_size * velocity).clamp(0, 1)
    with torch.no_grad():
        better = loss_of(x) < best_loss
    return torch.where(better.reshape(-1, 1, 1, 1), x, best).detach()


def timed(work):
    """The result of the work and its CPU seconds."""
    start = process_time()
    found = work()
    return found, process_time() - start


def trained(epsilon: float) -> Classifier:
    """A small network that reads digits, standard or robust."""
    split = DATASETS["digits"].split("train")
    classifier = new_classifier(ARCHITECTURES["digits_resnet"], DATASETS["digits"], random_seed=0)
    train(
        classifier,
        torch.from_numpy(split.read(range(len(split)))),
        torch.from_numpy(split.labels),
        schedule=Schedule(epochs=20, batch_size=128, learning_rate=0.1, policy="one_cycle"),
        ball=L2Ball(epsilon) if epsilon else None,
        attack=Attack() if epsilon else None,
        random_seed=0,
        device=torch.device("cpu"),
    )
    return classifier


def losses_of(classifier: Classifier, images, targets) -> np.ndarray:
    """The relative loss of each image."""
    with torch.no_grad():
        found, wanted = (classifier(x).representation for x in (images, targets))
    return ((found - wanted).norm(dim=1) / wanted.norm(dim=1)).numpy()


def spread(values: np.ndarray) -> str:
    """Median and 95th percentile."""
    return f"median {np.median(values):.4f}, p95 {np.quantile(values, 0.95):.4f}"


def compare_on_digits(rounds: int, count: int) -> dict[str, np.ndarray]:
    """Prints the ratios on trained networks; returns the losses of every step."""
    split = DATASETS["digits"].split("test")
    targets = torch.from_numpy(split.read(range(count)))
    seeds = torch.from_numpy(split.read(draw_seeds(split.labels[:count], split.labels, 0)))
    curves = {}
    for name, epsilon in (("standard", 0.0), ("robust, ε = 1", 1.0)):
        classifier = trained(epsilon)
        ratios: dict[str, list[float]] = {"same steps": [], "refilled": []}
        for _ in range(rounds):
            plain, slow = timed(lambda c=classifier: textbook(c, targets, seeds, Descent()))
            ours, fast = timed(lambda c=classifier: invert(c, targets, seeds, descent=Descent()))
            left, fastest = timed(
                lambda c=classifier: invert(
                    c, targets, seeds, descent=Descent(until=UNTIL), batch_size=128
                )
            )
            ratios["same steps"].append(slow / fast)
            ratios["refilled"].append(slow / fastest)
        same = bool(torch.equal(plain, ours.images))
        print(f"digits_resnet, {name}, {count} images, 1000 steps, n = {rounds} rounds:")
        print(f"   textbook: {slow:.1f} CPU-s; {spread(losses_of(classifier, plain, targets))}")
        print(
            f"   samemind, same steps: {median(ratios['same steps']):.2f}x "
            f"({min(ratios['same steps']):.2f} to {max(ratios['same steps']):.2f}); "
            f"images bit-identical: {same}"
        )
        print(
            f"   samemind, leaving: {median(ratios['refilled']):.2f}x "
            f"({min(ratios['refilled']):.2f} to {max(ratios['refilled']):.2f}); "
            f"{spread(losses_of(classifier, left.images, targets))}; "
            f"{left.steps.float().mean():.0f} steps an image ({UNTIL})"
        )
        (done,) = inversions(
            classifier,
            targets,
            seeds,
            range(count),
            descent=Descent(),
            batch_size=count,
            device=torch.device("cpu"),
        )
        curves[name] = done.losses
    return curves


def compare_on_cifar(rounds: int) -> None:
    """Prints the ratio of the loops on ResNet-18 for CIFAR-10 with random weights and images."""
    classifier = new_classifier(
        ARCHITECTURES["cifar_resnet18"], DATASETS["cifar10"], random_seed=0
    ).eval()
    generator = torch.Generator().manual_seed(0)
    targets, seeds = torch.rand(2, 32, 3, 32, 32, generator=generator)
    descent, ratios = Descent(steps=3), []
    invert(classifier, targets[:2], seeds[:2], descent=descent)
    for _ in range(rounds):
        plain, slow = timed(lambda: textbook(classifier, targets, seeds, descent))
        ours, fast = timed(lambda: invert(classifier, targets, seeds, descent=descent))
        ratios.append(slow / fast)
    print(
        f"cifar_resnet18, 32 images, 3 steps, n = {rounds} rounds: {median(ratios):.2f}x "
        f"({min(ratios):.2f} to {max(ratios):.2f}); "
        f"images bit-identical: {bool(torch.equal(plain, ours.images))}"
    )


def draw(curves: dict[str, np.ndarray], path: Path) -> None:
    """The relative loss over steps, median and the range of nine tenths of the images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
    axis = figure.subplots()
    for (name, losses), colour in zip(curves.items(), ("#0072b2", "#d55e00"), strict=True):
        steps = np.arange(losses.shape[1])
        low, middle, high = np.quantile(losses, (0.05, 0.5, 0.95), axis=0)
        axis.plot(steps, middle, color=colour, label=name, linewidth=1.2)
        axis.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
    axis.set(xscale="symlog", yscale="log", xlabel="step", ylabel="relative loss")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(versions())
    compare_on_cifar(asked.rounds)
    curves = compare_on_digits(asked.rounds, asked.images)
    if asked.figure:
        draw(curves, asked.figure)


if __name__ == "__main__":
    main()
