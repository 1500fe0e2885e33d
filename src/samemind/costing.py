"""What a study would cost before it runs: passes through networks, disk, and hours by a probe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from samemind.architectures.base import ARCHITECTURES
from samemind.datasets.base import DATASETS
from samemind.execution.devices import Execution
from samemind.execution.memory_format import memory_format_for
from samemind.extraction.activations import Activations, LayerActivations
from samemind.inversion import Adversarial, Inverted, Natural, Seeds
from samemind.lazy import torch
from samemind.store.artifacts import Recipe
from samemind.training import Checkpoint, Evaluated, Imported, Trained

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.attacks import Attack

FORWARD, TO_PIXELS, TO_WEIGHTS = "forward", "to pixels", "to weights"
"""Ways through a network: forward alone, or forward and back to the pixels or the weights."""

BYTES = {"float16": 2, "float32": 4, "uint8": 1}
PROBE_IMAGES = 32
PROBE_SECONDS = 2.0  # of one batch, at most: above, two images must do


@dataclass(frozen=True)
class Cost:
    """Of recipes that are missing.

    - `passes`: of one image, by (architecture, dataset, way); a way back has its way forward in it.
    - `bytes`: on disk, of what they leave behind; tables are left out as small.
    """

    passes: Counter[tuple[str, str, str]]
    bytes: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.passes + other.passes, self.bytes + other.bytes)

    @property
    def forward_passes(self) -> int:
        return sum(self.passes.values())

    @property
    def backward_passes(self) -> int:
        return sum(n for (_, _, way), n in self.passes.items() if way != FORWARD)


NOTHING = Cost(Counter(), 0)


def cost_of(recipes: Iterable[Recipe]) -> Cost:
    """What making these recipes takes; what is imported or compared counts as nothing.

    Of trainings that end at several steps of one, the longest makes the others on its way.
    """
    found = list(recipes)
    longest: dict[Trained, int] = {}
    for recipe in found:
        if isinstance(recipe, Trained) and (steps := _kept_steps(recipe)):
            whole = _without_steps(recipe)
            longest[whole] = max(steps, longest.get(whole, 0))
    costs = (
        Cost(Counter(), bytes_of(recipe))
        if isinstance(recipe, Trained)
        and _kept_steps(recipe) < longest.get(_without_steps(recipe), 0)
        else _cost(recipe)
        for recipe in found
    )
    return sum(costs, start=NOTHING)


def _kept_steps(recipe: Trained) -> int:
    """After how many steps a training ends that a longer one leaves behind; 0 for no such one."""
    return (recipe.schedule.steps or 0) if recipe.schedule.keep_every else 0


def _without_steps(recipe: Trained) -> Trained:
    return replace(recipe, schedule=replace(recipe.schedule, steps=None))


def bytes_of(recipe: Recipe) -> int:
    """On disk, of a checkpoint (an imported one too) or of what else can be counted."""
    if isinstance(recipe, (Trained, Imported)):
        return 4 * _parameters(recipe)
    return _cost(recipe).bytes


OPERATIONS = {FORWARD: 1, TO_PIXELS: 2, TO_WEIGHTS: 3}
"""Of each way, in forward passes: a way back to pixels is as long as the way forward."""


def longest_first(recipes: Iterable[Recipe]) -> list[Recipe]:
    """Recipes by the operations of their passes, the most first; where those are alike, as given.

    So that no long task begins when the others end, and all but one worker wait for it.
    """

    def operations(recipe: Recipe) -> int:
        passes = cost_of([recipe]).passes.items()
        return sum(
            n * OPERATIONS[way] * ARCHITECTURES[name].operations for (name, _, way), n in passes
        )

    return sorted(recipes, key=operations, reverse=True)


def _cost(recipe: Recipe) -> Cost:
    counted = _COSTS.get(type(recipe))
    return counted(recipe) if counted else NOTHING


def _of_training(recipe: Trained) -> Cost:
    whole = _first_split(recipe.dataset)
    images = recipe.schedule.count or round((recipe.schedule.share or 1) * whole)
    images *= recipe.schedule.epochs
    if recipe.schedule.steps is not None:
        images = min(images, recipe.schedule.steps * recipe.schedule.batch_size)
    steps, looks = _attack_passes(recipe.attack)
    passes = _passes(recipe, images * looks, images * steps, images)
    return Cost(passes, bytes_of(recipe))


def _of_evaluation(recipe: Evaluated) -> Cost:
    whole = recipe.count or DATASETS[recipe.checkpoint.dataset].splits[recipe.split]
    strong = min(recipe.strong_count or whole, whole) if recipe.strong_attack else 0
    strong *= max(len(recipe.epsilons), 1)
    steps, looks = _attack_passes(recipe.attack)
    strong_steps, strong_looks = _attack_passes(recipe.strong_attack)
    forward = whole * (2 + looks) + strong * (1 + strong_looks)
    return Cost(_passes(recipe.checkpoint, forward, whole * steps + strong * strong_steps), 0)


def _of_inversion(recipe: Inverted) -> Cost:
    n = _count(recipe.targets)
    passes = _passes(recipe.checkpoint, 3 * n, n * recipe.descent.steps)
    return Cost(passes, n * _pixels(recipe.checkpoint.dataset) * BYTES[recipe.storage])


def _of_adversarial(recipe: Adversarial) -> Cost:
    n = _count(recipe.targets)
    steps, looks = _attack_passes(recipe.attack)
    passes = _passes(recipe.checkpoint, n * (1 + looks), n * steps)
    return Cost(passes, n * _pixels(recipe.checkpoint.dataset) * BYTES["float32"])


def _of_images(natural: Natural) -> Cost:
    return Cost(Counter(), _count(natural) * _pixels(natural.dataset))


def _of_extraction(recipe: Activations) -> Cost:
    n = _count(recipe.inputs.source)
    width = ARCHITECTURES[recipe.checkpoint.architecture].representation_size
    width += len(DATASETS[recipe.checkpoint.dataset].classes)
    return Cost(_passes(recipe.checkpoint, n), 4 * n * width)


def _of_layers(recipe: LayerActivations) -> Cost:
    # How wide its layers are, only the network knows: their disk is left out.
    return Cost(_passes(recipe.checkpoint, _count(recipe.inputs.source)), 0)


_COSTS: dict[type[Recipe], Callable[[Any], Cost]] = {
    Trained: _of_training,
    Evaluated: _of_evaluation,
    Inverted: _of_inversion,
    Adversarial: _of_adversarial,
    Natural: _of_images,
    Seeds: lambda recipe: _of_images(recipe.targets),
    Activations: _of_extraction,
    LayerActivations: _of_layers,
}


def _attack_passes(attack: Attack | None) -> tuple[int, int]:
    """Steps of an attack, and forward passes that it makes besides, to keep the best iterate."""
    if attack is None:
        return 0, 0
    return attack.steps * attack.restarts, attack.restarts if attack.keep_best else 0


def _passes(
    checkpoint: Checkpoint, forward: int, to_pixels: int = 0, to_weights: int = 0
) -> Counter[tuple[str, str, str]]:
    network = checkpoint.architecture, checkpoint.dataset
    counts = {FORWARD: forward, TO_PIXELS: to_pixels, TO_WEIGHTS: to_weights}
    return Counter({(*network, way): n for way, n in counts.items() if n})


def _first_split(dataset: str) -> int:
    return next(iter(DATASETS[dataset].splits.values()))


def _parameters(recipe: Checkpoint) -> int:
    counts = ARCHITECTURES[recipe.architecture].parameters
    most = max(counts.values(), default=0)  # of one's own network they are not known before
    return counts.get(len(DATASETS[recipe.dataset].classes), most)


def _count(natural: Natural) -> int:
    return natural.count or DATASETS[natural.dataset].splits[natural.split]


def _pixels(dataset: str) -> int:
    return DATASETS[dataset].channels * DATASETS[dataset].image_size ** 2


def seconds_by_probe(cost: Cost, execution: Execution) -> float:
    """The seconds that these passes take one after another, by timing a few of each network.

    Forward passes, and those with a way back to the pixels or the weights, are timed apart. Reading
    images and writing results are not in it.

    **Cost:** builds each architecture once, and a few seconds for each way through it.
    """
    device = execution.start()
    ways: dict[tuple[str, str], dict[str, int]] = {}
    for (architecture, dataset, way), passes in cost.passes.items():
        ways.setdefault((architecture, dataset), {})[way] = passes
    total = 0.0
    for (architecture, dataset), passes_of in ways.items():
        per_image = _probed(architecture, dataset, list(passes_of), device)
        total += sum(passes_of[way] * seconds for way, seconds in per_image.items())
    return total


def _probed(
    architecture: str, dataset: str, ways: Sequence[str], device: torch.device
) -> dict[str, float]:
    """Seconds for one image of a dataset through a network, by way."""
    record, data = ARCHITECTURES[architecture], DATASETS[dataset]
    with torch.random.fork_rng(devices=[]):
        network: Any = record.build(len(data.classes), data.image_size)
    # As training and inversion have them.
    memory_format = memory_format_for(network, device)
    network = network.to(device, memory_format=memory_format).eval()
    shape = (PROBE_IMAGES, data.channels, data.image_size, data.image_size)
    images = torch.zeros(shape, device=device).contiguous(memory_format=memory_format)

    def forward(batch: Tensor) -> None:
        with torch.no_grad():
            network(batch)

    def to_pixels(batch: Tensor) -> None:
        batch = batch.detach().requires_grad_()
        torch.autograd.grad(network.requires_grad_(False)(batch).sum(), batch)

    def to_weights(batch: Tensor) -> None:
        network.requires_grad_(True)(batch).sum().backward()
        network.zero_grad()

    run = {FORWARD: forward, TO_PIXELS: to_pixels, TO_WEIGHTS: to_weights}
    return {way: _seconds_per_image(run[way], images) for way in ways}


def _seconds_per_image(run: Callable[[Tensor], None], images: Tensor) -> float:
    """The best of three batches; of two images where a whole batch would take long."""

    # Of one thread, so that what else this machine is doing now does not count.
    clock = process_time if images.device.type == "cpu" else perf_counter

    def seconds(batch: Tensor) -> float:
        start = clock()
        run(batch)
        if batch.device.type == "cuda":
            torch.cuda.synchronize()
        return clock() - start

    seconds(images[:2])  # the first time, memory is fetched and kernels are chosen
    once = seconds(images[:2]) / 2
    if once * len(images) > PROBE_SECONDS:
        return once
    return min(seconds(images) for _ in range(3)) / len(images)


def duration(seconds: float) -> str:
    """A duration for a reader: '40 seconds', '2.5 hours', '3 days'."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.2g} {unit}s"
    return f"{seconds:.0f} seconds"


def size(n_bytes: int) -> str:
    """A number of bytes for a reader: '1.2 GB'."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= length:
            return f"{n_bytes / length:.3g} {unit}"
    return f"{n_bytes / 1e3:.3g} kB"
