"""Adversarial training against the textbook loop, interleaved in one run.

    python benchmarks/training.py                throughput on ResNet-18, accuracies of a small one
    python benchmarks/training.py --seeds 0      throughput only
    python benchmarks/training.py --compile      also with torch.compile: its start takes minutes
    python benchmarks/training.py --device cuda --batch-size 512 --steps 19 --passes 3

The textbook loop: float32, a DataLoader with worker processes, contiguous images, and an attack
that calls `loss.backward()`. Same network, images, batch and attack (PGD-3, best iterate kept).
On a CPU: CPU seconds of this process and of its loader processes, one thread. On a GPU: seconds by
the clock; there float32 is what torch makes of it, which rounds convolutions to TF32, and a row
says what the textbook takes without that. Images are CIFAR-10's where
this machine has them (see `pictures.py`), else random for the throughput and digits for the
accuracies; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import mean, median, stdev
from typing import NamedTuple

import torch
from clock import Clock
from pictures import cifar10, random_pictures
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import Attack, L2Ball
from samemind.classifier import Classifier, new_classifier
from samemind.datasets.base import DATASETS
from samemind.training import Schedule, accuracy, train

BALL, ATTACK = L2Ball(0.5), Attack()


def fresh(architecture: str, dataset: str, random_seed: int) -> Classifier:
    """A new classifier of an architecture for a dataset, by their names."""
    return new_classifier(ARCHITECTURES[architecture], DATASETS[dataset], random_seed=random_seed)


def attacked(classifier: Classifier, images, labels):
    """PGD as it is usually written, with parameter gradients that nobody needs."""
    classifier.eval()
    epsilon, size = BALL.epsilon, ATTACK.relative_step * BALL.epsilon
    x, best = images, images
    best_loss = torch.full((len(images),), -torch.inf, device=images.device)
    for step in range(ATTACK.steps + 1):
        x = x.clone().detach().requires_grad_(True)
        losses = cross_entropy(classifier(x).logits, labels, reduction="none")
        better = (losses > best_loss).detach()
        best = torch.where(better.reshape(-1, 1, 1, 1), x.detach(), best)
        best_loss = torch.where(better, losses.detach(), best_loss)
        if step == ATTACK.steps:
            break
        losses.sum().backward()
        with torch.no_grad():
            norm = x.grad.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
            offset = x + size * x.grad / (norm + 1e-10) - images
            length = offset.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
            x = (images + offset * (epsilon / length).clamp(max=1)).clamp(0, 1)
    classifier.train()
    return best


def textbook(classifier: Classifier, images, labels, schedule: Schedule, random_seed: int) -> None:
    """The loop of a tutorial on adversarial training."""
    torch.manual_seed(random_seed)
    data = TensorDataset(images, labels)
    loader = DataLoader(
        data,
        schedule.batch_size,
        shuffle=True,
        num_workers=8 if Clock.is_gpu() else 2,
        pin_memory=Clock.is_gpu(),
    )
    classifier.to(Clock.device)
    optimiser = torch.optim.SGD(
        classifier.parameters(), lr=0, momentum=0.9, weight_decay=schedule.weight_decay
    )
    step = 0
    classifier.train()
    for _ in range(schedule.epochs):
        for x, y in loader:
            optimiser.param_groups[0]["lr"] = schedule.learning_rate_at(step, len(loader))
            x, y = x.to(Clock.device, non_blocking=True), y.to(Clock.device, non_blocking=True)
            x = attacked(classifier, x.float() / 255 if x.dtype == torch.uint8 else x, y)
            optimiser.zero_grad()
            cross_entropy(classifier(x).logits, y).backward()
            optimiser.step()
            step += 1


def ours(
    classifier: Classifier, images, labels, schedule: Schedule, random_seed: int, compiled=False
) -> None:
    """The product's own loop."""
    train(
        classifier,
        images.to(Clock.device),  # as in studies, where they fit
        labels,
        schedule=schedule,
        ball=BALL,
        attack=ATTACK,
        random_seed=random_seed,
        device=Clock.device,
        compiled=compiled,
    )


def without_tf32(*arguments) -> None:
    """The textbook loop with every product of a GPU in float32 proper."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        textbook(*arguments)


def compare_throughput(
    architecture: str, rounds: int, batch_size: int, steps: int, passes: int, *, compiled: bool
) -> None:
    """Prints how many times the textbook loop costs for the same steps."""
    count = batch_size * steps
    found = cifar10("train")
    images, labels = (x[:count] for x in found) if found else random_pictures(count)
    start = fresh(architecture, "cifar10", 0)
    plain = Schedule(epochs=passes, batch_size=batch_size, learning_rate=0.1)
    half = replace(plain, precision="bfloat16")
    ways = {
        "textbook": (textbook, plain),
        "samemind, float32": (ours, plain),
        "samemind, bfloat16": (ours, half),
    }
    if Clock.is_gpu():
        ways["textbook, without TF32"] = (without_tf32, plain)
    if compiled:
        ways["samemind, bfloat16, compiled"] = (partial(ours, compiled=True), half)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for name, (way, schedule) in ways.items():  # warm up; what is compiled is kept by torch
        began = time.monotonic()
        warm = 2 * batch_size if Clock.is_gpu() else batch_size
        way(copy.deepcopy(start), images[:warm], labels[:warm], schedule, 0)
        if "compiled" in name:
            print(f"   compiling and the first step took {time.monotonic() - began:.0f} s")
    for _ in range(rounds):
        for name, (way, schedule) in ways.items():
            classifier = copy.deepcopy(start)
            before = Clock.now()
            way(classifier, images, labels, schedule, 0)
            seconds[name].append((Clock.now() - before) / (steps * passes))
    kind = "CIFAR-10" if found else "random images"
    print(
        f"{architecture}, {kind}, batch {batch_size}, "
        f"n = {rounds} rounds of {steps * passes} steps:"
    )
    for name, taken in seconds.items():
        ratios = [t / f for t, f in zip(seconds["textbook"], taken, strict=True)]
        print(
            f"   {name}: {median(taken):.3f} {Clock.unit()} a step, {median(ratios):.2f}x "
            f"({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


class Accuracies(NamedTuple):
    """What the accuracies are measured on."""

    name: str
    train: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]
    network: Callable[[int], Classifier]


def learnable(count: int) -> Accuracies:
    """CIFAR-10 where it is, else the digits, and a network that learns them in minutes."""
    found = cifar10("train"), cifar10("test")
    if found[0] and found[1]:
        return Accuracies(
            "cifar_small_resnet, CIFAR-10",
            (found[0][0][:count], found[0][1][:count]),
            (found[1][0][:1000], found[1][1][:1000]),
            partial(fresh, "cifar_small_resnet", "cifar10"),
        )
    digits = DATASETS["digits"]
    train, test = (
        (torch.from_numpy(split.read(range(len(split)))), torch.from_numpy(split.labels))
        for split in (digits.split("train"), digits.split("test"))
    )
    return Accuracies(
        "digits_resnet, digits", train, test, partial(fresh, "digits_resnet", "digits")
    )


def compare_accuracy(seeds: int, epochs: int, count: int) -> None:
    """Prints clean and adversarial accuracies after equal epochs, both ways."""
    on = learnable(count)
    plain = Schedule(epochs=epochs, batch_size=64, learning_rate=0.1, policy="one_cycle")
    ways = {
        "textbook": (textbook, plain),
        "samemind, float32": (ours, plain),
        "samemind, bfloat16": (ours, replace(plain, precision="bfloat16")),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for seed in range(seeds):
        for name, (way, schedule) in ways.items():
            classifier = on.network(seed)
            way(classifier, *on.train, schedule, seed)
            clean = accuracy(classifier, *on.test, device=Clock.device)
            found[name].append(
                (
                    clean,
                    accuracy(classifier, *on.test, ball=BALL, attack=ATTACK, device=Clock.device),
                )
            )
    print(
        f"{on.name}, ε = {BALL.epsilon:g}, {len(on.train[0])} images, {epochs} epochs, "
        f"{len(on.test[0])} test images, n = {seeds} random seeds, mean ± deviation:"
    )
    reference = list(zip(*found["textbook"], strict=True))
    for name, pairs in found.items():
        columns = list(zip(*pairs, strict=True))
        texts = []
        for kind, held, theirs in zip(("clean", "adversarial"), columns, reference, strict=True):
            differences = [a - b for a, b in zip(held, theirs, strict=True)]
            error = stdev(differences) / len(differences) ** 0.5
            texts.append(
                f"{kind} {mean(held):.2%} ± {stdev(held):.2%} "
                f"(difference {mean(differences):+.2%}, standard error {error:.2%})"
            )
        print(f"   {name}: {', '.join(texts)}")


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--architecture", default="cifar_resnet18", help="of the throughput")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3, help="0 leaves the accuracies out")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=3000, help="to train on, of CIFAR-10")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--passes", type=int, default=1, help="over the images of the steps")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    Clock.use(asked.device)
    print(Clock.versions())
    if asked.steps:
        compare_throughput(
            asked.architecture, asked.rounds, asked.batch_size, asked.steps, asked.passes,
            compiled=asked.compile,
        )  # fmt: skip
    if asked.seeds > 1:
        compare_accuracy(asked.seeds, asked.epochs, asked.images)


if __name__ == "__main__":
    main()
