"""Checks a data set on disk: files, counts, checksums where they are known, every image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from samemind.datasets.base import DATASETS, Dataset, Split
from samemind.errors import DataError
from samemind.lazy import np

CHUNK = 256


@dataclass(frozen=True)
class Checked:
    """How far a check is, and what it found there, if anything."""

    split: str
    done: int
    total: int
    fault: str | None = None
    absent: str | None = None  # why the split is not there, where another one is


def check(name: str, root: Path | None = None) -> Iterator[Checked]:
    """Opens every split and reads every image of a data set, saying how far it is.

    Faults are given as they are met, and the check goes on: all unreadable images are named.
    A split that is not there at all is no fault where another one is: comparing on test images
    needs no training images.

    **Raises:** `UnknownName` for a data set that there is not.

    **Cost:** decodes every image; for ImageNet-1k, hours.
    """
    record = DATASETS[name]
    absent = {split: record.lacks(split, root) for split in record.splits}
    has_any = not all(absent.values())
    for split, count in record.splits.items():
        yield Checked(split, 0, count)
        if absent[split] and has_any and not record.is_torn(split, root):
            yield Checked(split, 0, count, absent=absent[split])
            continue
        try:
            opened = record.split(split, root)
        except DataError as error:
            yield Checked(split, count, count, str(error))
            continue
        yield from _check_split(record, split, opened)


def _check_split(record: Dataset, name: str, split: Split) -> Iterator[Checked]:
    count = record.splits[name]
    for fault in _wrong_labels(record, name, split):
        yield Checked(name, 0, count, fault)
    for start in range(0, len(split), CHUNK):
        indices = np.arange(start, min(start + CHUNK, len(split)))
        end = int(indices[-1]) + 1
        yield from (Checked(name, end, count, f) for f in _wrong_images(record, split, indices))
        yield Checked(name, end, count)


def _wrong_labels(record: Dataset, name: str, split: Split) -> Iterator[str]:
    labels = np.asarray(split.labels)
    if len(split) != record.splits[name] or len(labels) != len(split):
        yield (
            f"'{name}' of {record.name} has {len(split):,} images and {len(labels):,} labels, but "
            f"there should be {record.splits[name]:,}. Fetch it again."
        )
    present = np.unique(labels)
    if present.size and (present[0] < 0 or present[-1] >= len(record.classes)):
        yield f"'{name}' has labels outside 0 … {len(record.classes) - 1}: {present.tolist()[-5:]}."
    empty = [c for i, c in enumerate(record.classes) if i not in set(present.tolist())]
    if empty:
        yield f"'{name}' has no image of {len(empty)} class(es): {', '.join(empty[:5])}."


def _wrong_images(record: Dataset, split: Split, indices: np.ndarray) -> Iterator[str]:
    try:
        images = split.read(indices)
    except DataError as error:
        if len(indices) == 1:
            yield str(error)
        else:
            # One by one, so that each unreadable image is named.
            for index in indices:
                yield from _wrong_images(record, split, index[None])
        return
    expected = (len(indices), record.channels, record.image_size, record.image_size)
    if images.shape != expected:
        yield f"Images {indices[0]} … {indices[-1]} have shape {images.shape}, not {expected}."
    elif images.dtype != np.uint8 and not (images.min() >= 0 and images.max() <= 1):
        yield f"Images {indices[0]} … {indices[-1]} have pixels outside [0, 1]."
