"""SAT-6: 405,000 satellite tiles of 28 × 28 pixels in six kinds of land, out of distribution.

Read from the CSV files (`X_test_sat6.csv` and `y_test_sat6.csv`; those of `train` only where they
are wanted) or from the MAT file `sat-6-full.mat` in the folder `sat6`. Of the four bands the near
infrared is dropped, as the study did. As models read other sizes, the tiles are also there at 32
and 224 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.datasets._normalisations import NORMALISATIONS
from samemind.datasets.base import ArraySplit, Dataset, Split, dataset
from samemind.datasets.images import ImageSize
from samemind.datasets.roots import data_folder
from samemind.errors import DataError, InvalidInput
from samemind.files.hdf5 import mat_arrays
from samemind.files.reading import check_regular
from samemind.lazy import np

if TYPE_CHECKING:
    from PIL.Image import Image

COUNTS = {"train": 324_000, "test": 81_000}
# In the order of the columns of the one-hot labels (sat6annotations.csv).
CLASSES = ("building", "barren land", "trees", "grassland", "road", "water")
MAT_FILE = "sat-6-full.mat"
SIDE, BANDS = 28, 4


@dataclass(frozen=True)
class ResizedSplit:
    """A split in memory whose images are resized when they are read."""

    inner: ArraySplit
    size: ImageSize

    @property
    def labels(self) -> np.ndarray:
        return self.inner.labels

    def __len__(self) -> int:
        return len(self.inner)

    def read(self, indices: Any) -> np.ndarray:
        resized = [np.asarray(self.size.apply(self.open_image(int(i)))) for i in indices]
        return np.stack(resized).transpose(0, 3, 1, 2) if resized else self.inner.images[:0]

    def open_image(self, index: int) -> Image:
        return self.inner.open_image(index)


def _open(size: ImageSize | None, split: str, root: Path | None) -> Split:
    if missing := _lacks(split, root):
        raise DataError(missing)
    folder = data_folder(root) / "sat6"
    pixels = folder / f"X_{split}_sat6.csv"
    if pixels.is_file():
        images, one_hot = read_csv(pixels, folder / f"y_{split}_sat6.csv")
    else:
        images, one_hot = read_mat(folder / MAT_FILE, split)
    if len(images) != COUNTS[split] or one_hot.shape != (len(images), len(CLASSES)):
        raise DataError(
            f"{folder} holds {len(images):,} images and labels of shape {one_hot.shape} for "
            f"'{split}', but SAT-6 has {COUNTS[split]:,} in {len(CLASSES)} classes. Fetch it again."
        )
    if (one_hot.sum(1) != 1).any():
        raise DataError(f"The labels of '{split}' in {folder} are not one-hot. Fetch them again.")
    found = ArraySplit(without_near_infrared(images), one_hot.argmax(1).astype(np.int64))
    return ResizedSplit(found, size) if size else found


def _lacks(split: str, root: Path | None) -> str:
    folder = data_folder(root) / "sat6"
    pixels, labels = folder / f"X_{split}_sat6.csv", folder / f"y_{split}_sat6.csv"
    if pixels.is_file() and not labels.is_file():
        return f"{pixels} is there, but its labels are not: put {labels.name} beside it."
    if pixels.is_file() or (folder / MAT_FILE).is_file():
        return ""
    return (
        f"SAT-6 is not in {folder}: neither {pixels.name} nor {MAT_FILE} is there. Fetch it by "
        f"hand from kaggle.com/datasets/crawford/deepsat-sat6 (CSV; {pixels.name} and "
        f"{labels.name} suffice) or from its authors (MAT) and unpack it there, or name the folder "
        f"that holds 'sat6' in SAMEMIND_DATA."
    )


def _is_torn(split: str, root: Path | None) -> bool:
    folder = data_folder(root) / "sat6"
    there = [(folder / f"{axis}_{split}_sat6.csv").is_file() for axis in "Xy"]
    return any(there) and not all(there) and not (folder / MAT_FILE).is_file()


def without_near_infrared(images: np.ndarray) -> np.ndarray:
    """(N, 28, 28, 4) bands red, green, blue, near infrared → (N, 3, 28, 28)."""
    return np.ascontiguousarray(images[..., :3].transpose(0, 3, 1, 2))


def read_csv(pixels: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28, 4) and one-hot labels (N, 6) from the two headless CSV files."""
    return (
        _numbers(pixels, SIDE * SIDE * BANDS).reshape(-1, SIDE, SIDE, BANDS),
        _numbers(labels, len(CLASSES)),
    )


def _numbers(path: Path, columns: int) -> np.ndarray:
    """A CSV file of bytes as an array (rows, columns)."""
    import pyarrow as pa
    from pyarrow import csv

    names = [str(i) for i in range(columns)]
    parts: list[np.ndarray] = []
    check_regular(path)
    try:
        with csv.open_csv(
            path,
            # A block holds several hundred rows; one row alone is up to 13 kB.
            read_options=csv.ReadOptions(column_names=names, block_size=1 << 23),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.uint8())),
        ) as reader:
            for batch in reader:
                parts.append(np.stack([c.to_numpy() for c in batch.columns], axis=1))
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"The file {path} cannot be read as rows of {columns} bytes ({error}). Fetch it again."
        ) from error
    if not parts:
        raise DataError(f"The file {path} has no rows. Fetch it again.")
    return np.concatenate(parts)


def read_mat(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28, 4) and one-hot labels (N, 6) from the MAT file, version 5 or 7.3."""
    names = [f"{split}_x", f"{split}_y"]
    try:
        # Asked for by name, so that the gigabyte of the other split is not read.
        found = mat_arrays(path, names)
    except InvalidInput as error:
        raise DataError(f"{error} It should be the MAT file of SAT-6.") from error
    if set(found) != set(names):
        raise DataError(
            f"The file {path} has no numbers named {' and '.join(names)}, so it is not the MAT "
            f"file of SAT-6. Fetch it again."
        )
    images, labels = (found[name] for name in names)
    if images.dtype != np.uint8 or images.shape[:-1] != (SIDE, SIDE, BANDS) or labels.ndim != 2:
        raise DataError(
            f"The file {path} holds images {images.shape} of {images.dtype} and labels "
            f"{labels.shape}, but SAT-6 has bytes ({SIDE}, {SIDE}, {BANDS}, N) and ({len(CLASSES)},"
            f" N). Fetch it again."
        )
    return np.moveaxis(images, -1, 0), labels.T


for name, summary, size in (
    ("sat6", "SAT-6, satellite tiles of 28 × 28 pixels; to be fetched by hand", None),
    ("sat6-32", "SAT-6 for models of 32 × 32 pixels", ImageSize(resize=32, crop=32)),
    ("sat6-224", "SAT-6 for models of 224 × 224 pixels", ImageSize(resize=255, crop=224)),
):
    dataset(
        Dataset(
            name=name,
            summary=summary,
            classes=CLASSES,
            image_size=size.crop if size else SIDE,
            # Serves as input to models of other data, whose constants are then used; these
            # of ImageNet stand in.
            mean=NORMALISATIONS["imagenet"][0],
            std=NORMALISATIONS["imagenet"][1],
            splits=COUNTS,
            preprocessing=f"near infrared dropped; {size or 'size as published'}",
            licence="public; see the authors' page",
            citation="Basu et al. (2015), DeepSat, arXiv:1509.03602",
            open_split=partial(_open, size),
            lacks=_lacks,
            is_torn=_is_torn,
        )
    )
