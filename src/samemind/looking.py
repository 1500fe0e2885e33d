"""Beyond the penultimate layer on natural images: layers, retrained heads, inverted images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from samemind.comparison.table import score_owner, score_pairs, score_together, stacked
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.inputs.images import Images, fitted, subset
from samemind.lazy import LazyModule
from samemind.measures import measure
from samemind.measures.base import Pair, Side
from samemind.measures.kinds import of_kind
from samemind.networks.opening import Model
from samemind.own_models import Compared, Watch, outputs_of
from samemind.randomness import numpy_generator
from samemind.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import torch
    from torch import Tensor
else:
    pd = LazyModule("pandas")
    torch = LazyModule("torch")

PROBE_MEASURES = ("agreement", "jensen_shannon_similarity")
FEWEST_PROBE_STEPS = 600
SHOWN_TARGETS = 6


# -- layers


def add_layers(
    found: Compared,
    models: Sequence[Model],
    images: Images,
    *,
    layers: Sequence[str] | str,
    pooling: str,
    by: str,
    execution: Execution,
    watch: Watch | None = None,
) -> None:
    """Adds the score of every layer of each model with every layer of each other one.

    **Arguments:**

    - `layers`: 'all', or names; each model takes part with those that it has.

    **Raises:** `InvalidInput` for a layer that no model has, or a model that has none of them.
    """
    from samemind.comparison.layer_maps import layer_map
    from samemind.extraction import layer_names, layer_outputs

    known = {m.name: layer_names(m.classifier.network) for m in models}
    every = {m.name: {n for n, _ in m.classifier.network.named_modules()} for m in models}
    for name in [] if layers == "all" else layers:
        if not any(name in names for names in every.values()):
            names = sorted(set().union(*every.values()))
            raise InvalidInput(
                f"No model has a layer '{name}'. {did_you_mean(name, names)}"
                f"{models[0].name} has {', '.join(known[models[0].name][:4])}, …"
            )
    device = execution.start()
    outputs = {}
    for model in models:
        wanted = "all" if layers == "all" else [n for n in layers if n in every[model.name]]
        if not wanted:
            raise InvalidInput(
                f"{model.name} has none of the layers {', '.join(layers)}. Name one of its own as "
                f"well, such as {', '.join(known[model.name][:4])}."
            )
        classifier = model.classifier.to(device)
        batches = _batches(model, images, execution, device, watch)
        outputs[model.name] = layer_outputs(
            classifier.network, batches, wanted, pooling=pooling, forward=classifier
        )
        classifier.cpu()
    tables = []
    for a, b in combinations(outputs, 2):
        table = layer_map(outputs[a], outputs[b], by)
        tables.append(table.assign(model_a=a, model_b=b))
    found.layers = pd.concat(tables, ignore_index=True)
    how = "averaged over space" if pooling == "mean" else "flattened"
    found.notes.append(f"Layers: {by}, activations {how}.")


def _batches(
    model: Model, images: Images, execution: Execution, device: torch.device, watch: Watch | None
) -> Iterator[Tensor]:
    for start in range(0, len(images), execution.batch_size):
        positions = np.arange(start, min(start + execution.batch_size, len(images)))
        pixels = images.read(
            positions, size=model.image_size, crop=model.crop, channels=model.channels
        )
        yield pixels.to(device)
        if watch:
            watch(f"layers of {model.name}", int(positions[-1]) + 1, len(images))


# -- probes


def sides_on(
    models: Sequence[Model], images: Images, execution: Execution, watch: Watch | None = None
) -> dict[str, Side]:
    """What each model says of other images than those compared on, with their labels.

    **Raises:** `InvalidInput` for images without labels that fit a model.
    """
    found = {}
    for model in models:
        said = outputs_of(model, images, execution, watch)
        labels, why = images.labels_for(said.logits.shape[1])
        if labels is None:
            raise InvalidInput(
                f"Probes cannot be trained on {images.name} for {model.name}: {why}."
            )
        found[model.name] = Side(
            logits=said.logits, representation=said.representation, labels=labels
        )
    return found


def add_probes(
    found: Compared,
    sides: Mapping[str, Side],
    *,
    training: Mapping[str, Side] | None = None,
    trained_on: str = "",
    random_seed: int = 0,
) -> None:
    """Adds the agreement of heads retrained on frozen representations, beside the original ones.

    A linear head per model is trained on `training`, and both kinds of head are compared on all
    of `sides`. Without it, a random half of the inputs trains the heads, the same rows for all,
    and the other half compares them.

    **Arguments:**

    - `trained_on`: what `training` is called, for the note that says so.

    **Raises:** `InvalidInput` without labels, or with fewer than 40 inputs.
    """
    from samemind.comparison.probes import train_probe

    for each in (sides, training or sides):
        if not all(s.has_labels and s.has_representation and s.has_logits for s in each.values()):
            raise InvalidInput(
                "Probes are trained on labels, but these inputs have none that fit the models. "
                "Give --labels, or leave --probe out."
            )
    n = next(iter((training or sides).values())).n_inputs
    if n < 40:
        raise InvalidInput(f"Probes need at least 40 inputs, but there are {n}. Give more.")
    if training is None:
        training = sides
        order = numpy_generator(random_seed, "probe split").permutation(n)
        train, held_out = (torch.from_numpy(np.sort(p)) for p in (order[: n // 2], order[n // 2 :]))
    else:
        train, held_out = torch.arange(n), torch.arange(next(iter(sides.values())).n_inputs)
    batch_size = min(len(train), 1024)
    epochs = max(30, ceil(FEWEST_PROBE_STEPS / ceil(len(train) / batch_size)))
    heads: dict[str, dict[str, Side]] = {"original": {}, "probe": {}}
    for name, side in sides.items():
        weight, bias = train_probe(
            training[name].representation[train].float(),
            training[name].labels[train],
            classes=side.n_classes,
            epochs=epochs,
            batch_size=batch_size,
            random_seed=random_seed,
        )
        labels = side.labels[held_out]
        retrained = side.representation[held_out].float() @ weight.T + bias
        heads["original"][name] = Side(logits=side.logits[held_out], labels=labels)
        heads["probe"][name] = Side(logits=retrained, labels=labels)
        right = heads["probe"][name].predictions == labels
        found.probe_accuracies[name] = float(right.double().mean())
    found.probes = pd.DataFrame(
        [
            {
                "dataset": found.name, "epsilon": 0.0, "model_a": a, "model_b": b,
                "inputs": "natural", "inputs_dataset": found.name, "inverted_by": None,
                "measure": name, "heads": kind, "score": measure(name).score(Pair(of[a], of[b])),
            }
            for kind, of in heads.items()
            for a, b in combinations(of, 2)
            for name in PROBE_MEASURES
        ]
    )  # fmt: skip
    accuracies = ", ".join(f"{n} {a:.4f}" for n, a in found.probe_accuracies.items())
    if trained_on:
        where = (
            f"{len(train):,} inputs of {trained_on} and compared on all {len(held_out):,} inputs"
        )
    else:
        where = f"{len(train):,} of the inputs and compared on the other {len(held_out):,}"
    found.notes.append(f"Heads were retrained on {where}; their accuracies: {accuracies}.")


# -- inversion


def add_inverted(
    found: Compared,
    models: Sequence[Model],
    images: Images,
    *,
    count: int,
    steps: int,
    measures: Sequence[str],
    permutations: int,
    execution: Execution,
    random_seed: int = 0,
    watch: Watch | None = None,
) -> None:
    """Adds scores on inverted images: for each model, `count` pictures that it takes for others.

    The same targets and seeds for every model. A seed is an image of another class, or another
    image where there are no labels. Measures of mechanisms and of sets are computed as well.

    **Cost:** per model and image, one forward and one backward pass per step.
    """
    from samemind.figures.base import GalleryItem
    from samemind.inversion import Descent, invert

    targets, seeds = _targets_and_seeds(images, count, random_seed)
    device = execution.start()
    architectures = found.architectures
    of_pairs, of_sets = of_kind("pair", measures), of_kind("set", measures)
    of_mechanisms = of_kind("mechanism", measures)
    tables, sets = [found.scores], [] if found.sets is None else [found.sets]
    for owner in models:
        shape = {"size": owner.image_size, "crop": owner.crop, "channels": owner.channels}
        goals, parts, losses = [], [], []
        classifier = owner.classifier.to(device)
        for start in range(0, count, execution.batch_size):
            rows = np.arange(start, min(start + execution.batch_size, count))
            goal, begin = (s.read(rows, **shape) for s in (targets, seeds))
            made = invert(
                classifier, goal.to(device), begin.to(device), descent=Descent(steps=steps)
            )
            goals.append(goal)
            parts.append(made.images.cpu())
            losses.append(made.relative_loss.cpu())
            if watch:
                watch(f"inverting for {owner.name}", int(rows[-1]) + 1, count)
        classifier.cpu()
        inverted, loss = torch.cat(parts), torch.cat(losses)
        sides = _looking_at(inverted, models, targets, execution, device)
        common = {
            "name": found.name, "architectures": architectures, "permutations": permutations,
            "inverted_by": owner.name,
        }  # fmt: skip
        tables.append(score_pairs(sides, of_pairs, **common))
        if of_mechanisms:
            # As the owner was given them: another crop would be told from its inversions by that.
            before = _looking_at(torch.cat(goals), models, targets, execution, device)
            tables.append(score_owner(before, sides, of_mechanisms, **common))
        if of_sets:
            sets.append(score_together(sides, of_sets, name=found.name, inverted_by=owner.name))
        found.notes.append(
            f"Inverted for {owner.name}: relative loss, median {float(loss.median()):.3f} "
            f"(1 would be no nearer than nothing); see --invert-steps."
        )
        rows = np.arange(min(SHOWN_TARGETS, count))
        goal, begin = (s.read(rows, **shape) for s in (targets, seeds))
        found.gallery += [
            GalleryItem(
                model=owner.name, epsilon=0.0, architecture=architectures[owner.name],
                seed=begin[i].numpy(), target=goal[i].numpy(), inverted=inverted[i].numpy(),
                relative_loss=float(loss[i]),
            )
            for i in rows
        ]  # fmt: skip
    found.scores = stacked(tables)
    found.sets = stacked(sets) if sets else None


def _looking_at(
    pixels: Tensor,
    models: Sequence[Model],
    targets: Images,
    execution: Execution,
    device: torch.device,
) -> dict[str, Side]:
    """What each model says of images that one of them was given, with the labels of the targets."""
    from samemind.classifier import outputs

    found = {}
    for model in models:
        said = outputs(
            model.classifier.to(device),
            fitted(pixels, model.image_size, model.channels),
            batch_size=execution.batch_size,
            device=device,
        )
        model.classifier.cpu()
        found[model.name] = Side(
            logits=said.logits,
            representation=said.representation,
            labels=_labels_of(targets, said.logits.shape[1]),
        )
    return found


def _labels_of(images: Images, n_classes: int) -> np.ndarray | None:
    return images.labels_for(n_classes)[0]


def _targets_and_seeds(images: Images, count: int, random_seed: int) -> tuple[Images, Images]:
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
