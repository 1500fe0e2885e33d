"""Probes: linear classifiers retrained on frozen representations.

Where two models disagree although their representations are alike, the difference may lie in
their last layer alone. A probe is that layer trained anew, for every model on the same inputs in
the same way; the agreement of probes, beside that of the original heads, tells the two apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

from samemind.comparison.pairs import tidy
from samemind.errors import InvalidInput, UndefinedScore
from samemind.execution.devices import Execution
from samemind.extraction.activations import Activations, load_activations
from samemind.inversion import load_inputs
from samemind.lazy import LazyModule
from samemind.measures import measure
from samemind.measures.base import Pair, Side
from samemind.randomness import seed_of, torch_generator
from samemind.store.artifacts import Recipe, Store

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

PROBE_FILE = "probe.safetensors"
PROBE_SCORES_FILE = "probe-scores.parquet"
PROBE_MEASURES = ("agreement", "jensen_shannon_similarity")


# -- recipes


@dataclass(frozen=True, kw_only=True)
class Probe(Recipe):
    """A linear classifier on the representation that one model has of training images.

    The defaults are those of the study's later revision: Adam at 5e-3 along a cosine, batches of
    1024, no weight decay.
    """

    kind: ClassVar[str] = "probes"

    activations: Activations
    epochs: int = 30
    learning_rate: float = 5e-3
    batch_size: int = 1024
    random_seed: int = 0

    @property
    def label(self) -> str:
        return f"probe-{self.activations.checkpoint.label}"


@dataclass(frozen=True, kw_only=True)
class ProbeScores(Recipe):
    """Agreement of all pairs of a cell, with their own heads and with probes.

    - `activations`: of every model on the inputs they are compared on, in the order of `probes`.
    """

    kind: ClassVar[str] = "scores"

    dataset: str
    epsilon: float
    probes: tuple[Probe, ...]
    activations: tuple[Activations, ...]

    @property
    def label(self) -> str:
        return f"{self.dataset}-eps{self.epsilon:g}-probes"


# -- pure functions


def train_probe(
    representation: Tensor,
    labels: Tensor,
    *,
    classes: int,
    epochs: int = 30,
    learning_rate: float = 5e-3,
    batch_size: int = 1024,
    random_seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Weight (C, D) and bias (C,) of a linear classifier trained on a representation (N, D).

    **Raises:** `InvalidInput` when the loss is not finite.

    **Cost:** epochs × N × D × C multiplications, three times.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(random_seed, "probe"))
        probe = torch.nn.Linear(representation.shape[1], classes)
    probe.to(representation.device)
    steps = epochs * math.ceil(len(labels) / batch_size)
    optimiser = torch.optim.Adam(probe.parameters(), lr=learning_rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=1e-6)
    loss = torch.zeros(())
    for epoch in range(epochs):
        generator = torch_generator(random_seed, "probe order", epoch)
        for rows in torch.randperm(len(labels), generator=generator).split(batch_size):
            loss = torch.nn.functional.cross_entropy(probe(representation[rows]), labels[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            cosine.step()
    if not torch.isfinite(loss):
        raise InvalidInput(
            f"The loss of a probe was {float(loss)}. Lower its learning rate ({learning_rate:g})."
        )
    return probe.weight.detach(), probe.bias.detach()


# -- builds


def build_probe(recipe: Probe, store: Store, execution: Execution) -> None:
    """Trains the probe of one model and keeps its weights and its accuracy on what it saw."""
    from samemind.datasets.base import DATASETS

    device = execution.start()
    held = torch.from_numpy(load_activations(recipe.activations, store)["representation"])
    labels = torch.from_numpy(load_inputs(recipe.activations.inputs, store)["labels"])
    weight, bias = train_probe(
        held.to(device),
        labels.to(device),
        classes=len(DATASETS[recipe.activations.checkpoint.dataset].classes),
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        batch_size=recipe.batch_size,
        random_seed=recipe.random_seed,
    )
    weight, bias = weight.cpu(), bias.cpu()
    right = ((held @ weight.T + bias).argmax(1) == labels).double().mean()
    with store.create(recipe, device=str(device)) as draft:
        draft.write_arrays(PROBE_FILE, {"weight": weight.numpy(), "bias": bias.numpy()})
        draft.write_json("training.json", {"accuracy": float(right), "n": len(labels)})


def build_probe_scores(recipe: ProbeScores, store: Store, execution: Execution) -> None:
    """Compares the predictions of heads and of probes, pair by pair."""
    execution.start()
    with store.create(recipe) as draft:
        draft.write_table(PROBE_SCORES_FILE, tidy(list(_rows(recipe, store))))


def _rows(recipe: ProbeScores, store: Store) -> Iterator[dict[str, Any]]:
    heads: dict[str, dict[str, Side]] = {"original": {}, "probe": {}}
    for probe, activations in zip(recipe.probes, recipe.activations, strict=True):
        held = load_activations(activations, store)
        weights = store.open(probe).arrays(PROBE_FILE)
        model = activations.checkpoint.model
        heads["original"][model] = Side(logits=held["logits"])
        heads["probe"][model] = Side(
            logits=held["representation"] @ weights["weight"].T + weights["bias"]
        )
    inputs = recipe.activations[0].inputs
    for head, sides in heads.items():
        for a, b in combinations(sides, 2):
            pair = Pair(sides[a], sides[b])
            for name in PROBE_MEASURES:
                yield {
                    "dataset": recipe.dataset,
                    "epsilon": recipe.epsilon,
                    "model_a": a,
                    "model_b": b,
                    "inputs": "natural",
                    "inputs_dataset": getattr(inputs, "dataset", recipe.dataset),
                    "inverted_by": None,
                    "measure": name,
                    "heads": head,
                    **_scored(name, pair),
                }


def _scored(name: str, pair: Pair) -> dict[str, Any]:
    try:
        return {"score": measure(name).score(pair), "reason": None}
    except UndefinedScore as error:
        return {"score": float("nan"), "reason": str(error)}
