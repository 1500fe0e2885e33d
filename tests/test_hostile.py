"""Bad and hostile files: a clear error or a right result, never a traceback, a hang or a bomb."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import resource
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from samemind.checkpoints.reading import read_weights
from samemind.comparing.arrays import read_arrays
from samemind.datasets import cifar10
from samemind.datasets.images import open_rgb
from samemind.errors import CheckpointError, DataError, InvalidInput, SamemindError
from samemind.study import read_study

# What libraries warn of while they read nonsense is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore")

DATA = Path(__file__).parent / "data"
GIB = 2**30


def peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


# -- files that are right, as a start


def saved(write, *arguments) -> bytes:
    held = io.BytesIO()
    write(held, *arguments)
    return held.getvalue()


def _state() -> dict[str, torch.Tensor]:
    return {"conv.weight": torch.arange(24.0).reshape(2, 3, 4), "conv.bias": torch.zeros(2)}


def _checkpoints() -> list[tuple[str, bytes]]:
    from safetensors.torch import save

    old = io.BytesIO()
    torch.save({"state_dict": _state(), "epoch": 3}, old, _use_new_zipfile_serialization=False)
    new = saved(lambda f: torch.save({"state_dict": _state(), "epoch": 3}, f))
    return [("a.pt", new), ("b.pth", old.getvalue()), ("c.safetensors", save(_state()))]


def _arrays() -> list[tuple[str, bytes]]:
    from safetensors.numpy import save
    from scipy.io import savemat

    x = np.arange(60, dtype=np.float32).reshape(5, 12)
    return [
        ("a.npy", saved(np.save, x)),
        ("a.npz", saved(lambda f: np.savez_compressed(f, logits=x, labels=np.arange(5)))),
        ("a.safetensors", save({"x": x})),
        ("a.mat", saved(lambda f: savemat(f, {"x": x}, do_compression=True))),
    ]


def _pictures() -> list[tuple[str, bytes]]:
    picture = Image.fromarray((np.arange(768) % 251).astype(np.uint8).reshape(16, 16, 3))
    return [(f"a.{kind.lower()}", saved(picture.save, kind)) for kind in ("PNG", "JPEG")]


def _batches() -> list[tuple[str, bytes]]:
    held = {b"data": np.zeros((3, 3072), np.uint8), b"labels": [1, 2, 3]}
    return [("data_batch_1", pickle.dumps(held, protocol=3))]


def _studies() -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted(DATA.glob("*.toml"))]


def read_checkpoint(path: Path) -> None:
    weights = read_weights(path)
    assert weights
    assert all(isinstance(value, torch.Tensor) for value in weights.values())


def read_numbers(path: Path) -> None:
    assert all(isinstance(value, np.ndarray) for value in read_arrays(path).values())


def read_picture(path: Path) -> None:
    assert open_rgb(path).mode == "RGB"


def read_batch(path: Path) -> None:
    # Every batch has a published digest, so that its pickle is not even looked at when it differs.
    digest = hashlib.md5(_batches()[0][1], usedforsecurity=False).hexdigest()
    assert len(cifar10.read_batch(path, digest)) == 3


def expand_study(path: Path) -> None:
    study = read_study(path)
    names = [recipe.name for stage in study.stages for recipe in stage.recipes]
    assert len(names) == len(set(names))


TARGETS = {
    "studies": (_studies, expand_study),
    "checkpoints": (_checkpoints, read_checkpoint),
    "arrays": (_arrays, read_numbers),
    "images": (_pictures, read_picture),
    "batches": (_batches, read_batch),
}

edit = st.tuples(
    st.sampled_from(["set", "cut", "insert", "double", "swap", "number"]),
    st.integers(0, 2**31),
    st.binary(min_size=1, max_size=8),
)
NUMBERS = (b"0", b"-1", b"1e308", b"nan", b"inf", b"99999999999999999999", b"[]", b'""', b"true")


def mutated(content: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    """The content with edits: bytes set, cut off, put in, repeated or exchanged; odd numbers."""
    for kind, where, what in edits:
        at = where % (len(content) + 1)
        if kind == "set":
            content = content[:at] + what + content[at + len(what) :]
        elif kind == "cut":
            content = content[:at] + content[at + what[0] :] if what[0] % 4 else content[:at]
        elif kind == "insert":
            content = content[:at] + what + content[at:]
        elif kind == "double":
            content = content[:at] + content[at : at + 64] * (1 + what[0] % 50) + content[at:]
        elif kind == "swap":
            content = content[at:] + content[:at]
        else:
            digits = [i for i, byte in enumerate(content) if 48 <= byte <= 57] or [at]
            i = digits[where % len(digits)]
            content = content[:i] + NUMBERS[what[0] % len(NUMBERS)] + content[i + 1 :]
    return content


def fuzz(target: str, folder: Path, count: int) -> int:
    """Reads so many mutated files; returns how many of them were refused."""
    make, read = TARGETS[target]
    originals = make()
    for name, content in originals:
        (folder / name).write_bytes(content)
        read(folder / name)
    refused = 0
    before = peak_memory()

    @settings(
        max_examples=count,
        deadline=20_000,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(which=st.integers(0, len(originals) - 1), edits=st.lists(edit, min_size=1, max_size=4))
    def example(which: int, edits: list[tuple[str, int, bytes]]) -> None:
        nonlocal refused
        name, content = originals[which]
        (folder / name).write_bytes(mutated(content, edits))
        try:
            read(folder / name)
        except SamemindError:
            refused += 1

    example()
    assert peak_memory() - before < 2 * GIB
    return refused


@pytest.mark.parametrize("target", TARGETS)
def test_mutated_files_are_refused_or_read_rightly(target: str, tmp_path: Path):
    assert fuzz(target, tmp_path, 40) > 0


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_many_mutated_files_are_refused_or_read_rightly(target: str, tmp_path: Path):
    assert fuzz(target, tmp_path, 400) > 100


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
    held = {"state_dict": _state(), "extra": Payload(made)}
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


def zip_bomb(path: Path, name: str, size: int) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb,
        bomb.open(name, "w", force_zip64=True) as member,
    ):
        header = saved(
            np.lib.format.write_array_header_1_0,
            {
                "descr": "|u1",
                "fortran_order": False,
                "shape": (size,),
            },
        )
        member.write(header)
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))


@pytest.mark.slow
def test_a_decompression_bomb_of_arrays_is_refused_before_it_fills_the_memory(tmp_path):
    path = tmp_path / "bomb.npz"
    zip_bomb(path, "a.npy", 3 * GIB)
    assert path.stat().st_size < 10 << 20
    before = peak_memory()
    with pytest.raises(InvalidInput, match="unpack"):
        read_arrays(path)
    assert peak_memory() - before < GIB


@pytest.mark.slow
def test_a_decompression_bomb_of_weights_is_refused_before_it_fills_the_memory(tmp_path):
    sound, path = tmp_path / "sound.pt", tmp_path / "bomb.pt"
    torch.save({"w": torch.zeros(10)}, sound)
    with (
        zipfile.ZipFile(sound) as held,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in held.namelist():
            with bomb.open(name, "w", force_zip64=True) as member:
                member.write(held.read(name))
                if "/data/" in name:
                    for _ in range(3 << 10):
                        member.write(bytes(1 << 20))
    before = peak_memory()
    with pytest.raises(CheckpointError, match="unpack"):
        read_weights(path)
    assert peak_memory() - before < GIB


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


def test_an_hdf5_array_that_is_far_larger_than_its_file_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", shape=(10**9, 1000), dtype="f4", chunks=(1000, 1000))
    with pytest.raises(InvalidInput, match="unpack"):
        read_arrays(path)


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 100_000, "a = " + "9" * 10_000, "x." * 50_000 + "y = 1", "\x00", "a = 1\r"],
)
def test_study_files_that_break_readers_are_refused(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        read_study(path)
