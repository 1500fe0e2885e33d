"""Bad and hostile files: a clear error or a right result, never a traceback, a hang or a bomb."""

from __future__ import annotations

import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fuzzing
from fuzz_targets import TARGETS, saved, state
from fuzzing import at_most
from samemind.checkpoints.reading import read_weights
from samemind.datasets.images import FileSplit, ImageSize, open_rgb
from samemind.errors import CheckpointError, DataError, InvalidInput
from samemind.inputs.arrays import read_arrays
from samemind.inputs.images import Images
from samemind.study import read_study

# What libraries warn of while they read nonsense is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore")

GIB = 2**30


def peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


# -- files that are right, as a start


# -- files with anything changed in them


def fuzzed(count: int, *targets: str) -> list[dict[str, Any]]:
    """What `tests/fuzzing.py` tells of each target, from a process of its own."""
    asked = [sys.executable, fuzzing.__file__, "--count", str(count), *targets]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-3000:]
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_mutated_files_of_every_kind_are_refused_or_read_rightly():
    told = fuzzed(15)
    assert [t["target"] for t in told] == list(TARGETS)
    for found in told:
        assert found["reached"] >= 7, found
        # A resume state is only ever a help: a bad one is left alone without an error.
        assert found["refused"] > 0 or found["target"] == "resume", found


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_many_mutated_files_are_refused_or_read_rightly(target: str):
    (found,) = fuzzed(400, target)
    assert found["reached"] >= 200, found
    assert found["files"] > found["refused"], "none was right, so reading went nowhere"


# -- hostile ones


class Payload:
    """Unpickled, it writes a file."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def __reduce__(self):
        return os.mkdir, (self.file,)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_checkpoint_that_would_execute_code_is_refused_and_executes_none(tmp_path, is_zip):
    made, path = tmp_path / "made", tmp_path / "model.pt"
    held = {"state_dict": state(), "extra": Payload(made)}
    torch.save(held, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        read_weights(path)
    assert not made.exists()
    torch.load(path, weights_only=False)  # the payload is a real one
    assert made.exists()


@pytest.mark.parametrize("ending", ["npy", "npz", "mat"])
def test_arrays_that_would_execute_code_are_refused_and_execute_none(tmp_path, ending):
    made, path = tmp_path / "made", tmp_path / f"a.{ending}"
    objects = np.array([Payload(made)], dtype=object)
    if ending == "npy":
        np.save(path, objects, allow_pickle=True)
    elif ending == "npz":
        np.savez(path, a=objects)
    else:
        path.write_bytes(pickle.dumps(Payload(made)))
    with pytest.raises(InvalidInput):
        read_arrays(path)
    assert not made.exists()


def png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [20_000, 100_000, 2**31 - 1])
def test_an_image_with_an_enormous_header_is_refused(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side, bytes(1000)))
    before = peak_memory()
    with pytest.raises(DataError, match=r"bomb\.png cannot be read"):
        open_rgb(path)
    assert peak_memory() - before < GIB


@pytest.mark.parametrize("sides", [(1, 60_000), (60_000, 1), (9_000, 9_000)])
def test_an_image_that_would_be_enormous_at_its_size_is_refused(tmp_path, sides):
    path = tmp_path / "long.png"
    Image.new("L", sides).save(path)
    split = FileSplit((path,), np.zeros(1, np.int64), ImageSize(resize=255, crop=224))
    images = Images(name="mine", source=[path], indices=np.arange(1))
    for read in (lambda: split.read([0]), lambda: images.read([0], size=224, crop=1, channels=1)):
        with at_most(600), pytest.raises(DataError, match=r"long\.png cannot be read"):
            read()


def test_of_large_images_threads_decode_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    path = tmp_path / "large.png"
    Image.new("RGB", (3000, 3000)).save(path)
    split = FileSplit((path,) * 8, np.zeros(8, np.int64), ImageSize(resize=255, crop=224))
    split.read([0])
    # Each takes 36 MB to decode and as much to convert; eight at once would take 550.
    with at_most(200):
        assert split.read(range(8)).shape == (8, 3, 224, 224)


@pytest.mark.parametrize("ending", ["npy", "safetensors"])
def test_enormous_headers_are_refused(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    if ending == "npy":
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 10**3)}
        path.write_bytes(saved(np.lib.format.write_array_header_1_0, header) + bytes(100))
    else:
        path.write_bytes(struct.pack("<Q", 2**62) + b"{" * 1000)
    before = peak_memory()
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_arrays(path)
    assert peak_memory() - before < GIB


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 100_000, "a = " + "9" * 10_000, "x." * 50_000 + "y = 1", "\x00", "a = 1\r"],
)
def test_study_files_that_break_readers_are_refused(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        read_study(path)
