"""Input sets: natural images, seed images, and the inverted images of a checkpoint.

The inverted image of a target is a seed image of another class, moved in pixel space until the
model's representation of it is that of the target: to this model the two look alike, and what
other models make of it tells whether they look in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from samemind.arrays import as_pixels
from samemind.artifacts import Recipe, Store
from samemind.attacks import frozen_for_attack, norms, value_and_gradient
from samemind.datasets.base import DATASETS
from samemind.devices import Execution
from samemind.errors import InvalidInput
from samemind.lazy import LazyModule
from samemind.randomness import numpy_generator
from samemind.training import Checkpoint, load_checkpoint, mixed_precision

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from samemind.classifier import Classifier
else:
    torch = LazyModule("torch")

INPUTS_FILE = "inputs.safetensors"


# -- recipes


@dataclass(frozen=True, kw_only=True)
class Natural(Recipe):
    """Images of a dataset as they are: all of a split in order, or `count` drawn at random."""

    kind: ClassVar[str] = "inputs"

    dataset: str
    split: str
    count: int | None
    random_seed: int

    @property
    def label(self) -> str:
        return f"natural-{self.dataset}-{self.split}-{self.count or 'all'}"


@dataclass(frozen=True, kw_only=True)
class Seeds(Recipe):
    """For each target an image of another class, drawn at random from the same split."""

    kind: ClassVar[str] = "inputs"

    targets: Natural
    random_seed: int

    @property
    def label(self) -> str:
        return f"seeds-{self.targets.dataset}-{self.targets.split}-{self.targets.count or 'all'}"


@dataclass(frozen=True, kw_only=True)
class Descent:
    """How a seed image is moved: normalised gradient steps with momentum, the best iterate kept.

    The defaults are those of the study's code; its text speaks of three steps, which move an
    image by at most 0.07 and cannot give its figure 2.
    """

    steps: int = 1000
    step_size: float = 0.125  # pixel units, Euclidean length per image
    momentum: float = 0.9
    precision: str = "float32"


@dataclass(frozen=True, kw_only=True)
class Inverted(Recipe):
    """The inverted images of one checkpoint. Targets and seeds are the same for every model."""

    kind: ClassVar[str] = "inputs"

    checkpoint: Checkpoint
    targets: Natural
    seeds: Seeds
    descent: Descent
    storage: str = "float16"  # rounding to 8 bits moves an image as far as a small attack does

    @property
    def label(self) -> str:
        return f"inverted-{self.targets.dataset}-{self.checkpoint.label}"


Inputs = Natural | Inverted


# -- pure functions


class Inversion(NamedTuple):
    """What came of inverting N targets."""

    images: Tensor  # (N, channels, H, W), in [0, 1]
    relative_loss: Tensor  # (N,): of the image kept
    curve: Tensor  # (steps + 1,): mean relative loss of the iterates, the start first


def invert(
    classifier: Classifier,
    targets: Tensor,
    seeds: Tensor,
    *,
    descent: Descent,
) -> Inversion:
    r"""Seed images moved until the classifier represents them as it does the targets.

    Descends $\|f(s) - f(x)\|_2 / \|f(x)\|_2$ per image. The gradient is scaled to unit length
    per image, so the images of a batch do not touch one another and any batch size gives the
    same. A zero gradient moves nothing. Clipping to [0, 1] is outside what is differentiated.

    **Arguments:**

    - `targets`, `seeds`: (N, channels, H, W) in [0, 1], on the classifier's device.

    **Cost:** one forward and one backward pass per step, and two forward passes more.

    **Source:** Jones et al. (2022) and Engstrom et al. (2019); constants in `Descent`.
    """
    with frozen_for_attack(classifier), torch.no_grad():
        wanted = classifier(targets).representation.float()
        scale = torch.linalg.vector_norm(wanted, dim=1).clamp_min(torch.finfo(wanted.dtype).tiny)

        def relative_loss(images: Tensor) -> Tensor:
            with mixed_precision(descent.precision, images.device):
                found = classifier(images).representation
            return torch.linalg.vector_norm(found.float() - wanted, dim=1) / scale

        x, velocity = seeds.clone(), torch.zeros_like(seeds)
        best, best_loss = x, torch.full_like(scale, torch.inf)
        curve = []
        for _ in range(descent.steps):
            loss, gradient = value_and_gradient(relative_loss, x)
            best, best_loss = _keep_better(best, best_loss, x, loss)
            curve.append(loss.mean())
            length = norms(gradient)
            direction = torch.where(length > 0, gradient / length, torch.zeros_like(gradient))
            velocity = descent.momentum * velocity + (1 - descent.momentum) * direction
            x = (x - descent.step_size * velocity).clamp(0, 1)
        loss = relative_loss(x)
        best, best_loss = _keep_better(best, best_loss, x, loss)
        curve.append(loss.mean())
    return Inversion(best, best_loss, torch.stack(curve))


def _keep_better(best: Tensor, best_loss: Tensor, x: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
    better = loss < best_loss
    return torch.where(better.reshape(-1, 1, 1, 1), x, best), torch.where(better, loss, best_loss)


def draw_inputs(count: int, wanted: int | None, random_seed: int) -> np.ndarray:
    """Indices of the inputs: all in order, or `wanted` of them at random, ascending."""
    if wanted is None or wanted == count:
        return np.arange(count)
    if wanted > count:
        raise InvalidInput(
            f"{wanted} inputs were asked for, but the split has {count}. Ask for fewer."
        )
    return np.sort(numpy_generator(random_seed, "inputs").choice(count, wanted, replace=False))


def draw_seeds(target_labels: np.ndarray, labels: np.ndarray, random_seed: int) -> np.ndarray:
    """For each target the index of an image of another class, uniform among all of those."""
    generator = numpy_generator(random_seed, "seeds")
    chosen = np.empty(len(target_labels), dtype=np.int64)
    for label in np.unique(target_labels):
        here = target_labels == label
        others = np.flatnonzero(labels != label)
        if not len(others):
            raise InvalidInput(
                f"Every image has the class {label}, so none can be the seed of another class. "
                f"Inversion needs at least two classes."
            )
        chosen[here] = generator.choice(others, here.sum())
    return chosen


# -- builds


def build_natural(recipe: Natural, store: Store, execution: Execution) -> None:
    """Copies the chosen images of a dataset into the store."""
    del execution
    split = DATASETS[recipe.dataset].split(recipe.split)
    _write_images(recipe, store, split, draw_inputs(len(split), recipe.count, recipe.random_seed))


def build_seeds(recipe: Seeds, store: Store, execution: Execution) -> None:
    """Draws a seed image for each target and copies it into the store."""
    del execution
    labels = store.open(recipe.targets).arrays(INPUTS_FILE)["labels"]
    split = DATASETS[recipe.targets.dataset].split(recipe.targets.split)
    _write_images(recipe, store, split, draw_seeds(labels, split.labels, recipe.random_seed))


def _write_images(recipe: Recipe, store: Store, split, indices: np.ndarray) -> None:
    with store.create(recipe) as draft:
        draft.write_arrays(
            INPUTS_FILE,
            {"images": split.read(indices), "labels": split.labels[indices], "indices": indices},
        )


def build_inverted(recipe: Inverted, store: Store, execution: Execution) -> None:
    """Inverts the targets of a recipe, batch by batch."""
    device = execution.start()
    classifier = load_checkpoint(recipe.checkpoint, store).to(device)
    targets = store.open(recipe.targets).arrays(INPUTS_FILE)
    seeds = store.open(recipe.seeds).arrays(INPUTS_FILE)
    parts = []
    for start in range(0, len(targets["labels"]), execution.batch_size):
        chunk = slice(start, start + execution.batch_size)
        found = invert(
            classifier,
            as_pixels(targets["images"][chunk]).to(device),
            as_pixels(seeds["images"][chunk]).to(device),
            descent=recipe.descent,
        )
        parts.append(found)
    images = stored(torch.cat([part.images for part in parts]).cpu().numpy(), recipe.storage)
    weights = [len(part.images) for part in parts]
    curve = np.average([part.curve.cpu().numpy() for part in parts], axis=0, weights=weights)
    with store.create(recipe, device=str(device)) as draft:
        draft.write_arrays(
            INPUTS_FILE,
            {
                "images": images,
                "labels": targets["labels"],
                "relative_loss": torch.cat([part.relative_loss for part in parts]).cpu().numpy(),
                "stored_relative_loss": _relative_loss_of(
                    classifier, images, targets["images"], execution, device
                ),
                "curve": curve.astype(np.float32),
            },
        )


def stored(images: np.ndarray, storage: str) -> np.ndarray:
    """Images as they are kept: float16, float32, or uint8 rounded (never cut off)."""
    if storage == "uint8":
        return np.rint(images * 255).astype(np.uint8)
    if storage in ("float16", "float32"):
        return images.astype(storage)
    raise InvalidInput(f"No storage is called '{storage}'. Known: float16, float32, uint8.")


def _relative_loss_of(
    classifier: Classifier,
    images: np.ndarray,
    targets: np.ndarray,
    execution: Execution,
    device: torch.device,
) -> np.ndarray:
    """The relative loss of the images as stored: what any reader of them will find."""
    from samemind.classifier import outputs

    found, wanted = (
        outputs(
            classifier, torch.from_numpy(x), batch_size=execution.batch_size, device=device
        ).representation
        for x in (images, targets)
    )
    return (
        torch.linalg.vector_norm(found - wanted, dim=1) / torch.linalg.vector_norm(wanted, dim=1)
    ).numpy()


def load_inputs(recipe: Natural | Seeds | Inverted, store: Store) -> dict[str, np.ndarray]:
    """The arrays of an input set: images and labels, and what else its kind has."""
    return store.open(recipe).arrays(INPUTS_FILE)
