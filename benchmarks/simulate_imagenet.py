"""The ImageNet study of the paper on 1, 8 and 64 GPUs, on paper: makespan, idle time, bytes moved.

    python benchmarks/simulate_imagenet.py

The tasks are those of the study as it ships: every recipe of its 37 models, with the passes through
networks that `samemind plan` counts, and the seconds that an image takes in each kind of task as
`costs.py` measured them on a GPU. What is assumed stands with each number below. Stages are
barriers, as in samemind; within a stage the next free GPU takes the next task, or the next batch of
tasks that share what they load.
"""

from __future__ import annotations

import argparse
import heapq
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from samemind.building import shares
from samemind.comparison.pairs import Scores
from samemind.costing import BYTES, FORWARD, TO_PIXELS, cost_of
from samemind.datasets.base import DATASETS
from samemind.execution.batches import batches
from samemind.extraction.activations import Activations
from samemind.inversion import Inverted
from samemind.study import Study, read_study
from samemind.training import Evaluated, Trained

MEASURED = Path(__file__).with_name("costs-h100-imagenet.json")
# TinyViT-5M was not measured: taken as ResNet-50, of whose operations it has a third, in kernels
# that reach less of a GPU.
STANDS_FOR = {"tiny_vit_5m": "resnet50"}
# CPU seconds on one thread of an AMD EPYC (Zen 5), 10,000 inputs, measures at three k: measured.
MODEL_SECONDS, PAIR_SECONDS = 2.3, 0.9
IMAGES_DECODED = 300  # a CPU second: JPEG of 500 × 375, random crop to 224; measured there too
IMAGE_FILE = 110e3  # bytes, mean of ImageNet
CORES = 16  # for each GPU, to decode images; assumed
STARTUP = 5.0  # seconds of imports, for each worker and stage; assumed
TASK = 0.005  # seconds: what the engine adds to a task; measured (`make bench-scale`)
DISK = 2e9  # bytes a second that one worker moves; assumed
SHARED_DISK = 10e9  # bytes a second of the whole store; assumed


@dataclass(frozen=True)
class Task:
    """Seconds on a GPU, and bytes to be read before and written after."""

    seconds: float
    moved: float
    waits_for_images: bool = False


@cache
def measured() -> dict[str, dict[str, float]]:
    """Seconds of one image on one GPU, by architecture and task."""
    rows = json.loads(MEASURED.read_text(encoding="utf-8"))["costs"]
    found = {row["architecture"]: row for row in rows}
    return found | {name: found[other] for name, other in STANDS_FOR.items()}


def computing(recipe) -> float:
    """Seconds that the passes of a recipe take on one GPU."""
    if isinstance(recipe, Trained):
        kind = "robust" if recipe.ball else "standard"
        task = f"training {kind}, {recipe.schedule.precision}"
        images = DATASETS[recipe.dataset].splits["train"] * recipe.schedule.epochs
        return images * measured()[recipe.architecture][task]
    ways = {FORWARD: "forward", TO_PIXELS: "inversion step, float32"}
    passes = cost_of([recipe]).passes
    return sum(n * measured()[name][ways[way]] for (name, _, way), n in passes.items())


def weights(recipe) -> float:
    """Bytes of a checkpoint."""
    return cost_of([recipe]).bytes


def images(recipe, study: Study) -> float:
    """Bytes of an input set in the store."""
    pixels = 3 * DATASETS[study.dataset].image_size ** 2
    kind = BYTES[recipe.storage] if isinstance(recipe, Inverted) else 1
    return study.natural.count * pixels * kind


def task_of(batch: list, study: Study) -> Task:
    """A batch of recipes as one task: what they share is read once."""
    first = batch[0]
    seconds = sum(computing(recipe) for recipe in batch)
    written = sum(cost_of([recipe]).bytes for recipe in batch)
    if isinstance(first, Trained):
        count = DATASETS[study.dataset].splits["train"] * first.schedule.epochs
        decoding = count / (IMAGES_DECODED * CORES)
        return Task(max(seconds, decoding), count * IMAGE_FILE + written, decoding > seconds)
    if isinstance(first, Evaluated):
        count = DATASETS[study.dataset].splits[first.split]
        return Task(seconds, count * IMAGE_FILE + weights(first.checkpoint))
    if isinstance(first, Inverted):
        both = images(first.targets, study) + images(first.seeds, study)
        return Task(seconds, both + weights(first.checkpoint) + written)
    if isinstance(first, Activations):
        read = images(first.inputs, study) + sum(weights(a.checkpoint) for a in batch)
        return Task(seconds, read + written)
    if isinstance(first, Scores):
        models = len({a.checkpoint for a in first.activations})
        pairs = models * (models - 1) / (1 if first.inputs == "inverted" else 2)
        seconds = MODEL_SECONDS * len(first.activations) + PAIR_SECONDS * pairs
        return Task(seconds, sum(weights(a) for a in first.activations))
    return Task(seconds, written)


def schedule(tasks: list[Task], gpus: int) -> tuple[float, float]:
    """Seconds until the last task of a stage ends, and GPU-seconds in which one is at work."""
    speed = min(DISK, SHARED_DISK / min(gpus, len(tasks)))
    free = [STARTUP] * gpus
    for task in tasks:
        began = heapq.heappop(free)
        # A training reads while it computes; all else reads first.
        takes = max(task.seconds, task.moved / speed) if task.seconds > 3600 else (
            task.seconds + task.moved / speed
        )  # fmt: skip
        heapq.heappush(free, began + TASK + takes)
    return max(free), sum(task.seconds for task in tasks)


def simulated(
    study: Study, gpus: int, *, trains: bool
) -> dict[str, tuple[list[Task], float, float]]:
    """For each stage its tasks, seconds until it ends, and GPU-seconds of work."""
    found = {}
    for stage in study.stages:
        if not stage.recipes or (stage.name == "training" and not trains):
            continue
        tasks = [task_of(batch, study) for batch in batches(stage.recipes, shares, gpus)]
        found[stage.name] = (tasks, *schedule(tasks, gpus))
    return found


def hours(seconds: float) -> str:
    """Hours, or days where there are many."""
    return f"{seconds / 86400:.1f} d" if seconds > 2 * 86400 else f"{seconds / 3600:.2f} h"


def tell(study: Study, *, trains: bool) -> None:
    """Prints a table over numbers of GPUs, and one of the stages on the most of them."""
    print("| GPUs | makespan | speed-up | GPUs idle | moved | longest stage |")
    print("| --- | --- | --- | --- | --- | --- |")
    alone = None
    for gpus in (1, 8, 64):
        found = simulated(study, gpus, trains=trains)
        total = sum(ends for _, ends, _ in found.values())
        alone = alone or total
        idle = 1 - sum(work for *_, work in found.values()) / (total * gpus)
        moved = sum(task.moved for tasks, *_ in found.values() for task in tasks)
        longest = max(found, key=lambda name: found[name][1])
        share = f"{longest} ({found[longest][1] / total:.0%})"
        print(
            f"| {gpus} | {hours(total)} | {alone / total:.1f} | {idle:.0%} | "
            f"{moved / 1e12:,.2f} TB | {share} |"
        )
    print(f"\nStages on {gpus} GPUs:\n")
    print("| stage | tasks | longest task | makespan | GPUs idle | moved |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (tasks, ends, work) in found.items():
        longest = max(task.seconds for task in tasks)
        moved = sum(task.moved for task in tasks)
        print(
            f"| {name} | {len(tasks)} | {hours(longest)} | {hours(ends)} | "
            f"{1 - work / (ends * gpus):.0%} | {moved / 1e12:,.2f} TB |"
        )
    waiting = [task for tasks, *_ in found.values() for task in tasks if task.waits_for_images]
    print(f"\n{len(waiting)} trainings wait for {CORES} cores to decode images, not for the GPU.")
    rate = sum(task.moved / task.seconds for task in found.get("training", [[]])[0])
    print(f"All trainings at once read {rate / 1e9:.1f} GB/s.\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="imagenet1k")
    study = read_study(parser.parse_args().study)
    print(f"{study.name}: {len(study.checkpoints)} models, everything trained here\n")
    tell(study, trains=True)
    training = next(stage for stage in study.stages if stage.name == "training")
    print("| architecture | models | hours of one GPU for each, ε = 0 and ε > 0 |")
    print("| --- | --- | --- |")
    for name in study.architectures:
        own = [recipe for recipe in training.recipes if recipe.architecture == name]
        took = [task_of([recipe], study).seconds / 3600 for recipe in own]
        print(f"| {name} | {len(own)} | {min(took):.0f}, {max(took):.0f} |")
    print(f"\n{study.name}: the same from checkpoints that are there\n")
    tell(study, trains=False)


if __name__ == "__main__":
    main()
