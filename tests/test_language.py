"""Language models on texts: what is read of them is what a plain loop in float64 gives."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import language_models as tiny
import samemind
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.extraction.keeping import Kept
from samemind.extraction.tokens import LAST, Rows, block_names, encoded, read
from samemind.inputs.texts import given_texts
from samemind.networks.language import TextModel, model_of_pair

KINDS = ["bert", "roberta", "gpt2", "llama", "t5"]
TEXTS = list(tiny.TEXTS)


@pytest.fixture(autouse=True)
def _library_warnings():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="transformers")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


def model(kind: str, *, precision: torch.dtype = torch.float64, seed: int = 0) -> TextModel:
    tokenizer = tiny.TOKENIZERS[kind]()
    return model_of_pair(kind, tiny.network(kind, seed=seed).to(precision), tokenizer)


def by_hand(one: TextModel, text: str) -> tuple[list[torch.Tensor], list[bool]]:
    """The states of every block for one text alone, and which tokens are special."""
    made = one.tokenizer(text, return_special_tokens_mask=True)
    network = one.network.get_encoder() if one.kind == "encoder-decoder" else one.network.base_model
    with torch.no_grad():
        out = network(
            input_ids=torch.tensor([made["input_ids"]]),
            attention_mask=torch.ones(1, len(made["input_ids"]), dtype=torch.long),
            output_hidden_states=True,
        )
    return [h[0] for h in out.hidden_states], [bool(s) for s in made["special_tokens_mask"]]


def seen(one: TextModel, tokens: str, layers: Any = (LAST,), *, batch: int = 4, **rows: Any) -> Any:
    texts = encoded(one, given_texts(TEXTS))
    found, _ = read(
        one, texts, [Rows(tokens=tokens, **rows)], layers,
        execution=Execution(device="cpu", batch_size=batch), kept=Kept(),
    )  # fmt: skip
    return {layer: values[0] for layer, values in found.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_block_is_what_a_plain_loop_gives(kind: str) -> None:
    one = model(kind)
    layers = block_names(one)
    mean, last, first = (seen(one, how, layers) for how in ("mean", "last", "first"))
    for i, text in enumerate(TEXTS):
        states, _ = by_hand(one, text)
        assert len(states) == len(layers) == 4
        for layer, expected in zip(layers, states, strict=True):
            np.testing.assert_allclose(mean[layer][i], expected.mean(0), atol=1e-6)
            np.testing.assert_allclose(last[layer][i], expected[-1], atol=1e-6)
            np.testing.assert_allclose(first[layer][i], expected[0], atol=1e-6)


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_special_tokens_may_be_left_out(kind: str) -> None:
    one = model(kind)
    mean, last = (seen(one, how, has_special=False)[LAST] for how in ("mean", "last"))
    for i, text in enumerate(TEXTS):
        states, special = by_hand(one, text)
        assert any(special)
        plain = states[-1][~torch.tensor(special)]
        np.testing.assert_allclose(mean[i], plain.mean(0), atol=1e-6)
        np.testing.assert_allclose(last[i], plain[-1], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_side_batch_and_order_change_nothing(kind: str) -> None:
    one = model(kind, precision=torch.float32)
    for tokens in ("mean", "last", "first"):
        plain = seen(one, tokens, batch=1)[LAST]
        one.tokenizer.padding_side = "left"
        np.testing.assert_allclose(seen(one, tokens, batch=16)[LAST], plain, atol=1e-6)
        one.tokenizer.padding_side = "right"
        np.testing.assert_allclose(seen(one, tokens, batch=3)[LAST], plain, atol=1e-6)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    texts = encoded(one, given_texts([TEXTS[i] for i in order]))
    found, _ = read(
        one, texts, [Rows(tokens="mean")],
        execution=Execution(device="cpu", batch_size=4), kept=Kept(),
    )  # fmt: skip
    np.testing.assert_allclose(found[LAST][0], seen(one, "mean")[LAST][order], atol=1e-6)


def test_a_module_is_read_by_its_name() -> None:
    one, held = model("llama"), []
    layer = "model.layers.1.mlp"
    hook = one.network.get_submodule(layer).register_forward_hook(
        lambda _, __, out: held.append(out[0].mean(0))
    )
    for text in TEXTS:
        by_hand(one, text)
    hook.remove()
    np.testing.assert_allclose(seen(one, "mean", [layer])[layer], torch.stack(held), atol=1e-6)


def test_the_pooler_is_the_reading_of_the_model() -> None:
    one = model("bert")
    found = seen(one, "model")[LAST]
    for i, text in enumerate(TEXTS):
        ids = torch.tensor([one.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            expected = one.network(input_ids=ids, attention_mask=torch.ones_like(ids)).pooler_output
        np.testing.assert_allclose(found[i], expected[0], atol=1e-6)


def test_a_network_and_its_tokenizer_come_out_as_they_went_in() -> None:
    one = model("bert", precision=torch.float32)
    one.network.train()
    one.tokenizer.backend_tokenizer.enable_truncation(7)
    one.tokenizer.backend_tokenizer.enable_padding(length=9)
    before = {name: value.clone() for name, value in one.network.state_dict().items()}
    samemind.compare([(one.network, one.tokenizer)] * 2, TEXTS, permutations=0, layers="all")
    assert one.network.training
    assert not any(m._forward_hooks for m in one.network.modules())
    assert all(torch.equal(before[n], value) for n, value in one.network.state_dict().items())
    assert one.tokenizer.backend_tokenizer.truncation["max_length"] == 7
    assert one.tokenizer.backend_tokenizer.padding["length"] == 9


def test_compare_under_several_readings() -> None:
    models = {"a": (tiny.network("bert"), tiny.wordpiece()),
              "b": (tiny.network("gpt2"), tiny.byte_level())}  # fmt: skip
    found = samemind.compare(models, TEXTS, tokens=["mean", "last", ["mean", "last"], "words"],
                             layers="all", permutations=20)  # fmt: skip
    assert set(found.scores["reading"]) == {"mean", "last", "mean + last", "words"}
    assert len(found.readings) == 8
    # Figures and summaries are of the first reading alone.
    assert set(found.main["reading"]) == {"mean"}
    score = samemind.measure("linear_cka")
    rows = {kind: seen(model_of_pair(kind, *models[kind]), how)[LAST]
            for kind, how in (("a", "mean"), ("b", "last"))}  # fmt: skip
    mixed = found.scores.set_index(["reading", "measure"])["score"]
    assert mixed["mean + last", "linear_cka"] == pytest.approx(score(*rows.values()), abs=1e-6)
    assert set(found.layers["reading"]) == set(found.scores["reading"])
    assert found.layers["depth_a"].max() == found.layers["depth_b"].max() == 1.0
    assert len(found.layers) == 4 * 4 * 4


def test_texts_that_are_cut_are_counted_and_told() -> None:
    models = {n: (tiny.network("bert"), tiny.wordpiece()) for n in "ab"}
    found = samemind.compare(models, TEXTS, max_length=8, permutations=0)
    longer = sum(len(models["a"][1](text)["input_ids"]) > 8 for text in TEXTS)
    assert found.readings["texts_cut"].tolist() == [longer, longer]
    assert f"a: {longer} of 10 texts are longer than the 8 tokens" in " ".join(found.notes)


def test_what_cannot_be_read_is_said_in_a_sentence() -> None:
    bert, gpt2 = (tiny.network("bert"), tiny.wordpiece()), (tiny.network("gpt2"), tiny.byte_level())
    for models, texts, options, said in [
        ([bert, bert], ["a", " "], {}, "empty"),
        ([bert, (bert[0], None)], TEXTS, {}, "without a tokenizer"),
        ([bert, bert[0]], TEXTS, {}, "without a tokenizer"),
        ([bert, gpt2], TEXTS, {"tokens": "means"}, "Did you mean 'mean'"),
        ([bert, gpt2], TEXTS, {"tokens": "all"}, "Use the reading 'words'"),
        ([bert, gpt2], TEXTS, {"tokens": "model"}, "has none"),
        ([bert, gpt2], TEXTS, {"tokens": "words+mean"}, "a row per text beside"),
        ([bert, gpt2], TEXTS, {"layers": ["no.such"]}, "No model has a layer"),
        ([bert, gpt2], TEXTS, {"invert": 3}, "leave it out"),
        ([bert, gpt2], None, {}, "read texts"),
        ([bert], TEXTS, {}, "two models"),
        (["hf:./nowhere", bert], TEXTS, {}, "no folder"),
    ]:
        with pytest.raises(InvalidInput, match="(?i)" + said):
            samemind.compare(models, texts, **options)
