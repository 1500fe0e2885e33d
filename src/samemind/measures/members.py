"""A measure: a pure function of a pair of models, and what it can say of a score."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, isfinite, log10, nan
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from samemind.errors import InvalidInput, UndefinedScore, UnknownName
from samemind.lazy import torch
from samemind.measures.intervals import (
    UNKNOWN,
    Interval,
    score_interval,
    symmetric_interval,
)
from samemind.measures.promises import Calibrated, Floor, Invariance
from samemind.measures.shuffling import paired_floor, sampled_rows
from samemind.sides.groups import jackknife_variance
from samemind.sides.pair import Pair, Side, StreamedSide

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.arrays import Array

Score: TypeAlias = "float | Tensor"

#: How far rounding may carry a score past its bounds before it counts as wrong.
ROUNDING = 1e-6
#: Inputs whose influences a standard error is taken from, where each costs products of its own.
#: Half of them are those of the largest norm: the error is then off by a few parts in a hundred.
SAMPLED = 2048
#: Up to this many inputs, influences are believed only where leaving out each input, in turn,
#: gives an error that is at most so many times larger or smaller.
FEW_INPUTS = 12
#: One of 20 is the smallest share that a rank among 19 shuffles and the score can have.
FEWEST_SHUFFLES = 19
MOST_APART = 3.0


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A comparison of two models on the same inputs, with its promises.

    - `bounds`: the lowest and highest score there is; `identical`: of a model with itself.
    - `invariances`: hold whichever side is changed; what is not named is seen to fail.
    - `matches_inputs`: shuffling the inputs of one side changes the score, so it has a floor.
    - `parameter`: what the part after the @ of a name sets (`knn_jaccard@100`), if anything.
    - `is_without_sign`: the score is the size of a difference, which has a kink at 0.
    - `no_standard_error`: why there is none without recomputing the score, where there is none.
    - `label`: what figures call it, where not its name in words; `{k}` and the like are settings.
    - `usual`: its place among the measures that are computed unless others are asked for.
    - `streams`: whether its sides may be read in chunks.
    - `sees`, `cannot_see`: in words, for the table of the measures that most people use.
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
    influence_of_inputs: Callable[..., Tensor | None] | None = field(default=None, repr=False)
    closed_form_floor: Callable[..., Floor | None] | None = field(default=None, repr=False)
    declared_interval: Callable[..., Interval] | None = field(default=None, repr=False)
    is_without_sign: bool = False
    unsettled: Callable[..., str | None] | None = field(default=None, repr=False)
    shuffle: Callable[[Pair, torch.Generator], Pair] | None = field(default=None, repr=False)
    no_standard_error: str | None = None
    label: str | None = None
    usual: int | None = None
    streams: bool = False
    sees: str | None = None
    cannot_see: str | None = None

    @property
    def layer(self) -> str:
        """What tables call the layer that it reads of a whole model."""
        return "logits" if self.reads == "logits" else "penultimate"

    def __call__(
        self, first: Array, second: Array, *, labels: Array | None = None, kind: str | None = None
    ) -> float:
        """The score of two arrays `(N, …)` whose rows are the same inputs in the same order.

        `kind` is that of predictions: "logits", "probabilities" or "decisions"; see `Side`.

        **Raises:** `InvalidInput` if they cannot be compared; `UndefinedScore` if the measure has
        no value for them.
        """
        return self.score(self.pair(first, second, labels=labels, kind=kind))

    def pair(
        self,
        first: Array | Side,
        second: Array | Side,
        *,
        labels: Array | None = None,
        kind: str | None = None,
    ) -> Pair:
        """Two arrays, or sides, as a pair of sides, for `score`, `floor` and the other methods."""
        return Pair(*(self._side(given, labels, kind) for given in (first, second)))

    def _given(self, pair: Pair | Array, second: Array | None, **of_arrays: Any) -> Pair:
        """The pair that was given, or that two arrays make."""
        if isinstance(pair, Pair):
            beside = [*(() if second is None else ("second",)), *of_arrays]
            if beside:
                raise InvalidInput(
                    f"A pair was given, which is all that {self.name} reads, and beside it "
                    f"{' and '.join(beside)}. Labels and kinds belong to `{self.name}.pair(A, B)`; "
                    f"options have names, as in permutations=100."
                )
            return pair
        if second is None:
            raise InvalidInput(
                f"{self.name} compares two: give two arrays, or what `{self.name}.pair(A, B)` made."
            )
        return self.pair(pair, second, **of_arrays)

    def _side(self, given: Array | Side, labels: Array | None, kind: str | None) -> Side:
        if isinstance(given, Side):
            return given if labels is None else given.labelled(labels)
        if self.reads == "logits":
            return Side(logits=given, labels=labels, kind=kind)
        if kind is not None:
            raise InvalidInput(
                f"kind='{kind}' is of predictions, but {self.name} reads representations. Leave it "
                f"out, or choose a measure that reads predictions, such as agreement."
            )
        return Side(representation=given, labels=labels)

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
        elif Invariance.ISOTROPIC_SCALING not in self.invariances:
            self._check_scales(pair)
        return self.compute(pair, **self.settings)

    def _check_scales(self, pair: Pair) -> None:
        """Raises `UndefinedScore` where the scale counts and float64 cannot square it."""
        for place, side in (("first", pair.a), ("second", pair.b)):
            if side.exponent:
                scale = round(side.exponent * log10(2))
                raise UndefinedScore(
                    f"{self.name} depends on the scale of the representations, and the {place} has "
                    f"numbers of about 1e{scale:+}: sums of their squares leave the range of "
                    f"float64. Divide both by one number, or choose a measure that scaling leaves "
                    f"alone, such as linear_cka."
                )

    def score(self, pair: Pair | Array, second: Array | None = None, **of_arrays: Any) -> float:
        """The score: finite and within its bounds.

        Like the methods below it takes a `Pair`, or two arrays as a measure itself does.

        **Raises:** `UndefinedScore`, which says why there is none.
        """
        pair = self._given(pair, second, **of_arrays)
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
        if pair.n_inputs < 2:
            return "one input has no arrangement. Give at least 2, better hundreds."
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

    def contributions(
        self, pair: Pair | Array, second: Array | None = None, **of_arrays: Any
    ) -> Tensor | None:
        """The part of each input in the score, `(N,)` in float64; their mean is the score.

        Of a score that is no mean over inputs, the score plus the influence of each input: what
        the jackknife calls pseudo-values. None where there is no influence either.
        """
        pair = self._given(pair, second, **of_arrays)
        if self.per_input is None:
            influence = self.influence(pair)
            return None if influence is None else self.score(pair) + influence
        self.score(pair)
        return self.per_input(pair, **self.settings).double()

    def influence(self, pair: Pair, rows: Tensor | None = None) -> Tensor | None:
        """How the score moves per unit of weight on each input, `(N,)`; its mean is zero.

        None for a measure that has none, and for a pair at which the score has no slope. With
        `rows`, indices of inputs, the influence of those only.
        """
        chosen = slice(None) if rows is None else rows
        if self.influence_of_inputs is not None:
            pair.expects_vectors = True
            self.score(pair)
            named = {"rows": chosen} if self.takes_rows else {}
            found = self.influence_of_inputs(pair, **named, **self.settings)
            if found is None:
                return None
            return found.double() if self.takes_rows else found.double()[chosen]
        if self.per_input is None:
            return None
        self.score(pair)
        contributions = self.per_input(pair, **self.settings).double()
        return (contributions - contributions.mean())[chosen]

    def settled_influence(self, pair: Pair) -> Tensor | str:
        """The influence of every input, `(N,)`, or why no standard error rests on it.

        For what goes beyond one score, such as the difference of two: always from all inputs. Where
        rows are of groups, that of every group.

        **Cost:** that of the influences, also of more inputs than `standard_error` looks at.
        """
        if self.no_standard_error:
            return self.no_standard_error
        found = self.influence(pair) if pair.n_independent > 1 else None
        if found is None:
            return "the score has no slope here, so an input has no first-order share"
        found = pair.independent(found)
        return self._why_unsettled(pair, float(jackknife_variance(found)) ** 0.5) or found

    @property
    def is_plain_mean(self) -> bool:
        """Whether the score is the mean of independent values, one per input."""
        return self.per_input is not None and self.influence_of_inputs is None

    @property
    def takes_rows(self) -> bool:
        """Whether the influence of some inputs costs less than that of all."""
        declared = self.influence_of_inputs
        return declared is not None and "rows" in inspect.signature(declared).parameters

    def standard_error(
        self, pair: Pair | Array, second: Array | None = None, **of_arrays: Any
    ) -> float | None:
        """The standard error over inputs, by the infinitesimal jackknife; None if it has none.

        The root of the summed squares of the influences over N (N − 1). Bandwidths, matches of
        units and numbers of directions are held fixed. Where each influence costs products of its
        own and there are more than `SAMPLED` inputs, it is from those of the largest norm and a
        random sample of the others. `why_no_standard_error` says why there is none.
        """
        pair = self._given(pair, second, **of_arrays)
        return self._settled(pair, self._jackknife(pair))

    def error_and_interval(self, pair: Pair) -> tuple[float | None, Interval]:
        """`standard_error` and `interval`, at the cost of one of them."""
        error = self._jackknife(pair)
        settled = self._settled(pair, error)
        return settled, self._interval(pair, error if self._keeps_its_own else settled)

    def _settled(self, pair: Pair, error: float | None) -> float | None:
        return None if error is None or self._why_unsettled(pair, error) else error

    def why_no_standard_error(self, pair: Pair) -> str | None:
        """Why this pair has no standard error; None where it has one."""
        if self.no_standard_error:
            return self.no_standard_error
        error = self._jackknife(pair)
        if error is None:
            return "the score has no slope here, so an input has no first-order share"
        return self._why_unsettled(pair, error)

    def _jackknife(self, pair: Pair) -> float | None:
        n = pair.n_inputs
        if pair.n_independent < 2:
            return None
        if pair.groups is not None or not self.takes_rows or n <= SAMPLED:
            influence = self.influence(pair)
            if influence is None:
                return None
            return float(jackknife_variance(pair.independent(influence))) ** 0.5
        largest, some = sampled_rows(pair, SAMPLED)
        found = self.influence(pair, torch.cat([largest, some]))
        if found is None:
            return None
        squares = found.square()
        rest = squares[len(largest) :].mean() * (n - len(largest))
        return float((squares[: len(largest)].sum() + rest) / n / (n - 1)) ** 0.5

    def _why_unsettled(self, pair: Pair, error: float) -> str | None:
        """Why an error that the influences give says nothing; None where it does."""
        if self.is_without_sign and self.score(pair) <= 2 * error:
            return (
                "the difference is no more than two standard errors, so its sign is not known, and "
                "without its sign it has no slope"
            )
        if self.unsettled is not None and (why := self.unsettled(pair, **self.settings)):
            return why
        if pair.n_independent <= FEW_INPUTS:
            return self._why_too_few(pair, error)
        return None

    def _why_too_few(self, pair: Pair, error: float) -> str | None:
        groups = torch.arange(pair.n_inputs) if pair.groups is None else pair.groups.cpu()
        what = "inputs" if pair.groups is None else "groups of rows"
        scores = []
        try:
            for i in range(pair.n_independent):
                scores.append(self.score(pair.restricted((groups != i).nonzero().flatten())))
        except (UndefinedScore, InvalidInput):
            return f"with one of the {pair.n_independent} {what} less there may be no score"
        n, mean = len(scores), sum(scores) / len(scores)
        left_out = ((n - 1) / n * sum((score - mean) ** 2 for score in scores)) ** 0.5
        if max(error, left_out) > MOST_APART * min(error, left_out) + ROUNDING:
            return (
                f"{n} {what} are too few: by leaving each out the error is {left_out:.2g}, by "
                f"influences {error:.2g}"
            )
        return None

    def interval(
        self,
        pair: Pair | Array,
        second: Array | None = None,
        *,
        error: float | None = None,
        **of_arrays: Any,
    ) -> Interval:
        """The lower and upper end of a 95 % interval of the score; NaN where there is none.

        It says where the mean over many draws of as many inputs lies, and stays within the bounds.
        From the standard error (`score_interval`) unless the measure declares another. A difference
        without its sign has one where it has no standard error.

        **Arguments:** `error` is the standard error, where it is at hand.

        **Cost:** that of the standard error.
        """
        pair = self._given(pair, second, **of_arrays)
        if error is None:
            error = self._jackknife(pair) if self._keeps_its_own else self.standard_error(pair)
        return self._interval(pair, error)

    @property
    def _keeps_its_own(self) -> bool:
        """Whether there is an interval also where there is no standard error."""
        return self.is_without_sign or self.declared_interval is not None

    def _interval(self, pair: Pair, error: float | None) -> Interval:
        if error is None:
            return UNKNOWN
        score = self.score(pair)
        if self.declared_interval is not None and pair.groups is None:
            low, high = self.declared_interval(pair, score=score, error=error, **self.settings)
            # What is drawn around a score at its bound would leave the score itself out.
            return min(low, score), max(high, score)
        around = symmetric_interval if self.is_without_sign else score_interval
        return around(score, error, pair.n_independent, self.bounds)

    def grouped_standard_error(self, pair: Pair, groups: int = 20, random_seed: int = 0) -> float:
        """The standard error by leaving out a group of inputs at a time: for any measure.

        The inputs fall into `groups` of equal size at random, and the score is computed without
        each (the delete-a-group jackknife). Rows that belong together stay together. Never done
        unless it is asked for.

        **Cost:** as many scores as groups, with all that each model brings to them made anew.

        **Raises:** `InvalidInput` unless there are 2 groups or more, each of one input or more;
        `UndefinedScore` where the score is undefined without some group.
        """
        n = pair.n_independent
        if not 2 <= groups <= n:
            raise InvalidInput(
                f"{groups} groups of {n} inputs were asked for. Give between 2 and {n}."
            )
        generator = torch.Generator().manual_seed(random_seed)
        number = torch.empty(n, dtype=torch.long)
        number[torch.randperm(n, generator=generator)] = torch.arange(n) % groups
        if pair.groups is not None:
            number = number[pair.groups.cpu()]
        scores = []
        for group in range(groups):
            scores.append(self.score(pair.restricted((number != group).nonzero().flatten())))
        mean = sum(scores) / groups
        return ((groups - 1) / groups * sum((score - mean) ** 2 for score in scores)) ** 0.5

    def shuffled(self, pair: Pair, permutations: int, random_seed: int) -> list[float]:
        """The scores after the rows of the second side were shuffled, `permutations` times.

        A measure of a part of the representations shuffles within that part, such as inside the
        classes of the inputs.
        """
        if permutations < 1:
            raise InvalidInput(f"{permutations} permutations were asked for. Give 1 or more.")
        generator = torch.Generator().manual_seed(random_seed)
        scores = []
        for _ in range(permutations):
            if self.shuffle is not None:
                scores.append(self.score(self.shuffle(pair, generator)))
                continue
            scores.append(self.score(pair.permuted(pair.reordered(generator))))
        return scores

    def floor(
        self,
        pair: Pair | Array,
        second: Array | None = None,
        *,
        permutations: int = 20,
        random_seed: int = 0,
        **of_arrays: Any,
    ) -> Floor | None:
        """The score when nothing corresponds; in closed form where there is one.

        None for a measure that ignores which input is which, and where shuffling makes the score
        undefined. With fewer than `FEWEST_SHUFFLES` permutations, `p95` is NaN: so few say nothing
        of five in a hundred.

        **Cost:** next to nothing in closed form or in the limit, two scores from pairs of rows,
        else `permutations` times that of the part of the score that depends on the pair.
        """
        pair = self._given(pair, second, **of_arrays)
        if not self.matches_inputs:
            return None
        self.score(pair)
        # Closed forms are over all orders of the rows; groups stay together.
        is_grouped = pair.groups is not None
        if is_grouped and isinstance(pair.b, StreamedSide):
            return None  # what is read in chunks is not shuffled
        if self.closed_form_floor is not None and not is_grouped:
            floor = self.closed_form_floor(pair, **self.settings)
            if floor is not None:
                return self._within_bounds(floor)
        if self._is_known_by_row and not is_grouped:
            assert self.per_input is not None
            return self._within_bounds(
                paired_floor(
                    pair,
                    lambda some: self.per_input(some, **self.settings),  # pyright: ignore[reportOptionalCall]
                    larger_is_more_similar=self.larger_is_more_similar,
                )
            )
        try:
            scores = self.shuffled(pair, permutations, random_seed)
        except UndefinedScore:
            return None
        return Floor(
            mean=sum(scores) / len(scores),
            p95=self._beyond_five_in_a_hundred(scores),
            permutations=permutations,
            is_closed_form=False,
        )

    def calibrated(
        self,
        pair: Pair | Array,
        second: Array | None = None,
        *,
        permutations: int = 200,
        random_seed: int = 0,
        from_shuffles: bool = False,
        **of_arrays: Any,
    ) -> Calibrated | None:
        """The score on a scale from the 95th percentile of shuffled scores (0) to identity (1).

        Groeger et al. (2026), "Revisiting the Platonic Representation Hypothesis: An Aristotelian
        View". Threshold and p-value are those of the closed form where there is one and it is exact
        (see `Floor`); `from_shuffles` takes shuffles all the same, as a check. None for a measure
        that has no floor, or no score of identical models.

        **Cost:** that of the floor in closed form, else of `permutations` scores.
        """
        pair = self._given(pair, second, **of_arrays)
        from samemind.measures.calibrating import calibrated

        return calibrated(
            self,
            pair,
            permutations=permutations,
            random_seed=random_seed,
            from_shuffles=from_shuffles,
        )

    @property
    def _is_known_by_row(self) -> bool:
        """Whether the score is a mean of values that depend on one row of either side alone."""
        return self.is_plain_mean and self.reads == "logits" and not self.needs_labels

    def _within_bounds(self, floor: Floor) -> Floor | None:
        if not isfinite(floor.mean):
            return None
        low, high = self.bounds
        return replace(floor, p95=min(max(floor.p95, low), high))

    def _beyond_five_in_a_hundred(self, shuffled: list[float]) -> float:
        """What one more shuffle lies beyond in five of a hundred cases, or slightly fewer.

        Of m + 1 scores in no order, each is as likely as any to be the last of all: one more lies
        beyond the k-th of m with chance (m + 1 - k) / (m + 1).
        """
        if len(shuffled) < FEWEST_SHUFFLES:
            return nan
        ascending = sorted(shuffled, reverse=not self.larger_is_more_similar)
        return ascending[ceil(0.95 * (len(shuffled) + 1)) - 1]

    @property
    def has_standard_error(self) -> bool:
        """Whether there is a standard error, and a contribution of each input, without more ado."""
        return self.influence_of_inputs is not None or self.per_input is not None

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
            "is_mean_over_inputs": self.per_input is not None,
            "has_contributions": self.has_standard_error,
            "has_standard_error": self.has_standard_error,
            "no_standard_error": self.no_standard_error,
            "has_closed_form_floor": self.closed_form_floor is not None,
            "sees": self.sees,
            "cannot_see": self.cannot_see,
            "reference": self.reference,
            "cost": self.cost,
        }
