"""Add a measure of your own and use it beside those that ship.

    python examples/add_your_own_measure.py

The measure: how alike the *participation ratio* of two representations is, the effective number
of directions that each uses. It looks at one number per model, so it must not be mistaken for
"the same representation": the last lines show a pair that it calls alike and CKA does not.
"""

import numpy as np
import torch

import samemind
from samemind.measures.base import Invariance, Pair, measure
from samemind.sides.pair import Side


def participation_ratio(side: Side) -> torch.Tensor:
    """(Σ λ)² / Σ λ² of the eigenvalues λ of the covariance: between 1 and min(N, D)."""
    singular = torch.linalg.svdvals(side.unit.double())
    eigenvalues = singular.square()
    return eigenvalues.sum().square() / eigenvalues.square().sum()


@measure(
    reads="representation",
    family="statistics",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances={
        Invariance.UNIT_PERMUTATION,
        Invariance.ORTHOGONAL,
        Invariance.ISOTROPIC_SCALING,
        Invariance.TRANSLATION,
    },
    reference="Gao et al. (2017), A theory of multineuronal dimensionality, bioRxiv 214262",
    cost="O(N D min(N, D)) per model",
    matches_inputs=False,  # it looks at one number per model: shuffling the inputs changes nothing
    no_standard_error="left out of this example",
)
def dimensionality_ratio(pair: Pair) -> torch.Tensor:
    """The smaller participation ratio over the larger one, in [0, 1].

    >>> dimensionality_ratio([[0.0, 1.0], [1.0, 0.0]], [[0.0, 2.0], [2.0, 0.0]])
    1.0
    """
    # `whole`: made once per model, whatever the order of the inputs, and shared by all its pairs.
    a, b = (side.whole("participation ratio", participation_ratio) for side in (pair.a, pair.b))
    return torch.minimum(a, b) / torch.maximum(a, b)


def main() -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((300, 20))
    models = {
        "base": base,
        "rotated": base @ np.linalg.qr(rng.standard_normal((20, 20)))[0],
        "flattened": base * np.linspace(0.05, 1, 20),
        "unrelated": rng.standard_normal((300, 20)),
    }
    found = samemind.compare(models, measures=["dimensionality_ratio", "debiased_linear_cka"])
    table = found.scores
    wide = table.pivot(index=["model_a", "model_b"], columns="measure", values="score")
    print(wide.round(3))

    scores = table.set_index(["model_a", "model_b", "measure"])["score"]
    assert abs(scores["base", "rotated", "dimensionality_ratio"] - 1) < 1e-9
    assert scores["base", "unrelated", "dimensionality_ratio"] > 0.9
    assert abs(scores["base", "unrelated", "debiased_linear_cka"]) < 0.05


if __name__ == "__main__":
    main()
