"""What a study would cost before it runs: passes through networks, disk, and hours by a probe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from samemind.architectures.base import ARCHITECTURES
from samemind.artifacts import Recipe
from samemind.datasets.base import DATASETS
from samemind.devices import Execution
from samemind.extraction import Activations, LayerActivations
from samemind.inversion import Inverted, Natural, Seeds
from samemind.training import Evaluated, Trained

if TYPE_CHECKING:
    from samemind.attacks import Attack

#: A backward pass to the pixels costs about a forward pass; one to the weights as well, two.
TO_PIXELS, TO_WEIGHTS = 1, 2
BYTES = {"float16": 2, "float32": 4, "uint8": 1}
PROBE_IMAGES = 32


@dataclass(frozen=True)
class Cost:
    """Of recipes that are missing.

    - `passes`: forward passes of one image by (architecture, dataset); a backward pass counts as
      one to the pixels and as two to the weights.
    - `bytes`: on disk, of what they leave behind; tables are left out as small.
    """

    passes: Counter[tuple[str, str]]
    bytes: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.passes + other.passes, self.bytes + other.bytes)


NOTHING = Cost(Counter(), 0)


def cost_of(recipes: Iterable[Recipe]) -> Cost:
    """What making these recipes takes; what is imported or compared counts as nothing."""
    return sum((_cost(recipe) for recipe in recipes), start=NOTHING)


def _cost(recipe: Recipe) -> Cost:
    if isinstance(recipe, Trained):
        images = recipe.schedule.count or _first_split(recipe.dataset)
        images *= recipe.schedule.epochs
        per_image = 1 + TO_WEIGHTS + _attack_passes(recipe.attack)
        return Cost(_passes(recipe, images * per_image), 4 * _parameters(recipe))
    if isinstance(recipe, Evaluated):
        whole = recipe.count or DATASETS[recipe.checkpoint.dataset].splits[recipe.split]
        strong = min(recipe.strong_count or whole, whole) if recipe.strong_attack else 0
        radii = max(len(recipe.epsilons), 1)
        passes = whole * (2 + _attack_passes(recipe.attack))
        passes += strong * radii * (1 + _attack_passes(recipe.strong_attack))
        return Cost(_passes(recipe.checkpoint, passes), 0)
    if isinstance(recipe, Inverted):
        n = _count(recipe.targets)
        passes = n * (recipe.descent.steps * (1 + TO_PIXELS) + 3)
        return Cost(_passes(recipe.checkpoint, passes), n * _pixels(recipe) * BYTES[recipe.storage])
    if isinstance(recipe, (Natural, Seeds)):
        natural = recipe.targets if isinstance(recipe, Seeds) else recipe
        return Cost(Counter(), _count(natural) * _pixels(natural))
    if isinstance(recipe, Activations):
        inputs = recipe.inputs
        n = _count(inputs.targets if isinstance(inputs, Inverted) else inputs)
        width = ARCHITECTURES[recipe.checkpoint.architecture].representation_size
        width += len(DATASETS[recipe.checkpoint.dataset].classes)
        return Cost(_passes(recipe.checkpoint, n), 4 * n * width)
    if isinstance(recipe, LayerActivations):
        # How wide its layers are, only the network knows: their disk is left out.
        inputs = recipe.inputs
        n = _count(inputs.targets if isinstance(inputs, Inverted) else inputs)
        return Cost(_passes(recipe.checkpoint, n), 0)
    return NOTHING


def _attack_passes(attack: Attack | None) -> int:
    return attack.steps * attack.restarts * (1 + TO_PIXELS) if attack else 0


def _passes(checkpoint, count: int) -> Counter[tuple[str, str]]:
    return Counter({(checkpoint.architecture, checkpoint.dataset): count})


def _first_split(dataset: str) -> int:
    return next(iter(DATASETS[dataset].splits.values()))


def _parameters(recipe: Trained) -> int:
    counts = ARCHITECTURES[recipe.architecture].parameters
    return counts.get(len(DATASETS[recipe.dataset].classes), max(counts.values()))


def _count(natural: Natural) -> int:
    return natural.count or DATASETS[natural.dataset].splits[natural.split]


def _pixels(recipe: Natural | Inverted) -> int:
    dataset = recipe.checkpoint.dataset if isinstance(recipe, Inverted) else recipe.dataset
    return DATASETS[dataset].channels * DATASETS[dataset].image_size ** 2


def seconds_by_probe(cost: Cost, execution: Execution) -> float:
    """The seconds that these passes take one after another, by timing a few of each network.

    **Cost:** builds each architecture once and runs 32 images through it three times.
    """
    import torch

    device = execution.start()
    total = 0.0
    for (architecture, dataset), passes in cost.passes.items():
        record, data = ARCHITECTURES[architecture], DATASETS[dataset]
        with torch.random.fork_rng(devices=[]):
            network = record.build(len(data.classes), data.image_size).to(device).eval()
        images = torch.zeros(
            PROBE_IMAGES, data.channels, data.image_size, data.image_size, device=device
        )
        taken = []
        with torch.no_grad():
            for _ in range(3):
                start = perf_counter()
                network(images)
                if device.type == "cuda":
                    torch.cuda.synchronize()
                taken.append(perf_counter() - start)
        total += passes * min(taken) / PROBE_IMAGES
    return total


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
