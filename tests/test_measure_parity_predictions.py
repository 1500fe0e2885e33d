"""Measures of predictions against independent implementations, and their exact identities."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lmsim.metrics import CAPA, EC
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr, softmax
from scipy.stats import entropy
from sklearn.metrics import accuracy_score, cohen_kappa_score, zero_one_loss

from samemind.errors import InvalidInput, UndefinedScore
from samemind.measures import measure
from samemind.measures.of_sets import SET_MEASURES

torch.set_num_threads(1)

N, C = 300, 8
MINUS_INFINITY = float("-inf")


@pytest.fixture(scope="module")
def logits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two models with shared errors, and the correct classes."""
    generator = np.random.default_rng(3)
    labels = generator.integers(C, size=N)
    hints = 1.5 * np.eye(C)[labels]
    shared = generator.normal(size=(N, C))
    first, second = (
        hints + shared + 0.8 * generator.normal(size=(N, C)) + generator.normal(size=(N, 1))
        for _ in range(2)
    )
    return first, second, labels


def score(name: str, logits: tuple[np.ndarray, np.ndarray, np.ndarray]) -> float:
    first, second, labels = logits
    return measure(name)(first, second, labels=labels)


def test_hard_predictions_agree_with_scikit_learn(logits: tuple) -> None:
    first, second, labels = logits
    a, b = first.argmax(1), second.argmax(1)
    assert score("disagreement", logits) == pytest.approx(zero_one_loss(a, b), rel=1e-12)
    assert score("cohens_kappa", logits) == pytest.approx(cohen_kappa_score(a, b), rel=1e-12)
    difference = abs(accuracy_score(labels, a) - accuracy_score(labels, b))
    assert score("accuracy_difference", logits) == pytest.approx(difference, rel=1e-12)


def test_chance_adjusted_agreement_agrees_with_lm_sim(logits: tuple) -> None:
    first, second, labels = logits
    p, q, answers = list(softmax(first, axis=1)), list(softmax(second, axis=1)), labels.tolist()
    capa = CAPA().compute_k(p, q, answers)
    assert score("chance_adjusted_probabilistic_agreement", logits) == pytest.approx(capa, rel=1e-9)
    hard_p, hard_q = list(np.eye(C)[first.argmax(1)]), list(np.eye(C)[second.argmax(1)])
    discrete = CAPA(prob=False).compute_k(hard_p, hard_q, answers)
    assert score("chance_adjusted_agreement", logits) == pytest.approx(discrete, rel=1e-9)
    consistency = EC().compute_k(p, q, answers)
    assert score("error_consistency", logits) == pytest.approx(consistency, rel=1e-9)


def test_error_consistency_is_cohens_kappa_of_being_right(logits: tuple) -> None:
    first, second, labels = logits
    right = first.argmax(1) == labels, second.argmax(1) == labels
    expected = cohen_kappa_score(*right)
    assert score("error_consistency", logits) == pytest.approx(expected, rel=1e-12)


def test_soft_predictions_agree_with_scipy(logits: tuple) -> None:
    p, q = softmax(logits[0], axis=1), softmax(logits[1], axis=1)
    expected = {
        "kullback_leibler_divergence": entropy(p, q, axis=1).mean(),
        "jeffreys_divergence": (rel_entr(p, q) + rel_entr(q, p)).sum(1).mean() / 2,
        "jensen_shannon_divergence": (jensenshannon(p, q, axis=1) ** 2).mean(),
        "total_variation_distance": np.abs(p - q).sum(1).mean() / 2,
        "hellinger_distance": np.sqrt(1 - np.sqrt(p * q).sum(1)).mean(),
    }
    for name, value in expected.items():
        assert score(name, logits) == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_surrogate_churn_agrees_with_its_formula(logits: tuple, alpha: float) -> None:
    p, q = softmax(logits[0], axis=1), softmax(logits[1], axis=1)
    scaled = [(x / x.max(1, keepdims=True)) ** alpha for x in (p, q)]
    expected = 0.5 * np.linalg.norm(scaled[0] - scaled[1], ord=1, axis=1).mean()
    assert score(f"surrogate_churn@{alpha}", logits) == pytest.approx(expected, rel=1e-10)


def test_surrogate_churn_becomes_disagreement_as_alpha_grows(logits: tuple) -> None:
    churn = score("surrogate_churn@100000", logits)
    assert churn == pytest.approx(score("disagreement", logits), abs=1e-3)


def test_top_k_agreement_agrees_with_counting_by_hand(logits: tuple) -> None:
    first, second, _ = logits
    shares = [
        len(set(np.argsort(a)[-3:]) & set(np.argsort(b)[-3:])) / 3
        for a, b in zip(first, second, strict=True)
    ]
    assert score("top_k_agreement@3", logits) == pytest.approx(np.mean(shares), rel=1e-12)
    assert score("top_k_agreement@1", logits) == score("agreement", logits)
    assert score(f"top_k_agreement@{C}", logits) == 1.0
    with pytest.raises(UndefinedScore, match="there are 8"):
        score("top_k_agreement@9", logits)


def test_flips_add_up_to_accuracies_and_disagreement(logits: tuple) -> None:
    first, second, labels = logits
    lost, won = score("negative_flips", logits), score("positive_flips", logits)
    right = [(x.argmax(1) == labels).mean() for x in (first, second)]
    assert lost - won == pytest.approx(right[0] - right[1], abs=1e-12)
    assert score("negative_flips", (second, first, labels)) == won
    both_wrong = (first.argmax(1) != labels) & (second.argmax(1) != labels)
    same = score("error_agreement", logits)
    different = lost + won + both_wrong.mean() * (1 - same)
    assert score("disagreement", logits) == pytest.approx(different, abs=1e-12)


def test_normalised_disagreement_is_its_place_between_the_bounds(logits: tuple) -> None:
    first, second, labels = logits
    wrong = [(x.argmax(1) != labels).mean() for x in (first, second)]
    low, high = abs(wrong[0] - wrong[1]), min(sum(wrong), 1)
    place = low + score("normalised_disagreement", logits) * (high - low)
    assert place == pytest.approx(score("disagreement", logits), abs=1e-12)


def test_what_chance_leaves_nothing_beyond_is_undefined() -> None:
    always_first = [[1.0, 0.0], [1.0, 0.0]]
    for name in ("cohens_kappa", "error_consistency", "chance_adjusted_agreement"):
        with pytest.raises(UndefinedScore, match="by chance alone"):
            measure(name)(always_first, always_first, labels=[0, 0])
    with pytest.raises(UndefinedScore, match="always right"):
        measure("normalised_disagreement")(always_first, [[1.0, 0.0], [0.0, 1.0]], labels=[0, 0])
    with pytest.raises(UndefinedScore, match="No input is wrong for both"):
        measure("error_agreement")(always_first, always_first, labels=[0, 0])


def test_labels_that_are_no_classes_are_refused() -> None:
    logits = [[1.0, 0.0], [1.0, 0.0]]
    with pytest.raises(InvalidInput, match="range from 0 to 2"):
        measure("negative_flips")(logits, logits, labels=[0, 2])
    with pytest.raises(InvalidInput, match="one class per input"):
        measure("negative_flips")(logits, logits, labels=[[1, 0], [1, 0]])
    with pytest.raises(InvalidInput, match="Give `labels`"):
        measure("negative_flips")(logits, logits)


def test_impossible_classes_leave_a_number_or_a_reason() -> None:
    certain, unsure = [[0.0, MINUS_INFINITY]], [[0.0, 0.0]]
    assert measure("total_variation_distance")(certain, unsure) == pytest.approx(0.5)
    assert measure("surrogate_churn")(certain, unsure) == pytest.approx(0.5)
    assert measure("kullback_leibler_divergence")(certain, unsure) == pytest.approx(np.log(2))
    assert measure("kullback_leibler_divergence")(certain, certain) == 0.0
    with pytest.raises(UndefinedScore, match="probability zero"):
        measure("kullback_leibler_divergence")(unsure, certain)


votes = st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=2, max_size=5).map(
    np.array
)


@given(votes)
@settings(max_examples=200, deadline=None)
def test_measures_of_a_set_agree_with_counting_by_hand(classes: np.ndarray) -> None:
    models = [np.eye(4)[votes] for votes in classes]
    n_models, n_inputs = classes.shape
    pairwise = [np.mean(classes[m] != classes[n]) for m in range(n_models) for n in range(m)]
    assert SET_MEASURES["discrepancy"](models) == pytest.approx(max(pairwise))
    n_mixed = sum(len(set(column)) > 1 for column in classes.T)
    ambiguity = SET_MEASURES["ambiguity"](models)
    assert ambiguity == pytest.approx(n_mixed / n_inputs)
    assert max(pairwise) <= ambiguity + 1e-12 <= sum(pairwise) + 2e-12
    shares = np.bincount(classes.ravel(), minlength=4) / classes.size
    chance = float((shares**2).sum())
    if chance < 1:
        expected = (1 - np.mean(pairwise) - chance) / (1 - chance)
        assert SET_MEASURES["fleiss_kappa"](models) == pytest.approx(expected, abs=1e-12)
    else:
        with pytest.raises(UndefinedScore, match="same one class"):
            SET_MEASURES["fleiss_kappa"](models)


def test_a_set_of_one_model_or_of_different_classes_is_refused() -> None:
    with pytest.raises(InvalidInput, match="two models or more"):
        SET_MEASURES["ambiguity"]([np.eye(3)])
    with pytest.raises(InvalidInput, match="same classes"):
        SET_MEASURES["ambiguity"]([np.eye(3), np.eye(3)[:, :2]])
