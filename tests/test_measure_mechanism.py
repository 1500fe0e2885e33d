"""Shared invariance: one model on images, and on what another cannot tell from them."""

import doctest

import numpy as np
import pytest
import torch

from samemind.errors import InvalidInput, UndefinedScore
from samemind.measures import Side, mechanism
from samemind.measures.linear_cka import linear_cka
from samemind.measures.mechanism import stir
from samemind.measures.of_sets import SET_MEASURES

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(80, 6))


def inverted_by(weights: np.ndarray, targets: np.ndarray, seed: int) -> np.ndarray:
    """Inputs to which a linear model gives the same representation, exactly: null space added."""
    null = np.linalg.svd(weights)[2][len(weights) :]
    return targets + np.random.default_rng(seed).normal(size=(len(targets), len(null))) @ null


def test_a_model_shares_its_own_invariances_and_those_of_a_finer_model(images: np.ndarray) -> None:
    generator = np.random.default_rng(1)
    fine = generator.normal(size=(4, 6))
    coarse = fine[:2]  # whatever the fine model is blind to, this one is blind to as well
    for_fine = inverted_by(fine, images, seed=2)
    for_coarse = inverted_by(coarse, images, seed=3)
    assert stir(images @ fine.T, for_fine @ fine.T).score == pytest.approx(1, abs=1e-9)
    assert stir(images @ coarse.T, for_fine @ coarse.T).score == pytest.approx(1, abs=1e-9)
    assert stir(images @ fine.T, for_coarse @ fine.T).score < 0.9


def test_it_is_the_measure_of_the_two_answers_averaged_over_runs(images: np.ndarray) -> None:
    weights = np.random.default_rng(1).normal(size=(3, 6))
    reference = np.random.default_rng(2).normal(size=(2, 6))
    runs = [inverted_by(reference, images, seed) @ weights.T for seed in range(4)]
    found = stir(images @ weights.T, runs)
    expected = [linear_cka(images @ weights.T, run) for run in runs]
    assert found.scores == pytest.approx(tuple(expected))
    assert found.score == pytest.approx(np.mean(expected))
    assert found.spread == pytest.approx(np.std(expected, ddof=1))
    assert found.measure == "linear_cka"
    single = stir(torch.from_numpy(images @ weights.T), torch.from_numpy(runs[0]))
    assert single.scores == pytest.approx((expected[0],))
    assert single.spread is None


def test_any_measure_can_be_inside_those_of_predictions_too(images: np.ndarray) -> None:
    first, second = Side(logits=images), Side(logits=images + 0.3)
    assert stir(first, second, measure="agreement").score == 1
    assert stir(images, images[:, ::-1].copy(), measure="agreement").score < 0.5
    assert stir(images, images, measure="knn_jaccard@5").score == 1


def test_what_cannot_be_compared_is_said(images: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="no inverted images"):
        stir(images, [])
    with pytest.raises(InvalidInput, match="80 rows and the second 79"):
        stir(images, images[:-1])
    with pytest.raises(UndefinedScore, match="constant"):
        stir(images, np.ones_like(images))


def test_the_examples_run() -> None:
    assert doctest.testmod(mechanism).failed == 0
    for name, member in SET_MEASURES.items():
        example = doctest.DocTestParser().get_doctest(
            member.compute.__doc__ or "", {name: member}, name, None, 0
        )
        assert example.examples
        assert doctest.DocTestRunner().run(example).failed == 0
        assert member.summary.endswith(".")
        assert member.bounds[0] <= member.identical <= member.bounds[1]
