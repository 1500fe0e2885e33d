"""A network looks at inputs, and a side is what it says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.execution.unchanged import failing_as, unchanged
from samemind.inputs.images import Images, fitted, subset
from samemind.lazy import torch
from samemind.networks.model import Model
from samemind.networks.wrappers import layers_of
from samemind.randomness import numpy_generator
from samemind.registry import did_you_mean
from samemind.sides.side import Side

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.classifier import Output

#: Called with what is done, how many of it, and of how many.
Watch = Callable[[str, int, int], None]


def look(
    models: Sequence[Model], images: Images, execution: Execution, watch: Watch | None = None
) -> dict[str, Side]:
    """What each model says of the images, by its name, with the labels that fit its classes.

    **Cost:** one forward pass per model and image; one batch of images in memory at a time.
    """
    from samemind.classifier import outputs_of

    device = execution.start()
    found = {}
    for model in models:
        batches = _batches(model, images, execution, model.name, watch)
        with failing_as(model.name, "on its inputs"):
            said = outputs_of(model.classifier, batches, device=device)
        _check_finite(model.name, said.representation)
        found[model.name] = said
    return {name: _side(said, images, found.values()) for name, said in found.items()}


def look_at(
    pixels: Tensor, models: Sequence[Model], targets: Images, execution: Execution
) -> dict[str, Side]:
    """What each model says of images that one of them was given, with the labels of the targets."""
    from samemind.classifier import outputs

    device, size = execution.start(), execution.batch_size
    found = {}
    for model in models:
        seen = fitted(pixels, model.image_size, model.channels)
        found[model.name] = outputs(model.classifier, seen, batch_size=size, device=device)
    return {name: _side(said, targets, found.values()) for name, said in found.items()}


def _check_finite(name: str, values: Tensor) -> None:
    """Raises for NaN with the name of the network, which a `Side` does not know."""
    is_bad = values.isnan().any(1)
    if bool(is_bad.any()):
        raise InvalidInput(
            f"'{name}' gives NaN for {int(is_bad.sum()):,} of {len(values):,} inputs, the first "
            f"is number {int(is_bad.int().argmax())}. Look for a division by zero, an overflow in "
            f"half precision, or inputs that are NaN."
        )


def _side(said: Output, images: Images, others: Iterable[Output]) -> Side:
    """What a model says; what predicts nothing has the labels in the classes of those that do."""
    n_classes = said.logits.shape[1] or max((o.logits.shape[1] for o in others), default=0)
    labels = images.labels
    if n_classes:
        labels, _ = images.labels_for(max(2, n_classes))  # one logit is of two classes
    return Side(
        representation=said.representation,
        logits=said.logits if said.logits.shape[1] else None,
        labels=labels,
        kind="logits",
    )


def _batches(
    model: Model, images: Images, execution: Execution, what: str, watch: Watch | None
) -> Iterator[Tensor]:
    for start in range(0, len(images), execution.batch_size):
        rows = np.arange(start, min(start + execution.batch_size, len(images)))
        yield pixels_for(model, images, rows)
        if watch:
            watch(what, int(rows[-1]) + 1, len(images))


def pixels_for(model: Model, images: Images, rows: np.ndarray) -> Tensor:
    """Inputs as one model is given them: images in float64 for a network in float64 only."""
    from samemind.classifier import precision_of

    read = images.read(rows, size=model.image_size, crop=model.crop, channels=model.channels)
    if not model.reads_images:
        return read
    return read if precision_of(model.classifier.network) == torch.float64 else read.float()


def layers_seen(
    models: Sequence[Model],
    images: Images,
    layers: Sequence[str | float] | str,
    *,
    pooling: str,
    execution: Execution,
    watch: Watch | None = None,
) -> dict[str, dict[str, Tensor]]:
    """What the layers of each model give for the images, by model and layer.

    **Arguments:**

    - `layers`: 'all', or names and relative depths from 0 to 1; each model takes part with those
      that it has.

    **Raises:** `InvalidInput` for a layer that no model has, or a model that has none of them.
    """
    from samemind.extraction.layers import layer_names

    known = {m.name: layer_names(m.classifier.network) for m in models}
    every = {
        m.name: {name for pair in layers_of(m.classifier.network) for name in pair[:2]}
        for m in models
    }
    names = [] if layers == "all" else [one for one in layers if isinstance(one, str)]
    for name in names:
        if not any(name in there for there in every.values()):
            there = sorted(set().union(*every.values()))
            raise InvalidInput(
                f"No model has a layer '{name}'. {did_you_mean(name, there)}"
                f"{models[0].name} has {', '.join(known[models[0].name][:4])} and others."
            )
    depths = [] if layers == "all" else [one for one in layers if not isinstance(one, str)]
    device = execution.start()
    outputs = {}
    for model in models:
        own = [name for name in names if name in every[model.name]]
        if layers != "all" and not own and not depths:
            raise InvalidInput(
                f"{model.name} has none of the layers {', '.join(names)}. Name one of its own as "
                f"well, such as {', '.join(known[model.name][:4])}."
            )
        with unchanged(model.classifier):
            model.classifier.to(device)
            outputs[model.name] = _layers_of(
                model, images, "all" if layers == "all" else own, depths,
                pooling=pooling, execution=execution, watch=watch,
            )  # fmt: skip
    return outputs


def _layers_of(
    model: Model,
    images: Images,
    named: Sequence[str] | str,
    depths: Sequence[float],
    *,
    pooling: str,
    execution: Execution,
    watch: Watch | None,
) -> dict[str, Tensor]:
    """What layers of one model give, by their names and at relative depths."""
    from samemind.extraction.layers import at_depths, layer_outputs

    classifier, device = model.classifier, execution.start()

    def run(wanted: Sequence[str] | str, some: Images, what: str) -> dict[str, Tensor]:
        batches = (b.to(device) for b in _batches(model, some, execution, what, watch))
        return layer_outputs(
            classifier.network, batches, wanted, pooling=pooling, forward=classifier
        )

    if depths:
        # Two images tell which layers give a row per input, which depths are about.
        usable = list(run("all", subset(images, np.arange(min(2, len(images)))), model.name))
        named = list(dict.fromkeys([*named, *at_depths(usable, depths)]))
    return run(named, images, f"layers of {model.name}")


class Inversion(NamedTuple):
    """Images that one model takes for others, and what they came from.

    - `targets`, `seeds`, `inverted`: `(n, channels, size, size)` in [0, 1], as that model is given
      them. `relative_loss`: `(n,)`; 1 would be no nearer than nothing.
    """

    targets: Tensor
    seeds: Tensor
    inverted: Tensor
    relative_loss: Tensor


def inverted_for(
    owner: Model,
    targets: Images,
    seeds: Images,
    *,
    steps: int,
    execution: Execution,
    watch: Watch | None = None,
) -> Inversion:
    """Moves each seed image until the model takes it for its target image.

    **Cost:** per image, one forward and one backward pass per step.
    """
    from samemind.inversion import Descent, invert

    device, classifier = execution.start(), owner.classifier
    parts, descent = [], Descent(steps=steps)
    with unchanged(classifier):
        classifier.to(device)
        for start in range(0, len(targets), execution.batch_size):
            rows = np.arange(start, min(start + execution.batch_size, len(targets)))
            goal, begin = (pixels_for(owner, images, rows) for images in (targets, seeds))
            made = invert(classifier, goal.to(device), begin.to(device), descent=descent)
            parts.append((goal, begin, made.images.cpu(), made.relative_loss.cpu()))
            if watch:
                watch(f"inverting for {owner.name}", int(rows[-1]) + 1, len(targets))
    return Inversion(*(torch.cat(part) for part in zip(*parts, strict=True)))


def targets_and_seeds(images: Images, count: int, random_seed: int) -> tuple[Images, Images]:
    """So many images at random, and for each one of another class to start from.

    Without labels, another image.

    **Raises:** `InvalidInput` for more images than there are, or fewer than two.
    """
    from samemind.inversion import draw_seeds

    if not 2 <= count <= len(images):
        raise InvalidInput(
            f"{count} inverted images were asked for, of {len(images)} inputs. Give a number from "
            f"2 to {len(images)}."
        )
    chosen = np.sort(
        numpy_generator(random_seed, "inversion targets").choice(len(images), count, False)
    )
    if images.labels is not None and len(np.unique(images.labels)) > 1:
        seeds = draw_seeds(images.labels[chosen], images.labels, random_seed)
    else:
        # Without classes any other image will do: a step of 1 … N - 1 never ends at the target.
        steps = numpy_generator(random_seed, "inversion seeds").integers(1, len(images), count)
        seeds = (chosen + steps) % len(images)
    return subset(images, chosen), subset(images, seeds)
