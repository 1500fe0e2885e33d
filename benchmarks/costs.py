"""Seconds that one image takes in each kind of task, with the functions that studies run.

    python benchmarks/costs.py --device cuda --out costs.json      the paper's ImageNet networks
    python benchmarks/costs.py --device cuda --dataset cifar10 --batch-size 512

Images are random and lie on the device: their reading is not in it. The first steps, in which
kernels are chosen and recorded, do not count.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from clock import Clock

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import Attack, L2Ball
from samemind.classifier import Classifier, new_classifier, outputs
from samemind.datasets.base import DATASETS
from samemind.inversion import Descent, inversions
from samemind.study import read_study
from samemind.training import Schedule, train

WARM = 5  # steps before those that count
TASKS = {
    "training standard, float32": ("float32", None),
    "training robust, float32": ("float32", L2Ball(1.0)),
    "training standard, bfloat16": ("bfloat16", None),
    "training robust, bfloat16": ("bfloat16", L2Ball(1.0)),
}


class Steps:
    """The seconds of the steps after the warm-up, by the calls after each step."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.done = 0
        self.seen: list[float] = []

    def __call__(self, *_: Any) -> None:
        self.done += 1
        if self.done in (WARM, self.last):  # in between, the host may run ahead as it does
            self.seen.append(Clock.now())

    def each(self) -> float:
        return (self.seen[1] - self.seen[0]) / (self.last - WARM)


def of_training(
    classifier: Classifier, images, labels, steps: int, *, precision: str, ball, augmentation: str
) -> float:
    """Seconds of one image in one epoch."""
    size = len(images) // steps
    timed = Steps(steps)
    train(
        classifier,
        images,
        labels,
        schedule=Schedule(
            epochs=1, batch_size=size, learning_rate=1e-3, precision=precision, chance_epochs=0,
            augmentation=augmentation,
        ),
        ball=ball,
        attack=Attack() if ball else None,
        random_seed=0,
        device=Clock.device,
        after_step=timed,
    )  # fmt: skip
    return timed.each() / size


def of_inversion(classifier: Classifier, images, steps: int, *, precision: str) -> float:
    """Seconds of one step of one image."""
    size = len(images) // 2
    timed = Steps(steps)
    descent = Descent(steps=steps, precision=precision)
    for _ in inversions(
        classifier, images[:size], images[size:], range(size), descent=descent, batch_size=size,
        device=Clock.device, after_step=timed,
    ):  # fmt: skip
        pass
    return timed.each() / size


def of_forward(classifier: Classifier, images, size: int) -> float:
    """Seconds of one image, from the host to logits and representation there."""
    taken = []
    for _ in range(2):
        began = Clock.now()
        outputs(classifier, images, batch_size=size, device=Clock.device)
        taken.append(Clock.now() - began)
    return taken[-1] / len(images)


def costs_of(
    name: str, dataset: str, batch_size: int, steps: int, wanted: list[str] | None
) -> dict[str, float | str]:
    """Every task of one architecture; a task that fails is told by its error."""
    record = DATASETS[dataset]
    shape = (steps * batch_size, 3, record.image_size, record.image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device=Clock.device)
    labels = torch.arange(len(images)) % len(record.classes)
    augmentation = "cifar" if record.image_size < 64 else "none"  # that of ImageNet begins on files
    tasks: dict[str, Callable[[Classifier], float]] = {
        task: lambda c, p=precision, b=ball: of_training(
            c, images, labels, steps, precision=p, ball=b, augmentation=augmentation
        )
        for task, (precision, ball) in TASKS.items()
    }
    two = images[: 2 * batch_size]
    tasks |= {
        f"inversion step, {precision}": partial(
            of_inversion, images=two, steps=WARM + 8, precision=precision
        )
        for precision in ("float32", "bfloat16")
    }
    tasks["forward"] = lambda c: of_forward(c.to(Clock.device), two.cpu(), batch_size)
    found: dict[str, float | str] = {"architecture": name}
    classifier = new_classifier(ARCHITECTURES[name], record, random_seed=0)
    for task, run in tasks.items():
        if wanted and task not in wanted:
            continue
        try:
            found[task] = run(classifier)
        except RuntimeError as error:
            found[task] = str(error).partition("\n")[0][:200]
        if Clock.is_gpu():
            torch.cuda.empty_cache()
    return found


def main() -> None:
    """Measures what the command line asks for, and writes it down after every architecture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dataset", default="imagenet1k")
    parser.add_argument("--architectures", nargs="*", help="those of the paper's study unless said")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--tasks", nargs="*", help="these only, by their names in the results")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    Clock.use(asked.device)
    names = asked.architectures or read_study(asked.dataset).architectures
    told = {
        "measured_with": Clock.versions(),
        "batch_size": asked.batch_size,
        "unit": "seconds for one image",
        "costs": [],
    }
    for name in names:
        told["costs"].append(
            costs_of(name, asked.dataset, asked.batch_size, asked.steps, asked.tasks)
        )
        row = told["costs"][-1]
        print(json.dumps({k: f"{v:.3g}" if isinstance(v, float) else v for k, v in row.items()}),
              flush=True)  # fmt: skip
        if asked.out:
            asked.out.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
