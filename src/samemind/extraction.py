"""Activations: what a model says of an input set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from samemind.artifacts import Recipe, Store
from samemind.devices import Execution
from samemind.inversion import Inputs, load_inputs
from samemind.lazy import LazyModule
from samemind.training import Checkpoint, load_checkpoint

if TYPE_CHECKING:
    import numpy as np
    import torch
else:
    torch = LazyModule("torch")

ACTIVATIONS_FILE = "activations.safetensors"


@dataclass(frozen=True, kw_only=True)
class Activations(Recipe):
    """Logits (N, C) and representation (N, D) of one checkpoint on one input set."""

    kind: ClassVar[str] = "activations"

    checkpoint: Checkpoint
    inputs: Inputs

    @property
    def label(self) -> str:
        return f"{self.checkpoint.model}-of-{self.inputs.label}"


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
