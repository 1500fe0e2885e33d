"""Files of every kind that samemind reads, sound ones, and what reads them; for fuzzing."""

from __future__ import annotations

import hashlib
import importlib
import io
import pickle
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from samemind.checkpoints.reading import read_weights
from samemind.datasets import cifar10, fashion_mnist, sat6
from samemind.datasets._validation_labels import validation_labels
from samemind.datasets.imagenet import imagenet_names
from samemind.datasets.images import ImageSize, decoded
from samemind.execution.on_slurm import OnSlurm
from samemind.inputs.arrays import read_activations, read_arrays
from samemind.inputs.images import open_images
from samemind.inputs.labels import read_labels
from samemind.store.artifacts import Artifact, Recipe, Store
from samemind.store.inventory import Inventory
from samemind.store.resume import ResumeState
from samemind.study import read_study

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Sample:
    """A file that is right: `pack` makes it of `content`, which is what is mutated."""

    name: str
    content: bytes
    pack: Callable[[bytes], bytes] = bytes
    beside: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Files, what reads them, and the parsers that a file must come to to count as read."""

    samples: Callable[[], list[Sample]]
    read: Callable[[Path], object]
    parsers: tuple[str, ...]


def saved(write: Callable, *arguments: object) -> bytes:
    """What a function writes into a stream."""
    held = io.BytesIO()
    write(held, *arguments)
    return held.getvalue()


def written(write: Callable[[Path], object], name: str) -> bytes:
    """What a function writes into a file of this name."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


# -- files that are right


def state() -> dict[str, torch.Tensor]:
    return {"conv.weight": torch.arange(24.0).reshape(2, 3, 4), "conv.bias": torch.zeros(2)}


def zip_of(content: bytes, name: str, beside: Mapping[str, bytes] | None = None) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for other, inner in {name: content, **(beside or {})}.items():
            archive.writestr(other, inner)
    return held.getvalue()


def of_header(header: bytes, data: bytes) -> bytes:
    """A safetensors file of a header of any content, with its right length."""
    return len(header).to_bytes(8, "little") + header + data


def _safetensors(content: bytes, name: str) -> Sample:
    length = int.from_bytes(content[:8], "little")
    data = content[8 + length :]
    return Sample(name, content[8 : 8 + length], lambda header: of_header(header, data))


def _checkpoints() -> list[Sample]:
    from safetensors.torch import save

    held = {"state_dict": state(), "epoch": 3}
    new = saved(lambda f: torch.save(held, f))
    old = saved(lambda f: torch.save(held, f, _use_new_zipfile_serialization=False))
    with zipfile.ZipFile(io.BytesIO(new)) as archive:
        inner = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in inner if name.endswith("data.pkl"))
    pickled = inner.pop(name)
    return [
        Sample("a.pt", new),
        Sample("b.pth", old),
        Sample("c.safetensors", save(state())),
        Sample("d.pt", pickled, lambda content: zip_of(content, name, inner)),
        _safetensors(save(state()), "e.safetensors"),
    ]


NUMBERS = np.arange(60, dtype=np.float32).reshape(5, 12)


def _arrays() -> list[Sample]:
    from safetensors.numpy import save

    packed = saved(lambda f: np.savez_compressed(f, logits=NUMBERS, labels=np.arange(5)))
    return [
        Sample("a.npy", saved(np.save, NUMBERS)),
        Sample("a.npz", packed),
        Sample("b.npz", saved(np.save, NUMBERS), lambda content: zip_of(content, "logits.npy")),
        Sample("a.safetensors", save({"x": NUMBERS})),
        _safetensors(save({"x": NUMBERS}), "b.safetensors"),
        Sample("labels.npy", saved(np.save, np.arange(5))),
        Sample("labels.txt", b"0\n1\n2\n3\n4\n"),
        Sample("images.npy", saved(np.save, np.zeros((2, 3, 4, 4), np.uint8))),
    ]


def _write_hdf5(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("logits", data=NUMBERS, chunks=(2, 5), compression="gzip")
        file.create_dataset("layer4/out", data=NUMBERS, chunks=(5, 12), shuffle=True)
        file.create_dataset("labels", data=np.arange(5))
        file["linked"] = h5py.SoftLink("/labels")
        file.attrs["from"] = "a test"


def _hdf5() -> list[Sample]:
    content = written(_write_hdf5, "a.h5")
    return [Sample("a.h5", content), Sample("b.mat", b"MATLAB 7.3".ljust(512) + content)]


def mat_5(*contents: bytes) -> bytes:
    """A MAT file of version 5 whose elements are compressed and hold these contents."""
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    packed = [zlib.compress(content) for content in contents]
    words = [np.array([15, len(part)], "<u4").tobytes() + part for part in packed]
    return head + b"".join(words)


def _element(name: str, array: np.ndarray) -> bytes:
    from scipy.io import savemat

    return saved(lambda f: savemat(f, {name: array}))[128:]


def _mats() -> list[Sample]:
    from scipy.io import savemat

    held = {"x": NUMBERS, "c": np.array([[1, "two"]], dtype=object)}
    return [
        Sample("a.mat", saved(lambda f: savemat(f, held, do_compression=True))),
        Sample("b.mat", saved(lambda f: savemat(f, held))),
        Sample("c.mat", _element("x", NUMBERS), mat_5),
        Sample("d.mat", saved(lambda f: savemat(f, {"x": NUMBERS}, format="4"))),
    ]


def png(content: bytes) -> bytes:
    """A PNG of chunks (each four letters and its content) with their right check sums."""
    chunks = []
    for part in content.split(b"|"):
        check = zlib.crc32(part).to_bytes(4, "big")
        chunks.append(max(0, len(part) - 4).to_bytes(4, "big") + part + check)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _pictures() -> list[Sample]:
    picture = Image.fromarray((np.arange(768) % 251).astype(np.uint8).reshape(16, 16, 3))
    kinds = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
    header = bytes([0, 0, 0, 16, 0, 0, 0, 16, 8, 2, 0, 0, 0])
    rows = zlib.compress(bytes(16 * 49)).replace(b"|", b"")
    return [
        *(Sample(f"a.{kind.lower()}", saved(picture.save, kind)) for kind in kinds),
        Sample("b.png", b"IHDR" + header + b"|IDAT" + rows + b"|IEND", png),
    ]


def _batches() -> list[Sample]:
    held = {b"data": np.zeros((3, 3072), np.uint8), b"labels": [1, 2, 3]}
    return [Sample("data_batch_1", pickle.dumps(held, protocol=p)) for p in (3, 4)]


def _idx() -> list[Sample]:
    def file(*shape: int) -> bytes:
        content = np.arange(np.prod(shape)).astype(np.uint8).tobytes()
        return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + content

    return [Sample("images", file(3, 4, 4)), Sample("labels", file(3))]


def _tiles() -> list[Sample]:
    pixels = (np.arange(3 * 28 * 28 * 4) % 251).reshape(3, -1)
    rows = "\n".join(",".join(map(str, row)) for row in pixels).encode()
    one_hot = b"1,0,0,0,0,0\n0,1,0,0,0,0\n0,0,0,0,0,1\n"
    return [
        Sample("X_test_sat6.csv", rows, beside={"y_test_sat6.csv": one_hot}),
        Sample("y_test_sat6.csv", one_hot, beside={"X_test_sat6.csv": rows}),
    ]


def _tiles_as_mat() -> list[Sample]:
    import h5py
    from scipy.io import savemat

    held = {
        "test_x": (np.arange(28 * 28 * 4 * 3) % 251).astype(np.uint8).reshape(28, 28, 4, 3),
        "test_y": np.eye(6, 3, dtype=np.uint8),
    }

    pixels, labels = (_element(*item) for item in held.items())

    def hdf5(path: Path) -> None:
        with h5py.File(path, "w") as file:
            for name, array in held.items():
                file.create_dataset(name, data=array.T, compression="gzip")

    return [
        Sample("a.mat", saved(lambda f: savemat(f, held, do_compression=True))),
        Sample("b.mat", labels, lambda content: mat_5(content, pixels)),
        Sample("c.mat", b"MATLAB 7.3".ljust(512) + written(hdf5, "c.h5")),
    ]


def _labels() -> list[Sample]:
    from scipy.io import savemat

    ids = list(imagenet_names())
    synsets = np.zeros(3, dtype=[("ILSVRC2012_ID", "i4"), ("WNID", object)])
    synsets["ILSVRC2012_ID"], synsets["WNID"] = [1, 2, 3], ids[:3]
    meta = saved(lambda f: savemat(f, {"synsets": synsets}))
    truth = "ILSVRC2012_validation_ground_truth.txt"
    csv = "ImageId,PredictionString\n" + "".join(f"im{i},{ids[i]} 1 2 3 4\n" for i in range(3))
    return [
        Sample("LOC_val_solution.csv", csv.encode()),
        Sample("val.txt", b"im0.JPEG 0\nim1.JPEG 1\nim2.JPEG 2\n"),
        Sample("imagenet_2012_validation_synset_labels.txt", "\n".join(ids[:3]).encode()),
        Sample(truth, b"1\n2\n3\n", beside={"meta.mat": meta}),
        Sample("meta.mat", meta, beside={truth: b"1\n2\n3\n"}),
    ]


def _studies() -> list[Sample]:
    shipped = importlib.resources.files("samemind") / "studies"
    files = [*sorted(DATA.glob("*.toml")), *(Path(str(f)) for f in shipped.iterdir())]
    return [Sample(f.name, f.read_bytes()) for f in files if f.suffix == ".toml"]


def _tables() -> list[Sample]:
    import pandas as pd
    from safetensors.numpy import save

    table = pd.DataFrame({"model_a": ["a", "b"], "score": [0.5, None], "n_inputs": [10, 10]})
    plain = {"compression": None}
    return [
        Sample("scores.parquet", saved(lambda f: table.to_parquet(f, index=False))),
        Sample("plain.parquet", saved(lambda f: table.to_parquet(f, index=False, **plain))),
        Sample("inputs.safetensors", save({"images": NUMBERS})),
        _safetensors(save({"images": NUMBERS}), "header.safetensors"),
        Sample("evaluation.json", b'{"clean_accuracy": 0.9, "by_class": [1, 2]}'),
    ]


@dataclass(frozen=True, kw_only=True)
class Thing(Recipe):
    """What the store of the fuzzer holds."""

    kind = "things"
    size: int


def _store() -> list[Sample]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        with store.create(Thing(size=1)) as draft:
            draft.write_arrays("data.safetensors", {"x": NUMBERS})
        path = store.path(Thing(size=1))
        held = {f.name: f.read_bytes() for f in path.iterdir()}
        assert store.leases.take("things/new") is not None
        lease = next((store.root / "leases").iterdir()).read_bytes()
    jobs = b'{"things/new": "12_0", "things/old": "12_1"}'
    described = ("recipe.json", "checksums.json", "made.json")
    return [
        *(Sample(n, held[n], beside={k: v for k, v in held.items() if k != n}) for n in described),
        Sample("lease", lease),
        Sample("lease", lease[12:], lambda content: b"0" * 12 + content),
        Sample("submitted.json", jobs),
    ]


def _resume() -> list[Sample]:
    content = saved(lambda f: torch.save({"weights": torch.arange(9.0), "epoch": 2}, f))
    digest = hashlib.sha256(content).hexdigest().encode()

    def sealed(content: bytes) -> bytes:
        return hashlib.sha256(content).hexdigest().encode() + b"\n" + content

    return [Sample("state.pt", digest + b"\n" + content), Sample("state.pt", content, sealed)]


# -- what reads them


def _read_checkpoint(path: Path) -> None:
    weights = read_weights(path)
    assert weights
    assert all(isinstance(value, torch.Tensor) for value in weights.values())


def _read_numbers(path: Path) -> None:
    if path.name.startswith("labels"):
        assert read_labels(path).dtype == np.int64
    elif path.name.startswith("images"):
        open_images(str(path)).read([0], size=8, crop=1, channels=3)
    else:
        assert all(isinstance(value, np.ndarray) for value in read_arrays(path).values())
        for held in read_activations([f"mine={path}"]).values():
            assert all(values.ndim == 2 and values.size for values in held.values())


def _read_picture(path: Path) -> None:
    pixels = np.asarray(decoded(path, then=ImageSize(resize=9, crop=8).apply))
    assert pixels.shape == (8, 8, 3)


def _read_batch(path: Path) -> None:
    # Every batch has a published digest, so that the pickle of another is not even looked at;
    # what is behind the digest must hold all the same.
    cifar10.read_arrays(path.read_bytes(), path)


def _read_idx(path: Path) -> None:
    found = fashion_mnist.read_idx(path)
    assert found.size + 4 + 4 * found.ndim == path.stat().st_size


def _read_tiles(path: Path) -> None:
    folder = path.parent
    images, one_hot = sat6.read_csv(folder / "X_test_sat6.csv", folder / "y_test_sat6.csv")
    assert images.shape[1:] == (28, 28, 4)
    assert one_hot.shape[1:] == (6,)


def _read_tiles_as_mat(path: Path) -> None:
    images, one_hot = sat6.read_mat(path, "test")
    assert images.shape[1:] == (28, 28, 4)
    assert one_hot.ndim == 2


def _read_labels(path: Path) -> None:
    images = [path.parent / f"im{i}.JPEG" for i in range(3)]
    ids = tuple(imagenet_names())
    assert set(validation_labels(images, [path.parent], ids)) <= set(ids)


def _read_study(path: Path) -> None:
    study = read_study(path)
    names = [recipe.name for stage in study.stages for recipe in stage.recipes]
    assert len(names) == len(set(names))


def _read_table(path: Path) -> None:
    held = Artifact(path.parent)
    reader = {".parquet": held.table, ".json": held.json}.get(path.suffix, held.arrays)
    reader(path.name)


def _read_store(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        if path.name == "lease":
            (store.root / "leases").mkdir()
            (store.root / "leases" / "things-new").write_bytes(path.read_bytes())
            for record in store.leases.in_work().values():
                time.strftime("%Y", time.localtime(record["since"]))
            store.leases.is_free("things/new")
            store.leases.take("things/new")
            store.leases.sweep()
        elif path.name == "submitted.json":
            (store.root / path.name).write_bytes(path.read_bytes())
            assert all(OnSlurm(store.root, engine="local")._written().values())
        else:
            place = store.path(Thing(size=1))
            place.mkdir(parents=True)
            for file in path.parent.iterdir():
                (place / file.name).write_bytes(file.read_bytes())
            inventory = Inventory(store)
            for entry in inventory.entries.values():
                inventory.made_of(entry)
                inventory.needed_by(entry)
            store.open(Thing(size=1))  # damaged, or only white space was changed: never silent
            raise AssertionError("a change of an artifact was not found")


def _read_resume(path: Path) -> None:
    ResumeState(path.parent, every=0).load()


TARGETS = {
    "studies": Target(_studies, _read_study, ("tomllib:loads",)),
    "checkpoints": Target(
        _checkpoints, _read_checkpoint,
        ("torch:load", "safetensors.torch:load_file", "zipfile:ZipFile"),
    ),
    "arrays": Target(
        _arrays, _read_numbers,
        ("numpy:load", "numpy:loadtxt", "safetensors:safe_open", "zipfile:ZipFile"),
    ),
    "hdf5": Target(_hdf5, _read_numbers, ("h5py:File",)),
    "mat": Target(_mats, _read_numbers, ("scipy.io:whosmat", "samemind.files.matlab:_arrays")),
    "images": Target(_pictures, _read_picture, ("PIL.Image:open",)),
    "batches": Target(_batches, _read_batch, ("samemind.datasets.cifar10:ArraysOnly",)),
    "idx": Target(_idx, _read_idx, ("math:prod",)),
    "sat6": Target(_tiles, _read_tiles, ("pyarrow.csv:open_csv",)),
    "sat6 mat": Target(
        _tiles_as_mat, _read_tiles_as_mat, ("samemind.files.matlab:_arrays", "h5py:File")
    ),
    "labels": Target(_labels, _read_labels, ("samemind.datasets._validation_labels:_read",)),
    "tables": Target(
        _tables, _read_table,
        ("pyarrow.parquet:read_metadata", "safetensors.numpy:load_file", "json:loads"),
    ),
    "store": Target(_store, _read_store, ("samemind.files.reading:read_bytes",)),
    "resume": Target(_resume, _read_resume, ("torch:load", "samemind.store.resume:read")),
}  # fmt: skip
