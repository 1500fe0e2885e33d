"""CIFAR-10: 60,000 photographs of 32 × 32 pixels, from the authors' python batches."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
from pathlib import Path
from typing import Any

from samemind.datasets._normalisations import NORMALISATIONS
from samemind.datasets.base import ArraySplit, Dataset, dataset
from samemind.datasets.roots import data_folder, download_once
from samemind.errors import DataError, UnreadableFile, reason
from samemind.files.reading import read_bytes
from samemind.lazy import np

FOLDER = "cifar-10-batches-py"
# As published with the data set.
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
BATCHES = {
    "train": tuple(f"data_batch_{i}" for i in range(1, 6)),
    "test": ("test_batch",),
}

ARRAYS = {
    ("_reconstruct", "numpy.core.multiarray"),
    ("_reconstruct", "numpy._core.multiarray"),
    ("ndarray", "numpy"),
    ("dtype", "numpy"),
}
"""What a pickle must name to hold NumPy arrays."""


# What unpickling damaged or hostile bytes raises, beside its own error.
DAMAGE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
    struct.error,
)


# That of C makes room for as many objects as a few bytes claim to come: gigabytes.
class ArraysOnly(pickle._Unpickler):  # pyright: ignore[reportAttributeAccessIssue]
    """Reads pickles of NumPy arrays and plain types; anything else is refused, not executed."""

    def find_class(self, module: str, name: str) -> Any:
        if (name, module) not in ARRAYS:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, and only NumPy arrays and plain types are admitted"
            )
        if name == "_reconstruct":
            # Old pickles name a module that NumPy 2 has renamed, and warns about.
            return np.ndarray.__reduce__(np.empty(0))[0]
        return getattr(np, name)


def read_arrays(content: bytes, path: Path) -> dict[str, Any]:
    """The dictionary in a pickle of arrays and plain types.

    **Raises:** `DataError` that names the file, for anything else; no code of the file runs.
    """
    try:
        found = ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        return {key.decode() if isinstance(key, bytes) else key: v for key, v in found.items()}
    except DAMAGE as error:
        raise DataError(
            f"The file {path} is not a batch of images: {reason(error)}. Fetch it from its "
            f"authors again."
        ) from error


MOST_OF_BATCH = 2**27  # bytes; a published one has 31 million


def read_batch(path: Path, md5: str) -> ArraySplit:
    """The images of one python batch.

    **Raises:** `DataError` where the file is missing or is not the published one.
    """
    try:
        content = read_bytes(path, most=MOST_OF_BATCH)
    except UnreadableFile as error:
        what_to_do = (
            f"It lies there packed: unpack it with `xz -dk {_packed(path)}`."
            if _packed(path).is_file()
            else f"Unpack cifar-10-python.tar.gz from www.cs.toronto.edu/~kriz/cifar.html into "
            f"{path.parent.parent}."
        )
        raise DataError(f"The file {path} cannot be read ({error.reason}). {what_to_do}") from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"The file {path} is not the published one: its MD5 is {found}, not {md5} "
            f"({len(content):,} bytes). Remove it and unpack cifar-10-python.tar.gz again."
        )
    batch = read_arrays(content, path)
    images = np.asarray(batch["data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
    return ArraySplit(images, np.asarray(batch["labels"], dtype=np.int64))


def _fetch(folder: Path) -> None:
    from torchvision.datasets import CIFAR10

    CIFAR10(str(folder), download=True)


def _open(split: str, root: Path | None) -> ArraySplit:
    root = data_folder(root)
    folder = root / FOLDER
    download_once("CIFAR-10", root, folder.is_dir, _fetch)
    parts = [read_batch(folder / name, MD5[name]) for name in BATCHES[split]]
    return ArraySplit(
        np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts])
    )


def _packed(path: Path) -> Path:
    """Where a batch is that somebody packed to save room."""
    return path.with_name(f"{path.name}.xz")


def _lacks(split: str, root: Path | None) -> str:
    folder = data_folder(root) / FOLDER
    missing = [name for name in BATCHES[split] if not (folder / name).is_file()]
    if not missing:
        return ""
    if not folder.is_dir():
        return (
            f"CIFAR-10 is not in {folder}. It is downloaded there at the first use (163 MB); "
            f"without a network, unpack cifar-10-python.tar.gz of "
            f"www.cs.toronto.edu/~kriz/cifar.html into {folder.parent}, or name the folder that "
            f"holds '{FOLDER}' in SAMEMIND_DATA."
        )
    if all(_packed(folder / name).is_file() for name in missing):
        return f"{folder} holds {', '.join(missing)} packed. Unpack there: `xz -dk *.xz`."
    return (
        f"{folder} lacks {', '.join(missing)}. Unpack cifar-10-python.tar.gz of "
        f"www.cs.toronto.edu/~kriz/cifar.html into {folder.parent} again."
    )


CIFAR10 = dataset(
    Dataset(
        name="cifar10",
        summary="CIFAR-10, photographs of 32 × 32 pixels; downloaded at the first use (163 MB)",
        classes=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        image_size=32,
        # The constants of the study's models.
        mean=NORMALISATIONS["cifar10"][0],
        std=NORMALISATIONS["cifar10"][1],
        splits={"train": 50_000, "test": 10_000},
        preprocessing="none: 32 × 32 pixels as published",
        licence="none stated by the authors; for research",
        citation="Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images",
        open_split=_open,
        lacks=_lacks,
    )
)
