"""Probes: linear classifiers retrained on frozen representations.

Where two models disagree although their representations are alike, the difference may lie in
their last layer alone. A probe is that layer trained anew, for every model on the same inputs in
the same way; the agreement of probes, beside that of the original heads, tells the two apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from samemind.comparison.pairs import score_pairs
from samemind.comparison.table import place_of, tidy
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.extraction.activations import Activations, load_activations
from samemind.inversion import load_inputs
from samemind.lazy import torch
from samemind.measures.base import Side
from samemind.measures.choosing import usual_predictions
from samemind.randomness import numpy_generator, seed_of, torch_generator
from samemind.store.artifacts import Recipe, Store

if TYPE_CHECKING:
    from torch import Tensor

PROBE_FILE = "probe.safetensors"
PROBE_SCORES_FILE = "probe-scores.parquet"
FEWEST_STEPS = 600  # of training a head


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


def score_heads(heads: Mapping[str, Mapping[str, Side]]) -> Iterator[dict[str, Any]]:
    """A row for every measure of probes on every pair: names, measure, heads, score and reason.

    **Arguments:**

    - `heads`: by their kind, "original" or "probe", what each model's head says of the inputs.
    """
    for kind, sides in heads.items():
        for row in score_pairs(sides, combinations(sides, 2), usual_predictions(), errors=False):
            names = {name: row[name] for name in ("model_a", "model_b", "measure")}
            yield names | {"heads": kind, "score": row["score"], "reason": row["reason"]}


class Retrained(NamedTuple):
    """Heads of some models beside new ones, on the inputs that they are compared on.

    - `heads`: as `score_heads` takes them. `accuracies`: of the new ones, by model.
    - `n_training`, `n_compared`: the inputs of either kind.
    """

    heads: dict[str, dict[str, Side]]
    accuracies: dict[str, float]
    n_training: int
    n_compared: int


def retrained_heads(
    sides: Mapping[str, Side],
    *,
    training: Mapping[str, Side] | None = None,
    random_seed: int = 0,
) -> Retrained:
    """The heads of some models beside linear ones that are trained on frozen representations.

    A head per model is trained on `training`, and both kinds are compared on all of `sides`; of an
    encoder, which has no head of its own, there is the new one only. Without it, a random half of
    the inputs trains the heads, the same rows for all, and the other half compares them.

    **Raises:** `InvalidInput` without labels, or with fewer than 40 inputs.
    """
    for each in (sides, training or sides):
        if not all(s.has_labels and s.has_representation for s in each.values()):
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
    heads: dict[str, dict[str, Side]] = {"original": {}, "probe": {}}
    accuracies = {}
    classes = _classes_of(sides, training)
    for name, side in sides.items():
        weight, bias = train_probe(
            training[name].representation[train].float(),
            training[name].labels[train],
            classes=classes[name],
            epochs=max(30, math.ceil(FEWEST_STEPS / math.ceil(len(train) / batch_size))),
            batch_size=batch_size,
            random_seed=random_seed,
        )
        labels = side.labels[held_out]
        logits = side.representation[held_out].float() @ weight.T + bias
        if side.has_logits:
            given = side.logits[held_out]
            heads["original"][name] = Side(logits=given, labels=labels, kind="logits")
        heads["probe"][name] = Side(logits=logits, labels=labels, kind="logits")
        right = heads["probe"][name].predictions == labels
        accuracies[name] = float(right.double().mean())
    return Retrained(heads, accuracies, len(train), len(held_out))


def _classes_of(sides: Mapping[str, Side], training: Mapping[str, Side]) -> dict[str, int]:
    """The classes of each model's new head: its own; of an encoder, those that the labels need."""
    known = [side.n_classes for side in sides.values() if side.has_logits]
    found = [int(s.labels.max()) + 1 for each in (sides, training) for s in each.values()]
    needed = max(2, *found, *known)
    return {name: side.n_classes if side.has_logits else needed for name, side in sides.items()}


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
        draft.write_table(PROBE_SCORES_FILE, tidy(_rows(recipe, store)))


def _rows(recipe: ProbeScores, store: Store) -> list[dict[str, Any]]:
    heads: dict[str, dict[str, Side]] = {"original": {}, "probe": {}}
    for probe, activations in zip(recipe.probes, recipe.activations, strict=True):
        held = load_activations(activations, store)
        weights = store.open(probe).arrays(PROBE_FILE)
        model = activations.checkpoint.model
        heads["original"][model] = Side(logits=held["logits"], kind="logits")
        heads["probe"][model] = Side(
            logits=held["representation"] @ weights["weight"].T + weights["bias"]
        )
    inputs = recipe.activations[0].inputs
    checkpoints = [a.checkpoint for a in recipe.activations]
    n_inputs = next(iter(heads["probe"].values())).n_inputs
    place = place_of(recipe, inputs, checkpoints, n_inputs)
    return [place.columns | row for row in score_heads(heads)]
