"""What a measure is: a pure function of a pair of models, with its promises as data beside it.

A member is one file with one function under `@measure(...)`; the registry finds it, and the
tests check each of its promises, both ways.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from samemind.errors import InvalidInput, UndefinedScore, UnknownName
from samemind.lazy import LazyModule
from samemind.measures.prepared import Pair, Side
from samemind.measures.promises import Calibrated, Floor, Invariance
from samemind.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from samemind.arrays import Array
else:
    torch = LazyModule("torch")

__all__ = [
    "MEASURES",
    "Calibrated",
    "Floor",
    "Invariance",
    "Measure",
    "Pair",
    "Side",
    "measure",
]

Score: TypeAlias = "float | Tensor"

#: How far rounding may carry a score past its bounds before it counts as wrong.
ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A comparison of two models on the same inputs, with its promises.

    - `bounds`: the lowest and highest score there is; `identical`: of a model with itself.
    - `invariances`: hold whichever side is changed; what is not named is seen to fail.
    - `matches_inputs`: shuffling the inputs of one side changes the score, so it has a floor.
    - `parameter`: what the part after the @ of a name sets (`knn_jaccard@100`), if anything.
    """

    name: str
    summary: str
    reads: Literal["representation", "logits"]
    family: str
    bounds: tuple[float, float]
    identical: float | None
    larger_is_more_similar: bool
    is_symmetric: bool
    needs_labels: bool
    matches_inputs: bool
    invariances: frozenset[Invariance]
    reference: str
    cost: str
    parameter: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    compute: Callable[..., Score] = field(repr=False)
    per_input: Callable[..., Tensor] | None = field(default=None, repr=False)
    influence_of_inputs: Callable[..., Tensor] | None = field(default=None, repr=False)
    closed_form_floor: Callable[..., Floor] | None = field(default=None, repr=False)

    def __call__(self, first: Array, second: Array, *, labels: Array | None = None) -> float:
        """The score of two arrays `(N, …)` whose rows are the same inputs in the same order.

        **Raises:** `InvalidInput` if they cannot be compared; `UndefinedScore` if the measure has
        no value for them.
        """
        return self.score(self.pair(first, second, labels=labels))

    def pair(self, first: Array, second: Array, *, labels: Array | None = None) -> Pair:
        """The two arrays as a pair of sides, for `score`, `floor` and the other methods."""
        if self.reads == "logits":
            return Pair(Side(logits=first, labels=labels), Side(logits=second, labels=labels))
        return Pair(
            Side(representation=first, labels=labels), Side(representation=second, labels=labels)
        )

    def at(self, value: object) -> Measure:
        """The same measure at another value of its parameter, named `name@value`."""
        if self.parameter is None:
            raise UnknownName(
                f"'{self.name}@{value}' asks for a setting, but '{self.name}' has none. "
                f"Leave out '@{value}'."
            )
        default = self.settings[self.parameter]
        try:
            number = type(default)(value)
        except ValueError:
            number = None
        if number is None or number <= 0:
            raise InvalidInput(
                f"'{self.name}@{value}' sets {self.parameter}, which is a positive "
                f"{type(default).__name__}, as in '{self.name}@{default}'."
            )
        settings = {**self.settings, self.parameter: number}
        return replace(self, name=f"{self.name.partition('@')[0]}@{value}", settings=settings)

    # --- the score --------------------------------------------------------------------------

    def raw(self, pair: Pair) -> Score:
        """The score before it is checked: a number, or a tensor `()` that is still on its way."""
        if self.reads == "logits":
            pair.check_classes()
        return self.compute(pair, **self.settings)

    def score(self, pair: Pair) -> float:
        """The score: finite and within its bounds.

        **Raises:** `UndefinedScore`, which says why there is none.
        """
        return self.checked(self.raw(pair), pair)

    def checked(self, raw: Score, pair: Pair) -> float:
        """The raw score as a number, once it is known to be one and to lie within the bounds."""
        score = float(raw)
        low, high = self.bounds
        if not isfinite(score):
            raise UndefinedScore(f"{self.name} has no value here: {self._why_undefined(pair)}")
        if not low - ROUNDING <= score <= high + ROUNDING:
            raise UndefinedScore(
                f"{self.name} came out as {score}, outside of its bounds [{low}, {high}]. "
                f"Please report this with the two arrays; it is a mistake in samemind."
            )
        return min(max(score, low), high)

    def _why_undefined(self, pair: Pair) -> str:
        if self.reads == "logits":
            return (
                "one model gives probability zero to a class that the other finds possible, "
                "or all inputs look the same to it."
            )
        constant = [
            place
            for place, side in (("first", pair.a), ("second", pair.b))
            if float(side.norm) == 0.0
        ]
        if constant:
            return (
                f"the {' and the '.join(constant)} representation is constant over the inputs. "
                f"Look for a dead layer, or inputs that are all the same."
            )
        return f"{pair.n_inputs} inputs do not determine it. Give more inputs."

    # --- what stands beside a score ---------------------------------------------------------

    def contributions(self, pair: Pair) -> Tensor | None:
        """The part of each input in the score, `(N,)` in float64; their mean is the score.

        None for a measure that is no mean over inputs.
        """
        if self.per_input is None:
            return None
        self.score(pair)
        return self.per_input(pair, **self.settings).double()

    def influence(self, pair: Pair) -> Tensor | None:
        """How the score moves per unit of weight on each input, `(N,)`; its mean is zero."""
        if self.influence_of_inputs is not None:
            self.score(pair)
            return self.influence_of_inputs(pair, **self.settings).double()
        contributions = self.contributions(pair)
        return None if contributions is None else contributions - contributions.mean()

    def standard_error(self, pair: Pair) -> float | None:
        """The standard error over inputs, by the infinitesimal jackknife; None if it has none.

        It is the root of the summed squared influences, over N. Neighbour sets are held fixed.
        """
        influence = self.influence(pair)
        if influence is None:
            return None
        return float(influence.square().sum().sqrt()) / pair.n_inputs

    def shuffled(self, pair: Pair, permutations: int, random_seed: int) -> list[float]:
        """The scores after the rows of the second side were shuffled, `permutations` times."""
        if permutations < 1:
            raise InvalidInput(f"{permutations} permutations were asked for. Give 1 or more.")
        generator = torch.Generator().manual_seed(random_seed)
        scores = []
        for _ in range(permutations):
            order = torch.randperm(pair.n_inputs, generator=generator).to(pair.a.device)
            scores.append(self.score(pair.permuted(order)))
        return scores

    def floor(self, pair: Pair, permutations: int = 20, random_seed: int = 0) -> Floor | None:
        """The score when nothing corresponds; in closed form where there is one.

        None for a measure that has no identity to be far from or ignores which input is which,
        and where shuffling makes the score undefined.

        **Cost:** next to nothing in closed form, else `permutations` times that of the part of
        the score that depends on the pair.
        """
        if self.identical is None or not self.matches_inputs:
            return None
        self.score(pair)
        if self.closed_form_floor is not None:
            return self._within_bounds(self.closed_form_floor(pair, **self.settings))
        try:
            scores = self.shuffled(pair, permutations, random_seed)
        except UndefinedScore:
            return None
        return Floor(
            mean=sum(scores) / len(scores),
            p95=self._threshold(scores),
            permutations=permutations,
            is_closed_form=False,
        )

    def calibrated(
        self, pair: Pair, permutations: int = 200, random_seed: int = 0
    ) -> Calibrated | None:
        """The score on a scale from the 95th percentile of shuffled scores (0) to identity (1).

        Groeger et al. (2026), "Revisiting the Platonic Representation Hypothesis: An Aristotelian
        View". None for a measure that has no floor.
        """
        if self.identical is None or not self.matches_inputs:
            return None
        score = self.score(pair)
        scores = self.shuffled(pair, permutations, random_seed)
        threshold = self._threshold([score, *scores])
        way = self.identical - threshold
        share = (score - threshold) / way if way else float(score == self.identical)
        sign = 1 if self.larger_is_more_similar else -1
        n_beyond = sum(sign * shuffled >= sign * score for shuffled in scores)
        return Calibrated(
            score=max(share, 0.0),
            p_value=(1 + n_beyond) / (1 + permutations),
            threshold=threshold,
            permutations=permutations,
        )

    def _within_bounds(self, floor: Floor) -> Floor | None:
        if not isfinite(floor.mean):
            return None
        low, high = self.bounds
        return replace(floor, p95=min(max(floor.p95, low), high))

    def _threshold(self, scores: list[float]) -> float:
        ascending = sorted(scores, reverse=not self.larger_is_more_similar)
        return ascending[ceil(0.95 * len(scores)) - 1]

    # --- for lists and tables ---------------------------------------------------------------

    def as_record(self) -> dict[str, Any]:
        """Every promise as plain data, as `samemind list measures --json` prints it."""
        low, high = self.bounds
        return {
            "name": self.name,
            "summary": self.summary,
            "reads": self.reads,
            "family": self.family,
            "bounds": [low if isfinite(low) else None, high if isfinite(high) else None],
            "identical": self.identical,
            "larger_is_more_similar": self.larger_is_more_similar,
            "is_symmetric": self.is_symmetric,
            "needs_labels": self.needs_labels,
            "matches_inputs": self.matches_inputs,
            "invariances": sorted(self.invariances),
            "parameter": self.parameter,
            "settings": dict(self.settings),
            "has_contributions": self.per_input is not None,
            "has_standard_error": self.influence_of_inputs is not None
            or self.per_input is not None,
            "has_closed_form_floor": self.closed_form_floor is not None,
            "reference": self.reference,
            "cost": self.cost,
        }


class Measures(Registry[Measure]):
    """The measures by name; `NAME@VALUE` is the measure at another value of its parameter.

    `knn_jaccard` has k = 10, and `knn_jaccard@100` is the same measure at k = 100.
    """

    def __getitem__(self, name: str) -> Measure:
        plain, at, value = name.partition("@")
        member = super().__getitem__(plain)
        return member.at(value) if at else member

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        plain, at, value = name.partition("@")
        if not super().__contains__(plain):
            return False
        if not at:
            return True
        try:
            self[f"{plain}@{value}"]
        except (UnknownName, InvalidInput):
            return False
        return True


MEASURES = Measures("measure", "samemind.measures")


def measure(
    *,
    reads: Literal["representation", "logits"],
    family: str,
    bounds: tuple[float, float],
    identical: float | None,
    invariances: frozenset[Invariance] | set[Invariance],
    reference: str,
    cost: str,
    larger_is_more_similar: bool = True,
    is_symmetric: bool = True,
    needs_labels: bool = False,
    matches_inputs: bool = True,
    per_input: Callable[..., Tensor] | None = None,
    influence: Callable[..., Tensor] | None = None,
    floor: Callable[..., Floor] | None = None,
) -> Callable[[Callable[..., Score]], Measure]:
    """Makes a function of a `Pair` a member of the registry, under the function's name.

    **Arguments:**

    - `per_input`: gives one value per input whose mean is the score.
    - `influence`: gives the influence of each input on the score. Needed where the score is not
        simply the mean of independent values; without it, that of the mean of `per_input`.
    - `floor`: the closed form of the shuffled score.

    The function and these three share the keyword arguments of the function (its parameter, such
    as `k`). The function's first line of docstring is the measure's summary. It returns NaN where
    it has no value; `Measure.score` turns that into an error that says why.
    """

    def register(compute: Callable[..., Score]) -> Measure:
        settings = {
            parameter.name: parameter.default
            for parameter in inspect.signature(compute).parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        member = Measure(
            name=compute.__name__,
            summary=(inspect.getdoc(compute) or "").partition("\n")[0],
            reads=reads,
            family=family,
            bounds=bounds,
            identical=identical,
            larger_is_more_similar=larger_is_more_similar,
            is_symmetric=is_symmetric,
            needs_labels=needs_labels,
            matches_inputs=matches_inputs,
            invariances=frozenset(invariances),
            reference=reference,
            cost=cost,
            parameter=next(iter(settings), None),
            settings=settings,
            compute=compute,
            per_input=per_input,
            influence_of_inputs=influence,
            closed_form_floor=floor,
        )
        # Doctests and `help` read the documentation from the member.
        object.__setattr__(member, "__doc__", compute.__doc__)
        return MEASURES.register(member.name, member)

    return register
