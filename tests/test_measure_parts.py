"""Scores taken apart: what was planted is found, and what is shared beside the classes is zero."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
import torch

import samemind
from measure_examples import generator, labels, related_logits, related_with_classes
from samemind.comparison.driving import driving_inputs
from samemind.comparison.subgroups import subgroup_scores
from samemind.errors import InvalidInput, UndefinedScore
from samemind.measures import MEASURES, Pair, Side, measure
from samemind.measures.shuffling import skewed_floor
from samemind.sides.parts import block_squares, classes_of, within_classes
from samemind.sides.streamed import StreamedSide

torch.set_num_threads(1)

WITHIN = [name for name in MEASURES if name.endswith("_within_classes")]
BETWEEN = [name for name in MEASURES if name.endswith("_between_classes")]
CKA = measure("debiased_linear_cka_within_classes")
MEANS = measure("debiased_linear_cka_between_classes")


def planted(
    r_between: float, r_within: float, *, n: int = 6000, size: float = 1.5, seed: int = 0
) -> tuple[list[torch.Tensor], torch.Tensor, list[torch.Tensor]]:
    """Two models of 12 units, whose class means and residuals each share a part.

    Of independent normal numbers of variance one, `r` of it shared, the population's linear CKA is
    r²: the cross-covariance is r times the identity, and both covariances are the identity.

    **Returns:** the representations, labels of 20 unequal classes, and the true class means.
    """
    g = generator(21, seed)
    correct = torch.multinomial(torch.linspace(1, 3, 20), n, replacement=True, generator=g)

    def pair(rows: int, r: float) -> list[torch.Tensor]:
        shared, *own = (torch.randn(rows, 12, generator=g, dtype=torch.float64) for _ in range(3))
        return [r**0.5 * shared + (1 - r) ** 0.5 * one for one in own]

    means = [size * one for one in pair(20, r_between)]
    residuals = pair(n, r_within)
    turned = torch.linalg.qr(torch.randn(12, 12, generator=g, dtype=torch.float64)).Q
    first = means[0][correct] + residuals[0]
    return [first, 3 * (means[1][correct] + residuals[1]) @ turned + 1], correct, means


def u_centred(gram: np.ndarray) -> np.ndarray:
    """As Székely & Rizzo (2014) print it, entry by entry."""
    n = len(gram)
    zero = gram - np.diag(np.diag(gram))
    rows = zero.sum(0)
    found = zero - (rows[:, None] + rows) / (n - 2) + zero.sum() / ((n - 1) * (n - 2))
    return found - np.diag(np.diag(found))


def by_hand(x: torch.Tensor, correct: torch.Tensor) -> np.ndarray:
    """The Gram matrix of the residuals, U-centred class by class."""
    residuals, codes = x.numpy().copy(), correct.numpy()
    for one in np.unique(codes):
        residuals[codes == one] -= residuals[codes == one].mean(0)
    gram = residuals @ residuals.T
    for one in np.unique(codes):
        here = np.ix_(codes == one, codes == one)
        gram[here] = u_centred(gram[here])
    return gram


def unequal(n: int = 40) -> tuple[list[torch.Tensor], torch.Tensor]:
    first, second = related_with_classes(n, (7, 5))
    return [first, second], torch.tensor([0] * 4 + [9] * 5 + [3] * (n - 9))


# -- what was planted


@pytest.mark.parametrize("r_between", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("r_within", [0.0, 0.6, 0.9])
def test_what_is_shared_within_and_between_classes_is_each_found(r_between, r_within):
    (first, second), correct, means = planted(r_between, r_within)
    assert CKA(first, second, labels=correct) == pytest.approx(r_within**2, abs=0.02)
    # Of the true means, which the inputs only show with noise.
    a, b = (u_centred((m @ m.T).numpy()) for m in means)
    expected = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    assert MEANS(first, second, labels=correct) == pytest.approx(expected, abs=0.02)


def test_the_whole_score_does_not_tell_the_parts_apart():
    # Why the parts are there: by the whole score, models that share nothing but the classes are
    # more alike than models that share most of what lies within them.
    whole = measure("debiased_linear_cka")
    of_classes, correct, _ = planted(1.0, 0.0, size=1.0)
    of_inputs, other, _ = planted(0.0, 0.8, size=1.0)
    assert whole(*of_classes) > whole(*of_inputs) + 0.05
    assert CKA(*of_inputs, labels=other) > 0.6
    assert abs(CKA(*of_classes, labels=correct)) < 0.02


@pytest.mark.parametrize("name", WITHIN)
def test_more_that_is_shared_within_classes_is_a_higher_score(name):
    found = []
    for r in (0.0, 0.4, 0.8, 1.0):
        arrays, correct, _ = planted(0.5, r, n=800)
        found.append(measure(name)(*arrays, labels=correct))
    assert found == sorted(found)
    assert found[-1] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", BETWEEN)
def test_shuffling_inside_classes_leaves_what_lies_between_them(name):
    arrays, correct, _ = planted(0.5, 0.6, n=400)
    pair = measure(name).pair(*arrays, labels=correct)
    order = classes_of(pair).order(generator(3))
    assert not torch.equal(order, torch.arange(400))
    assert torch.equal(correct[order], correct)
    moved = measure(name)(arrays[0], arrays[1][order], labels=correct)
    assert moved == pytest.approx(measure(name).score(pair), abs=1e-12)


# -- by hand


def test_debiased_cka_within_classes_is_that_of_the_matrices():
    arrays, correct = unequal()
    a, b = (by_hand(x, correct) for x in arrays)
    norms = np.sqrt((a * a).sum() * (b * b).sum())
    pair = CKA.pair(*arrays, labels=correct)
    assert CKA.score(pair) == pytest.approx((a * b).sum() / norms, abs=1e-12)
    np.testing.assert_allclose(
        CKA.contributions(pair), 40 * (a * b).sum(1) / norms, atol=1e-11, rtol=0
    )


def test_with_one_class_it_is_debiased_cka():
    arrays, _ = unequal()
    whole = measure("debiased_linear_cka")
    one = torch.zeros(40, dtype=torch.long)
    pair, plain = CKA.pair(*arrays, labels=one), whole.pair(*arrays)
    assert CKA.score(pair) == pytest.approx(whole.score(plain), abs=1e-12)
    torch.testing.assert_close(CKA.influence(pair), whole.influence(plain))
    floors = CKA.floor(pair), whole.floor(plain)
    assert floors[0].p95 == pytest.approx(floors[1].p95, rel=0.1)


@pytest.mark.parametrize("base", ["procrustes_similarity", "mutual_knn"])
def test_the_others_are_those_of_residuals_and_of_means(base):
    arrays, correct = unequal()
    residuals, means = [], []
    for x in arrays:
        of = {one: x[correct == one].mean(0) for one in correct.unique().tolist()}
        residuals.append(x - torch.stack([of[one] for one in correct.tolist()]))
        means.append(torch.stack(list(of.values())))
    found = measure(f"{base}_within_classes")(*arrays, labels=correct)
    assert found == pytest.approx(measure(base)(*residuals), abs=1e-12)
    if base == "mutual_knn":
        found = measure(f"{base}_between_classes@1")(*arrays, labels=correct)
        assert found == measure(f"{base}@1")(*means)
    else:
        found = measure(f"{base}_between_classes")(*arrays, labels=correct)
        assert found == pytest.approx(measure(base)(*means), abs=1e-12)


# -- floors


def test_the_floor_within_classes_is_exact_over_all_orders_inside_them():
    g = generator(22)
    arrays = [torch.randn(9, 3, generator=g, dtype=torch.float64).exp() for _ in range(2)]
    correct = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 1])
    a, b = (by_hand(x, correct) for x in arrays)
    norms = np.sqrt((a * a).sum() * (b * b).sum())
    places = [torch.nonzero(correct == one).flatten() for one in range(2)]
    scores = []
    for number, orders in enumerate(product(*(permutations(p.tolist()) for p in places))):
        order = np.arange(9)
        for at, held in zip(places, orders, strict=True):
            order[at] = held
        scores.append((a * b[np.ix_(order, order)]).sum() / norms)
        if number % 400 == 0:
            assert CKA(arrays[0], arrays[1][order], labels=correct) == pytest.approx(scores[-1])
    assert len(scores) == 24 * 120
    assert np.mean(scores) == pytest.approx(0, abs=1e-12)
    # The mean without U-centring, which says how skewed the scores are.
    residuals = [x.clone() for x in arrays]
    biased_mean = 0.0
    for at in places:
        for x in residuals:
            x[at] -= x[at].mean(0)
        sizes = [float(x[at].square().sum()) for x in residuals]
        biased_mean += sizes[0] * sizes[1] / (len(at) - 1) / norms
    deviation = np.std(scores)
    floor = CKA.floor(CKA.pair(*arrays, labels=correct))
    expected = skewed_floor(0.0, deviation**2, 2 * deviation / biased_mean)
    assert floor.mean == 0
    assert floor.is_closed_form
    assert floor.p95 == pytest.approx(expected.p95, rel=1e-9)


def test_the_95th_percentile_within_classes_is_that_of_shuffles():
    arrays, correct, _ = planted(1.0, 0.3, n=300)
    pair = CKA.pair(*arrays, labels=correct)
    scores = np.array(CKA.shuffled(pair, 400, random_seed=0))
    floor = CKA.floor(pair)
    assert abs(scores.mean()) < 4 * scores.std() / 400**0.5
    # Of 400 shuffles, 20 ± 4.4 lie beyond it.
    assert 7 <= (scores > floor.p95).sum() <= 33


@pytest.mark.parametrize("name", WITHIN)
def test_models_that_share_only_their_classes_are_at_the_floor_within_them(name):
    arrays, correct, _ = planted(1.0, 0.0, n=600, size=3.0)
    member = measure(name)
    pair = member.pair(*arrays, labels=correct)
    floor = member.floor(pair, permutations=40)
    assert member.score(pair) == pytest.approx(floor.mean, abs=0.03)
    assert member.calibrated(pair, permutations=40).score < 0.05
    # Shuffled over all inputs, the classes would count as if they were shared within them.
    assert measure("debiased_linear_cka")(*arrays) > 0.5


@pytest.mark.parametrize("name", BETWEEN)
def test_classes_that_do_not_correspond_are_at_the_floor_between_them(name):
    member = measure(name)
    apart = []
    for seed in range(12):
        arrays, correct, _ = planted(0.0, 1.0, n=400, seed=seed, size=3.0)
        pair = member.pair(*arrays, labels=correct)
        apart.append(member.score(pair) - member.floor(pair).mean)
    error = np.std(apart, ddof=1) / 12**0.5
    assert abs(np.mean(apart)) < 4 * error + 1e-9


# -- chunks, other labels, and what cannot be


@pytest.mark.parametrize("name", [n for n in [*WITHIN, *BETWEEN] if "knn" not in n])
@pytest.mark.parametrize("rows_at_once", [1, 7, 100])
def test_rows_read_in_chunks_have_the_parts_of_the_whole(name, rows_at_once):
    arrays, correct = unequal(50)
    member = measure(name)
    if len(correct.unique()) < 4 and "between" in name:
        correct = labels(50, 6)
    whole = member.pair(*arrays, labels=correct)
    pair = Pair(
        StreamedSide(arrays[0].numpy(), labels=correct, rows_at_once=rows_at_once),
        Side(representation=arrays[1], labels=correct),
    )
    assert member.score(pair) == pytest.approx(member.score(whole), abs=1e-12)
    torch.testing.assert_close(member.influence(pair), member.influence(whole), atol=1e-9, rtol=0)
    if member.closed_form_floor is not None:
        assert member.floor(pair).p95 == pytest.approx(member.floor(whole).p95, abs=1e-9)


def test_other_labels_of_the_same_sides_are_other_parts():
    arrays, correct = unequal()
    sides = [Side(representation=x, labels=correct) for x in arrays]
    first = CKA.score(Pair(*sides))
    relabelled = [Side(representation=x, labels=labels(40, 5)) for x in arrays]
    mixed = Pair(relabelled[0], sides[1])  # the labels of the first count
    expected = CKA(*arrays, labels=labels(40, 5))
    assert CKA.score(mixed) == pytest.approx(expected, abs=1e-12)
    assert CKA.score(Pair(*sides)) == pytest.approx(first, abs=1e-12)
    assert first != pytest.approx(expected, abs=1e-3)


def test_float32_finds_the_residuals_beside_means_far_larger():
    arrays, correct, _ = planted(0.5, 0.6, n=2000, size=300.0)
    exact = CKA(*(x.float().double() for x in arrays), labels=correct)
    assert CKA(*(x.float() for x in arrays), labels=correct) == pytest.approx(exact, abs=1e-6)


def test_where_the_moments_of_all_classes_are_too_many_the_floor_is_shuffled(monkeypatch):
    arrays, correct = unequal()
    monkeypatch.setattr("samemind.sides.parts.MOST_MOMENTS", 10)
    pair = CKA.pair(*arrays, labels=correct)
    assert block_squares(within_classes(pair).a, classes_of(pair)) is None
    floor = CKA.floor(pair, permutations=7)
    assert floor.permutations == 7
    assert not floor.is_closed_form


@pytest.mark.parametrize(
    ("name", "correct", "words"),
    [
        (WITHIN[0], [0] * 37 + [4] * 3, "Class 4 has 3 inputs.*needs 4 or more"),
        ("procrustes_similarity_within_classes", [0] * 39 + [1], "Class 1 has 1 inputs"),
        ("mutual_knn_within_classes", [0] * 39 + [1], "Class 1 has 1 inputs"),
        (BETWEEN[0], [0] * 20 + [1] * 20, "of 2 classes.*needs 4 or more"),
        ("mutual_knn_between_classes", [0, 1, 2, 3] * 10, "of 4 classes.*needs 5 or more"),
        ("procrustes_similarity_between_classes", [0, 1] * 20, "of 2 classes.*needs 3"),
    ],
)
def test_too_few_inputs_or_classes_have_no_parts(name, correct, words):
    arrays, _ = unequal()
    with pytest.raises(UndefinedScore, match=words):
        measure(name)(*arrays, labels=correct)


@pytest.mark.parametrize("name", WITHIN)
def test_a_collapsed_layer_has_nothing_within_classes(name):
    arrays, _ = unequal()
    correct = labels(40, 5)
    collapsed = torch.randn(5, 7, generator=generator(2), dtype=torch.float64)[correct]
    with pytest.raises(UndefinedScore, match="second representation is the same for all inputs of"):
        measure(name)(arrays[0], collapsed + 1000, labels=correct)


@pytest.mark.parametrize("name", [*WITHIN, *BETWEEN])
def test_without_labels_there_are_no_parts(name):
    arrays, _ = unequal()
    with pytest.raises(InvalidInput, match="needs the correct classes"):
        measure(name)(*arrays)
    with pytest.raises(InvalidInput, match=r"their shape is \(40, 2\)"):
        measure(name)(*arrays, labels=torch.zeros(40, 2))


def test_a_study_and_compare_have_the_parts_of_whole_cells_and_of_subgroups():
    arrays = related_with_classes(120, (6, 5))
    correct, names = labels(120, 6), [*WITHIN, *BETWEEN]
    sides = [
        Side(representation=x, logits=logits, labels=correct)
        for x, logits in zip(arrays, related_logits(120, 6), strict=True)
    ]
    groups = pd.DataFrame(subgroup_scores(Pair(*sides), names))
    of_group = {name for name in groups["measure"] if not name.endswith("%")}
    assert of_group == set(names)
    agree = (sides[0].predictions == sides[1].predictions).nonzero().flatten()
    here = groups[groups["group"] == "agree"].set_index("measure")["score"]
    expected = CKA(*(x[agree] for x in arrays), labels=correct[agree])
    assert here[CKA.name] == pytest.approx(expected, abs=1e-12)
    driving = pd.DataFrame(driving_inputs(Pair(*sides), names, count=2))
    assert set(driving["measure"]) == {n for n in names if MEASURES[n].has_standard_error}
    scores = samemind.compare(sides, measures=names).scores.set_index("measure")
    assert (scores["floor"].abs() < scores["score"]).all()
    assert scores["reason"].isna().all()
