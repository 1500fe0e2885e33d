"""Inversion against the textbook loop, which calls the network twice a step. One run, interleaved.

    python benchmarks/inversion.py                                      ratios
    python benchmarks/inversion.py --figure docs/inversion-curves.png   and the curves as a figure
    python benchmarks/inversion.py --networks FOLDER                    keep what was trained there

CPU seconds, one thread, the textbook in a fresh process each round; on a GPU (`--device cuda
--batch-size 256`), by the clock, all in one process.
Two networks (standard and robust) are trained on CIFAR-10 where this machine has it, else on the
digits; their images are inverted by the textbook loop, by samemind with the same steps, and by
samemind with images leaving a batch that is refilled. The ratio of the loops alone is also measured
on the networks for CIFAR-10 that `--architectures` names, ResNet-18 unless said.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from clock import Clock, timed, timed_apart
from pictures import cifar10
from training import fresh

from samemind.attacks import Attack, L2Ball
from samemind.classifier import Classifier
from samemind.datasets.base import DATASETS
from samemind.inversion import Descent, Until, draw_seeds, inversions, invert
from samemind.training import Schedule, accuracy, train

STEPS_SHOWN = (10, 50, 100, 200, 300, 500, 700, 1000)


class Images(NamedTuple):
    """What is trained on and what is inverted."""

    name: str
    train: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]
    network: Callable[[int], Classifier]
    epochs: int


def images() -> Images:
    """CIFAR-10 where it is, else the digits, which come with a dependency."""
    found = cifar10("train"), cifar10("test")
    if found[0] and found[1]:
        return Images(
            "CIFAR-10, 32 px",
            found[0],
            found[1],
            partial(fresh, "cifar_small_resnet", "cifar10"),
            8,
        )
    digits = DATASETS["digits"]
    train, test = (
        (torch.from_numpy(split.read(range(len(split)))), torch.from_numpy(split.labels))
        for split in (digits.split("train"), digits.split("test"))
    )
    return Images(
        "digits, 8 px",
        train,
        test,
        partial(fresh, "digits_resnet", "digits"),
        20,
    )


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


def in_batches(classifier: Classifier, targets, seeds, descent: Descent, size: int):
    """The textbook loop on one batch after the other."""
    parts = zip(targets.split(size), seeds.split(size), strict=True)
    return torch.cat([textbook(classifier, t, s, descent) for t, s in parts])


def trained(chosen: Images, epsilon: float, folder: Path | None) -> Classifier:
    """A small network, standard or robust; read from the folder where it was trained before."""
    classifier = chosen.network(0)
    kept = folder / f"{chosen.name.split(',')[0]}-{epsilon:g}.pt" if folder else None
    if kept and kept.is_file():
        classifier.load_state_dict(torch.load(kept, weights_only=True))
        return classifier.eval()
    train(
        classifier,
        *chosen.train,
        schedule=Schedule(
            epochs=chosen.epochs,
            batch_size=128,
            learning_rate=0.2,
            policy="one_cycle",
            precision="bfloat16",
        ),
        ball=L2Ball(epsilon) if epsilon else None,
        attack=Attack() if epsilon else None,
        random_seed=0,
        device=Clock.device,
    )
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        torch.save(classifier.state_dict(), kept)
    return classifier.eval()


def losses_of(classifier: Classifier, images, targets) -> np.ndarray:
    """The relative loss of each image."""
    with torch.no_grad():
        found, wanted = (classifier(x).representation for x in (images, targets))
    return ((found - wanted).norm(dim=1) / wanted.norm(dim=1)).cpu().numpy()


def spread(values: np.ndarray) -> str:
    """Median and 95th percentile."""
    return f"median {np.median(values):.4f}, p95 {np.quantile(values, 0.95):.4f}"


def ratios_of(slow: list[float], fast: list[float]) -> str:
    """The median ratio and its range over the rounds."""
    found = [a / b for a, b in zip(slow, fast, strict=True)]
    return f"{median(found):.2f}x ({min(found):.2f} to {max(found):.2f})"


def compare(
    chosen: Images, name: str, epsilon: float, *, rounds: int, count: int, size: int,
    leaving: Descent, folder: Path | None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Prints the ratios on one trained network; returns the losses of every step, both ways."""
    classifier = trained(chosen, epsilon, folder)
    pixels, labels = chosen.test
    pixels = (pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()).to(
        Clock.device
    )
    ball = L2Ball(epsilon or 0.5)
    some = {"images": pixels[:1000], "labels": labels[:1000], "device": Clock.device}
    clean, attacked = (
        accuracy(classifier, **some),
        accuracy(classifier, **some, ball=ball, attack=Attack()),
    )
    targets, seeds = pixels[:count], pixels[draw_seeds(labels[:count].numpy(), labels.numpy(), 0)]
    # What a study inverts with; the textbook has the layout that a network has unless somebody
    # changes it, and so has samemind where the bits are compared.
    fast = copy.deepcopy(classifier).to(memory_format=torch.channels_last)
    full = Descent()
    found = losses = steps = None
    seconds: dict[str, list[float]] = {"textbook": [], "same": [], "leaving": []}
    same = []
    short = replace(full, steps=1)
    warm_up = partial(in_batches, classifier, targets[:size], seeds[:size], short, size)
    work = partial(in_batches, classifier, targets, seeds, full, size)
    for _ in range(rounds):
        first, taken = timed_apart(work, warm_up)
        seconds["textbook"].append(taken)
        second, taken = timed(lambda: all_done(classifier, targets, seeds, full, size))
        seconds["same"].append(taken)
        third, taken = timed(lambda: all_done(fast, targets, seeds, leaving, size))
        seconds["leaving"].append(taken)
        same.append(bool(torch.equal(first, second.images)))
        found, losses, steps = first, (second.losses, third.losses), third.steps
    assert losses is not None
    assert steps is not None
    print(
        f"{chosen.name}, {name} (accuracy {clean:.1%}, under PGD-3 at ε = {ball.epsilon:g} "
        f"{attacked:.1%}), {count} images in batches of {size}, {full.steps} steps, "
        f"n = {rounds} rounds:"
    )
    print(
        f"   textbook: {median(seconds['textbook']):.1f} CPU-s; "
        f"{spread(losses_of(classifier, found, targets))}"
    )
    print(
        f"   samemind, same steps: {ratios_of(seconds['textbook'], seconds['same'])}; images "
        f"bit-identical: {all(same)}; {spread(losses[0].min(1))}"
    )
    print(
        f"   samemind, refilled: {ratios_of(seconds['textbook'], seconds['leaving'])}; "
        f"{spread(losses[1].min(1))}; {steps.mean():.0f} steps an image, "
        f"p95 {np.quantile(steps, 0.95):.0f} (first steps of "
        f"{leaving.step_size:g}, {leaving.until})"
    )
    for title, held in zip(("all steps", "refilled"), losses, strict=True):
        best = np.minimum.accumulate(held, axis=1)
        shown = "; ".join(f"{k}: {spread(best[:, k])}" for k in STEPS_SHOWN)
        print(f"   best so far, {title}, after step {shown}", flush=True)
    return {name: losses[0], f"{name}, refilled": losses[1]}


class All(NamedTuple):
    """What came of all images, in their order."""

    images: torch.Tensor
    losses: np.ndarray
    steps: np.ndarray


def all_done(classifier: Classifier, targets, seeds, descent: Descent, size: int) -> All:
    """Every image inverted in a batch of a size, refilled where images leave."""
    done = list(
        inversions(
            classifier, targets, seeds, range(len(seeds)), descent=descent, batch_size=size,
            device=Clock.device,
        )
    )  # fmt: skip
    order = np.argsort(np.concatenate([d.numbers for d in done]))
    return All(
        torch.cat([d.images for d in done])[torch.from_numpy(order)],
        np.concatenate([d.losses for d in done])[order],
        np.concatenate([d.steps for d in done])[order],
    )


def compare_loops(architecture: str, rounds: int) -> None:
    """Prints the ratio of the loops on a network for CIFAR-10 with random weights and images."""
    classifier = fresh(architecture, "cifar10", 0).eval()
    classifier.to(Clock.device)
    fast = copy.deepcopy(classifier).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    # Enough to fill a GPU, and enough steps that the first, which are recorded there, hardly count.
    count, steps = (256, 100) if Clock.is_gpu() else (128, 8)
    targets, seeds = torch.rand(2, count, 3, 32, 32, generator=generator).to(Clock.device)
    descent, same, same_fast = Descent(steps=steps), [], []
    seconds: dict[str, list[float]] = {"textbook": [], "same": [], "channels last": []}
    short = replace(descent, steps=1)
    warm_up = partial(textbook, classifier, targets, seeds, short)
    invert(classifier, targets, seeds, descent=short)
    work = partial(textbook, classifier, targets, seeds, descent)
    for _ in range(rounds):
        first, taken = timed_apart(work, warm_up)
        seconds["textbook"].append(taken)
        second, taken = timed(lambda: invert(classifier, targets, seeds, descent=descent))
        seconds["same"].append(taken)
        third, taken = timed(lambda: invert(fast, targets, seeds, descent=descent))
        seconds["channels last"].append(taken)
        same_fast.append(bool(torch.equal(first, third.images)))
        same.append(bool(torch.equal(first, second.images)))
    print(
        f"{architecture}, {count} images, {steps} steps, n = {rounds} rounds: "
        f"textbook {median(seconds['textbook']):.2f} {Clock.unit()}, samemind "
        f"{median(seconds['same']):.2f}, "
        f"{ratios_of(seconds['textbook'], seconds['same'])}, images bit-identical: {all(same)}; "
        f"channels last, as in studies: "
        f"{ratios_of(seconds['textbook'], seconds['channels last'])}, "
        f"bit-identical: {all(same_fast)}",
        flush=True,
    )


def draw(curves: dict[str, np.ndarray], path: Path) -> None:
    """The relative loss over steps, median and the range of nine tenths of the images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 3.0), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    models = [name for name in curves if not name.endswith(", refilled")]
    for axis, model in zip(axes, models, strict=False):
        ways = (("all 1000 steps", model, "#0072b2"), ("refilled", f"{model}, refilled", "#d55e00"))
        for label, name, colour in ways:
            best = np.minimum.accumulate(curves[name], axis=1)
            low, middle, high = np.quantile(best, (0.05, 0.5, 0.95), axis=0)
            steps = np.arange(best.shape[1])
            axis.plot(steps, middle, color=colour, label=label, linewidth=1.2)
            axis.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        axis.set(xscale="symlog", yscale="log", xlabel="step", title=model)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("relative loss of the best so far")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--until", default="0.0002,15,5", help="relative loss, patience, halvings")
    parser.add_argument("--step-size", type=float, default=0.5, help="of the first steps, refilled")
    parser.add_argument("--networks", type=Path, help="folder of trained networks, kept there")
    parser.add_argument("--architectures", default="cifar_resnet18", help="of the loops alone")
    parser.add_argument("--only", choices=["loops", "standard", "robust"])
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    Clock.use(asked.device)
    print(Clock.versions())
    if asked.only in (None, "loops"):
        # On a GPU the same bits need the same kernels each time.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True):
            for architecture in asked.architectures.split(","):
                compare_loops(architecture, max(3, asked.rounds))
    loss, patience, halvings = asked.until.split(",")
    until = Until(relative_loss=float(loss), patience=int(patience), halvings=int(halvings))
    leaving = Descent(step_size=asked.step_size, until=until)
    chosen = images()
    curves: dict[str, np.ndarray] = {}
    for kind, epsilon in (("standard", 0.0), ("robust", 0.5)):
        if asked.only in (None, kind):
            name = f"robust, ε = {epsilon:g}" if epsilon else "standard"
            curves |= compare(
                chosen, name, epsilon, rounds=asked.rounds, count=asked.images,
                size=asked.batch_size, leaving=leaving, folder=asked.networks,
            )  # fmt: skip
    if asked.figure:
        draw(curves, asked.figure)


if __name__ == "__main__":
    main()
