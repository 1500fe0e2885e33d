"""Archives and containers: bombs, and members that reach outside of their file, are refused."""

from __future__ import annotations

import ast
import io
import os
import pickle
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import samemind
from fuzz_targets import mat_5, saved, state, zip_of
from fuzzing import at_most
from samemind.checkpoints.reading import read_weights
from samemind.errors import CheckpointError, InvalidInput, SamemindError, StoreError
from samemind.files.matlab import read_mat5
from samemind.inputs.arrays import read_arrays
from samemind.store.artifacts import Artifact

GIB = 2**30


# -- members that are no plain files of the archive


def zip_with(path: Path, name: str, kind: int, content: bytes) -> None:
    """A zip file of a sound array, weights and a member of some kind, as Info-ZIP writes it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", saved(np.save, np.zeros(3)))
        member = zipfile.ZipInfo(name)
        member.create_system = 3
        member.external_attr = (kind | 0o644) << 16
        archive.writestr(member, content)


MEMBERS = {
    "a symbolic link": ("link.npy", stat.S_IFLNK, "is a link or a device"),
    "a device": ("null.npy", stat.S_IFCHR, "is a link or a device"),
    "a pipe": ("pipe.npy", stat.S_IFIFO, "is a link or a device"),
    "one above": ("../a.npy", stat.S_IFREG, "lies outside of the archive"),
    "one above, hidden": ("a/../../b.npy", stat.S_IFREG, "lies outside of the archive"),
    "one above, of Windows": ("..\\a.npy", stat.S_IFREG, "lies outside of the archive"),
    "the root": ("/etc/passwd", stat.S_IFREG, "lies outside of the archive"),
    "a drive": ("C:\\a.npy", stat.S_IFREG, "lies outside of the archive"),
}


@pytest.mark.parametrize("what", MEMBERS)
@pytest.mark.parametrize("ending", ["npz", "pt"])
def test_zip_members_that_are_links_or_lie_outside_are_refused(tmp_path, ending, what):
    name, kind, said = MEMBERS[what]
    path = tmp_path / f"a.{ending}"
    zip_with(path, name, kind, b"/etc/passwd")
    with pytest.raises((InvalidInput, CheckpointError), match=said):
        (read_arrays if ending == "npz" else read_weights)(path)


def tar_with(path: Path, name: str, kind: bytes, target: str) -> None:
    """A checkpoint as torch wrote them before 2017, a tar file, with a member of some kind."""
    with tarfile.open(path, "w") as archive:
        for part in ("sys_info", "pickle", "storages", "tensors"):
            member = tarfile.TarInfo(part)
            content = pickle.dumps({"protocol_version": 1000})
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        if kind == tarfile.REGTYPE:
            member.size = 3
        archive.addfile(member, io.BytesIO(b"bad") if kind == tarfile.REGTYPE else None)


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("../outside", tarfile.REGTYPE, ""),
        ("{}/outside", tarfile.REGTYPE, ""),
        ("storages", tarfile.SYMTYPE, "/etc/passwd"),
        ("storages", tarfile.LNKTYPE, "../outside"),
        ("storages", tarfile.CHRTYPE, ""),
        ("storages", tarfile.FIFOTYPE, ""),
    ],
)
@pytest.mark.parametrize("ending", ["pt", "tar", "npz", "npy", "mat", "h5", "safetensors"])
def test_tar_files_are_refused_whatever_is_in_them(tmp_path, ending, name, kind, target):
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / f"a.{ending}"
    tar_with(path, name.format(tmp_path), kind, target)
    with pytest.raises(SamemindError, match=r"cannot be read|is of no kind|has no arrays"):
        (read_weights if ending in ("pt", "tar") else read_arrays)(path)
    assert [f.name for f in tmp_path.rglob("*")] == ["in", path.name]


def test_no_archive_is_ever_unpacked_to_the_disk():
    banned = {"extract", "extractall", "unpack_archive", "extract_archive"}
    for file in Path(samemind.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = getattr(node, "attr", getattr(node, "id", ""))
            assert name not in banned, f"{file}:{node.lineno} unpacks an archive"


@pytest.mark.parametrize("ending", ["npz", "pt"])
def test_a_damaged_zip_file_is_not_left_to_readers_that_are_more_lenient(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(zip_of(saved(np.save, np.zeros(3)), "a.npy")[:-30])
    with pytest.raises((InvalidInput, CheckpointError), match="is a damaged zip file"):
        (read_arrays if ending == "npz" else read_weights)(path)


def test_a_zip_file_that_is_called_npy_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(zip_of(saved(np.save, np.zeros(3)), "a.npy"))
    with pytest.raises(InvalidInput, match="not an array"):
        read_arrays(path)


# -- bombs in zip files and of torch


def zip_bomb(path: Path, name: str, size: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb,
        bomb.open(name, "w", force_zip64=True) as member,
    ):
        member.write(saved(np.lib.format.write_array_header_1_0, header))
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))


@pytest.mark.slow
def test_a_decompression_bomb_of_arrays_is_refused_before_it_fills_the_memory(tmp_path):
    path = tmp_path / "bomb.npz"
    zip_bomb(path, "a.npy", 3 * GIB)
    assert path.stat().st_size < 10 << 20
    with at_most(100), pytest.raises(InvalidInput, match="unpack"):
        read_arrays(path)


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
    with at_most(100), pytest.raises(CheckpointError, match="unpack"):
        read_weights(path)


@pytest.mark.parametrize("is_zip", [True, False])
def test_weights_that_repeat_one_number_endlessly_are_refused(tmp_path, is_zip):
    path = tmp_path / "a.pt"
    endless = torch.zeros(1).expand(10**6, 10**6)
    torch.save({"w": endless}, path, _use_new_zipfile_serialization=is_zip)
    assert path.stat().st_size < 10_000
    with at_most(100), pytest.raises(CheckpointError, match="unpack"):
        read_weights(path)


@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_weights_that_are_sparse_are_refused(tmp_path):
    path = tmp_path / "a.pt"
    torch.save(state() | {"w": torch.eye(3).to_sparse()}, path)
    with pytest.raises(CheckpointError, match=r"'w' in .* is sparse, quantised or without numbers"):
        read_weights(path)


# -- MAT


def element(kind: int, content: bytes, declared: int | None = None) -> bytes:
    size = len(content) if declared is None else declared
    return struct.pack("<II", kind, size) + content + bytes(-len(content) % 8)


def matrix(name: str, mclass: int, sides: tuple[int, ...], data: bytes) -> bytes:
    """An element of a MAT file of version 5: class 1 is a cell array, 2 a struct, 6 doubles."""
    inside = element(6, struct.pack("<II", mclass, 0)) + element(5, struct.pack("<ii", *sides))
    return element(14, inside + element(1, name.encode()) + data)


BOMBS = {
    "cells without end": matrix("c", 1, (2**30, 4), b""),
    "structs without end": matrix("s", 2, (2**30, 4), element(5, struct.pack("<i", 8))),
    "numbers without end": matrix("x", 6, (2**30, 4), element(9, bytes(8), 2**32 - 8)),
    "few numbers, and data without end": matrix("x", 6, (1, 1), element(9, bytes(8), 2**32 - 8)),
}


@pytest.mark.parametrize("what", BOMBS)
@pytest.mark.parametrize("is_compressed", [True, False])
def test_mat_files_that_declare_more_than_they_hold_take_no_memory(tmp_path, what, is_compressed):
    path = tmp_path / "a.mat"
    sound = matrix("y", 6, (1, 2), element(9, struct.pack("<dd", 1, 2)))
    plain = mat_5()
    bomb = BOMBS[what]
    path.write_bytes(mat_5(sound, bomb) if is_compressed else plain + sound + bomb)
    with at_most(200):
        if "cells" in what or "structs" in what:  # are not read at all
            assert read_arrays(path)["y"].tolist() == [[1, 2]]
        else:
            with pytest.raises(InvalidInput, match=r"unpack|cannot be read as a MAT file"):
                read_arrays(path)


@pytest.mark.slow
def test_a_decompression_bomb_in_a_mat_file_is_refused_before_it_fills_the_memory(tmp_path):
    path = tmp_path / "a.mat"
    # Two numbers, says the head; behind it come three gigabytes, in ten thousandth of that.
    head = matrix("x", 6, (1, 1), struct.pack("<II", 9, 3 * GIB))
    pack = zlib.compressobj(9)
    packed = pack.compress(struct.pack("<II", 14, 2**32 - 8) + head[8:])
    packed += b"".join(pack.compress(bytes(1 << 20)) for _ in range(3 << 10)) + pack.flush()
    path.write_bytes(mat_5() + struct.pack("<II", 15, len(packed)) + packed)
    assert path.stat().st_size < 10 << 20
    with at_most(100), pytest.raises(InvalidInput, match="unpack"):
        read_arrays(path)


def test_a_mat_file_of_every_version_gives_its_numbers_and_only_them(tmp_path):
    from scipy.io import savemat

    held = {"x": np.arange(6.0).reshape(2, 3), "n": np.arange(3, dtype=np.int16)[None]}
    more = {"words": "two", "cells": np.array([[1, "a"]], dtype=object), "flag": np.array([[True]])}
    for options in ({"format": "4"}, {}, {"do_compression": True}):
        path = tmp_path / "a.mat"
        savemat(path, held | ({} if "format" in options else more), **options)
        found = read_arrays(path)
        assert {"x", "n"} <= set(found) <= {"x", "n", "flag"}
        for name, array in held.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("is_compressed", [True, False])
def test_mat_files_are_read_as_scipy_reads_them(tmp_path, is_compressed):
    from scipy.io import loadmat, savemat

    rng = np.random.default_rng(0)
    held = {
        f"{kind}{len(shape)}_{i}": (100 * rng.random(shape)).astype(kind)
        for kind in ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
        for i, shape in enumerate([(1, 1), (1, 3), (3, 2), (4, 3, 2), (0, 5), (2, 3, 4, 5)])
    }
    more = {
        "word": "größer",
        "complex": np.array([[1 + 2j]]),
        "cells": np.array([[1.5, "a"]], dtype=object),
        "made": {"a": np.arange(3.0), "b": {"c": "deep"}},
    }
    path = tmp_path / "a.mat"
    savemat(path, held | more, do_compression=is_compressed)
    theirs, ours = loadmat(path), read_mat5(path)
    assert set(ours) == set(held)
    for name in held:
        assert ours[name].dtype == theirs[name].dtype
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert set(read_mat5(path, ["u12_0", "word"])) == {"u12_0"}
    told = read_mat5(path, more, only_numbers=False)
    assert told["word"] == "größer"
    assert told["cells"] == [np.array([[1.5]]), "a"]
    assert told["made"][0]["a"].tolist() == [[0, 1, 2]]
    assert told["made"][0]["b"] == [{"c": "deep"}]
    assert "complex" not in told


def test_a_mat_file_of_a_machine_of_the_other_byte_order_is_read(tmp_path):
    path = tmp_path / "a.mat"
    data = np.array([1.5, 2.5], ">f8").tobytes()
    words = [(6, np.array([6, 0], ">u4")), (5, np.array([1, 2], ">i4"))]
    inside = b"".join(struct.pack(">II", kind, 8) + array.tobytes() for kind, array in words)
    inside += struct.pack(">HH4s", 1, 1, b"x") + struct.pack(">II", 9, 16) + data
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    path.write_bytes(head + struct.pack(">II", 14, len(inside)) + inside)
    assert read_arrays(path)["x"].tolist() == [[1.5, 2.5]]


def test_cells_that_lie_in_one_another_without_end_are_refused(tmp_path):
    held = matrix("x", 6, (1, 1), element(9, bytes(8)))
    for _ in range(500):
        held = matrix("c", 1, (1, 1), held)
    path = tmp_path / "a.mat"
    path.write_bytes(mat_5(held))
    with pytest.raises(InvalidInput, match="20 deep"):
        read_mat5(path, only_numbers=False)


# -- HDF5


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py")


def test_an_hdf5_array_that_is_far_larger_than_its_file_is_refused(h5py, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", shape=(10**9, 1000), dtype="f4", chunks=(1000, 1000))
    with pytest.raises(InvalidInput, match="unpack"):
        read_arrays(path)


def test_many_hdf5_arrays_that_together_are_far_larger_than_their_file_are_refused(h5py, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for i in range(20):
            file.create_dataset(f"x{i}", shape=(10**5, 1000), dtype="f4", fillvalue=1)
    with at_most(200), pytest.raises(InvalidInput, match="unpack"):
        read_arrays(path)


def test_an_hdf5_chunk_that_is_far_larger_than_its_array_is_refused(h5py, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10,), "f4", chunks=(2**29,), maxshape=(None,), compression="gzip")
    with at_most(200), pytest.raises(InvalidInput, match="unpack"):
        read_arrays(path)


def test_an_hdf5_array_that_lies_in_another_file_is_refused(h5py, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(24)))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(6)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (24,), "u1", external=[(str(secret), 0, 24)])
    with h5py.File(tmp_path / "b.h5", "w") as file:
        layout = h5py.VirtualLayout((6,), "i8")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", (6,))
        file.create_virtual_dataset("x", layout)
    for name in "ab":
        with pytest.raises(InvalidInput, match="lies in other files"):
            read_arrays(tmp_path / f"{name}.h5")


def test_hdf5_links_to_other_files_are_not_followed(h5py, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(6)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "x")
        file["gone"] = h5py.SoftLink("/nowhere")
        file["y"] = np.arange(3)
    assert list(read_arrays(tmp_path / "a.h5")) == ["y"]


def test_an_hdf5_array_that_is_compressed_twice_is_refused(h5py, tmp_path):
    path = tmp_path / "a.h5"
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((1000,))
    plan.set_deflate(9)
    plan.set_deflate(9)
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((1000,))
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_FLOAT, space, plan)
    with pytest.raises(InvalidInput, match="is compressed twice"):
        read_arrays(path)


@pytest.mark.slow
def test_an_hdf5_chunk_that_unpacks_to_more_than_it_holds_is_refused(h5py, tmp_path):
    path = tmp_path / "a.h5"
    pack = zlib.compressobj(9)
    packed = b"".join(pack.compress(bytes(1 << 20)) for _ in range(3 << 10)) + pack.flush()
    with h5py.File(path, "w") as file:
        made = file.create_dataset("x", (1000,), "f4", chunks=(1000,), compression="gzip")
        made.id.write_direct_chunk((0,), packed)
    assert path.stat().st_size < 10 << 20
    with at_most(200), pytest.raises(InvalidInput, match="would unpack to more than the 4,000"):
        read_arrays(path)


# -- tables


def test_a_table_of_endless_rows_is_refused(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "scores.parquet"
    rows = pa.table({"score": pa.nulls(1 << 28)})
    parquet.write_table(rows, path, row_group_size=1 << 26)
    assert path.stat().st_size < 1 << 20
    with at_most(200), pytest.raises(StoreError, match=r"scores\.parquet .* would unpack"):
        Artifact(tmp_path).table("scores.parquet")


def test_memory_is_really_measured():
    with pytest.raises(AssertionError, match="MiB"), at_most(50):
        np.ones(100 << 20, np.uint8)
    with at_most(50):
        os.urandom(1 << 20)
