"""Measures of topology against another package's homology, known shapes, and their seeds."""

import sys

import numpy as np
import pytest
import torch
from ripser import ripser
from scipy.spatial.distance import pdist, squareform

from samemind.errors import MissingExtra, UndefinedScore
from samemind.measures import Side, measure
from samemind.measures.topology import (
    _living_times,
    relative_living_times,
    topology_divergences,
)

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    latent = generator.normal(size=(60, 3))
    return tuple(
        latent @ generator.normal(size=(3, width)) + 0.5 * generator.normal(size=(60, width))
        for width in (6, 5)
    )


def circle(n: int, radius: float = 1.0) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_the_topology_divergence_agrees_with_ripser(pair: tuple) -> None:
    first, second = (squareform(pdist(values)) for values in pair)
    first, second = first / np.quantile(first, 0.9), second / np.quantile(second, 0.9)
    total = 0.0
    for one, other in ((first, second), (second, first)):
        together = np.block([[0 * one, one], [one, np.minimum(one, other)]])
        bars = ripser(together, distance_matrix=True, maxdim=1)["dgms"][1]
        total += float((bars[:, 1] - bars[:, 0]).sum()) / 2
    # Ripser itself computes in float32.
    found = measure("representation_topology_divergence")(*pair)
    assert found == pytest.approx(total, rel=1e-6)


def test_a_hole_that_only_one_model_has_is_seen() -> None:
    ring = circle(24)
    line = np.stack([np.arange(24.0), np.zeros(24)], axis=1)
    divergence = measure("representation_topology_divergence")
    assert divergence(ring, line) > 0.3
    assert divergence(ring, 5 * ring[:, ::-1] + 1) == pytest.approx(0, abs=1e-12)


def test_many_inputs_are_sampled_by_the_seed_and_each_subset_is_there_to_see(pair: tuple) -> None:
    member = measure("representation_topology_divergence@20")
    compared = member.pair(*pair)
    each = topology_divergences(compared, sample=20)
    assert each.shape == (10,)
    assert float(each.std()) > 0
    assert member.score(compared) == pytest.approx(float(each.mean()))
    again = topology_divergences(compared, sample=20)
    other = topology_divergences(compared, sample=20, random_seed=1)
    assert torch.equal(each, again)
    assert not torch.equal(each, other)
    # The smaller cloud of a permuted pair is that of its rows in the new order.
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    shuffled = member.score(compared.permuted(order))
    assert shuffled == pytest.approx(member(pair[0], pair[1][order.numpy()]), rel=1e-9)


def test_living_times_count_the_holes_that_are_open() -> None:
    bars = np.array([[0.0, 1.0], [0.5, np.inf], [0.5, 2.0]])
    # Of [0, 4): one hole in [0, .5), three in [.5, 1), two in [1, 2), one in [2, 4).
    times = _living_times(bars, 4.0)
    np.testing.assert_allclose(times[:4], [0, (0.5 + 2) / 4, 1 / 4, 0.5 / 4])
    assert times.sum() == pytest.approx(1)
    np.testing.assert_allclose(_living_times(np.empty((0, 2)), 3.0)[:2], [1, 0])


def test_the_geometry_score_tells_a_ring_from_a_disc() -> None:
    generator = np.random.default_rng(0)
    ring = circle(60) + 0.02 * generator.normal(size=(60, 2))
    other = circle(60, 3.0) + 0.06 * generator.normal(size=(60, 2))
    disc = circle(60) * np.sqrt(generator.uniform(size=(60, 1)))
    score = measure("geometry_score")
    assert score(ring, disc) > 5 * score(ring, other)


def test_landmarks_follow_the_seed(pair: tuple) -> None:
    side = Side(representation=pair[0])
    times = relative_living_times(side, landmarks=12, repeats=4)
    assert times.shape == (4, 100)
    torch.testing.assert_close(times.sum(1), torch.ones(4, dtype=torch.float64))
    assert torch.equal(times, relative_living_times(side, landmarks=12, repeats=4))
    other = relative_living_times(side, landmarks=12, repeats=4, random_seed=5)
    assert not torch.equal(times, other)
    assert relative_living_times(side, landmarks=60).shape == (1, 100)


def test_inputs_that_are_nearly_all_the_same_have_no_scale(pair: tuple) -> None:
    values = np.zeros((60, 3))
    values[0, 0] = 1
    with pytest.raises(UndefinedScore, match="Nine in ten"):
        measure("representation_topology_divergence")(values, pair[1])


def test_without_gudhi_the_extra_is_named(pair: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gudhi", None)
    monkeypatch.setitem(sys.modules, "gudhi.sklearn.rips_persistence", None)
    for name in ("representation_topology_divergence", "geometry_score"):
        with pytest.raises(MissingExtra, match=r"samemind\[topology\]"):
            measure(name)(*pair)
