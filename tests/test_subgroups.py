"""Scores where two models agree and where they do not: errors, floors, shares and a test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from samemind.comparison.pairs import score_pair
from samemind.comparison.subgroups import SHARES, subgroup_scores
from samemind.figures.style import measure_label
from samemind.measures.base import MEASURES, Pair
from samemind.sides.side import Side

MEASURES_ASKED = ("debiased_linear_cka", "knn_jaccard")


def two_models(n: int, seed: int, *, shared_where_they_agree: bool) -> Pair:
    """Two models that agree on three of four inputs, at random."""
    random = np.random.default_rng(seed)
    common = random.normal(size=(n, 6))
    first, second = (common + 0.7 * random.normal(size=(n, 6)) for _ in range(2))
    classes = random.integers(0, 3, n)
    agree = random.random(n) < 0.75
    if shared_where_they_agree:
        second[~agree] = random.normal(size=((~agree).sum(), 6))
    others = np.where(agree, classes, (classes + 1) % 3)
    logits = [np.eye(3)[of] * 5 for of in (classes, others)]
    return Pair(*(
        Side(representation=x, logits=y, kind="logits")
        for x, y in zip((first, second), logits, strict=True)
    ))  # fmt: skip


def test_groups_have_the_errors_and_floors_of_whole_scores():
    pair = two_models(240, 0, shared_where_they_agree=False)
    asked = {"errors": True, "permutations": 20}
    table = pd.DataFrame(subgroup_scores(pair, MEASURES_ASKED, **asked))
    agree = (pair.a.predictions == pair.b.predictions).nonzero().flatten()
    for name in MEASURES_ASKED:
        alone = pair.restricted(agree)
        expected = score_pair(alone, MEASURES[name], **asked)._asdict()
        row = table[(table["measure"] == name) & (table["group"] == "agree")].iloc[0]
        for column in ("score", "standard_error", "lower", "upper", "floor"):
            assert row[column] == pytest.approx(expected[column], nan_ok=True), (name, column)
        assert row["standard_error"] > 0
    assert (table.groupby("measure")["n_inputs"].sum() == 240).all()


def test_neighbours_are_a_share_of_the_group():
    pair = two_models(240, 1, shared_where_they_agree=False)
    table = pd.DataFrame(subgroup_scores(pair, ("knn_jaccard@10",)))
    rows = {(r["measure"], r["group"]): r for r in table.to_dict("records")}
    assert {name for name, _ in rows} == {
        "knn_jaccard@10", *(f"knn_jaccard@{100 * share:g}%" for share in SHARES)
    }  # fmt: skip
    for group in ("agree", "disagree"):
        row = rows["knn_jaccard@10%", group]
        same = pair.a.predictions == pair.b.predictions
        inputs = (same if group == "agree" else ~same).nonzero().flatten()
        k = round(0.1 * len(inputs))
        expected = MEASURES[f"knn_jaccard@{k}"].score(pair.restricted(inputs))
        assert row["score"] == pytest.approx(expected)
    few = rows["knn_jaccard@0.5%", "disagree"]
    assert np.isnan(few["score"])
    assert few["reason"].endswith("less than one neighbour.")
    assert measure_label("knn_jaccard@10%") == "k-NN Jaccard (k = 10 % of the inputs)"


def test_a_difference_that_is_there_is_found_and_chance_is_not():
    found = pd.DataFrame(
        subgroup_scores(
            two_models(200, 2, shared_where_they_agree=True), MEASURES_ASKED[:1], shuffles=99
        )
    )
    assert found["p_value"].tolist() == [0.02, 0.02]
    assert (found["difference"] > 0.2).all()
    assert found["difference"][0] == pytest.approx(found["score"][0] - found["score"][1])
    by_chance = [
        pd.DataFrame(
            subgroup_scores(
                two_models(60, 100 + i, shared_where_they_agree=False),
                MEASURES_ASKED[:1],
                shuffles=19,
            )
        )["p_value"][0]
        for i in range(24)
    ]
    # Of 24 uniform p-values a tenth are at most 0.1: 9 or more with a chance of 0.04 %.
    assert sum(p <= 0.1 for p in by_chance) < 9
    assert sum(p > 0.5 for p in by_chance) > 3


def test_models_that_always_agree_have_one_group():
    pair = two_models(50, 3, shared_where_they_agree=False)
    same = Pair(
        pair.a,
        Side(representation=pair.b.representation, logits=pair.a.logits, kind="logits"),
    )
    table = pd.DataFrame(subgroup_scores(same, MEASURES_ASKED[:1], shuffles=5))
    alone = table[table["group"] == "disagree"].iloc[0]
    assert alone["reason"] == "0 inputs: a comparison needs at least 2."
    assert table["p_value"].isna().all()
    assert torch.isfinite(torch.tensor(table["score"][0]))
