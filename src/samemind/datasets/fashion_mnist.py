"""Fashion-MNIST: 70,000 grey pictures of clothes, 28 × 28 pixels."""

from __future__ import annotations

import math
from pathlib import Path

from samemind.datasets._normalisations import NORMALISATIONS
from samemind.datasets.base import ArraySplit, Dataset, dataset
from samemind.datasets.roots import data_folder, download_once
from samemind.errors import DataError, UnreadableFile
from samemind.files.reading import read_bytes
from samemind.lazy import np

SIZES = {"train": 60_000, "test": 10_000}
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def _fetch(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(str(folder), download=True)


def read_idx(path: Path) -> np.ndarray:
    """The bytes of an IDX file, in the shape that its head declares.

    **Raises:** `DataError` where the file is missing, cut off or of another kind.
    """
    try:
        content = read_bytes(path, most=2**30)
    except UnreadableFile as error:
        raise DataError(f"The file {path} cannot be read ({error.reason}).") from error
    # Two zero bytes, the type (8: unsigned bytes), the number of axes, then their lengths.
    if content[:3] != b"\0\0\x08" or len(content) < 4:
        raise DataError(f"The file {path} is not an IDX file of bytes. Unpack or fetch it again.")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    # Python's numbers: a product of hostile ones overflows those of NumPy.
    declared = start + math.prod(shape)
    if len(content) != declared:
        raise DataError(
            f"The file {path} has {len(content):,} bytes, but its head declares {declared:,}. It "
            f"is cut off or damaged: fetch it again."
        )
    try:
        return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
    except ValueError as error:
        raise DataError(
            f"The file {path} has a head of no use ({error}). Fetch it again."
        ) from None


def _open(split: str, root: Path | None) -> ArraySplit:
    root = data_folder(root)
    folder = root / "FashionMNIST" / "raw"
    download_once("Fashion-MNIST", root, folder.is_dir, _fetch)
    images, labels = (read_idx(folder / name) for name in FILES[split])
    if images.shape != (SIZES[split], 28, 28) or labels.shape != (SIZES[split],):
        raise DataError(
            f"{folder} holds {images.shape} images and {labels.shape} labels for '{split}', but "
            f"Fashion-MNIST has {SIZES[split]:,} images of 28 × 28 pixels. Fetch it again."
        )
    return ArraySplit(images[:, None], labels.astype(np.int64))


def _lacks(split: str, root: Path | None) -> str:
    folder = data_folder(root) / "FashionMNIST" / "raw"
    missing = [name for name in FILES[split] if not (folder / name).is_file()]
    if not missing:
        return ""
    how = "It is downloaded at the first use" if not folder.is_dir() else "Unpack it there again"
    return f"Fashion-MNIST: {', '.join(missing)} not in {folder}. {how}."


FASHION_MNIST = dataset(
    Dataset(
        name="fashion_mnist",
        summary="Fashion-MNIST, grey clothes of 28 × 28 pixels; downloaded at the first use",
        classes=(
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        image_size=28,
        channels=1,
        mean=NORMALISATIONS["fashion_mnist"][0],
        std=NORMALISATIONS["fashion_mnist"][1],
        splits=SIZES,
        preprocessing="none: 28 × 28 pixels as published",
        licence="MIT",
        citation="Xiao, Rasul and Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747",
        open_split=_open,
        lacks=_lacks,
    )
)
