"""Probes: what two of them agree on, and what a head of one's own has to do with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from samemind.comparison.probes import Probe, retrained_heads, score_heads, train_probe
from samemind.sides.side import Side
from samemind.study import read_study

STUDY = """
name = "probes"
dataset = "digits"
architectures = ["digits_vgg_bn", "digits_resnet"]
epsilons = [0]
[training]
epochs = 1
batch_size = 128
learning_rate = 0.1
[probes]
epochs = 1
"""


def classes_and_units(n: int = 400, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    units = np.eye(3)[labels] @ random.normal(size=(3, 8)) + 0.8 * random.normal(size=(n, 8))
    return torch.tensor(units, dtype=torch.float32), torch.tensor(labels)


def test_a_normalised_probe_is_that_of_normalised_units():
    units, labels = classes_and_units()
    scaled = units * torch.tensor([1e3, 1, 1, 1e-3, 1, 5, 1, 0]) + 7
    weight, bias = train_probe(scaled, labels, classes=3, epochs=5, is_normalised=True)
    mean, deviation = scaled.mean(0), scaled.std(0, correction=0)
    standard = torch.where(deviation > 0, (scaled - mean) / deviation, torch.zeros(()))
    standard = torch.nan_to_num(standard)
    plain_weight, plain_bias = train_probe(standard, labels, classes=3, epochs=5)
    expected = standard @ plain_weight.T + plain_bias
    torch.testing.assert_close(scaled @ weight.T + bias, expected, rtol=1e-3, atol=2e-3)
    assert (weight[:, -1] == 0).all()  # a unit that is always the same tells nothing


def sides(n: int = 400) -> dict[str, Side]:
    found = {}
    for i, name in enumerate("ab"):
        units, labels = classes_and_units(n)
        turned = units @ torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator()))[0]
        own = torch.randn(n, 3, generator=torch.Generator().manual_seed(i))
        found[name] = Side(representation=turned, logits=own, labels=labels, kind="logits")
    return found


def test_two_probes_of_one_representation_are_the_ceiling():
    found = retrained_heads(sides())
    rows = list(score_heads(found.original, found.probes, permutations=5))
    agreement = {
        (r["heads"], r["model_a"], r["model_b"]): r for r in rows if r["measure"] == "agreement"
    }
    assert set(agreement) == {
        ("original", "a", "b"), ("probe", "a", "b"),
        *((heads, m, m) for heads in ("same representation", "own head") for m in "ab"),
    }  # fmt: skip
    first, second = found.probes["probe"]
    for model in "ab":
        row = agreement["same representation", model, model]
        same = first[model].predictions == second[model].predictions
        assert row["score"] == pytest.approx(float(same.double().mean()))
        assert row["score"] > 0.95  # the same units, the same inputs, another start
        own = [
            float((p[model].predictions == found.original[model].predictions).double().mean())
            for p in (first, second)
        ]
        assert agreement["own head", model, model]["score"] == pytest.approx(np.mean(own))
    pairs = [
        float((p["a"].predictions == p["b"].predictions).double().mean()) for p in (first, second)
    ]
    assert agreement["probe", "a", "b"]["score"] == pytest.approx(np.mean(pairs))
    for row in rows:
        assert row["lower"] <= row["score"] <= row["upper"]
        assert row["standard_error"] >= 0
        assert 0 < row["floor"] < 1


def test_a_study_has_a_probe_for_every_seed_and_normalisation(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    (plain,) = read_study(path).probe_scores
    assert plain.others == ()
    path.write_text(STUDY + "random_seeds = [0, 5]\nnormalised = true\n")
    study = read_study(path)
    (more,) = study.probe_scores
    assert more.probes == plain.probes  # what was made before stays
    told = {(p.random_seed, p.is_normalised) for p in more.others}
    assert told == {(5, False), (0, True), (5, True)}
    assert len(more.others) == 2 * 3
    probing = next(stage for stage in study.stages if stage.name == "probing")
    assert len(set(probing.recipes)) == 2 * 4
    assert all(isinstance(recipe, Probe) for recipe in probing.recipes)
