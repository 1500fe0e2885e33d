"""Errors of neighbour measures: neighbours change with the sample, and the errors know it."""

import numpy as np
import pytest
import torch

from measure_examples import generator, tied
from samemind.measures import Measure, Pair, Side, measure
from samemind.sides.entering import Entered, influence_of_overlaps, lists_of
from samemind.sides.shared_ranks import common_ranks_without, harmonic_numbers

torch.set_num_threads(1)

NAMES = ("knn_jaccard", "mutual_knn", "cknna", "second_order_cosine")
OF_RANKS = ("rank_similarity", "joint_rank_jaccard")


def draw(kind: str, n: int, n_units: int, seed: int) -> Pair:
    """Two models of the same inputs from one population of this kind."""
    fixed, g = np.random.default_rng(5), np.random.default_rng([seed, n])
    mixes = [fixed.normal(size=(5, n_units)) for _ in range(2)]
    heavy = kind == "t3"
    normal = (lambda *size: g.standard_t(3, size)) if heavy else (lambda *size: g.normal(size=size))
    latent = normal(n, 5)
    if kind == "clusters":
        latent = 3 * fixed.normal(size=(8, 5))[g.integers(8, size=n)] + 0.3 * latent
    sides = [Side(representation=latent @ mix + 1.4 * normal(n, n_units)) for mix in mixes]
    return Pair(*sides)


def check(
    members: list[Measure],
    kind: str,
    n: int,
    draws: int,
    *,
    n_units: int = 10,
    most: float = 1.25,
) -> None:
    """Holds errors and intervals to what is promised; `most` is how much too large they may be."""
    pairs = [draw(kind, n, n_units, seed) for seed in range(draws)]
    for member in members:
        scores = np.array([member.score(pair) for pair in pairs])
        errors = np.array([member.standard_error(pair) for pair in pairs], float)
        ends = np.array(
            [member.interval(pair, error=error) for pair, error in zip(pairs, errors, strict=True)]
        )
        mean = scores.mean()
        ratio = errors.mean() / scores.std(ddof=1)
        covered = np.mean((ends[:, 0] <= mean) & (mean <= ends[:, 1]))
        # A deviation of so many draws is off by 1 / sqrt(2 draws), a share near 0.95 by 0.22 over
        # their root: twice that is allowed beside what is promised.
        slack = 2 / np.sqrt(2 * draws)
        assert 0.8 - slack < ratio < most + slack, (member.name, kind, n, ratio)
        reach = 2 * 0.22 / np.sqrt(draws)
        widest = 0.98 if most == 1.25 else 1.0
        assert 0.92 - reach < covered < widest + reach, (member.name, kind, n, covered)


@pytest.mark.parametrize("kind", ["normal", "t3", "clusters"])
def test_the_error_of_a_neighbour_measure_is_its_deviation_over_samples(kind: str) -> None:
    check([measure("knn_jaccard"), measure("second_order_cosine")], kind, 50, draws=40)


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 200, 1000])
@pytest.mark.parametrize("kind", ["normal", "t3", "clusters"])
def test_every_error_of_a_neighbour_measure_is_its_deviation(kind: str, n: int) -> None:
    check([measure(name) for name in NAMES + OF_RANKS], kind, n, draws=200 if n < 1000 else 100)


@pytest.mark.slow
def test_errors_hold_at_other_numbers_of_neighbours() -> None:
    for k in (3, 30):
        check([measure(f"{name}@{k}") for name in NAMES], "normal", 200, draws=150)


@pytest.mark.slow
def test_with_more_units_than_inputs_errors_are_not_too_small() -> None:
    # They are too large there: that of knn_jaccard 1.65 times in these draws.
    check([measure(name) for name in NAMES], "normal", 100, draws=150, n_units=300, most=1.8)


def test_an_influence_is_that_of_leaving_an_input_out_but_for_who_comes_next() -> None:
    # Before it is scaled: one input less of N is a weight of 1/N less on it. Which neighbour comes
    # next is chance, and here its mean over the two next ones is taken.
    member, n, k = measure("second_order_cosine"), 60, 10
    pair = draw("normal", n, 10, 0)
    influence = member.influence(pair)
    assert influence is not None
    every, score = torch.arange(n), member.score(pair)
    lost = [score - member.score(pair.restricted(every[every != i])) for i in range(n)]
    assert np.corrcoef(lost, influence.numpy())[0, 1] > 0.9
    first, second = lists_of(pair, k)
    assert bool((first.next_ones >= 0).all())
    assert not bool((first.next_ones[:, :, None] == first.lists[:, None]).any())
    assert not bool((second.next_ones == torch.arange(n)[:, None]).any())


@pytest.mark.parametrize("name", ["rank_similarity@4", "joint_rank_jaccard@4"])
def test_ranks_without_an_input_are_those_of_the_pair_without_it(name: str) -> None:
    g = np.random.default_rng(4)
    first = g.normal(size=(40, 6))
    arrays = [torch.from_numpy(m) for m in (first, first + 0.6 * g.normal(size=(40, 6)))]
    member = measure(name)
    pair = member.pair(*arrays)
    every = torch.arange(40)
    lists, without = _scores_without(pair, 4, is_joint=name.startswith("joint"))
    for j in range(0, 20, 4):
        expected = _row_scores(pair, every[every != j], 4, is_joint=name.startswith("joint"))
        for i in range(40):
            if i != j and j in lists[i]:
                place = lists[i].tolist().index(j)
                assert float(without[i, place]) == pytest.approx(expected[i]), (i, j)


def _scores_without(pair: Pair, k: int, *, is_joint: bool) -> tuple[torch.Tensor, torch.Tensor]:
    found = common_ranks_without(pair, k, slice(None))
    most = harmonic_numbers(k, found.brought.device)[found.number.long()]
    scores = torch.where(found.number > 0, found.brought / most, 0.0)
    return found.lists, scores * found.number / (2 * k - found.number) if is_joint else scores


def _row_scores(pair: Pair, kept: torch.Tensor, k: int, *, is_joint: bool) -> list[float]:
    """The formula by hand, among these inputs only, with the cosines of all."""
    scores = [float("nan")] * pair.n_inputs
    cosines = []
    for side in (pair.a, pair.b):
        rows = side.representation - side.representation.mean(0)
        rows = rows / rows.norm(dim=1, keepdim=True)
        cosines.append(rows @ rows.T)
    for i in kept.tolist():
        others = [int(j) for j in kept if int(j) != i]
        first, second = (sorted(others, key=lambda j: -c[i, j].item())[:k] for c in cosines)
        common = set(first) & set(second)
        total = 0.0
        for j in common:
            r, s = first.index(j) + 1, second.index(j) + 1
            total += 2 / (1 + abs(r - s)) / (r + s)
        m = len(common)
        scores[i] = total / sum(1 / n for n in range(1, m + 1)) if m else 0.0
        scores[i] *= m / (2 * k - m) if is_joint else 1
    return scores


def test_what_enters_row_by_row_is_what_enters_list_by_list() -> None:
    n, g = 12, generator(3)
    lists = torch.stack([torch.randperm(n, generator=g)[:4] for _ in range(n)])
    lists[2, :2] = -1
    values, own = torch.randn(n, 4, generator=g).double(), torch.randn(n, generator=g).double()
    dense = torch.zeros(n, n + 1, dtype=torch.float64)
    dense.scatter_(1, torch.where(lists < 0, n, lists), values)
    pair = draw("normal", n, 3, 1)
    one, other = Entered(pair), Entered(pair)
    one.add(lists, values)
    other.add_rows(torch.arange(n), dense[:, :n])
    torch.testing.assert_close(one.with_own(own), other.with_own(own))


@pytest.mark.parametrize("name", NAMES)
def test_with_ties_influences_cancel_out_and_hardly_depend_on_the_order(name: str) -> None:
    member = measure(name)
    arrays = [draw("normal", 50, 10, 1).a.representation, tied("sign codes", 50)]
    errors = []
    for seed in range(3):
        order = torch.randperm(50, generator=generator(seed))
        pair = member.pair(*(array[order] for array in arrays))
        assert pair.b.tied_share(10) > 0.5
        influence = member.influence(pair)
        assert influence is not None
        assert abs(float(influence.mean())) < 1e-12
        errors.append(member.standard_error(pair))
    # Of those that would come next, two of more that are tied are looked at.
    assert max(errors) < 1.2 * min(errors)


@pytest.mark.slow
def test_errors_hold_where_inputs_are_tied() -> None:
    scores, errors = [], []
    members = [measure(name) for name in NAMES]
    for seed in range(120):
        pair = draw("normal", 100, 5, seed)
        signs = Pair(*(Side(representation=s.representation.sign()) for s in (pair.a, pair.b)))
        assert signs.a.tied_share(10) > 0.3
        scores.append([member.score(signs) for member in members])
        errors.append([member.standard_error(signs) for member in members])
    ratios = np.array(errors, float).mean(0) / np.std(scores, axis=0, ddof=1)
    assert (ratios > 0.75).all()
    assert (ratios < 1.35).all()


def test_all_neighbours_in_common_and_no_others_have_no_error() -> None:
    pair = draw("normal", 12, 10, 2)
    member = measure("knn_jaccard@11")
    assert member.score(pair) == 1
    found = influence_of_overlaps(pair, 11, torch.ones(12).double(), torch.ones(12).double())
    assert float(found.abs().max()) == pytest.approx(0, abs=1e-12)
