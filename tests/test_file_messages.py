"""What is said of files that are no checkpoints: their kind, and a way out that works."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import re
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import samemind
from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.importing import Claims, import_checkpoint
from samemind.cli import app
from samemind.errors import SamemindError
from samemind.store.artifacts import Store

NAME = "digits_resnet"


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return ARCHITECTURES[NAME].build(10, 8).eval()


def saved(held: object = None) -> bytes:
    stream = io.BytesIO()
    torch.save(network().state_dict() if held is None else held, stream)
    return stream.getvalue()


def arrays() -> dict[str, np.ndarray]:
    return {k: v.numpy() for k, v in network().state_dict().items()}


def zipped(*names: str, content: bytes = b"{}") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as held:
        for name in names:
            held.writestr(name, content)
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as held:
        member = tarfile.TarInfo("inside.pt")
        member.size = len(saved())
        held.addfile(member, io.BytesIO(saved()))
    return stream.getvalue()


def numpy_bytes() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ones((3, 4)))
    return stream.getvalue()


def script_bytes() -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network(), torch.rand(1, 1, 8, 8)), stream)
    return stream.getvalue()


def exported_bytes() -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network(), (torch.rand(1, 1, 8, 8),)), stream)
    return stream.getvalue()


class Gift:
    """What no file of plain tensors holds."""


def load(path: str, **options) -> None:
    """Loads the digits' network, and checks that it is the one that was saved."""
    classifier = samemind.load_model(path, normalise="none", **options)
    images = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(classifier(images).logits, network()(images))


# -- what following the advice is


def as_arrays(_: str) -> None:
    """'Save the outputs … as arrays and compare those with `samemind compare --activations`'."""
    for name in "ab":
        np.save(f"{name}.npy", np.random.default_rng(ord(name)).normal(size=(20, 3)))
    words = ["compare", "--activations", "a.npy", "b.npy", "--permutations", "0"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def save_anew(_: str) -> None:
    """'Fetch it again', 'save the state_dict() there'."""
    torch.save(network().state_dict(), "a.pt")
    load("a.pt")


def trust(_: str) -> None:
    load("a.pt", trust=True)


def trust_or_run(message: str) -> None:
    """Either of two: the program itself, whose rounding may be that of another batch."""
    assert "trust=True" in message
    (file,) = (str(path) for path in Path().iterdir() if path.suffix in (".pt", ".pt2"))
    images = torch.rand(5, 1, 8, 8)
    found = samemind.load_model(file, normalise="none", trust=True)(images).logits
    assert torch.allclose(found, network()(images), atol=1e-6)
    arguments = {"trust": True, "measures": "linear_cka", "permutations": 0, "errors": False}
    compared = samemind.compare({"it": file, "own": network()}, images, **arguments)
    assert compared.scores["score"].to_list() == pytest.approx([1.0])
    run_the_statement(message)


BY_TRUST = (trust, trust_or_run)


def run_the_command(message: str) -> None:
    """The command between backticks, and then what it made."""
    before = set(Path().iterdir())
    [command] = re.findall(r"`([^`]+)`", message)
    command = command.replace("python -m", f"{sys.executable} -m")
    subprocess.run(command, shell=True, check=True, capture_output=True)
    [made] = set(Path().iterdir()) - before
    load(str(made))


def run_the_statement(message: str) -> None:
    """The statement of Python, and then the file that it writes."""
    [statement] = re.findall(r"(torch\.save\(.*'weights\.pt'\))", message)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(statement, {"torch": torch})
    load("weights.pt")


Row = tuple[str, Callable[[], bytes], str, Callable[[str], None]]
FILES: dict[str, Row] = {
    "empty": ("a.pt", lambda: b"", "it is empty", save_anew),
    "a web page": ("a.pt", lambda: b"<!DOCTYPE html><html>", "a web page", save_anew),
    "a pointer": ("a.pt", lambda: b"version https://git-lfs.github.com", "Git LFS", save_anew),
    "text": ("a.pt", lambda: b"hello", "begins with 'hello'", save_anew),
    "cut off": ("a.pt", lambda: saved()[:-40], "damaged zip file", save_anew),
    "Keras": ("a.keras", lambda: zipped("config.json", "model.weights.h5"), "a Keras", as_arrays),
    "HDF5": ("a.h5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file, as Keras", as_arrays),
    "MATLAB": ("a.mat", lambda: b"MATLAB 5.0 MAT-file" + bytes(200), "a MATLAB file", as_arrays),
    "ONNX": ("a.onnx", lambda: b"\x08\x07\x12\x07pytorch", "an ONNX file", as_arrays),
    "GGUF": ("a.gguf", lambda: b"GGUF\x03\0\0\0", "a GGUF file", as_arrays),
    "Flax": ("a.msgpack", lambda: b"\x81\xa6params", "a file of Flax", as_arrays),
    "an array": ("a.npy", numpy_bytes, "a file of NumPy arrays", as_arrays),
    "arrays": ("a.npz", lambda: zipped("a.npy", content=numpy_bytes()), "NumPy arrays", as_arrays),
    "TorchScript": ("a.pt", script_bytes, "a TorchScript archive", trust_or_run),
    "torch.export": (
        "a.pt2",
        exported_bytes,
        "a program of torch.export",
        trust_or_run,
    ),
    "a tar archive": ("a.tar", tarred, "a tar archive", run_the_command),
    "a zip archive": (
        "a.zip",
        lambda: zipped("in.pt", content=saved()),
        "a zip archive",
        run_the_command,
    ),
    "gzip": ("a.pt.gz", lambda: gzip.compress(saved()), "packed with gzip", run_the_command),
    "bzip2": ("a.pt.bz2", lambda: bz2.compress(saved()), "packed with bzip2", run_the_command),
    "xz": ("a.pt.xz", lambda: lzma.compress(saved(), preset=0), "packed with xz", run_the_command),
    "a pickle": ("a.pt", lambda: pickle.dumps({"w": arrays()}), "a Python pickle", trust),
    "objects": ("a.pt", lambda: saved({"w": arrays(), "g": Gift()}), "more than tensors", trust),
    "JSON": ("a.json", lambda: b'{"a": 1}', "a JSON file", save_anew),
    "no weights": ("a.pt", lambda: saved({"epoch": 3}), "holds no weights", save_anew),
}
SLOW = ("a pickle", "objects", "torch.export", "TorchScript")


def said_of(path: str, **options) -> str:
    """The one message about a file, which is the same in `load_model` and in `import`."""
    with pytest.raises(SamemindError) as caught:
        samemind.load_model(path, **options)
    message = str(caught.value)
    check(message)
    return message


def check(message: str) -> None:
    assert len(message) <= 1000
    assert ".." not in message.replace("…", "").replace("../", "")
    assert message.endswith((".", ")"))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in FILES]
)
def test_a_file_of_another_kind_is_named_and_the_advice_works(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, content, kind, follow = FILES[name]
    Path(file).write_bytes(content())
    message = said_of(file)
    assert kind in message
    assert ("--trust" in message) == (follow in BY_TRUST)
    done = CliRunner().invoke(
        app, ["import", file, "--dataset", "digits", "--epsilon", "0", "--store", "s"]
    )
    assert isinstance(done.exception, SamemindError)
    assert kind in str(done.exception)
    follow(message)


def test_a_folder_names_what_is_in_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("run")
    folder.mkdir()
    assert "a folder without weights" in said_of("run")
    (folder / "best.pt").write_bytes(saved())
    assert "Name one of its files: best.pt" in said_of("run")
    load("run/best.pt")
    Path("tf").mkdir()
    Path("tf/saved_model.pb").write_bytes(b"x")
    message = said_of("tf")
    assert "a folder of TensorFlow" in message
    as_arrays(message)
    Path("shards").mkdir()
    (Path("shards") / "model-00001-of-00002.safetensors").write_bytes(b"x")
    assert "one of 2 shards" in said_of("shards/model-00001-of-00002.safetensors")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_distributed_checkpoint_becomes_one_file_as_it_is_told(tmp_path, monkeypatch):
    import torch.distributed.checkpoint as dcp

    monkeypatch.chdir(tmp_path)
    dcp.save(network().state_dict(), checkpoint_id="dist", no_dist=True)
    message = said_of("dist")
    assert "a distributed checkpoint of PyTorch" in message
    run_the_command(message)


def test_the_options_that_messages_name_are_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(network().state_dict(), "a.pt")
    # Which normalisation.
    message = said_of("a.pt")
    assert "--normalise with " in message
    load("a.pt")
    # Which architecture: of another one, the one that fits is named.
    message = said_of("a.pt", architecture="digits_vgg_bn")
    [name] = re.findall(r"use --architecture (\w+)\.", message)
    load("a.pt", architecture=name)
    # Which part.
    torch.save({"student": network().state_dict(), "teacher": network().state_dict()}, "two.pt")
    message = said_of("two.pt")
    for part in re.findall(r"'(\w+)'", message):
        load("two.pt", part=part)
        load(f"two.pt::{part}")
    torch.save(
        {f"net.{k}": v for k, v in network().state_dict().items()} | {"p.weight": torch.ones(9, 9)},
        "more.pt",
    )
    [part] = re.findall(r"--part (\w+)", said_of("more.pt", architecture=NAME, normalise="none"))
    load("more.pt", architecture=NAME, part=part)
    # All that an import lacks, at once.
    with pytest.raises(SamemindError) as caught:
        import_checkpoint("a.pt", Store(tmp_path / "s"), Claims())
    check(str(caught.value))
    assert re.findall(r"--(\w+) ", str(caught.value)) == ["dataset", "epsilon", "epsilon", "norm"]
    import_checkpoint("a.pt", Store(tmp_path / "s"), Claims(dataset="digits", epsilon=0))


def test_messages_about_many_and_long_names_stay_short(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"x" * 90 + str(i): network().state_dict() for i in range(40)}, "many.pt")
    said_of("many.pt")
    said_of("many.pt", part="y" * 300)
    state = {f"{'deep.' * 30}{k}": v for k, v in network().state_dict().items()}
    torch.save(state | {f"{'q' * 200}{i}.weight": torch.ones(3, 3) for i in range(9)}, "long.pt")
    said_of("long.pt", architecture=NAME, normalise="none")
    said_of("long.pt")
    (tmp_path / "index.json").write_text("{}")
    (tmp_path / "a.index.json").write_text(json.dumps({"weight_map": {"w": "gone.bin"}}))
    said_of("a.index.json")
    done = CliRunner().invoke(app, ["init", "s.toml", "--models", "*.pt"])
    check(str(done.exception))
