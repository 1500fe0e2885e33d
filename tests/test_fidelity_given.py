"""Fidelity of outputs that are given as arrays, and of language models on texts."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch

import samemind
from samemind.errors import InvalidInput
from samemind.sides.nearness import first_neighbours
from samemind.statistics.swaps import exact_interval

ROWS = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)


def test_arrays_have_the_level_that_their_numbers_have() -> None:
    assert samemind.fidelity(ROWS, ROWS.copy()).level == "identical bits"
    half = torch.tensor(ROWS).half()
    found = samemind.fidelity(ROWS, half.float())
    assert found.level == "equal up to rounding"
    assert found.ways == ("one rounding to float16",)
    assert "no more than one rounding to float16 makes" in str(found)
    assert any("no network ran" in note for note in found.notes)
    moved = ROWS + 1e-4  # far beyond a rounding of float32
    near = samemind.fidelity(ROWS, moved)
    assert near.level == "the same answers"
    assert near.n_beyond == 50
    other = ROWS.copy()
    other[:20] = other[:20][::-1]
    changed = samemind.fidelity(ROWS, other)
    assert changed.level == "changed"
    expected = (first_neighbours(torch.tensor(ROWS)) != first_neighbours(torch.tensor(other))).sum()
    assert (changed.kept.what, changed.kept.changed) == ("first neighbour", int(expected))
    assert changed.difference.largest == pytest.approx(np.abs(ROWS - other).max())


def test_arrays_are_joined_by_their_ids() -> None:
    names = [f"img{i}" for i in range(50)]
    old = pd.DataFrame(ROWS, index=names)
    found = samemind.fidelity(old, old[::-1])
    assert found.level == "identical bits"
    assert any("were put in the order of" in note for note in found.notes)
    with pytest.raises(InvalidInput):
        samemind.fidelity(old, old[10:])
    assert samemind.fidelity(old, old[10:], join="inner").n_inputs == 40


def test_logits_are_compared_by_their_decisions(tmp_path) -> None:
    new = ROWS.copy()
    new[3, ROWS[3].argmin()] = ROWS[3].max() + 1
    found = samemind.fidelity(ROWS, new, kind="logits", tolerance=0.05)
    assert (found.level, found.kept.what, found.kept.changed) == ("the same answers", "decision", 1)
    assert samemind.fidelity(ROWS, new, kind="logits").level == "changed"
    for name, held in (("old", ROWS), ("new", new)):
        np.savez(tmp_path / f"{name}.npz", logits=held)
    files = samemind.fidelity(str(tmp_path / "old.npz"), str(tmp_path / "new.npz"), tolerance=0.05)
    assert files.kept == found.kept


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((ROWS, ROWS[:, :4]), "outputs of the same shape"),
        ((ROWS, samemind.Side(logits=ROWS)), "outputs are of two kinds"),
        ((ROWS, torch.nn.Linear(6, 2)), "needs images to look at"),
    ],
)
def test_what_has_no_fidelity_is_said(given, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        samemind.fidelity(*given)


def test_options_of_others_are_refused() -> None:
    with pytest.raises(InvalidInput, match="has no option 'normalise'"):
        samemind.fidelity(ROWS, ROWS, normalise="cifar10")
    with pytest.raises(InvalidInput, match="'labels' and 'count' are of inputs"):
        samemind.fidelity(ROWS, ROWS, count=3)


# -- language models


@pytest.fixture(scope="module")
def language():
    pytest.importorskip("transformers")
    import language_models

    return language_models


def changed_weight(network: torch.nn.Module, name: str) -> torch.nn.Module:
    made = copy.deepcopy(network)
    with torch.no_grad():
        made.get_parameter(name).mul_(3)
    return made


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_language_models_are_asked_for_the_next_token(language) -> None:
    tokenizer = language.byte_level()
    network = language.network("gpt2")
    same = samemind.fidelity((network, tokenizer), (network, tokenizer), list(language.TEXTS))
    assert (same.level, same.kept.what) == ("identical bits", "next token")
    wrong = changed_weight(network, "transformer.h.1.mlp.c_fc.weight")
    found = samemind.fidelity((network, tokenizer), (wrong, tokenizer), list(language.TEXTS))
    n = flips = 0
    for text in language.TEXTS:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            one, other = (m(input_ids=ids).logits[0, :-1] for m in (network, wrong))
        n, flips = n + len(one), flips + int((one.argmax(1) != other.argmax(1)).sum())
    assert (found.kept.n_inputs, found.kept.changed) == (n, flips)
    assert found.level == ("changed" if flips else "the same answers")
    assert found.departure is not None
    assert found.departure.layer == "transformer.h.1.mlp.c_fc"
    # Tokens of a text change together, so the interval is wider than that of so many tokens.
    low, high = exact_interval(flips, n)
    assert found.kept.interval[0] <= low <= high <= found.kept.interval[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_encoders_of_texts_are_asked_for_first_neighbours(language) -> None:
    tokenizer = language.wordpiece()
    network = language.network("bert")
    texts = list(language.TEXTS)
    half = copy.deepcopy(network).bfloat16().float()
    rounded = samemind.fidelity((network, tokenizer), (half, tokenizer), texts)
    assert rounded.level == "equal up to rounding"
    wrong = changed_weight(network, "encoder.layer.0.attention.self.query.weight")
    found = samemind.fidelity((network, tokenizer), (wrong, tokenizer), texts)
    assert found.kept.what == "first neighbour"
    assert found.n_inputs == len(texts)
    assert not found.is_at_least("equal up to rounding")
    assert found.departure is not None
    assert found.departure.layer == "encoder.layer.0.attention.self.query"
