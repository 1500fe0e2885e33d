"""Measures of real networks against what other people's packages gave on the same arrays."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from samemind.measures import Pair, Side, measure

torch.set_num_threads(1)
pytestmark = pytest.mark.data


def test_distances_of_real_representations_are_those_of_netrep_and_anatome(real_data: Path) -> None:
    arrays = np.load(real_data / "expected" / "similarity_inputs.npz")
    values = json.loads((real_data / "expected" / "similarity_values.json").read_text())
    pairs = [expected for expected in values["pairs"] if expected["a"] != expected["b"]]
    assert len(pairs) >= 10
    for expected in pairs:
        pair = Pair(
            *(
                Side(representation=arrays[f"rep_{expected[side]}"].astype(np.float64))
                for side in "ab"
            )
        )
        score = {
            name: measure(name).score(pair)
            for name in (
                "angular_cka_distance",
                "angular_procrustes_distance",
                "procrustes_distance",
                "procrustes_distance_squared",
                "rv_coefficient",
            )
        }
        netrep, resi, authors = (expected[name] for name in ("netrep", "resi", "rob_univ"))
        angle = netrep["linear_cka_angular"]
        assert score["angular_cka_distance"] == pytest.approx(angle, rel=1e-6)
        angle = netrep["linear_metric_alpha1_angular"]
        assert score["angular_procrustes_distance"] == pytest.approx(angle, rel=1e-6)
        angle = resi["angular_centered"]
        assert score["angular_procrustes_distance"] == pytest.approx(angle, rel=1e-6)
        distance = resi["procrustes_distance"]
        assert score["procrustes_distance"] == pytest.approx(distance, rel=1e-6)
        squared = authors["procrustes_squared"]
        assert score["procrustes_distance_squared"] == pytest.approx(squared, rel=1e-9)
        assert score["rv_coefficient"] == pytest.approx(authors["cka"], rel=1e-9)
        half = expected["anatome"]["orthogonal_procrustes_distance"]
        assert score["procrustes_distance_squared"] / 2 == pytest.approx(half, rel=1e-9)


def test_agreement_beyond_chance_of_real_classifiers_is_that_of_the_authors_code(
    real_data: Path,
) -> None:
    logits = np.load(real_data / "cifar-10-logits" / "cifar10-test-logits.npz")
    values = json.loads((real_data / "expected" / "logits_values.json").read_text())
    assert values["pairs"]
    for expected in values["pairs"]:
        first, second = (logits[expected[side]] for side in "ab")
        authors = expected["rob_univ"]
        kappa = measure("cohens_kappa")(first, second)
        assert kappa == pytest.approx(authors["kappa"], rel=1e-9)
        share = measure("normalised_disagreement")(first, second, labels=logits["labels"])
        assert share == pytest.approx(authors["normalized_disagreement"], rel=1e-9)
