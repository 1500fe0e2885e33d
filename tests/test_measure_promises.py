"""Every measure keeps every promise that it declares, and only those.

A new measure is found by its registration: nothing here needs an edit.
"""

from dataclasses import replace
from math import isfinite

import pytest
import torch

from measure_examples import (
    OF_PREDICTIONS,
    OF_REPRESENTATIONS,
    TIED,
    arrays_for,
    changed,
    class_order,
    generator,
    labels,
    pair_for,
    related,
    score,
    tied,
)
from samemind import compare
from samemind.errors import InvalidInput, UndefinedScore
from samemind.measures import MEASURES, Invariance, Measure, Side

torch.set_num_threads(1)

ALL = [pytest.param(member, id=name) for name, member in MEASURES.items()]
ON_REPRESENTATIONS = [
    pytest.param(member, id=name)
    for name, member in MEASURES.items()
    if member.reads == "representation"
]
OF_NEIGHBOURS = [
    pytest.param(member, id=name)
    for name, member in MEASURES.items()
    # Those of parts of the representations shuffle within these parts only.
    if member.family == "neighbours" and not member.needs_labels
]
#: What a measure is set by that looks at a sample of the inputs only.
SAMPLING = ("sample", "landmarks")
# Float64 throughout. A score is a sum over at most 36 inputs and 36 x 36 cosines of numbers of
# order one, through square roots at worst: rounding stays below 1e-8 where nothing is near a
# singular point.
SAME = 1e-8
#: A change that is seen: far above rounding, far below what the examples show.
SEEN = 1e-6


def cases(member: Measure) -> tuple[Invariance, ...]:
    return OF_REPRESENTATIONS if member.reads == "representation" else OF_PREDICTIONS


def differences(member: Measure, invariance: Invariance) -> list[float]:
    """How far the score moves when either side is changed."""
    first, second = arrays_for(member)
    before = score(member, first, second)
    if invariance is Invariance.CLASS_PERMUTATION:
        both = (changed(first, invariance), changed(second, invariance))
        # The class that was `order[c]` is now class c, in the labels as in the logits.
        moved = class_order().argsort()[labels()]
        return [abs(score(member, *both, moved) - before)]
    return [
        abs(score(member, changed(first, invariance), second) - before),
        abs(score(member, first, changed(second, invariance)) - before),
    ]


@pytest.mark.parametrize(
    ("member", "invariance"),
    [
        pytest.param(member, invariance, id=f"{name}-{invariance.name.lower()}")
        for name, member in MEASURES.items()
        for invariance in cases(member)
        if invariance in member.invariances
    ],
)
def test_a_declared_invariance_holds_on_either_side(
    member: Measure, invariance: Invariance
) -> None:
    assert max(differences(member, invariance)) < SAME


@pytest.mark.parametrize(
    ("member", "invariance"),
    [
        pytest.param(member, invariance, id=f"{name}-{invariance.name.lower()}")
        for name, member in MEASURES.items()
        for invariance in cases(member)
        if invariance not in member.invariances
    ],
)
def test_an_invariance_that_is_not_declared_is_seen_to_fail(
    member: Measure, invariance: Invariance
) -> None:
    assert max(differences(member, invariance)) > SEEN


def test_every_invariance_has_a_change_that_tests_it() -> None:
    assert {*OF_REPRESENTATIONS, *OF_PREDICTIONS} == set(Invariance)
    assert not set(OF_REPRESENTATIONS) & set(OF_PREDICTIONS)


@pytest.mark.parametrize("member", ALL)
def test_the_declared_invariances_fit_what_is_read_and_imply_one_another(member: Measure) -> None:
    assert member.invariances <= set(cases(member))
    if Invariance.INVERTIBLE_LINEAR in member.invariances:
        assert {Invariance.ORTHOGONAL, Invariance.ISOTROPIC_SCALING} <= member.invariances
    if Invariance.ORTHOGONAL in member.invariances:
        assert Invariance.UNIT_PERMUTATION in member.invariances


@pytest.mark.parametrize("member", ALL)
def test_the_declaration_is_complete(member: Measure) -> None:
    low, high = member.bounds
    assert low < high
    assert member.identical is None or low <= member.identical <= high
    if member.identical is not None:
        best = high if member.larger_is_more_similar else low
        assert member.identical == best or member.family == "differences"
    assert member.summary.endswith(".")
    assert 20 < len(member.summary) <= 100
    assert member.reference
    assert member.cost
    assert member.family
    record = member.as_record()
    assert record["name"] == member.name
    assert all(bound is None or isfinite(bound) for bound in record["bounds"])


@pytest.mark.parametrize("member", ALL)
def test_a_model_is_identical_to_itself(member: Measure) -> None:
    if member.identical is None:
        pytest.skip("declared to have no value for identical models")
    for seed in range(3):
        first, _ = arrays_for(member, seed)
        assert score(member, first, first) == pytest.approx(member.identical, abs=1e-6)


@pytest.mark.parametrize("member", ALL)
def test_scores_keep_their_bounds_and_differ_from_identity(member: Measure) -> None:
    low, high = member.bounds
    scores = [score(member, *arrays_for(member, seed)) for seed in range(6)]
    assert all(low <= found <= high for found in scores)
    if member.identical is not None:
        assert max(abs(found - member.identical) for found in scores) > 1e-3
    assert max(scores) - min(scores) > SEEN, "the score does not depend on the arrays"


@pytest.mark.parametrize("member", ALL)
def test_symmetry_is_as_declared(member: Measure) -> None:
    moved = []
    for seed in range(3):
        first, second = arrays_for(member, seed)
        moved.append(abs(score(member, first, second) - score(member, second, first)))
    assert max(moved) < SAME if member.is_symmetric else max(moved) > SEEN


@pytest.mark.parametrize("member", ALL)
def test_the_order_of_the_inputs_does_not_matter(member: Measure) -> None:
    first, second = arrays_for(member)
    order = torch.randperm(len(first), generator=generator(4))
    found = score(member, first[order], second[order], labels()[order])
    assert found == pytest.approx(score(member, first, second), abs=SAME)


def score_or_reason(member: Measure, *arrays: torch.Tensor) -> float | str:
    try:
        return score(member, *arrays)
    except UndefinedScore as why:
        return str(why)


@pytest.mark.parametrize("kind", TIED)
@pytest.mark.parametrize("member", ALL)
def test_nor_does_it_where_inputs_are_tied(member: Measure, kind: str) -> None:
    first, second = (tied(kind, seed=seed) for seed in (1, 2))
    if member.reads == "logits":
        # At least as many classes as labels, whose scores are equal as often; below zero, for rows
        # of ones and zeros with a common sum are taken for shares.
        first, second = (
            torch.nn.functional.pad(m, (0, 6 - m.shape[1])) - 2 for m in (first, second)
        )
    order = torch.randperm(len(first), generator=generator(4))
    found = score_or_reason(member, first[order], second[order], labels()[order])
    expected = score_or_reason(member, first, second, labels())
    if isinstance(expected, str):
        assert isinstance(found, str)
    else:
        assert found == pytest.approx(expected, abs=SAME)


@pytest.mark.parametrize(
    "member", [pytest.param(m, id=m.name) for m in MEASURES.values() if m.parameter in SAMPLING]
)
def test_nor_does_it_where_inputs_are_sampled(member: Measure) -> None:
    member = replace(member, settings={**member.settings, str(member.parameter): 20, "repeats": 3})
    first, second = arrays_for(member)
    order = torch.randperm(len(first), generator=generator(4))
    found = score(member, first[order], second[order])
    assert found == pytest.approx(score(member, first, second), abs=SAME)
    # Other inputs are sampled where there are others.
    assert abs(found - score(member, first[:-1], second[:-1])) > SEEN


# Means of a few classes are another matter: on one unit they are two groups, whose overlap with two
# other groups has a few values only, most of them below their mean.
@pytest.mark.parametrize("kind", TIED)
@pytest.mark.parametrize(
    "member", [m for m in OF_NEIGHBOURS if not m.values[0].name.endswith("_between_classes")]
)
def test_with_ties_equal_models_are_identical_and_unrelated_ones_at_their_floor(
    member: Measure, kind: str
) -> None:
    member, above = member.at(4), []
    for seed in range(5):
        first, second = (tied(kind, 40, seed=side + 2 * seed) for side in (0, 1))
        pair = pair_for(member, first, second)
        floor = member.floor(pair, permutations=10)
        assert floor is not None
        above.append(member.score(pair) - floor.mean)
        assert score(member, first, 3 * first + 1) == pytest.approx(member.identical, abs=1e-9)
    found = torch.tensor(above)
    assert abs(float(found.mean())) < 5 * float(found.std()) / len(found) ** 0.5
    assert abs(float(found.mean())) < 0.05


def test_the_share_of_tied_inputs_is_told_where_it_matters() -> None:
    plain, *_ = related(60)
    zeros, units = tied("rows of zeros", 60), tied("one unit", 60)
    names = ["linear_cka", "knn_jaccard", "mutual_knn", "cknna@50"]

    def ties(models: dict[str, torch.Tensor]) -> list[str]:
        return [note for note in compare(models, measures=names).notes if "Ties" in note]

    told = ties({"A": plain, "B": units, "C": zeros})
    assert len(told) == 2
    share = Side(representation=zeros).tied_share(10)
    assert 0.2 < share < 0.6
    assert f"for 100% of B and {share:.0%} of C, the nearest number 10 is" in told[0]
    assert "read knn_jaccard and mutual_knn beside the floor" in told[0]
    assert "read cknna@50 beside" in told[1]
    assert ties({"A": plain, "D": 2 * plain}) == []


@pytest.mark.parametrize("member", ALL)
def test_shuffling_one_side_makes_two_models_less_alike(member: Measure) -> None:
    if member.identical is None:
        pytest.skip("declared to have no value for identical models")
    first, _ = arrays_for(member)
    floor = member.floor(pair_for(member, first, first), permutations=19)
    if floor is None or floor.mean == member.identical:
        pytest.skip("the measure ignores which input is which")
    assert (floor.mean < member.identical) == member.larger_is_more_similar
    assert (floor.p95 >= floor.mean) == member.larger_is_more_similar


@pytest.mark.parametrize("member", ALL)
def test_the_mean_of_the_contributions_is_the_score(member: Measure) -> None:
    pair = pair_for(member, *arrays_for(member))
    contributions = member.contributions(pair)
    if contributions is None:
        pytest.skip("no mean over inputs")
    assert contributions.shape == (pair.n_inputs,)
    assert float(contributions.mean()) == pytest.approx(member.score(pair), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("member", ALL)
def test_influences_cancel_out_and_give_a_standard_error(member: Measure) -> None:
    pair = pair_for(member, *arrays_for(member))
    influence = member.influence(pair)
    if influence is None:
        assert member.standard_error(pair) is None
        pytest.skip("no standard error")
    assert float(influence.mean()) == pytest.approx(0, abs=1e-8 * float(influence.abs().max()))
    error = member.standard_error(pair)
    if error is None:
        assert member.why_no_standard_error(pair)
        pytest.skip("undefined for this pair, with a reason")
    # Some scores are in the units of the representation.
    assert 0 < error < max(1, abs(member.score(pair)))


@pytest.mark.parametrize("member", ALL)
def test_a_standard_error_is_there_or_the_declaration_says_why_it_is_not(member: Measure) -> None:
    assert member.has_standard_error == (member.no_standard_error is None)


@pytest.mark.parametrize("member", ON_REPRESENTATIONS)
def test_a_constant_representation_has_no_score(member: Measure) -> None:
    first, second = related()
    constant = torch.full_like(second, 0.1)
    for a, b in ((first, constant), (constant, first), (constant, constant)):
        with pytest.raises(UndefinedScore):
            score(member, a, b)
    with pytest.raises(UndefinedScore):
        score(member, first.float(), constant.float())


@pytest.mark.parametrize("member", ALL)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_refused(member: Measure, bad: float) -> None:
    first, second = arrays_for(member)
    second[3, 2] = bad
    with pytest.raises(InvalidInput, match=r"not finite.*row 3, column 2"):
        score(member, first, second)


def test_one_value_that_is_not_finite_and_one_input_are_told_as_one():
    with pytest.raises(InvalidInput, match="has 1 value that is not finite"):
        MEASURES["linear_cka"](torch.tensor([[1.0, 2.0], [float("nan"), 0.0]]), torch.eye(2))
    # It is no dead layer that makes a single input constant.
    with pytest.raises(UndefinedScore, match=r"one input has no arrangement\. Give at least 2"):
        MEASURES["linear_cka"](torch.ones(1, 3), torch.ones(1, 3))


@pytest.mark.parametrize("member", ALL)
def test_unequal_numbers_of_inputs_are_refused(member: Measure) -> None:
    first, second = arrays_for(member)
    with pytest.raises(InvalidInput, match="36 rows and the second 35"):
        member(first, second[:-1])


@pytest.mark.parametrize("member", ALL)
def test_an_empty_or_misshapen_array_is_refused(member: Measure) -> None:
    first, second = arrays_for(member)
    with pytest.raises(InvalidInput, match="nothing to compare"):
        member(first[:0], second[:0])
    with pytest.raises(InvalidInput, match=r"\(36, 6, 1\)|\(36, 7, 1\)"):
        member(first[:, :, None], second)


@pytest.mark.parametrize("member", ALL)
def test_numpy_arrays_and_float32_give_the_score_of_float64(member: Measure) -> None:
    first, second = (array.float() for array in arrays_for(member))
    exact = score(member, first.double(), second.double())
    needed = torch.arange(36) % 6 if member.needs_labels else None
    assert member(first.numpy(), second.numpy(), labels=needed) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("member", ON_REPRESENTATIONS)
def test_fewer_inputs_than_units_and_unequal_widths_give_a_score_or_say_why(
    member: Measure,
) -> None:
    for widths in ((80, 50), (50, 6), (6, 9)):
        first, second = related(12, widths)
        try:
            found = member(first, second)
        except (UndefinedScore, InvalidInput):
            continue
        assert member.bounds[0] <= found <= member.bounds[1]


@pytest.mark.parametrize("member", ALL)
def test_the_same_question_has_the_same_answer(member: Measure) -> None:
    assert score(member, *arrays_for(member)) == score(member, *arrays_for(member))
