"""Representations that are read in chunks have the scores of those that are not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from measure_examples import related
from samemind.errors import InvalidInput
from samemind.measures import MEASURES, Pair, Side
from samemind.measures.streaming import OF_MOMENTS, StreamedSide

torch.set_num_threads(1)

ON_REPRESENTATIONS = [name for name, m in MEASURES.items() if m.reads == "representation"]


@pytest.mark.parametrize("name", sorted(OF_MOMENTS))
@pytest.mark.parametrize("rows_at_once", [1, 7, 100])
def test_chunks_of_any_size_give_the_score_of_the_whole(name: str, rows_at_once: int) -> None:
    first, second = related(50, (6, 9))
    whole = MEASURES[name](first, second)
    streamed = [StreamedSide(m.numpy(), rows_at_once=rows_at_once) for m in (first, second)]
    in_memory = [Side(representation=m) for m in (first, second)]
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
    streamed = Pair(*(StreamedSide(m) for m in maps))
    exact = Pair(*(Side(representation=a.double()) for a in arrays))
    for name in sorted(OF_MOMENTS):
        member = MEASURES[name]
        if "permutation" in name:
            continue  # its assignment is the same; the others show its moments
        expected = member.score(exact)
        tolerance = 0 if member.bounds[1] < 10 else 1e-6
        assert member.score(streamed) == pytest.approx(expected, rel=tolerance, abs=1e-6), name


def test_a_closed_form_floor_needs_no_second_look_at_the_rows() -> None:
    first, second = related(50)
    streamed = Pair(StreamedSide(first.numpy()), StreamedSide(second.numpy()))
    member = MEASURES["linear_cka"]
    found, expected = member.floor(streamed), member.floor(member.pair(first, second))
    assert found is not None
    assert expected is not None
    assert found.mean == pytest.approx(expected.mean, rel=1e-9)
    assert found.p95 == pytest.approx(expected.p95, rel=1e-9)


@pytest.mark.parametrize("name", sorted(set(ON_REPRESENTATIONS) - OF_MOMENTS))
def test_every_measure_that_needs_all_rows_refuses_and_says_what_to_do(name: str) -> None:
    first, second = related(50)
    streamed = Pair(StreamedSide(first.numpy()), StreamedSide(second.numpy()))
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
    with pytest.raises(InvalidInput, match="Shuffling 50 rows"):
        MEASURES["procrustes_similarity"].floor(streamed)


def test_a_chunk_that_is_not_finite_is_refused() -> None:
    first, _ = related(50)
    first[40, 1] = float("nan")
    with pytest.raises(InvalidInput, match="not finite"):
        _ = StreamedSide(first.numpy(), rows_at_once=8).norm


def test_a_streamed_representation_is_a_matrix() -> None:
    with pytest.raises(InvalidInput, match=r"\(3, 4, 5\)"):
        StreamedSide(np.zeros((3, 4, 5)))
