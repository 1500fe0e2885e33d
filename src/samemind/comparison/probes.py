"""Probes: linear classifiers retrained on frozen representations.

Where two models disagree although their representations are alike, the difference may lie in
their last layer alone. A probe is that layer trained anew, for every model on the same inputs in
the same way; the agreement of probes, beside that of the original heads, tells the two apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from samemind.comparison.pairs import score_pairs
from samemind.comparison.table import At, cell_label, place_of, tidy
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.extraction.activations import Activations, load_activations
from samemind.inversion import load_inputs
from samemind.lazy import np, torch
from samemind.measures.base import Side
from samemind.measures.choosing import usual_predictions
from samemind.randomness import numpy_generator, seed_of, torch_generator
from samemind.store.artifacts import Recipe, Store, later

if TYPE_CHECKING:
    from torch import Tensor

PROBE_FILE = "probe.safetensors"
PROBE_SCORES_FILE = "probe-scores.parquet"
FEWEST_STEPS = 600  # of training a head
PERMUTATIONS = 20  # for floors that have no closed form
OF_ROWS = ("score", "standard_error", "lower", "upper", "floor", "floor_p95")
Rows = Iterable[Mapping[str, Any]]


# -- recipes


@dataclass(frozen=True, kw_only=True)
class Probe(Recipe):
    """A linear classifier on the representation that one model has of training images.

    The defaults are those of the study's later revision: Adam at 5e-3 along a cosine, batches of
    1024, no weight decay. `is_normalised`: each unit is brought to mean 0 and deviation 1 over the
    training images first; the weights that are kept are those for the representation as it is.
    """

    kind: ClassVar[str] = "probes"

    activations: Activations
    epochs: int = 30
    learning_rate: float = 5e-3
    batch_size: int = 1024
    random_seed: int = 0
    is_normalised: bool = later(False)

    @property
    def label(self) -> str:
        how = "-normalised" if self.is_normalised else ""
        return f"probe{how}-{self.activations.checkpoint.label}"


@dataclass(frozen=True, kw_only=True)
class ProbeScores(Recipe):
    """Agreement of all pairs of a cell, with their own heads and with probes.

    - `activations`: of every model on the inputs they are compared on, in the order of `probes`.
    - `others`: further probes of these models: of other random seeds, and normalised ones.
    """

    kind: ClassVar[str] = "scores"
    version: ClassVar[int] = 2  # errors, intervals and floors

    dataset: str
    epsilon: float
    probes: tuple[Probe, ...]
    activations: tuple[Activations, ...]
    others: tuple[Probe, ...] = later(())
    at: At | None = later(None)

    @property
    def label(self) -> str:
        return f"{cell_label(self)}-probes"


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
    is_normalised: bool = False,
) -> tuple[Tensor, Tensor]:
    """Weight (C, D) and bias (C,) of a linear classifier trained on a representation (N, D).

    **Arguments:**

    - `is_normalised`: train on units of mean 0 and deviation 1; weight and bias are for the
      representation as it was given all the same.

    **Raises:** `InvalidInput` when the loss is not finite.

    **Cost:** epochs × N × D × C multiplications, three times.
    """
    if is_normalised:
        mean, deviation = representation.mean(0), representation.std(0, correction=0)
        # A unit that is always the same tells nothing, and stays out.
        scale = torch.where(deviation > 0, 1 / deviation, torch.zeros_like(deviation))
        weight, bias = train_probe(
            (representation - mean) * scale, labels, classes=classes, epochs=epochs,
            learning_rate=learning_rate, batch_size=batch_size, random_seed=random_seed,
        )  # fmt: skip
        weight = weight * scale
        return weight, bias - weight @ mean
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


def score_heads(
    original: Mapping[str, Side],
    probes: Mapping[str, Sequence[Mapping[str, Side]]],
    *,
    errors: bool = True,
    permutations: int = 0,
) -> Iterator[dict[str, Any]]:
    """A row for every measure of predictions, with errors, interval, floor and reason.

    **Arguments:**

    - `original`: what each model's own head says of the inputs, where it has one. `probes`: by
      their kind ("probe", "normalised probe"), for each random seed what each model's probe says.

    **Returns:** rows whose `heads` is

    - "original": every pair with its own heads;
    - the kind of the probes: every pair with probes of one random seed, the mean over seeds;
    - "same representation": two probes of different seeds on one representation, the ceiling of
      what probes of two models can agree on; "own head": a probe beside the head that the model
      came with. In both `model_a` and `model_b` are the same model; the mean over seeds.
    """

    def scored(sides: Mapping[str, Side], pairs: Iterable[tuple[str, str]]) -> Rows:
        return score_pairs(
            sides, pairs, usual_predictions(), errors=errors, permutations=permutations
        )

    yield from _averaged("original", [scored(original, combinations(original, 2))])
    for kind, by_seed in probes.items():
        yield from _averaged(kind, [scored(sides, combinations(sides, 2)) for sides in by_seed])
    plain = next(iter(probes.values()), ())
    for heads, doubles in (
        ("same representation", list(combinations(plain, 2))),
        ("own head", [(sides, original) for sides in plain]),
    ):
        for model in original if heads == "own head" else next(iter(plain), ()):
            pairs = [{"a": first[model], "b": second[model]} for first, second in doubles]
            here = _averaged(heads, [scored(sides, [("a", "b")]) for sides in pairs])
            yield from ({**row, "model_a": model, "model_b": model} for row in here)


def _averaged(heads: str, repeats: Sequence[Rows]) -> Iterator[dict[str, Any]]:
    """The mean over random seeds of rows about the same pairs, where any is defined.

    Errors are means too: over inputs they are of one size, and seeds do not make them smaller.
    """
    for rows in zip(*repeats, strict=True):
        names = {name: rows[0][name] for name in ("model_a", "model_b", "measure")}
        held = [row for row in rows if row["reason"] is None]
        reason = None if held else rows[0]["reason"]
        values = {
            name: float(np.mean([row[name] for row in held])) if held else np.nan
            for name in OF_ROWS
        }
        yield names | {"heads": heads, **values, "reason": reason}


class Retrained(NamedTuple):
    """Heads of some models beside new ones, on the inputs that they are compared on.

    - `original`, `probes`: as `score_heads` takes them. `accuracies`: of the first new ones, by
      model.
    - `n_training`, `n_compared`: the inputs of either kind.
    """

    original: dict[str, Side]
    probes: dict[str, list[dict[str, Side]]]
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
    the inputs trains the heads, the same rows for all, and the other half compares them. Each model
    has two new heads, of two random seeds: what these agree on is the most that those of two models
    can.

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
    seeds = (random_seed, random_seed + 1)
    original: dict[str, Side] = {}
    probes: list[dict[str, Side]] = [{} for _ in seeds]
    accuracies = {}
    classes = _classes_of(sides, training)
    for name, side in sides.items():
        labels = side.labels[held_out]
        if side.has_logits:
            given = side.logits[held_out]
            original[name] = Side(logits=given, labels=labels, kind="logits")
        for seed, found in zip(seeds, probes, strict=True):
            weight, bias = train_probe(
                training[name].representation[train].float(),
                training[name].labels[train],
                classes=classes[name],
                epochs=max(30, math.ceil(FEWEST_STEPS / math.ceil(len(train) / batch_size))),
                batch_size=batch_size,
                random_seed=seed,
            )
            logits = side.representation[held_out].float() @ weight.T + bias
            found[name] = Side(logits=logits, labels=labels, kind="logits")
        accuracies[name] = float((probes[0][name].predictions == labels).double().mean())
    return Retrained(original, {"probe": probes}, accuracies, len(train), len(held_out))


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
        is_normalised=recipe.is_normalised,
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
    held = {a.checkpoint: load_activations(a, store) for a in recipe.activations}
    original = {c.model: Side(logits=found["logits"], kind="logits") for c, found in held.items()}
    probes: dict[tuple[str, int], dict[str, Side]] = {}
    for probe in (*recipe.probes, *recipe.others):
        weights = store.open(probe).arrays(PROBE_FILE)
        checkpoint = probe.activations.checkpoint
        logits = held[checkpoint]["representation"] @ weights["weight"].T + weights["bias"]
        kind = "normalised probe" if probe.is_normalised else "probe"
        at = probes.setdefault((kind, probe.random_seed), {})
        at[checkpoint.model] = Side(logits=logits, kind="logits")
    by_kind: dict[str, list[dict[str, Side]]] = {}
    for (kind, _), sides in probes.items():
        by_kind.setdefault(kind, []).append(sides)
    inputs = recipe.activations[0].inputs
    n_inputs = next(iter(original.values())).n_inputs
    place = place_of(recipe, inputs, [a.checkpoint for a in recipe.activations], n_inputs)
    rows = score_heads(original, by_kind, permutations=PERMUTATIONS)
    return [place.columns | {"n_inputs": n_inputs} | row for row in rows]
