"""Whether two scores on the same inputs differ, and which of many can be told apart.

The errors of scores on the same inputs go together: what counts is the error of their difference,
from the difference of what each input does to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from samemind.statistics.swaps import Z95
from samemind.statistics.verdict import ALPHA, holm

#: Of the plain sum of squares at least so much is left, whatever is counted twice.
LEAST_LEFT = 0.25


@dataclass(frozen=True)
class PairedDifferences:
    """The differences of all pairs of P scores on the same N inputs, `(P (P − 1) / 2,)` each.

    `first` and `second` are indices of scores; `value` is the first score less the second one.
    `p_value` is two-sided, `p_holm` the same corrected for the number of differences (Holm). The
    interval of 95 % leaves out 0 where `p_value` is below 5 %, and only there.
    """

    first: np.ndarray
    second: np.ndarray
    value: np.ndarray
    standard_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p_value: np.ndarray
    p_holm: np.ndarray

    @property
    def is_told_apart(self) -> np.ndarray:
        """Which differences are known not to be 0, at 5 % for all of them together."""
        return self.p_holm < ALPHA


def paired_differences(
    scores: np.ndarray,
    influences: np.ndarray,
    *,
    are_shares: bool = False,
    twice: np.ndarray | None = None,
) -> PairedDifferences:
    """Every score less every later one, with the paired standard error.

    **Arguments:**

    - `scores`: `(P,)`. `influences`: of each input on each score, `(P, N)`; rows of NaN make
        differences of NaN.
    - `are_shares`: each score is the share of inputs with some property. Then the interval and p
        are those of Bonett and Price (2012) for paired shares, with one input more of either kind
        that counts: they hold where few inputs differ, or none.
    - `twice`: what the products of influences count twice, `(P, P)`: of neighbours, which a row and
        its neighbour both bring in. At most 1 - `LEAST_LEFT` of a square is taken off.

    **Returns:** in the order of `numpy.triu_indices(P, 1)`. The interval is the difference ±
    t(N − 1) standard errors, and p that of the same t.

    **Cost:** O(P² N), memory O(P²).
    """
    n = influences.shape[1]
    first, second = np.triu_indices(len(scores), 1)
    value = scores[first] - scores[second]
    products = influences @ influences.T
    own = products.diagonal()
    squares = np.maximum(own[first] + own[second] - 2 * products[first, second], 0.0)
    if twice is not None:
        of_own = twice.diagonal()
        taken = of_own[first] + of_own[second] - 2 * twice[first, second]
        squares = np.maximum(squares - np.maximum(taken, 0.0), LEAST_LEFT * squares)
    # What is left of a difference of equals is rounding.
    squares[squares < 1e-13 * (own[first] + own[second])] = 0.0
    errors = np.sqrt(squares / n / (n - 1)) if n > 1 else np.full(len(value), np.nan)
    centre, spread, reach, quantile = value, errors, _reach(n), _chance_beyond_t(n)
    if are_shares:
        values = influences + scores[:, None]
        wins = values @ (1 - values).T
        more, fewer = ((part + 1) / (n + 2) for part in (wins[first, second], wins[second, first]))
        centre = more - fewer
        spread = np.sqrt((more + fewer - centre**2) / (n + 2))
        reach, quantile = Z95, _chance_beyond_normal
    with np.errstate(invalid="ignore", divide="ignore"):
        p = quantile(np.where(spread > 0, centre / spread, np.where(centre == 0, 0.0, np.nan)))
    return PairedDifferences(
        first, second, value, errors, centre - reach * spread, centre + reach * spread,
        p, np.array(holm(list(p))),
    )  # fmt: skip


def _reach(n_inputs: int) -> float:
    from scipy.special import stdtrit  # scipy.stats takes seconds to import

    return float(stdtrit(n_inputs - 1, 0.975)) if n_inputs > 1 else float("nan")


def _chance_beyond_t(n_inputs: int):
    from scipy.special import stdtr

    return lambda ratio: 2 * stdtr(max(n_inputs - 1, 1), -np.abs(ratio))


def _chance_beyond_normal(ratio: np.ndarray) -> np.ndarray:
    from scipy.special import erfc

    return erfc(np.abs(ratio) / sqrt(2))


def groups_told_apart(
    order: Sequence[int], told_apart: Sequence[tuple[int, int]]
) -> list[list[int]]:
    """For each item, in the given order, the numbers of the groups that it is in, from 0.

    Two items share a group where they cannot be told apart, and only there. A group that another
    one holds is left out, so that there are few.

    **Source:** insert and absorb, Piepho (2004), Journal of Computational and Graphical Statistics
    13, 456-466 ("compact letter display").

    **Cost:** in the worst case many groups; in ranked scores about as many as there are items.

    >>> groups_told_apart([0, 1, 2], [(0, 2)])
    [[0], [0, 1], [1]]
    """
    place = {item: i for i, item in enumerate(order)}
    groups = [frozenset(range(len(order)))]
    for a, b in sorted(tuple(sorted((place[a], place[b]))) for a, b in told_apart):
        split: list[frozenset[int]] = []
        for group in groups:
            both = a in group and b in group
            split += [group - {a}, group - {b}] if both else [group]
        distinct = list(dict.fromkeys(split))
        groups = [g for g in distinct if g and not any(g < other for other in distinct)]
    groups.sort(key=lambda group: sorted(group))
    return [[n for n, group in enumerate(groups) if i in group] for i in range(len(order))]


def letters(groups: Sequence[int]) -> str:
    """Groups by letter, as rankings print them: a, b, …, z, then a1, b1, ….

    >>> letters([0, 2, 26])
    'aca1'
    """
    return "".join(f"{chr(97 + n % 26)}{n // 26 or ''}" for n in groups)
