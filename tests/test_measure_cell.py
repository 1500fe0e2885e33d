"""A cell: all pairs of many models from shared parts, and the check in float64."""

from collections.abc import Sequence
from itertools import combinations
from math import isnan
from typing import Any

import pytest
import torch

from measure_examples import generator, related_logits
from samemind.comparison.pairs import score_pairs
from samemind.comparison.verification import verify
from samemind.errors import InvalidInput
from samemind.measures import MEASURES, Pair, Side

torch.set_num_threads(1)

MEASURES_OF_A_CELL = (
    "agreement",
    "jensen_shannon_similarity",
    "jeffreys_divergence",
    "linear_cka",
    "debiased_linear_cka",
    "procrustes_similarity",
    "knn_jaccard@3",
    "knn_jaccard@10",
    "knn_jaccard@50",
)


def cell(n: int, widths: tuple[int, ...], device: str = "cpu") -> dict[str, Side]:
    g = generator(7)
    shared = torch.randn(n, 6, generator=g)
    sides = {}
    for index, width in enumerate(widths):
        noise = 0.5 * torch.randn(n, width, generator=g)
        representation = torch.relu(shared @ torch.randn(6, width, generator=g) + noise)
        logits = related_logits(n, 20, seed=index)[0].float()
        sides[f"model {index}"] = Side(
            representation=representation.to(device), logits=logits.to(device)
        )
    return sides


def scores_of(sides: dict[str, Side], measures: Sequence[str]) -> list[dict[str, Any]]:
    return list(score_pairs(sides, pairs_of(sides), measures, errors=False))


def pairs_of(sides: dict[str, Side]) -> list[tuple[str, str]]:
    return list(combinations(sides, 2))


def test_a_cell_has_the_scores_of_its_pairs_one_by_one() -> None:
    sides = cell(120, (5, 30, 150))  # the last is wider than there are inputs
    scores = scores_of(sides, MEASURES_OF_A_CELL)
    assert [(s["model_a"], s["model_b"], s["measure"]) for s in scores] == [
        (a, b, name) for a, b in pairs_of(sides) for name in MEASURES_OF_A_CELL
    ]
    anew = cell(120, (5, 30, 150))
    for found in scores:
        pair = Pair(anew[found["model_a"]], anew[found["model_b"]])
        assert found["score"] == pytest.approx(MEASURES[found["measure"]].score(pair), abs=1e-10)
        assert found["reason"] is None


def test_an_undefined_score_is_empty_with_its_reason_and_stops_no_other() -> None:
    sides = cell(40, (5, 6, 7))
    sides["dead"] = Side(representation=torch.ones(40, 3), logits=sides["model 0"].logits)
    scores = scores_of(sides, ["linear_cka", "agreement", "knn_jaccard@40"])
    by_pair = {(s["model_a"], s["model_b"], s["measure"]): s for s in scores}
    dead = by_pair["model 0", "dead", "linear_cka"]
    assert isnan(dead["score"])
    assert dead["reason"] is not None
    assert "second representation is constant" in dead["reason"]
    assert by_pair["model 0", "dead", "agreement"]["score"] == 1
    too_many = by_pair["model 0", "model 1", "knn_jaccard@40"]
    assert isnan(too_many["score"])
    assert too_many["reason"] is not None
    assert "there are 40 inputs" in too_many["reason"]
    assert by_pair["model 0", "model 1", "linear_cka"]["reason"] is None


def test_a_pair_of_unknown_models_is_refused() -> None:
    with pytest.raises(InvalidInput, match="No side is called 'model 9'"):
        list(score_pairs(cell(20, (3, 3)), [("model 0", "model 9")], ["agreement"]))


def large_cell() -> dict[str, Side]:
    """Large enough that products run in float32."""
    sides = cell(1500, (40, 300))
    return {
        name: Side(representation=side.representation, logits=side.logits, precision=torch.float32)
        for name, side in sides.items()
    }


def test_verification_finds_float32_scores_right_to_seven_digits() -> None:
    sides = large_cell()
    names = [name for name in MEASURES_OF_A_CELL if MEASURES[name].reads == "representation"]
    found = verify(sides, scores_of(sides, names))
    assert (found.n_pairs, found.of_pairs) == (1, 1)
    assert found.largest_difference < 1e-7
    assert "1 of 1 pairs computed again in float64: largest difference" in str(found)


def test_verification_finds_a_wrong_score() -> None:
    sides = cell(40, (5, 6, 7))
    scores = scores_of(sides, ["linear_cka", "agreement"])
    wrong = [s | {"score": s["score"] + 1e-3} if i == 2 else s for i, s in enumerate(scores)]
    found = verify(sides, wrong, share=1)
    assert found.largest_difference == pytest.approx(1e-3)
    assert found.worst == wrong[2]
    missing = [s | {"score": float("nan")} if i == 2 else s for i, s in enumerate(scores)]
    assert verify(sides, missing, share=1).largest_difference == float("inf")


def test_a_share_of_the_pairs_is_verified_and_at_least_one() -> None:
    sides = cell(30, (4,) * 8)
    scores = scores_of(sides, ["agreement"])
    assert verify(sides, scores).n_pairs == 1
    assert verify(sides, scores, share=0.5).n_pairs == 14
    with pytest.raises(InvalidInput, match=r"share of 0"):
        verify(sides, scores, share=0)
    with pytest.raises(InvalidInput, match="no scores"):
        verify(sides, [])


def apart(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> float:
    return max(abs(a["score"] - b["score"]) for a, b in zip(first, second, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("widths", [(40, 300, 64), (2048, 512, 3000)])
def test_a_gpu_has_the_scores_of_the_cpu(widths: tuple[int, ...]) -> None:
    n = 2000
    on_cpu, on_gpu = (cell(n, widths, device) for device in ("cpu", "cuda"))
    slow = scores_of(on_cpu, MEASURES_OF_A_CELL)
    fast = scores_of(on_gpu, MEASURES_OF_A_CELL)
    assert apart(slow, fast) < 1e-5


def test_the_lists_that_a_gpu_keeps_share_what_the_bits_of_a_cpu_share() -> None:
    sides = cell(130, (40, 90))
    a, b = (side.neighbours(11) for side in sides.values())
    from samemind.sides.neighbour_sets import NeighbourSets

    listed = [NeighbourSets.listed(11, sets.lists) for sets in (a, b)]
    packed = a.shared_with(b)
    assert listed[0].shared_with(listed[1]).tolist() == packed.tolist()
    assert listed[0].shared_with(b).tolist() == packed.tolist()
    assert 0 < int(packed.sum()) < 130 * 11
