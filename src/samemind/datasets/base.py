"""What a dataset is: a record that can be read without torch, its splits, and the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from samemind.datasets._normalisations import NORMALISATIONS
from samemind.errors import DataError, UnknownName
from samemind.lazy import np
from samemind.registry import Registry, did_you_mean

if TYPE_CHECKING:
    from PIL.Image import Image


class Split(Protocol):
    """Some images of a dataset, in a fixed order; image `i` has the label `labels[i]`."""

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64."""
        ...

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Images (n, channels, H, W), preprocessed as the dataset's record says.

        uint8 in 0 … 255, or float32 in [0, 1]; one dtype for the whole dataset.

        **Raises:** `DataError` with the file's name where an image cannot be read.
        """
        ...

    def open_image(self, index: int) -> Image:
        """The image as it was published, before preprocessing: what training augments."""
        ...


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Labelled images with fixed splits and a fixed preprocessing."""

    name: str
    summary: str
    """One line for `samemind list datasets`."""
    classes: tuple[str, ...]
    """Names in the order of the labels."""
    image_size: int
    """Height and width, in pixels, after preprocessing."""
    channels: int = 3
    mean: tuple[float, ...]
    """Of each channel, for pixels in [0, 1]; classifiers normalise by it."""
    std: tuple[float, ...]
    splits: Mapping[str, int]
    """Name → number of images. The first is for training, the last for evaluation."""
    preprocessing: str
    """What is done to an image before it is used, in words that a recipe can hold."""
    licence: str
    citation: str
    open_split: Callable[[str, Path | None], Split]
    """(split, data folder or None for the usual one) → the split. Call `split` instead."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Split → fingerprint of its files, where these are not fixed by having been published."""
    lacks: Callable[[str, Path | None], str] = lambda *_: ""
    """(split, data folder or None) → what is missing and where to put it, or '' where the files are
    there. Looks for names only: `samemind data check` looks into the files."""
    is_torn: Callable[[str, Path | None], bool] = lambda *_: False
    """(split, data folder or None) → some files of the split are there and others are missing, so
    that it is not merely a split that nobody fetched."""

    def split(self, name: str, root: Path | None = None) -> Split:
        """One split of the dataset, opened; `root` is the data folder, if not the usual one.

        **Raises:** `UnknownName` for a split that there is not; `DataError` where the files are
        missing or damaged.
        """
        if name not in self.splits:
            raise UnknownName(
                f"The dataset '{self.name}' has no split '{name}'. "
                f"{did_you_mean(name, list(self.splits))}Known: {', '.join(self.splits)}."
            )
        return self.open_split(name, root)

    def check_fingerprint(self, split: str, expected: str) -> None:
        """Raises `DataError` where a split does not hold what it did when a recipe was made."""
        found = self.fingerprints.get(split, "")
        if expected and found != expected:
            raise DataError(
                f"The files of '{split}' in {self.name} are not those that this study began with "
                f"(fingerprint {found or 'none'}, not {expected}). Run the study again, which "
                f"takes them as new data, or put the files back."
            )


DATASETS: Registry[Dataset] = Registry("dataset", "samemind.datasets")


def normalisation(name: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The channel means and deviations of a name; 'none' leaves pixels in [0, 1].

    **Raises:** `UnknownName` for what is neither in `NORMALISATIONS` nor a dataset.
    """
    if name == "none":
        return (0.0,) * channels, (1.0,) * channels
    if name in NORMALISATIONS:
        return NORMALISATIONS[name]
    try:
        record = DATASETS[name]
    except UnknownName:
        known = ["none", *NORMALISATIONS, *DATASETS]
        raise UnknownName(
            f"No normalisation is called '{name}'. {did_you_mean(name, known)}"
            f"Known: {', '.join(dict.fromkeys(known))}."
        ) from None
    return record.mean, record.std


def of_unit_pixels(
    mean: Sequence[float], std: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """Constants for pixels in [0, 1], and whether they were given for pixels in 0 … 255.

    Pixels in [0, 1] have no mean above 1 and no deviation above ½, so what is above 1 is of the
    other range; deviations of exactly 1 are those of a normaliser that only shifts.
    """
    if max(map(abs, mean), default=0) <= 1 and max(map(abs, std), default=0) <= 1:
        return tuple(mean), tuple(std), False
    # As decimal numbers of few digits: 123.675 / 255 is 0.485.
    mean, std = ([float(f"{v / 255:.7g}") for v in values] for values in (mean, std))
    return tuple(mean), tuple(std), True


def dataset(record: Dataset) -> Dataset:
    """Registers a dataset under its name and returns it."""
    return DATASETS.register(record.name, record)


@dataclass(frozen=True)
class ArraySplit:
    """A split whose images are in memory: (N, channels, H, W), uint8 or float32 in [0, 1]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self.images[np.asarray(indices, dtype=np.int64)]

    def open_image(self, index: int) -> Image:
        from PIL import Image

        pixels = self.images[index]
        if pixels.dtype != np.uint8:
            pixels = np.round(pixels * 255).astype(np.uint8)
        return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


@dataclass(frozen=True)
class PartOfSplit:
    """Some images of a split, in the order of their indices in it."""

    whole: Split
    indices: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        return np.asarray(self.whole.labels)[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self.whole.read(self.indices[np.asarray(indices, dtype=np.int64)])

    def open_image(self, index: int) -> Image:
        return self.whole.open_image(int(self.indices[index]))
