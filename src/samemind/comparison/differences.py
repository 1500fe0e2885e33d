"""Is A more like B than like C? Differences of scores on the same inputs, with paired errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import np, pd
from samemind.measures.base import MEASURES, Measure, Pair, Side
from samemind.statistics.differences import PairedDifferences, paired_differences
from samemind.statistics.verdict import ALPHA

if TYPE_CHECKING:
    from samemind.arrays import Array
    from samemind.sides.entering import Edges

#: A pair, or what makes one: two arrays, or two sides.
COLUMNS = (
    *("model_a", "model_b", "other_a", "other_b", "measure", "difference", "standard_error"),
    *("lower", "upper", "p_value", "p_holm", "first_pair_is"),
)
TwoSides: TypeAlias = "Pair | tuple[Array | Side, Array | Side]"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One pair's score less another one's, on the same inputs.

    - `standard_error`: paired, from what each input does to both scores; NaN, with its `reason`,
      where one of the two has none. `lower`, `upper`: the ends of a 95 % interval.
    - `p_value`: two-sided, of no difference.
    """

    measure: str
    score: float
    other_score: float
    difference: float
    standard_error: float
    lower: float
    upper: float
    p_value: float
    n_inputs: int
    larger_is_more_similar: bool = True
    reason: str | None = None

    @property
    def answer(self) -> str:
        """'more alike', 'less alike' or 'not told apart': the first pair beside the other."""
        return told(self.difference, self.p_value, self.larger_is_more_similar)

    def as_record(self) -> dict[str, Any]:
        """Everything as plain data."""
        return asdict(self) | {"answer": self.answer}


def told(difference: float, p_value: float, larger_is_more_similar: bool) -> str:
    """What a difference with this p-value says of the first pair beside the second."""
    if not p_value < ALPHA:
        return "not told apart"
    return "more alike" if (difference > 0) == larger_is_more_similar else "less alike"


def difference(
    pair: TwoSides,
    other_pair: TwoSides,
    measure: str | Measure,
    *,
    labels: Array | None = None,
    kind: str | None = None,
) -> Difference:
    """Is one pair more alike than another, on the same inputs? `difference((A, B), (A, C), …)`.

    **Arguments:**

    - `pair`, `other_pair`: two arrays `(N, …)` or two `samemind.Side`s each, whose rows are the
      same N inputs in the same order in all of them.
    - `measure`: a name from `samemind.list_measures()`, or the measure itself.
    - `labels`, `kind`: of arrays, as a measure takes them.

    **Returns:** a `Difference`: first score less second, its paired standard error, 95 % interval
    and p-value. Both scores move together with the inputs, so that the error is mostly far below
    that of either score.

    **Raises:** `InvalidInput` for unequal numbers of inputs; `UndefinedScore` where a score is
    undefined; `UnknownName` for what is no measure.

    **Cost:** that of both scores and standard errors, from all inputs.

    >>> a, b = [[1, 0], [0, 1], [0, 1], [1, 0]], [[1, 0], [0, 1], [1, 0], [1, 0]]
    >>> difference((a, a), (a, b), "agreement", kind="logits").difference
    0.25
    """
    chosen = measure if isinstance(measure, Measure) else MEASURES[measure]
    pairs = [_pair_of(one, chosen, labels, kind) for one in (pair, other_pair)]
    if pairs[0].n_inputs != pairs[1].n_inputs:
        raise InvalidInput(
            f"Two pairs are compared on the same inputs in the same order, but the first has "
            f"{pairs[0].n_inputs} and the second {pairs[1].n_inputs}. Take both from one input set."
        )
    seen = [Seen.of(chosen, one) for one in pairs]
    for one in seen:
        if one.score != one.score:
            raise UndefinedScore(one.reason or "")
    found = _differences(seen)
    return Difference(
        measure=chosen.name,
        score=seen[0].score,
        other_score=seen[1].score,
        n_inputs=pairs[0].n_inputs,
        larger_is_more_similar=chosen.larger_is_more_similar,
        reason=next((one.reason for one in seen if one.reason), None),
        difference=float(found.value[0]),
        standard_error=float(found.standard_error[0]),
        lower=float(found.lower[0]),
        upper=float(found.upper[0]),
        p_value=float(found.p_value[0]),
    )


def _pair_of(given: TwoSides, chosen: Measure, labels: Array | None, kind: str | None) -> Pair:
    if isinstance(given, Pair):
        return given
    if len(given) != 2:
        raise InvalidInput(
            f"A pair is two arrays or two sides, as in (A, B), but {len(given)} were given."
        )
    return chosen.pair(*given, labels=labels, kind=kind)


# -- pure


@dataclass(frozen=True)
class Seen:
    """A score, the influence of each input on it `(N,)`, and why it has none.

    Where rows are of groups, such as the words of one text, the influence of each group.

    - `are_shares`: it is the share of inputs with some property.
    - `edges`: what single neighbours bring, where neighbours move with the inputs.
    """

    score: float
    influence: np.ndarray
    reason: str | None = None
    are_shares: bool = False
    edges: Edges | None = None

    @classmethod
    def of(cls, chosen: Measure, pair: Pair) -> Seen:
        nothing = np.full(pair.n_independent, np.nan)
        try:
            score = chosen.score(pair)
        except (UndefinedScore, InvalidInput) as error:
            return cls(float("nan"), nothing, str(error))
        pair.expects_edges, pair.edges = pair.groups is None, None
        found = chosen.settled_influence(pair)
        edges, pair.edges = pair.edges, None
        if isinstance(found, str):
            return cls(score, nothing, found)
        influence = (found if edges is None else edges.influence).cpu().numpy()
        are_shares = False
        if chosen.is_plain_mean and chosen.bounds == (0.0, 1.0) and pair.groups is None:
            values = influence + score
            are_shares = bool((np.minimum(abs(values), abs(1 - values)) < 1e-9).all())
        return cls(score, influence, None, are_shares, edges)


def _differences(seen: Sequence[Seen]) -> PairedDifferences:
    return paired_differences(
        np.array([one.score for one in seen]),
        np.stack([one.influence for one in seen]),
        are_shares=all(one.are_shares for one in seen),
        twice=_counted_twice([one.edges for one in seen]),
    )


def _counted_twice(edges: Sequence[Edges | None]) -> np.ndarray | None:
    """What the products of influences count twice, `(P, P)`: all that two inputs have together.

    That is what the one brings to the other's row and the other to the one's, about their means.
    """
    if any(one is None for one in edges):
        return None
    from scipy.sparse import csr_array

    there = [one for one in edges if one is not None]
    n = len(there[0].means)
    starts = np.cumsum([0, *(len(one.values) for one in there)])
    places = np.concatenate([one.places.cpu().numpy() for one in there])
    values = np.concatenate([one.values.cpu().numpy() for one in there])
    shape = len(there), n * n
    table = csr_array((values, places, starts), shape=shape)
    turned = csr_array((values, places % n * n + places // n, starts), shape=shape)
    means = np.stack([one.means.cpu().numpy() for one in there])
    totals = means.sum(1)
    one_way = (table @ table.T).toarray() - (n - 1) * means @ means.T
    return one_way + (table @ turned.T).toarray() - np.outer(totals, totals)


class Differences:
    """Gathers what each input does to the scores of every pair; use `look` as the `then` of
    `score_pairs`.

    **Cost:** memory for N numbers per pair and measure, and O(pairs² N) at the end.
    """

    def __init__(self, measures: Sequence[str]) -> None:
        self.measures = [MEASURES[name] for name in measures]
        self._seen: dict[str, dict[tuple[str, str], Seen]] = {m.name: {} for m in self.measures}

    def look(self, names: tuple[str, str], pair: Pair) -> None:
        for chosen in self.measures:
            self._seen[chosen.name][names] = Seen.of(chosen, pair)
            if not chosen.is_symmetric:
                turned = Pair(pair.b, pair.a)
                self._seen[chosen.name][names[1], names[0]] = Seen.of(chosen, turned)

    def notes(self) -> list[str]:
        """What has no differences, and why."""
        found = []
        for name, by_pair in self._seen.items():
            reasons = list(dict.fromkeys(one.reason for one in by_pair.values() if one.reason))
            if reasons:
                n = sum(1 for one in by_pair.values() if one.reason)
                found.append(
                    f"No differences by {name} for {n} of {len(by_pair)} pairs: {reasons[0]}."
                )
        return found

    def table(self) -> pd.DataFrame:
        """A row per two pairs and measure: the first pair's score less the other one's."""
        tables = [table for chosen in self.measures if len(table := self._of(chosen))]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)

    def _of(self, chosen: Measure) -> pd.DataFrame:
        by_pair = {n: one for n, one in self._seen[chosen.name].items() if not one.reason}
        names = list(by_pair)
        if len(names) < 2:
            return pd.DataFrame()
        found = _differences(list(by_pair.values()))
        larger = chosen.larger_is_more_similar
        pairs = list(zip(found.first, found.second, strict=True))
        return pd.DataFrame(
            {
                "model_a": [names[i][0] for i, _ in pairs],
                "model_b": [names[i][1] for i, _ in pairs],
                "other_a": [names[j][0] for _, j in pairs],
                "other_b": [names[j][1] for _, j in pairs],
                "measure": chosen.name,
                "difference": found.value,
                "standard_error": found.standard_error,
                "lower": found.lower,
                "upper": found.upper,
                "p_value": found.p_value,
                "p_holm": found.p_holm,
                "first_pair_is": [
                    told(float(value), float(p), larger)
                    for value, p in zip(found.value, found.p_holm, strict=True)
                ],
            }
        )
