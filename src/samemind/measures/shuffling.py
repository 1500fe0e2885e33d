"""What happens to a score when the rows of one side are shuffled: exact moments over all orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import lgamma, pi, sqrt
from typing import TYPE_CHECKING, Any

from samemind.lazy import np, torch
from samemind.measures.promises import NEARLY_NORMAL, SMALLEST_CHANCE, Floor
from samemind.sides import preprocessing
from samemind.sides.pair import Pair, Side

if TYPE_CHECKING:
    from torch import Tensor

_ONE_SIDED = 1.6448536269514722  # 95 % of a normal distribution lies below this many deviations


def normal_floor(mean: float, variance: float, *, larger_is_more_similar: bool = True) -> Floor:
    """The floor of a mean over many inputs: the normal distribution's 95th percentile."""
    deviation = sqrt(max(variance, 0.0))
    reach = _ONE_SIDED * deviation
    return Floor(
        mean=mean,
        p95=mean + reach if larger_is_more_similar else mean - reach,
        permutations=0,
        is_closed_form=True,
        deviation=deviation,
    )


def skewed_floor(mean: float, variance: float, skewness: float) -> Floor:
    """The floor of a squared norm: a gamma distribution with these moments, shifted."""
    from scipy.special import gammaincinv  # scipy.stats takes seconds to import

    deviations = _ONE_SIDED
    if skewness > NEARLY_NORMAL:
        shape = 4 / skewness**2
        deviations = (float(gammaincinv(shape, 0.95)) - shape) * skewness / 2
    deviation = sqrt(max(variance, 0.0))
    return Floor(
        mean=mean,
        p95=mean + deviations * deviation,
        permutations=0,
        is_closed_form=True,
        deviation=deviation,
        skewness=skewness,
    )


#: The gamma and the normal distribution hold while rows of large norm add no more than this share
#: to the variance over orders.
LARGEST_TAIL = 0.1
#: Of so few inputs any row is a large one, and the moments are as good as shuffles.
FEWEST_FOR_TAILS = 12


def alignment_floor(pair: Pair, *, is_debiased: bool) -> Floor | None:
    """The floor of linear CKA from its moments over all orders, None where few rows make it up.

    Where the same few inputs have a large norm on both sides, nearly all that is shared is theirs
    when they meet, and nothing when they do not: no smooth distribution has such a tail, and the
    rows are shuffled instead.
    """
    n = pair.n_inputs
    mean, variance = alignment_moments(pair.a, pair.b)
    if abs(_tail_share(pair.a, pair.b)) > LARGEST_TAIL and n > FEWEST_FOR_TAILS:
        return None
    # Of a sum of squares with this mean and variance (Satterthwaite 1946).
    skewness = 2 * sqrt(max(variance, 0.0)) / mean
    if not is_debiased:
        return skewed_floor(mean, variance, skewness)
    # U-centred matrices have a zero diagonal and rows that sum to zero. Over all orders the mean
    # of their product is then 0, and its variance 2‖A‖²‖B‖² / N(N - 3), whatever they hold.
    return skewed_floor(0.0, 2 / (n * (n - 3)), skewness)


def alignment_moments(a: Side, b: Side) -> tuple[float, float]:
    """Mean and variance of linear CKA over all N! orders of one side's rows.

    Kazi-Aoual et al. (1995), doi:10.1016/0167-9473(94)00053-P, for the RV coefficient.
    """
    n = a.n_inputs
    # The effective dimension (tr K)² / tr K²; the unit representation has tr K = 1.
    dimensions = [1 / float(side.gram_norm_squared) for side in (a, b)]
    mean = sqrt(dimensions[0] * dimensions[1]) / (n - 1)
    if n < 3:
        return mean, 0.0  # two centred inputs are opposite, in either order
    variance = 2 * (n - 1 - dimensions[0]) * (n - 1 - dimensions[1])
    variance /= (n + 1) * (n - 1) ** 2 * (n - 2)
    return mean, variance * (1 + _tail_share(a, b))


def _tail_share(a: Side, b: Side) -> float:
    """What the fourth moments of the rows of both sides add to the variance, as a share of it."""
    n, tails = a.n_inputs, []
    for side in (a, b):
        gram = float(side.gram_norm_squared)
        fourth = float(side.unit_row_squares.square().sum()) / gram
        spread = (n - 3) * (n - 1 - 1 / gram)
        tails.append(_tail(n, 1 / gram, fourth) / spread if spread else 0.0)
    return (n - 3) / (2 * n * (n - 1)) * tails[0] * tails[1]


def _tail(n: int, dimension: Any, fourth: Any) -> Any:
    return (n - 1) * (n * (n + 1) * fourth - (n - 1) * (dimension + 2))


def floors_of_alignments(
    n: int, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], *, is_debiased: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, deviation and skewness of shuffled linear CKA for all pairs of layers, and the tails.

    What `alignment_floor` has for one pair: the last is the share that rows of large norm add.

    **Arguments:** `n` inputs; of both networks the effective dimension of each layer, and the sum
    of its fourth row norms over ‖K‖², `(L,)`.

    **Returns:** four matrices `(L, L')`.
    """
    (d, fourth), (other_d, other_fourth) = first, second
    tails = [
        _tail(n, dimension, power) / ((n - 3) * (n - 1 - dimension))
        for dimension, power in ((d, fourth), (other_d, other_fourth))
    ]
    tail = (n - 3) / (2 * n * (n - 1)) * tails[0][:, None] * tails[1]
    mean = (d[:, None] * other_d).sqrt() / (n - 1)
    variance = 2 * (n - 1 - d[:, None]) * (n - 1 - other_d) * (1 + tail)
    deviation = (variance.clamp_min(0) / ((n + 1) * (n - 1) ** 2 * (n - 2))).sqrt()
    skewness = 2 * deviation / mean
    if is_debiased:
        whole = torch.isfinite(mean)
        # Two numbers alone would make it float32.
        mean = torch.where(whole, torch.zeros_like(mean), torch.nan)
        deviation = torch.where(whole, mean + sqrt(2 / (n * (n - 3))), torch.nan)
    return mean, deviation, skewness, tail


def gamma_p95(mean: np.ndarray, deviation: np.ndarray, skewness: np.ndarray) -> np.ndarray:
    """The 95th percentile of shifted gamma distributions with these moments, elementwise."""
    from scipy.special import gammaincinv

    skewness = np.maximum(skewness, NEARLY_NORMAL)
    shape = 4 / skewness**2
    return mean + deviation * (gammaincinv(shape, 0.95) - shape) * skewness / 2


def gamma_chance(
    scores: np.ndarray, mean: np.ndarray, deviation: np.ndarray, skewness: np.ndarray
) -> np.ndarray:
    """The chance of at least these scores; see `Floor.chance_beyond`."""
    from scipy.special import gammaincc

    skewness = np.maximum(skewness, NEARLY_NORMAL)
    shape = 4 / skewness**2
    reach = (scores - mean) / deviation
    chance = gammaincc(shape, np.maximum(shape + 2 * reach / skewness, 0.0))
    return np.maximum(chance, SMALLEST_CHANCE)


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


# --- means over inputs: a sample of the pairs (i, j) ------------------------------------------

#: Up to this many inputs, all pairs of rows are taken.
ALL_PAIRS_UP_TO = 64
#: Otherwise the mean is that of so many shuffles, and the variance from so many pairs of rows.
WHOLE_SHUFFLES = 2
CONTRASTED_PAIRS = 2048


def paired_floor(
    pair: Pair, values: Callable[[Pair], Tensor], *, larger_is_more_similar: bool
) -> Floor:
    """The floor of a mean over inputs of a value that is known from row i and row j alone.

    Shuffled, every row of the one side meets every row of the other equally often, so the mean is
    that over pairs (i, j): of whole shuffles, in which every row stands as often as any other. The
    variance over shuffles is that of the values less what row and column have to do with it, which
    a contrast of two rows and two columns is free of. What the mean itself is off by is added to
    it, so that unrelated models lie beyond `p95` in five of a hundred cases.

    **Arguments:** `values` gives the values of a pair row by row, `(rows,)`.

    **Cost:** `WHOLE_SHUFFLES` scores and `CONTRASTED_PAIRS` values.
    """
    n, device = pair.n_inputs, pair.a.device
    every = torch.arange(n, device=device)
    if n <= ALL_PAIRS_UP_TO:
        table = values(pair.looking_at(every.repeat_interleave(n), every.repeat(n)))
        table = table.double().reshape(n, n)
        centred = table - table.mean(0) - table.mean(1, keepdim=True) + table.mean()
        mean, n_pairs = float(table.mean()), n * n
        variance, error = linear_statistic_variance(float(centred.square().sum()), n), 0.0
    else:
        generator = torch.Generator().manual_seed(0)
        count = CONTRASTED_PAIRS // 4
        rows, columns = (_two_different(n, count, generator) for _ in range(2))
        corners = rows[[0, 0, 1, 1]].flatten(), columns[[0, 1, 0, 1]].flatten()
        table = values(pair.looking_at(*(places.to(device) for places in corners)))
        table = table.double().reshape(4, count)
        contrasts = table[0] - table[1] - table[2] + table[3]
        squares = float(contrasts.square().mean()) * (n - 1) ** 2 / 4
        variance = linear_statistic_variance(squares, n)
        orders = [torch.randperm(n, generator=generator).to(device) for _ in range(WHOLE_SHUFFLES)]
        means = [float(values(pair.looking_at(every, order)).double().mean()) for order in orders]
        mean, error = sum(means) / WHOLE_SHUFFLES, sqrt(variance / WHOLE_SHUFFLES)
        n_pairs = CONTRASTED_PAIRS + WHOLE_SHUFFLES * n
    found = normal_floor(mean, variance + error**2, larger_is_more_similar=larger_is_more_similar)
    return replace(found, is_closed_form=n <= ALL_PAIRS_UP_TO, n_pairs=n_pairs, error=error)


def _two_different(n: int, count: int, generator: torch.Generator) -> Tensor:
    first = torch.randint(n, (count,), generator=generator)
    step = torch.randint(1, n, (count,), generator=generator)
    return torch.stack([first, (first + step) % n])


def sampled_rows(pair: Pair, count: int) -> tuple[Tensor, Tensor]:
    """The half of `count` inputs with the largest norm on either side, and as many of the others.

    A sum over inputs of what grows with their norm is then exact where its tail is heavy, and a
    random sample, always the same, where it is not.
    """
    norms = torch.maximum(pair.a.unit_row_squares, pair.b.unit_row_squares)
    order = norms.argsort(descending=True, stable=True)
    generator = torch.Generator().manual_seed(0)
    largest, others = order[: count // 2], order[count // 2 :]
    chosen = torch.randperm(len(others), generator=generator)[: count - count // 2]
    return largest, others[chosen.to(others.device)]


# --- nuclear norms: the limit of many units ----------------------------------------------------

#: The limit is taken from this many directions on either side, and four times as many inputs.
FEWEST_DIRECTIONS = 64
_NODES = 64
_STEPS = 40


def nuclear_floor(pair: Pair) -> Floor | None:
    """The floor of the nuclear norm of the cross-covariance, where its limit may be taken.

    Shuffled, the directions in which the inputs of one side vary lie anywhere to those of the
    other, while both spectra stay. The squared singular values are then those of a free product
    (Voiculescu, 1987, J. Operator Theory 18), whose S-transform is the product of both. On the
    negative axis that is one integral over inverse functions of sums over the spectra. The
    deviation is bounded as that of a Gaussian cross-covariance with the same spectra (Poincaré's
    inequality, with the largest inner product of both spectra).

    **Cost:** the eigenvalues of the covariance once per model, then O(D) per pair.
    """
    n = pair.n_inputs - 1  # centred rows have so many dimensions
    first, second = (_spectrum(side) for side in (pair.a, pair.b))
    if min(len(first), len(second)) < FEWEST_DIRECTIONS or n < 4 * FEWEST_DIRECTIONS:
        return None
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(_NODES))
    angles = (nodes + 1).to(first) * (pi / 4)
    top = min(len(first), len(second), n) / n
    share = top * angles.sin().square()
    logs = _inverse_of_share(first, share * n) + _inverse_of_share(second, share * n)
    integrand = (share / (1 - share)).sqrt() * (-logs / 2).exp() * top * (2 * angles).sin()
    mean = float((integrand * weights.to(first)).sum()) * n / 2
    size = min(len(first), len(second))
    variance = float(first[:size] @ second[:size]) / n
    return replace(normal_floor(min(mean, 1.0), variance), is_closed_form=False, is_limit=True)


def _spectrum(side: Side) -> Tensor:
    """The variances of the representation at norm one, descending, without those of rounding."""

    def make(root: Side) -> Tensor:
        values = preprocessing.symmetric_eigenvalues(root.covariance.double().clone()).flip(0)
        return values[values > 1e-12 * values[0]]

    return side.whole("spectrum", make)


def _inverse_of_share(spectrum: Tensor, share: Tensor) -> Tensor:
    """ln u where the sum over the spectrum of u x / (1 + u x) is `share`, for each of it."""
    found = (share / spectrum.sum()).log()  # from below, where Newton's steps stay below
    for _ in range(_STEPS):
        products = found.exp()[:, None] * spectrum
        parts = products / (1 + products)
        total = parts.sum(1)
        found = found + (share / total).log() * total / (parts / (1 + products)).sum(1)
    return found
