"""The ImageNet study on 1, 8 and 64 GPUs, on paper: makespan, idle time, bytes read.

    python benchmarks/simulate_imagenet.py

Not a measurement. Costs are modelled: floating-point operations of each network (counted), divided
by the share of an H200's peak that each is *assumed* to reach. Stages are barriers, as in samemind;
within a stage the next free GPU takes the next task (or batch of tasks that share an input set).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

PEAK = 790e12  # bf16, one H200, operations a second
# Forward operations of an image at 224 pixels, and the assumed share of the peak.
NETWORKS = {
    "resnet18": (3.63e9, 0.12),
    "resnet50": (8.18e9, 0.12),
    "wide_resnet50_2": (22.8e9, 0.20),
    "wide_resnet50_4": (74.2e9, 0.35),
    "resnext50": (8.46e9, 0.05),
    "densenet161": (15.5e9, 0.05),
    "vgg16_bn": (30.9e9, 0.35),
    "tiny_vit_5m": (2.52e9, 0.05),
}
LEVELS = 5  # values of ε
IMAGES = 10_000
IMAGE_BYTES = 3 * 224 * 224 * 2  # float16
STARTUP = 5.0  # seconds: imports, once for each worker
TASK = 0.005  # seconds: what the engine adds to a task
DISK = 2e9  # bytes a second that one worker reads from the store
SHARED_DISK = 10e9  # bytes a second of the whole store


@dataclass(frozen=True)
class Task:
    """Seconds of computing and bytes to be read first."""

    seconds: float
    read: float


def forward(name: str) -> float:
    """Seconds of one forward pass over all images."""
    operations, share = NETWORKS[name]
    return operations * IMAGES / (PEAK * share)


def stages(steps: int, gpus: int) -> dict[str, list[Task]]:
    """The tasks after training, which the paper's checkpoints replace."""
    images = IMAGES * IMAGE_BYTES
    names = list(NETWORKS)
    inversion = [
        Task(forward(n) * (2 * steps + 1), 2 * images) for _ in range(LEVELS) for n in names
    ]
    # Batches of activations that share an input set: at least four for each GPU, as executors do.
    count = LEVELS * (len(names) + 1) * len(names)
    longest = max(1, -(-count // (4 * gpus)))
    extraction = []
    for _ in range(LEVELS * (len(names) + 1)):
        for start in range(0, len(names), longest):
            batch = names[start : start + longest]
            extraction.append(Task(sum(forward(n) for n in batch), images))
    # A cell and kind of input is one task: Grams, neighbours and pairs, modelled for a GPU.
    comparison = [Task(seconds, 0) for _ in range(LEVELS) for seconds in (2.0, 16.0)]
    return {"inversion": inversion, "extraction": extraction, "comparison": comparison}


def schedule(tasks: list[Task], gpus: int) -> tuple[float, float]:
    """Seconds until the last task of a stage ends, and GPU-seconds of computing."""
    at_once = min(gpus, len(tasks))
    speed = min(DISK, SHARED_DISK / at_once)
    free = [0.0] * gpus
    for task in tasks:
        began = heapq.heappop(free)
        heapq.heappush(free, began + TASK + task.read / speed + task.seconds)
    return max(free), sum(task.seconds for task in tasks)


def main() -> None:
    """Prints a table for each number of steps of the inversion."""
    for steps in (3, 100):
        print(f"inversion with {steps} steps")
        print("GPUs  hours  speed-up  busy   read TB  longest stage")
        alone = None
        for gpus in (1, 8, 64):
            found = {name: schedule(tasks, gpus) for name, tasks in stages(steps, gpus).items()}
            total = STARTUP + sum(ends for ends, _ in found.values())
            alone = alone or total
            busy = sum(work for _, work in found.values()) / (total * gpus)
            read = sum(t.read for tasks in stages(steps, gpus).values() for t in tasks)
            longest = max(found, key=lambda name: found[name][0])
            shares = f"{longest} ({found[longest][0] / total:.0%})"
            print(
                f"{gpus:4}  {total / 3600:5.2f}  {alone / total:8.1f}  {busy:4.0%}  "
                f"{read / 1e12:8.2f}  {shares}"
            )
        print()


if __name__ == "__main__":
    main()
