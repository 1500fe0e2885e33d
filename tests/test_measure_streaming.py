"""Representations that are read in chunks have the scores of those that are not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from measure_examples import labels, pair_for, related, score
from samemind.errors import InvalidInput
from samemind.measures import MEASURES, Measure, Pair, Side
from samemind.measures.choosing import streamed_measures
from samemind.sides.streamed import StreamedSide

OF_MOMENTS = frozenset(streamed_measures())

torch.set_num_threads(1)

#: The floors that need only spectra or moments.
WITHOUT_SHUFFLING = [name for name in OF_MOMENTS if MEASURES[name].closed_form_floor is not None]
WITH_STANDARD_ERROR = sorted(name for name in OF_MOMENTS if MEASURES[name].has_standard_error)
ON_REPRESENTATIONS = [name for name, m in MEASURES.items() if m.reads == "representation"]


class Counted:
    """A source that counts the rows it was asked for, and never gives more than a chunk."""

    def __init__(self, array: np.ndarray, at_most: int) -> None:
        self.array, self.at_most, self.rows_read = array, at_most, 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        piece = self.array[rows]
        assert len(piece) <= self.at_most
        self.rows_read += len(piece)
        return piece


def size_of_influences(member: Measure, pair: Pair) -> float:
    """What the standard error is made of, where it is refused too."""
    found = member.influence(pair)
    assert found is not None
    return float(found.norm())


def streamed(array: torch.Tensor, rows_at_once: int, **options: Any) -> StreamedSide:
    source = Counted(array.numpy(), rows_at_once)
    return StreamedSide(source, rows_at_once=rows_at_once, **options)


def in_two_rhythms(first: torch.Tensor, second: torch.Tensor) -> list[Pair]:
    """Both sides in chunks of their own size, the last ones shorter; and one of them in memory."""
    of = labels(len(first))
    in_memory = [Side(representation=array, labels=of) for array in (first, second)]
    return [
        Pair(streamed(first, 700, labels=of), streamed(second, 1100, labels=of)),
        Pair(streamed(first, 1100, labels=of), streamed(second, 700, labels=of)),
        Pair(streamed(first, 1100, labels=of), in_memory[1]),
        Pair(in_memory[0], streamed(second, 700, labels=of)),
    ]


@pytest.mark.parametrize("name", sorted(OF_MOMENTS))
@pytest.mark.parametrize("rows_at_once", [1, 7, 100])
def test_chunks_of_any_size_give_the_score_of_the_whole(name: str, rows_at_once: int) -> None:
    first, second = related(50, (6, 9))
    whole, of = score(MEASURES[name], first, second), labels(50)
    streamed = [
        StreamedSide(m.numpy(), labels=of, rows_at_once=rows_at_once) for m in (first, second)
    ]
    in_memory = [Side(representation=m, labels=of) for m in (first, second)]
    for a in (streamed[0], in_memory[0]):
        for b in (streamed[1], in_memory[1]):
            assert MEASURES[name].score(Pair(a, b)) == pytest.approx(whole, abs=1e-12)


@pytest.mark.slow
def test_200_000_inputs_from_disk_give_the_score_of_memory(tmp_path: Path) -> None:
    n, offset = 200_000, 30.0
    g = torch.Generator().manual_seed(0)
    shared = torch.randn(n, 32, generator=g)
    maps, arrays = [], []
    for index, width in enumerate((96, 64)):
        array = torch.relu(shared @ torch.randn(32, width, generator=g)) + offset
        np.save(tmp_path / f"{index}.npy", array.numpy())
        maps.append(np.load(tmp_path / f"{index}.npy", mmap_mode="r"))
        arrays.append(array)
    streamed = Pair(*(StreamedSide(m, labels=labels(n)) for m in maps))
    exact = Pair(*(Side(representation=a.double(), labels=labels(n)) for a in arrays))
    for name in sorted(OF_MOMENTS):
        member = MEASURES[name]
        if "permutation" in name:
            continue  # its assignment is the same; the others show its moments
        expected = member.score(exact)
        tolerance = 0 if member.bounds[1] < 10 else 1e-6
        assert member.score(streamed) == pytest.approx(expected, rel=tolerance, abs=1e-6), name


@pytest.mark.parametrize("name", WITH_STANDARD_ERROR)
def test_what_inputs_contribute_is_the_same_in_chunks(name: str) -> None:
    member = MEASURES[name]
    first, second = related(3001, (9, 6))
    whole = pair_for(member, first, second)
    influence, contributions = member.influence(whole), member.contributions(whole)
    some = torch.tensor([2900, 3, 1500, 3, 0])
    assert influence is not None
    assert contributions is not None
    for pair in in_two_rhythms(first, second):
        # More inputs than a standard error is taken from: it is that of the same sample.
        expected = size_of_influences(member, whole)
        assert size_of_influences(member, pair) == pytest.approx(expected, rel=1e-6)
        assert member.why_no_standard_error(pair) == member.why_no_standard_error(whole)
        scale = float(influence.abs().max())
        for found, expected in (
            (member.influence(pair), influence),
            (member.influence(pair, some), influence[some]),
            (member.contributions(pair), contributions),
        ):
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.parametrize(
    ("name", "of_the_pair", "of_a_model"),
    [
        ("procrustes_similarity", 1, 0),
        ("mean_cca", 1, 0),
        ("gulp_distance", 1, 0),
        ("linear_cka", 1, 1),
        ("debiased_linear_cka", 3, 3),
        ("diagonal_removed_linear_cka", 5, 1),
    ],
)
def test_contributions_cost_so_many_more_readings(
    name: str, of_the_pair: int, of_a_model: int
) -> None:
    first, second = related(3001, (9, 6))
    sources = [Counted(array.numpy(), 700) for array in (first, second)]
    sides = [StreamedSide(source, rows_at_once=700) for source in sources]
    for readings in (of_the_pair + of_a_model, of_the_pair):  # of another pair, the second time
        pair = Pair(*sides)
        MEASURES[name].score(pair)
        before = [source.rows_read for source in sources]
        MEASURES[name].influence(pair)
        assert [s.rows_read - b for s, b in zip(sources, before, strict=True)] == [
            readings * 3001
        ] * 2


@pytest.mark.parametrize("name", WITH_STANDARD_ERROR)
def test_standard_errors_of_large_float32_sources_are_exact_where_it_matters(name: str) -> None:
    first, second = (m.float() for m in related(3001, (70, 66)))
    member = MEASURES[name]
    of = labels(3001)
    pair = Pair(*(streamed(m, 700, precision=torch.float32, labels=of) for m in (first, second)))
    expected = size_of_influences(member, pair_for(member, first.double(), second.double()))
    assert size_of_influences(member, pair) == pytest.approx(expected, rel=3e-6)


@pytest.mark.parametrize("name", sorted(WITHOUT_SHUFFLING))
def test_a_floor_from_moments_needs_no_look_at_the_rows(name: str) -> None:
    member = MEASURES[name]
    first, second = related(400, (70, 66))
    expected = member.floor(pair_for(member, first, second))
    assert expected is not None
    # A few class means are shuffled, not the rows.
    assert expected.is_closed_form or expected.is_limit or name.endswith("between_classes")
    for pair in in_two_rhythms(first, second):
        found = member.floor(pair)
        assert found is not None
        assert found.mean == pytest.approx(expected.mean, rel=1e-9)
        assert found.p95 == pytest.approx(expected.p95, rel=1e-9)


def test_a_wide_side_in_memory_fits_beside_one_in_chunks() -> None:
    # With fewer inputs than units the one in memory is turned into as many columns as inputs.
    first, second = related(40, (60, 50))
    for name in ("gulp_distance", "procrustes_similarity", "diagonal_removed_linear_cka"):
        member = MEASURES[name]
        whole = member.pair(first, second)
        for pair in in_two_rhythms(first, second):
            assert member.score(pair) == pytest.approx(member.score(whole), rel=1e-9)
            assert member.standard_error(pair) == pytest.approx(
                member.standard_error(whole), rel=1e-6
            )


@pytest.mark.parametrize("name", sorted(set(ON_REPRESENTATIONS) - OF_MOMENTS))
def test_every_measure_that_needs_all_rows_refuses_and_says_what_to_do(name: str) -> None:
    first, second = related(50)
    streamed = Pair(*(StreamedSide(m.numpy(), labels=labels(50)) for m in (first, second)))
    with pytest.raises(InvalidInput, match=r"needs all 50 rows at once.*Load them.*linear_cka"):
        MEASURES[name].score(streamed)


def test_large_float32_sources_are_whitened_in_float64() -> None:
    first, second = (m.float() for m in related(50, (6, 9)))
    streamed = Pair(
        *(StreamedSide(m.numpy(), precision=torch.float32, rows_at_once=8) for m in (first, second))
    )
    for name in ("mean_cca", "gulp_distance", "linear_regression_r2", "pwcca", "svcca"):
        # What a regression leaves is divided by a trace, which is that of the float32 products.
        digits = 1e-7 if name == "linear_regression_r2" else 1e-12
        expected = MEASURES[name](first.double(), second.double())
        assert MEASURES[name].score(streamed) == pytest.approx(expected, abs=digits), name


def test_a_streamed_side_is_verified_by_reading_its_source_in_float64() -> None:
    first, _ = related(50)
    side = StreamedSide(first.float().numpy(), precision=torch.float32, rows_at_once=8)
    exact = side.in_float64()
    assert exact.precision == torch.float64
    assert exact.n_units == side.n_units
    with pytest.raises(InvalidInput, match="5 of 50 rows"):
        side.restricted(torch.arange(5))


def test_a_measure_that_needs_all_rows_says_so() -> None:
    first, second = related(50)
    streamed = Pair(StreamedSide(first.numpy()), StreamedSide(second.numpy()))
    with pytest.raises(InvalidInput, match="needs all 50 rows at once"):
        MEASURES["knn_jaccard"].score(streamed)
    for name in ("procrustes_similarity", "mean_cca"):  # the one has too few units for a limit
        with pytest.raises(InvalidInput, match="Shuffling 50 rows"):
            MEASURES[name].floor(streamed)
    with pytest.raises(InvalidInput, match="of 50 rows were asked for"):
        MEASURES["linear_cka"].grouped_standard_error(streamed)


def test_a_chunk_that_is_not_finite_is_refused() -> None:
    first, _ = related(50)
    first[40, 1] = float("nan")
    with pytest.raises(InvalidInput, match="not finite"):
        _ = StreamedSide(first.numpy(), rows_at_once=8).norm


def test_a_streamed_representation_is_a_matrix() -> None:
    with pytest.raises(InvalidInput, match=r"\(3, 4, 5\)"):
        StreamedSide(np.zeros((3, 4, 5)))
