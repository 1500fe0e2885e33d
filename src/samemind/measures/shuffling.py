"""What happens to a score when the rows of one side are shuffled: exact moments over all orders."""

from __future__ import annotations

from math import lgamma, sqrt
from typing import TYPE_CHECKING

from samemind.lazy import LazyModule
from samemind.measures.base import Floor
from samemind.measures.prepared import Side

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

_ONE_SIDED = 1.6448536269514722  # 95 % of a normal distribution lies below this many deviations


def normal_floor(mean: float, variance: float, *, larger_is_more_similar: bool = True) -> Floor:
    """The floor of a mean over many inputs: the normal distribution's 95th percentile."""
    reach = _ONE_SIDED * sqrt(max(variance, 0.0))
    return Floor(
        mean=mean,
        p95=mean + reach if larger_is_more_similar else mean - reach,
        permutations=0,
        is_closed_form=True,
    )


def skewed_floor(mean: float, variance: float, skewness: float) -> Floor:
    """The floor of a squared norm: a gamma distribution with these moments, shifted."""
    from scipy.special import gammaincinv  # scipy.stats takes seconds to import

    deviations = _ONE_SIDED
    if skewness > 1e-3:  # below, the gamma distribution is the normal one
        shape = 4 / skewness**2
        deviations = (float(gammaincinv(shape, 0.95)) - shape) * skewness / 2
    reach = deviations * sqrt(max(variance, 0.0))
    return Floor(mean=mean, p95=mean + reach, permutations=0, is_closed_form=True)


def alignment_moments(a: Side, b: Side) -> tuple[float, float]:
    """Mean and variance of linear CKA over all N! orders of one side's rows.

    Kazi-Aoual et al. (1995), doi:10.1016/0167-9473(94)00053-P, for the RV coefficient.
    """
    n = a.n_inputs
    # The effective dimension (tr K)² / tr K² and the fourth moment of the rows, per side; the
    # unit representation has tr K = 1.
    dimensions, tails = [], []
    for side in (a, b):
        gram = float(side.gram_norm_squared)
        dimension = 1 / gram
        fourth = float(side.unit_row_squares.square().sum()) / gram
        spread = (n - 3) * (n - 1 - dimension)
        tail = (n - 1) * (n * (n + 1) * fourth - (n - 1) * (dimension + 2))
        dimensions.append(dimension)
        tails.append(tail / spread if spread else 0.0)
    mean = sqrt(dimensions[0] * dimensions[1]) / (n - 1)
    variance = 2 * (n - 1 - dimensions[0]) * (n - 1 - dimensions[1])
    variance /= (n + 1) * (n - 1) ** 2 * (n - 2)
    return mean, variance * (1 + (n - 3) / (2 * n * (n - 1)) * tails[0] * tails[1])


def linear_statistic_variance(centred_squares: float, n_inputs: int) -> float:
    """Variance of the mean over i of c[i, σ(i)], from the sum of squares of c centred both ways.

    Hoeffding (1951), doi:10.1214/aoms/1177729545.
    """
    return centred_squares / (n_inputs - 1) / n_inputs**2 if n_inputs > 1 else 0.0


def overlap_variance(first: GraphCounts, second: GraphCounts) -> float:
    """Variance of the number of edges that two directed graphs share when one is relabelled.

    Mantel (1967), Cancer Research 27, the general case. Both graphs have N nodes and no loops.
    """
    n = first.n_nodes
    if n < 4:
        return 0.0
    pairs, triples = n * (n - 1), n * (n - 1) * (n - 2)
    ways = (pairs, pairs, triples, triples, triples, triples, triples * (n - 3))
    square = sum(
        x * y / count for x, y, count in zip(first.sums(), second.sums(), ways, strict=True)
    )
    return square - (first.n_edges * second.n_edges / pairs) ** 2


class GraphCounts:
    """What the variance of an overlap needs to know of one directed graph.

    **Arguments:** the number of edges from and to each node `(N,)`, and of edges whose reverse
    is an edge as well.
    """

    def __init__(self, outgoing: Tensor, incoming: Tensor, n_mutual: float) -> None:
        self.n_nodes = len(outgoing)
        self.n_edges = float(outgoing.sum())
        self._outgoing, self._incoming = outgoing.double(), incoming.double()
        self._n_mutual = n_mutual

    def sums(self) -> tuple[float, ...]:
        """Numbers of pairs of edges, by which of their four ends coincide."""
        out, into, mutual, edges = self._outgoing, self._incoming, self._n_mutual, self.n_edges
        same_start = float(out.square().sum()) - edges
        same_end = float(into.square().sum()) - edges
        in_line = float(out @ into) - mutual
        classes = (edges, mutual, same_start, same_end, in_line, in_line)
        return (*classes, edges**2 - sum(classes))


def expected_overlap_moments(n_others: int, k: int) -> tuple[Tensor, Tensor]:
    """The possible numbers shared by two random k-subsets of `n_others`, and their chances."""
    shared = torch.arange(max(0, 2 * k - n_others), k + 1, dtype=torch.float64)
    # The hypergeometric distribution.
    log_chance = (
        _log_choose(k, shared)
        + _log_choose(n_others - k, k - shared)
        - _log_choose(n_others, torch.tensor(k, dtype=torch.float64))
    )
    return shared, log_chance.exp()


def _log_choose(n: int, k: Tensor) -> Tensor:
    return lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
