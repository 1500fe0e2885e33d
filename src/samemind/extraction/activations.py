"""Activations: what a model says of an input set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.inversion import Inputs, load_inputs
from samemind.lazy import torch
from samemind.registry import did_you_mean, known_names
from samemind.store.artifacts import Recipe, Store
from samemind.training import Checkpoint, load_checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor, nn

    from samemind.classifier import Classifier

ACTIVATIONS_FILE = "activations.safetensors"
LAYERS_FILE = "layers.json"


@dataclass(frozen=True, kw_only=True)
class Activations(Recipe):
    """Logits (N, C) and representation (N, D) of one checkpoint on one input set."""

    kind: ClassVar[str] = "activations"

    checkpoint: Checkpoint
    inputs: Inputs

    @property
    def label(self) -> str:
        return f"{self.checkpoint.model}-of-{self.inputs.label}"


@dataclass(frozen=True, kw_only=True)
class LayerActivations(Recipe):
    """What layers inside one checkpoint give on one input set, one row per input.

    - `layers`: dotted names; relative depths from 0 to 1 among the innermost layers that give a
      row per input; or the one word "all" for all of those. Names that the network does not have
      are left out, since networks of several architectures are asked for the same ones.
    - `pooling`: "mean" over space or tokens, or "flatten", which keeps every value.
    """

    kind: ClassVar[str] = "layers"

    checkpoint: Checkpoint
    inputs: Inputs
    layers: tuple[str | float, ...]
    pooling: str

    @property
    def label(self) -> str:
        return f"{self.checkpoint.model}-of-{self.inputs.label}"


class AskedLayer(NamedTuple):
    """A layer of a network, and what it was asked for as: its name, or "depth 0.5"."""

    asked: str
    layer: str


def asked_layers(
    network: nn.Module, asked: Sequence[str | float], rows: Sequence[str]
) -> list[AskedLayer]:
    """The layers of a network that are meant; `rows` are those that give a row per input.

    **Raises:** `InvalidInput` if the network has none of them, with the nearest that it has.
    """
    from samemind.extraction import at_depths

    known = [name for name, _ in network.named_modules() if name]
    found = []
    for one in asked:
        if not isinstance(one, str):
            found.append(AskedLayer(f"depth {one:g}", at_depths(rows, [one])[0]))
        elif one == "all":
            found += [AskedLayer(name, name) for name in rows]
        elif one in known:
            found.append(AskedLayer(one, one))
    if not found:
        raise InvalidInput(
            f"{type(network).__name__} has none of the layers {', '.join(map(str, asked))}. "
            f"{did_you_mean(str(asked[0]), known)}{known_names(str(asked[0]), known)}"
        )
    return found


def build_activations(recipe: Activations, store: Store, execution: Execution) -> None:
    """Runs the checkpoint over the input set once."""
    from samemind.classifier import outputs

    device = execution.start()
    inputs = load_inputs(recipe.inputs, store)
    found = outputs(
        load_checkpoint(recipe.checkpoint, store).to(device),
        torch.from_numpy(inputs["images"]),
        batch_size=execution.batch_size,
        device=device,
    )
    with store.create(recipe, device=str(device)) as draft:
        draft.write_arrays(
            ACTIVATIONS_FILE,
            {"logits": found.logits.numpy(), "representation": found.representation.numpy()},
        )


def load_activations(recipe: Activations, store: Store) -> dict[str, np.ndarray]:
    """The logits and the representation of an artifact in the store."""
    return store.open(recipe).arrays(ACTIVATIONS_FILE)


def build_layer_activations(recipe: LayerActivations, store: Store, execution: Execution) -> None:
    """Runs the checkpoint over the input set once and keeps what the layers asked for give."""
    from samemind.extraction import layer_outputs

    device = execution.start()
    images = torch.from_numpy(load_inputs(recipe.inputs, store)["images"])
    classifier = load_checkpoint(recipe.checkpoint, store).to(device).eval()

    def run(images: Tensor, layers: Sequence[str] | str) -> dict[str, Tensor]:
        batches = (batch.to(device) for batch in images.split(execution.batch_size))
        return layer_outputs(
            classifier.network, batches, layers, pooling=recipe.pooling, forward=_seeing(classifier)
        )

    # Two images tell which layers give a row per input, which depths and "all" are about.
    found = asked_layers(classifier.network, recipe.layers, list(run(images[:2], "all")))
    held = run(images, list(dict.fromkeys(one.layer for one in found)))
    with store.create(recipe, device=str(device)) as draft:
        draft.write_arrays(ACTIVATIONS_FILE, {name: rows.numpy() for name, rows in held.items()})
        draft.write_json(LAYERS_FILE, [one._asdict() for one in found])


def _seeing(classifier: Classifier):
    from samemind.arrays import as_pixels

    return lambda images: classifier(as_pixels(images))


def load_layer_activations(
    recipe: LayerActivations, store: Store
) -> tuple[list[AskedLayer], dict[str, np.ndarray]]:
    """The layers of an artifact in the store in their order, and what each gave, by name."""
    held = store.open(recipe)
    asked = [AskedLayer(**one) for one in held.json(LAYERS_FILE)]
    arrays = held.arrays(ACTIVATIONS_FILE)  # in the order of their names
    return asked, {one.layer: arrays[one.layer] for one in asked}
