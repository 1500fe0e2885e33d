"""Centred kernel alignment with kernels of distance: Gaussian (RBF) and Laplace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.measures.base import Invariance, Pair, Side, measure
from samemind.sides import distances as pairwise

if TYPE_CHECKING:
    from torch import Tensor

_INVARIANCES = {
    Invariance.UNIT_PERMUTATION,
    Invariance.ORTHOGONAL,
    Invariance.ISOTROPIC_SCALING,
    Invariance.TRANSLATION,
}
_COST = "O(N²) per pair, after O(N² D) and N² numbers per model"


def _kernel(side: Side, power: int, bandwidth: float) -> Tensor:
    """The centred kernel exp(-(d / s)^power / power), with s a multiple of the median distance."""

    def make(root: Side) -> Tensor:
        scale = bandwidth * pairwise.median_distance(root)
        return pairwise.mapped(
            pairwise.distances(root), lambda d: (-((d / scale) ** power) / power).exp()
        )

    return pairwise.double_centred(side, f"kernel {power}@{bandwidth}", make)


def _own(side: Side, power: int, bandwidth: float) -> Tensor:
    """The squared norm of each row of the centred kernel, `(N,)`."""

    def make(root: Side) -> Tensor:
        kernel = _kernel(root, power, bandwidth)
        return pairwise.row_products(kernel, kernel)

    return side.rows(f"kernel rows {power}@{bandwidth}", make)


def _cross(pair: Pair, power: int, bandwidth: float) -> Tensor:
    return pair.once(
        f"kernel products {power}@{bandwidth}",
        lambda: pairwise.row_products(
            _kernel(pair.a, power, bandwidth), _kernel(pair.b, power, bandwidth)
        ),
    )


def _shares(pair: Pair, power: int, bandwidth: float) -> Tensor:
    first, second = (_own(side, power, bandwidth).sum() for side in (pair.a, pair.b))
    return pair.n_inputs * _cross(pair, power, bandwidth) / (first * second).sqrt()


def _influence(pair: Pair, power: int, bandwidth: float) -> Tensor:
    # As for linear CKA: each part is of second order in the inputs' weights. The bandwidth is
    # held fixed.
    shares = _shares(pair, power, bandwidth)
    first, second = (_own(side, power, bandwidth) for side in (pair.a, pair.b))
    lean = first / first.sum() + second / second.sum()
    return 2 * shares - shares.mean() * pair.n_inputs * lean


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Kornblith et al. (2019), arXiv:1905.00414",
    cost=_COST,
    per_input=lambda pair, *, bandwidth: _shares(pair, 2, bandwidth),
    influence=lambda pair, *, bandwidth: _influence(pair, 2, bandwidth),
)
def rbf_cka(pair: Pair, *, bandwidth: float = 1.0) -> Tensor:
    r"""Centred kernel alignment with Gaussian kernels, biased, in [0, 1].

    $$\frac{\langle HKH, HLH \rangle}{\|HKH\|_F \|HLH\|_F}, \qquad
    K_{ij} = \exp\!\Big(-\frac{\|R_i - R_j\|^2}{2\,(b\,m_R)^2}\Big)$$

    with $m_R$ the median distance between two *different* inputs of the same model, and b the
    bandwidth (`rbf_cka@0.5` for half the median). A median that counts each input with itself is
    smaller, and gives other digits.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> round(rbf_cka(R, [[7 - 3 * y, 7 + 3 * x] for x, y in R]), 6)
    1.0
    """
    return _shares(pair, 2, bandwidth).mean()


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Lange et al. (2023), arXiv:2206.10999",
    cost=_COST,
    per_input=lambda pair, *, bandwidth: _shares(pair, 1, bandwidth),
    influence=lambda pair, *, bandwidth: _influence(pair, 1, bandwidth),
)
def laplace_cka(pair: Pair, *, bandwidth: float = 1.0) -> Tensor:
    r"""Centred kernel alignment with Laplace kernels, biased, in [0, 1].

    As `rbf_cka`, with $K_{ij} = \exp(-\|R_i - R_j\| / (b\,m_R))$: heavier tails, and a cusp at
    zero that lets near inputs count more.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> round(laplace_cka(R, [[7 - 3 * y, 7 + 3 * x] for x, y in R]), 6)
    1.0
    """
    return _shares(pair, 1, bandwidth).mean()
