"""Adversarial training against the textbook loop, interleaved in one run.

    python benchmarks/training.py                throughput on ResNet-18, accuracies of a small one
    python benchmarks/training.py --seeds 0      throughput only
    python benchmarks/training.py --compile      also with torch.compile: its start takes minutes

The textbook loop: float32, a DataLoader with worker processes, contiguous images, and an attack
that calls `loss.backward()`. Same network, images, batch and attack (PGD-3, best iterate kept).
CPU seconds of this process and of its loader processes, one thread. Images are CIFAR-10's where
this machine has them (see `pictures.py`), else random for the throughput and digits for the
accuracies; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import copy
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import mean, median, stdev
from typing import NamedTuple

import torch
from pictures import cifar10, random_pictures
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import Attack, L2Ball
from samemind.classifier import Classifier, new_classifier
from samemind.datasets.base import DATASETS
from samemind.training import Schedule, accuracy, train

CPU = torch.device("cpu")
BALL, ATTACK = L2Ball(0.5), Attack()


def versions() -> str:
    """What the numbers were measured with."""
    bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (
        f"torch {torch.__version__}, {torch.get_num_threads()} thread, {platform.machine()}, "
        f"{torch.backends.cpu.get_cpu_capability()}, bf16 units: {'yes' if bf16 else 'no'}"
    )


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def fresh(architecture: str, dataset: str, random_seed: int) -> Classifier:
    """A new classifier of an architecture for a dataset, by their names."""
    return new_classifier(ARCHITECTURES[architecture], DATASETS[dataset], random_seed=random_seed)


def attacked(classifier: Classifier, images, labels):
    """PGD as it is usually written, with parameter gradients that nobody needs."""
    classifier.eval()
    epsilon, size = BALL.epsilon, ATTACK.relative_step * BALL.epsilon
    x, best, best_loss = images, images, torch.full((len(images),), -torch.inf)
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
    loader = DataLoader(data, schedule.batch_size, shuffle=True, num_workers=2)
    optimiser = torch.optim.SGD(
        classifier.parameters(), lr=0, momentum=0.9, weight_decay=schedule.weight_decay
    )
    step = 0
    classifier.train()
    for _ in range(schedule.epochs):
        for x, y in loader:
            optimiser.param_groups[0]["lr"] = schedule.learning_rate_at(step, len(loader))
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
        images,
        labels,
        schedule=schedule,
        ball=BALL,
        attack=ATTACK,
        random_seed=random_seed,
        device=CPU,
        compiled=compiled,
    )


def compare_throughput(
    architecture: str, rounds: int, batch_size: int, steps: int, *, compiled: bool
) -> None:
    """Prints how many times the textbook loop costs for the same steps."""
    count = batch_size * steps
    found = cifar10("train")
    images, labels = (x[:count] for x in found) if found else random_pictures(count)
    start = fresh(architecture, "cifar10", 0)
    plain = Schedule(epochs=1, batch_size=batch_size, learning_rate=0.1)
    half = replace(plain, precision="bfloat16")
    ways = {
        "textbook": (textbook, plain),
        "samemind, float32": (ours, plain),
        "samemind, bfloat16": (ours, half),
    }
    if compiled:
        ways["samemind, bfloat16, compiled"] = (partial(ours, compiled=True), half)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for name, (way, schedule) in ways.items():  # warm up; what is compiled is kept by torch
        began = time.monotonic()
        way(copy.deepcopy(start), images[:batch_size], labels[:batch_size], schedule, 0)
        if "compiled" in name:
            print(f"   compiling and the first step took {time.monotonic() - began:.0f} s")
    for _ in range(rounds):
        for name, (way, schedule) in ways.items():
            classifier = copy.deepcopy(start)
            before = cpu_seconds()
            way(classifier, images, labels, schedule, 0)
            seconds[name].append((cpu_seconds() - before) / steps)
    kind = "CIFAR-10" if found else "random images"
    print(f"{architecture}, {kind}, batch {batch_size}, n = {rounds} rounds of {steps} steps:")
    for name, taken in seconds.items():
        ratios = [t / f for t, f in zip(seconds["textbook"], taken, strict=True)]
        print(
            f"   {name}: {median(taken):.2f} CPU-s a step, {median(ratios):.2f}x "
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
            clean = accuracy(classifier, *on.test, device=CPU)
            found[name].append(
                (clean, accuracy(classifier, *on.test, ball=BALL, attack=ATTACK, device=CPU))
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
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(versions())
    if asked.steps:
        compare_throughput(
            asked.architecture, asked.rounds, asked.batch_size, asked.steps, compiled=asked.compile
        )
    if asked.seeds > 1:
        compare_accuracy(asked.seeds, asked.epochs, asked.images)


if __name__ == "__main__":
    main()
