"""Language models from folders and files, and their door on the command line."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import language_models as tiny
import samemind
from samemind.cli import app
from samemind.errors import CheckpointError, InvalidInput
from samemind.execution.devices import Execution
from samemind.extraction.keeping import Kept
from samemind.extraction.tokens import LAST, Rows, encoded, read
from samemind.inputs.texts import given_texts
from samemind.networks.opening_language import open_text_model

TEXTS = list(tiny.TEXTS)


@pytest.fixture(autouse=True)
def _library_warnings():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="transformers")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


def saved(folder: Path, kind: str, **further: Any) -> tuple[Any, Any]:
    network, tokenizer = tiny.network(kind, **further), tiny.TOKENIZERS[kind.split()[0]]()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return network, tokenizer


def rows_of(reference: str, tokens: str) -> np.ndarray:
    one = open_text_model(reference)
    found, _ = read(
        one, encoded(one, given_texts(TEXTS)), [Rows(tokens=tokens)],
        execution=Execution(device="cpu", batch_size=4), kept=Kept(),
    )  # fmt: skip
    return found[LAST][0]


def states(network: Any, tokenizer: Any, text: str) -> torch.Tensor:
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        return network(input_ids=ids).last_hidden_state[0]


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "t5", "bert classifier"])
def test_a_folder_gives_the_network_that_was_saved(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "lr=0.1"
    network, _ = saved(folder, kind)
    assert open_text_model(f"hf:{folder}").name == "lr=0.1"
    one = open_text_model(f"mine=hf:{folder}")
    assert one.name == "mine"
    assert type(one.network) is type(network)
    held = one.network.state_dict()
    assert all(torch.equal(held[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken", "weightedmean"])
def test_a_sentence_encoder_pools_as_its_folder_says(tmp_path: Path, mode: str) -> None:
    network, tokenizer = saved(tmp_path, "bert")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "2_Dense").mkdir()
    steps = ["Transformer", "Pooling", "Dense", "Normalize"]
    kinds = [f"sentence_transformers.models.{step}" for step in steps]
    modules = [{"idx": i, "path": f"{i}_{step}" if i else "", "type": kind}
               for i, (step, kind) in enumerate(zip(steps, kinds, strict=True))]  # fmt: skip
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    names = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens",
             "lasttoken": "lasttoken", "weightedmean": "weightedmean_tokens"}  # fmt: skip
    pooling = {f"pooling_mode_{names[m]}": m == mode for m in names}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 100}')
    dense = torch.nn.Linear(32, 8)
    from safetensors.torch import save_file

    save_file({"linear.weight": dense.weight.data, "linear.bias": dense.bias.data},
              tmp_path / "2_Dense" / "model.safetensors")  # fmt: skip
    (tmp_path / "2_Dense" / "config.json").write_text(
        json.dumps({"activation_function": "torch.nn.modules.activation.Tanh"})
    )
    assert open_text_model(f"hf:{tmp_path}").context == 100
    found = rows_of(f"hf:{tmp_path}", "model")
    for i, text in enumerate(TEXTS):
        h = states(network.double(), tokenizer, text)
        weights = torch.arange(1, len(h) + 1)[:, None].double()
        pooled = {
            "mean": h.mean(0), "cls": h[0], "max": h.amax(0), "lasttoken": h[-1],
            "weightedmean": (h * weights).sum(0) / weights.sum(),
        }[mode]  # fmt: skip
        made = torch.tanh(dense.weight.double() @ pooled + dense.bias.double())
        np.testing.assert_allclose(found[i], (made / made.norm()).detach(), atol=1e-6)


def test_what_is_no_model_is_said_in_a_sentence(tmp_path: Path) -> None:
    saved(tmp_path / "whole", "bert")
    bare = tmp_path / "bare"
    tiny.network("bert").save_pretrained(bare)
    with pytest.raises(InvalidInput, match="a model without a tokenizer"):
        open_text_model(f"hf:{bare}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="holds no model"):
        open_text_model(f"hf:{tmp_path / 'empty'}")
    with pytest.raises(InvalidInput, match="allow the download with --download"):
        open_text_model("hf:nobody-has/this-model")
    with pytest.raises(InvalidInput, match="There is no folder"):
        open_text_model("hf:./no/such/folder")


def test_weights_that_are_missing_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    saved(tmp_path, "bert")
    held = load_file(tmp_path / "model.safetensors")
    lost = next(name for name in held if "layer.1.output.dense.weight" in name)
    kept = {name: value for name, value in held.items() if name != lost}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="would be random numbers"):
        open_text_model(f"hf:{tmp_path}")
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_text_model(f"hf:{tmp_path}")


def test_a_pooler_without_weights_is_no_reading(tmp_path: Path) -> None:
    import transformers

    network, tokenizer = tiny.network("bert"), tiny.wordpiece()
    masked = transformers.BertForMaskedLM(network.config)
    masked.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    one = open_text_model(f"hf:{tmp_path}")
    assert one.own_pooling is None
    assert "pooler has no weights" in one.note
    with pytest.raises(InvalidInput, match="'model' is an encoder's own pooling"):
        samemind.compare([f"a=hf:{tmp_path}", f"b=hf:{tmp_path}"], TEXTS, tokens="model")


def gguf(path: Path, architecture: str) -> Path:
    """A GGUF file that says its architecture and nothing else."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    path.write_bytes(
        head + text("general.architecture") + struct.pack("<I", 8) + text(architecture)
    )
    return path


def test_gguf_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing-known|cannot be read"):
        open_text_model(f"gguf:{gguf(tmp_path / 'a.gguf', 'nothing-known')}")
    (tmp_path / "b.gguf").write_bytes(b"GGUF" + bytes(3))
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_text_model(f"gguf:{tmp_path / 'b.gguf'}")
    (tmp_path / "c.gguf").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="is no GGUF file"):
        open_text_model(f"gguf:{tmp_path / 'c.gguf'}")
    with pytest.raises(InvalidInput, match="cannot be read"):
        open_text_model(f"gguf:{tmp_path / 'd.gguf'}")


@pytest.mark.slow
def test_the_report_shows_readings_and_texts(tmp_path: Path) -> None:
    models = {"a": (tiny.network("bert"), tiny.wordpiece()),
              "b": (tiny.network("gpt2"), tiny.byte_level())}  # fmt: skip
    texts = [*TEXTS, "<script>alert(1)</script> is a text, and so is this."]
    found = samemind.compare(models, texts, tokens="mean,mean+last,words", layers=[0.5, 1.0])
    assert "read as mean + last" in repr(found)
    page = found.report(tmp_path / "report").read_text(encoding="utf-8")
    assert "Texts that drive the scores" in page
    assert "Emojis 😀" in page
    assert "mean + last" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; is a text" in page


def test_the_command_line_compares_language_models(tmp_path: Path) -> None:
    saved(tmp_path / "a", "bert")
    saved(tmp_path / "b", "gpt2")
    lines = [json.dumps({"id": f"s{i}", "text": text}) for i, text in enumerate(TEXTS)]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    models = [f"hf:{tmp_path / 'a'}", f"b=hf:{tmp_path / 'b'}"]
    options = ["--inputs", str(tmp_path / "texts.jsonl"), "--id-column", "id", "--device", "cpu"]
    as_json = CliRunner().invoke(app, ["compare", *models, *options, "--json"])
    record = json.loads(as_json.stdout)
    found = samemind.compare(models, tmp_path / "texts.jsonl", id_column="id", device="cpu")
    scores = {row["measure"]: row["score"] for row in record["scores"] if row["score"] is not None}
    expected = found.scores.set_index("measure")["score"].dropna().to_dict()
    assert len(scores) == 3
    assert scores == pytest.approx(expected, abs=1e-6)
    assert {row["name"] for row in record["driving_texts"]} <= {f"s{i}" for i in range(10)}
    wrong = CliRunner().invoke(app, ["compare", *models, *options, "--text-column", "txet"])
    assert isinstance(wrong.exception, InvalidInput)
    assert "Did you mean 'text'" in str(wrong.exception)
