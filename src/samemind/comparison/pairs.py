"""Scores: every measure on every pair of a cell, as one tidy table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

from samemind.comparison.driving import driving_inputs
from samemind.comparison.table import At, cell_label, place_of, tidy
from samemind.datasets.base import DATASETS
from samemind.errors import InvalidInput, UndefinedScore
from samemind.execution.devices import Execution, where_memory_suffices
from samemind.extraction.activations import Activations, load_activations
from samemind.inversion import Inputs, load_inputs
from samemind.lazy import np, torch
from samemind.measures import measure
from samemind.measures.base import Measure, Pair, Score, Side
from samemind.measures.choosing import has_what, why_lacking
from samemind.measures.intervals import UNKNOWN
from samemind.store.artifacts import Recipe, Store, later

SCORES_FILE = "scores.parquet"
DRIVING_FILE = "driving-inputs.parquet"
SUBGROUPS_FILE = "subgroups.parquet"


# -- recipe


@dataclass(frozen=True, kw_only=True)
class Scores(Recipe):
    """All pairs of one cell (dataset, ε) on one kind of input.

    - `activations`: of every model on the natural inputs; or, for inverted inputs, of every model
      on the inverted images of each.
    - `errors`: whether scores have standard errors and intervals.
    - `permutations`: of the rows of one side, for the floor of each score.
    - `driving_inputs`: how many inputs are kept that add most, and least, to each score.
    - `subgroups`: also score the inputs where two models agree, and where they disagree;
      `subgroup_shuffles`: random groups that the difference of the two is compared with.
    """

    kind: ClassVar[str] = "scores"
    version: ClassVar[int] = 3  # subgroups with errors and floors; errors where leverage allows

    dataset: str
    epsilon: float
    activations: tuple[Activations, ...]
    measures: tuple[str, ...]
    permutations: int
    random_seed: int
    errors: bool = later(True)
    driving_inputs: int = 3
    subgroups: bool = True
    subgroup_shuffles: int = later(0)
    at: At | None = later(None)

    @property
    def inputs(self) -> str:
        return self.activations[0].inputs.form

    @property
    def label(self) -> str:
        return f"{cell_label(self)}-{self.inputs}"


# -- pure functions


class Scored(NamedTuple):
    """One measure on one pair; `reason` says why a score is undefined, and is else None.

    `lower` and `upper` are the ends of a 95 % interval of the score.
    """

    score: float
    standard_error: float
    lower: float
    upper: float
    floor: float
    floor_p95: float
    reason: str | None


NAN = float("nan")
UNDEFINED = Scored(NAN, NAN, NAN, NAN, NAN, NAN, None)


def score_pair(
    pair: Pair,
    chosen: Measure,
    *,
    errors: bool = True,
    permutations: int = 0,
    random_seed: int = 0,
) -> Scored:
    """Score, error, interval and floor of one measure; an undefined score is said, not invented.

    **Arguments:**

    - `errors`: whether the standard error is computed; it may cost more than the score.
    - `permutations`: of the rows of one side, for the floor where it has no closed form; 0 leaves
      it out.
    """
    pair.expects_vectors = pair.expects_vectors or errors  # the standard error needs them
    return _scored(pair, chosen, _raw(pair, chosen), errors, permutations, random_seed)


def _raw(pair: Pair, chosen: Measure) -> Score | UndefinedScore:
    lacking = [one for one in (pair.a, pair.b) if not has_what(one, chosen.reads)]
    if lacking:
        return UndefinedScore(why_lacking(chosen.reads))
    if chosen.reads == "logits" and pair.a.has_logits and pair.b.has_logits:
        try:
            pair.check_classes()
        except InvalidInput as error:  # of this pair: others may share their classes
            return UndefinedScore(str(error))
    try:
        return chosen.raw(pair)
    except UndefinedScore as error:
        return error


def _scored(
    pair: Pair,
    chosen: Measure,
    raw: Score | UndefinedScore,
    errors: bool,
    permutations: int,
    random_seed: int,
) -> Scored:
    try:
        if isinstance(raw, UndefinedScore):
            raise raw
        score = chosen.checked(raw, pair)
    except UndefinedScore as error:
        return UNDEFINED._replace(reason=str(error))
    deviation, (lower, upper) = chosen.error_and_interval(pair) if errors else (None, UNKNOWN)
    floor = None
    if permutations:
        floor = chosen.floor(pair, permutations=permutations, random_seed=random_seed)
    return Scored(
        score,
        NAN if deviation is None else deviation,
        lower,
        upper,
        NAN if floor is None else floor.mean,
        NAN if floor is None else floor.p95,
        None,
    )


def score_measures(
    names: tuple[str, str],
    pair: Pair,
    measures: Sequence[str],
    *,
    both_ways: bool = True,
    errors: bool = True,
    permutations: int = 0,
    random_seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """A row for every measure of one pair: names, score, standard error, floor and reason.

    **Arguments:**

    - `pair`: what the two models of `names` say of the same inputs in the same order.
    - `both_ways`: score an asymmetric measure in the other direction too.
    """
    asked = []
    for name in measures:
        chosen = measure(name)
        asked.append((names, pair, chosen))
        if both_ways and not chosen.is_symmetric:
            asked.append((names[::-1], Pair(pair.b, pair.a), chosen))
    for _, oriented, _ in asked:
        oriented.expects_vectors = oriented.expects_vectors or errors
    # A GPU has all scores of a pair on their way before the first of them is waited for.
    raw = [_raw(oriented, chosen) for _, oriented, chosen in asked]
    for ((first, second), oriented, chosen), value in zip(asked, raw, strict=True):
        scored = _scored(oriented, chosen, value, errors, permutations, random_seed)
        where = {"model_a": first, "model_b": second}
        yield {**where, "layer": chosen.layer, "measure": chosen.name, **scored._asdict()}


def score_pairs(
    sides: Mapping[str, Side],
    pairs: Iterable[tuple[str, str]],
    measures: Sequence[str],
    *,
    both_ways: bool = True,
    errors: bool = True,
    permutations: int = 0,
    random_seed: int = 0,
    then: Callable[[tuple[str, str], Pair], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows of `score_measures` for these pairs: the one loop that every door goes through.

    **Arguments:**

    - `sides`: each model's answers to the same inputs in the same order, by its name.
    - `pairs`: names of two models each.
    - `measures`: names from the registry, such as `linear_cka` or `knn_jaccard@100`.
    - `then`: called with names and pair once it is scored, while what it has made is at hand.

    **Raises:** `InvalidInput` for a model that has no side.

    **Cost:** the part of each measure that depends on one model once per model, the N² cosines of
    one model at a time; what depends on a pair is made once for all measures, and let go with it.
    """
    asked, chosen = list(pairs), [measure(name) for name in measures]
    for name in dict.fromkeys(name for pair in asked for name in pair):
        if name not in sides:
            raise InvalidInput(f"No side is called '{name}'. There are: {', '.join(sides)}.")
        prepare(sides[name], chosen)
    for names in asked:
        pair = Pair(sides[names[0]], sides[names[1]])
        yield from score_measures(
            names,
            pair,
            measures,
            both_ways=both_ways,
            errors=errors,
            permutations=permutations,
            random_seed=random_seed,
        )
        if then is not None:
            then(names, pair)


def prepare(side: Side, measures: Sequence[Measure]) -> None:
    """Makes together what costs less together: the neighbours for all k of these measures."""
    counts = sorted(
        {
            member.settings["k"]
            for member in measures
            if member.family == "neighbours" and "k" in member.settings
        }
    )
    counts = [k for k in counts if k < side.n_inputs]  # the others say so when they are scored
    if counts and side.has_representation:
        side.prepare_neighbours(counts)


# -- build


def build_scores(recipe: Scores, store: Store, execution: Execution) -> None:
    """Compares all pairs of a cell and writes the tables."""
    device = execution.start()
    found = _Tables([], [], [])
    for inputs in dict.fromkeys(a.inputs for a in recipe.activations):
        here = [a for a in recipe.activations if a.inputs == inputs]
        tables = where_memory_suffices(partial(_of_one_input_set, recipe, here, store), device)
        for held, more in zip(found, tables, strict=True):
            held.extend(more)
    with store.create(recipe) as draft:
        draft.write_table(SCORES_FILE, tidy(found.scores))
        draft.write_table(DRIVING_FILE, tidy(found.driving))
        draft.write_table(SUBGROUPS_FILE, tidy(found.subgroups))


class _Tables(NamedTuple):
    scores: list[dict[str, Any]]
    driving: list[dict[str, Any]]
    subgroups: list[dict[str, Any]]


def _of_one_input_set(
    recipe: Scores, activations: Sequence[Activations], store: Store, device: torch.device
) -> _Tables:
    from samemind.comparison.subgroups import subgroup_scores  # it scores pairs itself

    inputs = activations[0].inputs
    labels = load_inputs(inputs, store)["labels"]
    place = place_of(recipe, inputs, [a.checkpoint for a in activations], len(labels))
    driving: list[dict[str, Any]] = []
    subgroups: list[dict[str, Any]] = []

    def look_closer(names: tuple[str, str], pair: Pair) -> None:
        pair_of = dict(zip(("model_a", "model_b"), names, strict=True))
        if recipe.driving_inputs:
            rows = driving_inputs(pair, recipe.measures, count=recipe.driving_inputs)
            driving.extend(pair_of | row | {"label": int(labels[row["input"]])} for row in rows)
        if recipe.subgroups:
            scored = subgroup_scores(
                pair,
                recipe.measures,
                errors=recipe.errors,
                permutations=recipe.permutations,
                shuffles=recipe.subgroup_shuffles,
                random_seed=recipe.random_seed,
            )
            subgroups.extend(pair_of | row for row in scored)

    sides = sides_of(activations, labels, store, device)
    accuracies = accuracies_of(sides) if labels_apply(recipe.dataset, inputs) else {}
    scores = score_pairs(
        sides,
        place.pairs(),
        recipe.measures,
        both_ways=place.both_ways,
        errors=recipe.errors,
        permutations=recipe.permutations,
        random_seed=recipe.random_seed,
        then=look_closer,
    )
    scored = replace(place, accuracies=accuracies).placed(scores)
    return _Tables(scored, place.placed(driving), place.placed(subgroups))


def labels_apply(dataset: str, inputs: Inputs) -> bool:
    """Whether the labels of these inputs say what models of `dataset` should make of them.

    Not of inverted images, which look like one class to one model and like another to a reader;
    nor of images of a dataset with other classes. An adversarial image keeps its label.
    """
    if inputs.form == "inverted":
        return False
    return DATASETS[inputs.source.dataset].classes == DATASETS[dataset].classes


def accuracies_of(sides: Mapping[str, Side]) -> dict[str, float]:
    """The accuracy of each model on the inputs it looked at, where it has logits and labels."""
    return {
        name: float((side.predictions == side.labels).double().mean())
        for name, side in sides.items()
        if side.has_logits and side.has_labels
    }


def sides_of(
    activations: Sequence[Activations],
    labels: np.ndarray,
    store: Store,
    device: torch.device | str = "cpu",
) -> dict[str, Side]:
    """What each model says of one input set, by the model's name, on a device."""
    sides = {}
    for one in activations:
        held = {
            name: torch.from_numpy(values).to(device)
            for name, values in load_activations(one, store).items()
        }
        sides[one.checkpoint.model] = Side(
            representation=held["representation"],
            logits=held["logits"],
            labels=labels,
            kind="logits",
        )
    return sides
