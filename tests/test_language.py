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
        ([bert, gpt2], TEXTS, {"layers": [2.0]}, "between 0 .*and 1"),
        ([bert, gpt2], TEXTS, {"layers": [-0.5]}, "between 0 .*and 1"),
        ([bert, gpt2], TEXTS, {"invert": 3}, "leave it out"),
        ([bert, gpt2], None, {}, "read texts"),
        ([bert], TEXTS, {}, "two models"),
        (["hf:./nowhere", bert], TEXTS, {}, "no folder"),
    ]:
        with pytest.raises(InvalidInput, match="(?i)" + said):
            samemind.compare(models, texts, **options)


def _next_by_hand(networks: list[Any], tokenizer: Any) -> dict[str, float]:
    """Agreement, divergences and perplexities, one text at a time in float64."""
    same, kl, ba, surprise = [], [], [], ([], [])
    for text in TEXTS:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            a, b = (n(input_ids=ids).logits[0, :-1].double().log_softmax(1) for n in networks)
        same += (a.argmax(1) == b.argmax(1)).tolist()
        kl += (a.exp() * (a - b)).sum(1).tolist()
        ba += (b.exp() * (b - a)).sum(1).tolist()
        for held, said in zip(surprise, (a, b), strict=True):
            held += (-said[torch.arange(len(said)), ids[0, 1:]]).tolist()
    return {
        "agreement": float(np.mean(same)), "kl_ab": float(np.mean(kl)), "kl_ba": float(np.mean(ba)),
        "perplexity_a": float(np.exp(np.mean(surprise[0]))),
        "perplexity_b": float(np.exp(np.mean(surprise[1]))), "tokens": len(same),
    }  # fmt: skip


@pytest.mark.parametrize("batch", [1, 16])
def test_next_tokens_are_what_a_plain_loop_gives(batch: int) -> None:
    tokenizer = tiny.byte_level()
    networks = [tiny.network(kind) for kind in ("gpt2", "llama")]
    found = samemind.compare(
        {n: (network, tokenizer) for n, network in zip("ab", networks, strict=True)},
        TEXTS, batch_size=batch,
    )  # fmt: skip
    expected = _next_by_hand(networks, tokenizer)
    assert found.next_tokens is not None
    said = found.next_tokens.iloc[0]
    for name in ("kl_ab", "kl_ba", "perplexity_a", "perplexity_b", "tokens"):
        assert said[name] == pytest.approx(expected[name], rel=1e-5)
    scores = found.scores.set_index("measure")
    assert scores["score"]["agreement"] == pytest.approx(expected["agreement"])
    assert scores["n_inputs"]["agreement"] == expected["tokens"]
    assert {"top_k_agreement", "jensen_shannon_similarity"} <= set(scores.index)
    # Unrelated networks agree no more on the tokens of one text than on those of two.
    row = scores.loc["jensen_shannon_similarity"]
    assert abs(row["score"] - row["floor"]) < 0.2
    assert row["lower"] <= row["score"] <= row["upper"]
    same = samemind.compare([(networks[0], tokenizer)] * 2, TEXTS, measures="agreement")
    assert same.scores["score"].tolist() == [1.0]
    assert same.next_tokens["kl_ab"].tolist() == [0.0]


def test_vocabularies_that_differ_are_the_reason() -> None:
    models = [
        (tiny.network("gpt2"), tiny.byte_level(280)),
        (tiny.network("gpt2"), tiny.byte_level(300)),
    ]
    found = samemind.compare(models, TEXTS, permutations=0)
    assert "different vocabularies (280 and 300 tokens" in " ".join(found.notes)
    with pytest.raises(InvalidInput, match="different vocabularies"):
        samemind.compare(models, TEXTS, measures="agreement")


def test_the_texts_that_drive_a_score_are_told_escaped() -> None:
    texts = [*TEXTS, "<script>alert('x')</script> \x1b[31m " + "long " * 60]
    models = [(tiny.network("bert", seed=i), tiny.wordpiece()) for i in range(2)]
    found = samemind.compare(models, texts)
    told = found.driving_texts
    assert told is not None
    assert set(told["which"]) == {"adds most", "adds least", "neighbours differ"}
    assert (told["text"].str.len() <= 100).all()
    assert not told["text"].str.contains("\x1b").any()
    each = samemind.measure("debiased_linear_cka").contributions(
        samemind.measure("linear_cka").pair(*(seen_of(m, texts) for m in models))
    )
    rows = told[told["measure"] == "debiased_linear_cka"]
    most = rows[rows["which"] == "adds most"].iloc[0]
    assert most["input"] == int(each.argmax())
    assert most["contribution"] == pytest.approx(float(each.max()), abs=1e-4)


def seen_of(pair: tuple[Any, Any], texts: list[str]) -> Any:
    one = model_of_pair("one", *pair)
    found, _ = read(one, encoded(one, given_texts(texts)), [Rows(tokens="mean")],
                    execution=Execution(device="cpu"), kept=Kept())  # fmt: skip
    return found[LAST][0]


@pytest.mark.parametrize("kind", ["bert classifier", "gpt2 classifier"])
def test_classifiers_are_compared_by_their_classes(kind: str) -> None:
    """All measures of predictions, flips and the verdict, as for images."""
    names = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    tokenizer = tiny.wordpiece() if "bert" in kind else tiny.byte_level()
    networks = [tiny.network(kind, seed=i, **names) for i in range(2)]
    labels = ["good", "bad"] * 5
    pairs = {n: (network, tokenizer) for n, network in zip("ab", networks, strict=True)}
    found = samemind.compare(pairs, TEXTS, labels=labels)
    decided = []
    for network in networks:
        with torch.no_grad():
            decided.append([
                int(network(input_ids=torch.tensor([tokenizer(t)["input_ids"]])).logits.argmax())
                for t in TEXTS
            ])  # fmt: skip
    scores = found.scores.set_index("measure")["score"]
    agreement = np.mean(np.array(decided[0]) == np.array(decided[1]))
    assert scores["agreement"] == pytest.approx(agreement)
    truth = np.array([label == "good" for label in labels])
    assert found.models["clean_accuracy"].tolist() == [np.mean(d == truth) for d in decided]
    assert found.replacements[0].swap.churn == sum(a != b for a, b in zip(*decided, strict=True))
    assert set(found.flips["label"]) <= {"good", "bad"}
