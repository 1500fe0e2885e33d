"""Adversarial training against the textbook loop, interleaved in one run.

    python benchmarks/training.py                throughput on ResNet-18, accuracy on the digits
    python benchmarks/training.py --seeds 0      throughput only

The textbook loop: float32, a DataLoader with worker processes, contiguous images, and an attack
that calls `loss.backward()`. Same network, images, batch and attack (PGD-3, best iterate kept).
CPU seconds of this process and of its loader processes, one thread.
"""

from __future__ import annotations

import argparse
import copy
import platform
import resource
from statistics import mean, median, stdev

import torch
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


def ours(classifier: Classifier, images, labels, schedule: Schedule, random_seed: int) -> None:
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
    )


def cifar_like(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images of the size of CIFAR-10: what is on them does not matter to the speed."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=generator).to(torch.uint8)
    return images, torch.arange(count) % 10


def compare_throughput(rounds: int, batch_size: int, steps: int) -> None:
    """Prints how many times the textbook loop costs for the same steps."""
    images, labels = cifar_like(batch_size * steps)
    start = new_classifier(ARCHITECTURES["cifar_resnet18"], DATASETS["cifar10"], random_seed=0)
    plain = Schedule(epochs=1, batch_size=batch_size, learning_rate=0.1)
    half = Schedule(epochs=1, batch_size=batch_size, learning_rate=0.1, precision="bfloat16")
    ways = {
        "textbook": (textbook, plain),
        "samemind, float32": (ours, plain),
        "samemind, bfloat16": (ours, half),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way, schedule in ways.values():  # warm up
        way(copy.deepcopy(start), images[:8], labels[:8], schedule, 0)
    for _ in range(rounds):
        for name, (way, schedule) in ways.items():
            classifier = copy.deepcopy(start)
            before = cpu_seconds()
            way(classifier, images, labels, schedule, 0)
            seconds[name].append((cpu_seconds() - before) / steps)
    print(f"cifar_resnet18, batch {batch_size}, n = {rounds} rounds of {steps} steps:")
    for name, found in seconds.items():
        ratios = [t / f for t, f in zip(seconds["textbook"], found, strict=True)]
        print(
            f"   {name}: {median(found):.2f} CPU-s a step, {median(ratios):.2f}x "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


def compare_accuracy(seeds: int, epochs: int) -> None:
    """Prints clean and adversarial accuracies after equal epochs on the digits."""
    dataset = DATASETS["digits"]
    train_split, test_split = dataset.split("train"), dataset.split("test")
    images, labels = (
        torch.from_numpy(train_split.read(range(len(train_split)))),
        torch.from_numpy(train_split.labels),
    )
    test = (
        torch.from_numpy(test_split.read(range(len(test_split)))),
        torch.from_numpy(test_split.labels),
    )
    plain = Schedule(epochs=epochs, batch_size=128, learning_rate=0.1, policy="one_cycle")
    half = Schedule(
        epochs=epochs, batch_size=128, learning_rate=0.1, policy="one_cycle", precision="bfloat16"
    )
    ways = {
        "textbook": (textbook, plain),
        "samemind, float32": (ours, plain),
        "samemind, bfloat16": (ours, half),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for seed in range(seeds):
        for name, (way, schedule) in ways.items():
            classifier = new_classifier(ARCHITECTURES["digits_resnet"], dataset, random_seed=seed)
            way(classifier, images, labels, schedule, seed)
            clean = accuracy(classifier, *test, device=CPU)
            found[name].append(
                (clean, accuracy(classifier, *test, ball=BALL, attack=ATTACK, device=CPU))
            )
    print(f"digits_resnet, ε = 0.5, {epochs} epochs, n = {seeds} random seeds, mean ± deviation:")
    for name, pairs in found.items():
        clean, robust = zip(*pairs, strict=True)
        print(
            f"   {name}: clean {mean(clean):.2%} ± {stdev(clean):.2%}, "
            f"adversarial {mean(robust):.2%} ± {stdev(robust):.2%}"
        )


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5, help="0 leaves the accuracies out")
    parser.add_argument("--epochs", type=int, default=8)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(versions())
    compare_throughput(asked.rounds, asked.batch_size, asked.steps)
    if asked.seeds > 1:
        compare_accuracy(asked.seeds, asked.epochs)


if __name__ == "__main__":
    main()
