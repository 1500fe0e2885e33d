"""Differences of scores on the same inputs: closed forms, simulation, groups, and every door."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

import samemind
from samemind.errors import InvalidInput, UndefinedScore
from samemind.measures import MEASURES, Side
from samemind.statistics.differences import groups_told_apart, letters, paired_differences

CENTRES = 2 * np.random.default_rng(5).standard_normal((10, 12))


def seen_by_three(rng: np.random.Generator, n: int, kind: str, noises=(0.6, 0.6, 0.9)):
    """What three models make of the same n inputs: one and two differ less than one and three."""
    shared = rng.standard_t(3, (n, 12)) if kind == "t3" else rng.standard_normal((n, 12))
    if kind == "clusters":
        shared = shared + CENTRES[rng.integers(0, 10, n)]
    return [shared + noise * rng.standard_normal((n, 12)) for noise in noises]


def compared(name: str, sides, **options):
    member = MEASURES[name]
    if member.reads == "logits":
        sides = [side[:, :5] for side in sides]
        options = {"kind": "logits"} | options
    return samemind.difference((sides[0], sides[1]), (sides[0], sides[2]), name, **options)


@pytest.mark.parametrize("name", ["jensen_shannon_similarity", "total_variation_distance"])
def test_of_means_over_inputs_it_is_the_paired_t_test(name: str) -> None:
    sides = [side[:, :5] for side in seen_by_three(np.random.default_rng(0), 60, "gauss")]
    found = compared(name, sides)
    member = MEASURES[name]
    first, second = (
        member.contributions(sides[0], other, kind="logits").numpy() for other in sides[1:]
    )
    expected = stats.ttest_rel(first, second)
    assert found.difference == pytest.approx((first - second).mean())
    assert found.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (found.lower, found.upper) == pytest.approx((interval.low, interval.high))
    assert found.answer == ("more alike" if found.p_value < 0.05 else "not told apart")


def test_of_shares_the_interval_is_that_of_bonett_and_price() -> None:
    # The first pair agrees on 3 inputs on which the other does not, and on 1 the other way round.
    truth, other = [0] * 20, [0] * 19 + [1]
    third = [1] * 3 + [0] * 16 + [1]
    found = samemind.difference((truth, other), (truth, third), "agreement", kind="decisions")
    assert found.difference == pytest.approx(3 / 20)
    more, fewer = 4 / 22, 1 / 22
    error = np.sqrt((more + fewer - (more - fewer) ** 2) / 22)
    assert (found.lower, found.upper) == pytest.approx(
        (more - fewer - 1.959964 * error, more - fewer + 1.959964 * error), abs=1e-6
    )
    assert found.p_value == pytest.approx(2 * stats.norm.sf((more - fewer) / error))
    same = samemind.difference((truth, other), (truth, other), "agreement", kind="decisions")
    assert (same.difference, same.standard_error, same.p_value) == (0, 0, 1)
    assert same.lower < 0 < same.upper


def test_the_answer_knows_which_way_a_measure_goes() -> None:
    sides = seen_by_three(np.random.default_rng(0), 200, "gauss", (0.3, 0.3, 2.0))
    assert compared("linear_cka", sides).answer == "more alike"
    assert compared("procrustes_distance", sides).answer == "more alike"
    assert compared("linear_cka", [sides[0], sides[2], sides[1]]).answer == "less alike"
    assert compared("linear_cka", [sides[0], sides[1], sides[1]]).answer == "not told apart"


def test_what_cannot_be_compared_is_refused_and_what_has_no_error_says_why() -> None:
    a, b, c = seen_by_three(np.random.default_rng(0), 40, "gauss")
    with pytest.raises(InvalidInput, match="the first has 40 and the second 39"):
        samemind.difference((a, b), (a[:39], c[:39]), "linear_cka")
    with pytest.raises(InvalidInput, match="two arrays or two sides"):
        samemind.difference((a, b, c), (a, b), "linear_cka")
    with pytest.raises(UndefinedScore):
        samemind.difference((a, b), (a, np.ones((40, 3))), "linear_cka")
    found = samemind.difference((a, b), (a, c), "pwcca")
    assert np.isnan(found.standard_error)
    assert np.isnan(found.p_value)
    assert found.reason
    assert found.answer == "not told apart"


NAMES = [
    *("agreement", "jensen_shannon_similarity", "linear_cka", "debiased_linear_cka"),
    *("procrustes_similarity", "knn_jaccard", "mutual_knn"),
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gauss", "t3", "clusters"])
@pytest.mark.parametrize("name", NAMES)
def test_intervals_of_differences_cover_by_simulation(name: str, kind: str) -> None:
    found = []
    for seed in range(150):
        sides = seen_by_three(np.random.default_rng(seed), 200, kind)
        one = compared(name, sides)
        found.append((one.difference, one.standard_error, one.lower, one.upper))
    values, errors, lower, upper = np.array(found).T
    mean = values.mean()
    # 92 to 98 %, give or take two deviations of 150 draws.
    assert 0.885 < ((lower <= mean) & (mean <= upper)).mean() <= 1
    assert 0.8 < np.sqrt((errors**2).mean()) / values.std(ddof=1) < 1.25


def test_unpaired_errors_would_be_far_too_large() -> None:
    a, b, c = seen_by_three(np.random.default_rng(3), 200, "clusters")
    found = samemind.difference((a, b), (a, c), "linear_cka")
    cka = MEASURES["linear_cka"]
    apart = np.hypot(cka.standard_error(a, b), cka.standard_error(a, c))
    assert found.standard_error < 0.9 * apart


def test_many_differences_are_those_of_two_at_a_time_corrected_by_holm() -> None:
    rng = np.random.default_rng(0)
    influences = rng.standard_normal((4, 50))
    influences -= influences.mean(1, keepdims=True)
    scores = np.array([0.5, 0.4, 0.1, 0.1])
    every = paired_differences(scores, influences)
    at = dict(zip(zip(every.first, every.second, strict=True), range(6), strict=True))
    for (i, j), place in at.items():
        two = paired_differences(scores[[i, j]], influences[[i, j]])
        assert every.p_value[place] == pytest.approx(two.p_value[0])
        assert every.lower[place] == pytest.approx(two.lower[0])
    smallest = every.p_value.argmin()
    assert every.p_holm[smallest] == pytest.approx(min(1, 6 * every.p_value[smallest]))


@pytest.mark.parametrize("seed", range(20))
def test_items_share_a_group_where_they_are_not_told_apart_and_only_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 7
    apart = {(i, j) for i in range(n) for j in range(i + 1, n) if rng.random() < 0.4}
    groups = [set(some) for some in groups_told_apart(range(n), sorted(apart))]
    for i in range(n):
        for j in range(i + 1, n):
            assert bool(groups[i] & groups[j]) == ((i, j) not in apart)


def test_letters_go_beyond_z() -> None:
    assert [letters([n]) for n in (0, 25, 26, 51, 52)] == ["a", "z", "a1", "z1", "a2"]


def test_compare_ranks_pairs_and_tells_them_apart(tmp_path) -> None:
    a, b, c = seen_by_three(np.random.default_rng(0), 150, "gauss", (0.2, 0.2, 2.0))
    found = samemind.compare(
        {"a": a, "b": b, "c": c}, measures=["linear_cka", "pwcca"], differences=True
    )
    table = found.differences
    assert set(table["measure"]) == {"linear_cka"}
    assert len(table) == 3
    expected = samemind.difference((a, b), (a, c), "linear_cka")
    row = table.iloc[0]
    assert (row["model_b"], row["other_b"]) == ("b", "c")
    assert row["difference"] == pytest.approx(expected.difference)
    assert row["standard_error"] == pytest.approx(expected.standard_error)
    assert row["p_holm"] >= row["p_value"]
    assert any("No differences by pwcca" in note for note in found.notes)
    text = repr(found)
    lines = text[text.index("Ranking of pairs") :].splitlines()
    places = [
        next(i for i, line in enumerate(lines) if pair in line) for pair in ("a – b", "a – c")
    ]
    assert all(first < second for first, second in pairwise(places))
    assert lines[places[0]].split()[-1] == "a"
    assert "a" not in lines[places[1]].split()[-1]
    assert len(found.as_record()["differences"]) == 3
    page = found.report(tmp_path / "report")
    assert (page.parent / "tables" / "ranking.csv").exists()
    assert "Ranking of pairs" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["linear_cka", "procrustes_similarity", "knn_jaccard"])
def test_rows_of_one_group_count_once(name: str) -> None:
    g = torch.Generator().manual_seed(3)
    shared = torch.randn(40, 6, generator=g, dtype=torch.float64)
    arrays = [shared + torch.randn(40, 6, generator=g, dtype=torch.float64) for _ in range(3)]
    groups = torch.arange(40)
    alone, grouped = (
        [Side(representation=array, groups=given) for array in arrays] for given in (None, groups)
    )
    expected, found = (samemind.difference((a, b), (a, c), name) for a, b, c in (alone, grouped))
    assert found.difference == expected.difference
    if name != "knn_jaccard":  # of groups, what two inputs have together counts twice
        assert found.standard_error == pytest.approx(expected.standard_error)
        # Every row four times is nothing new where neighbours do not matter.
        often = [
            Side(representation=array.repeat(4, 1), groups=groups.repeat(4)) for array in arrays
        ]
        again = samemind.difference((often[0], often[1]), (often[0], often[2]), name)
        assert again.standard_error == pytest.approx(expected.standard_error)
        assert (again.lower, again.upper) == pytest.approx((expected.lower, expected.upper))
    assert found.standard_error >= expected.standard_error * (1 - 1e-9)
