"""Handwritten digits, 8 × 8 grey pixels: real images that come with scikit-learn."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from samemind.datasets._normalisations import NORMALISATIONS
from samemind.datasets.base import ArraySplit, Dataset, dataset
from samemind.lazy import np

SPLIT_RANDOM_SEED = 0
"""Of the one stratified cut into training and test images. Changing it changes the dataset."""


@cache
def _cut() -> dict[str, ArraySplit]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, digits = load_digits(return_X_y=True)
    # 0 … 16: the division is exact in float32.
    images = (np.asarray(pixels) / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    labels = np.asarray(digits).astype(np.int64)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=540, stratify=labels, random_state=SPLIT_RANDOM_SEED
    )
    return {
        name: ArraySplit(images[indices], labels[indices])
        for name, indices in (("train", np.sort(train)), ("test", np.sort(test)))
    }


def _open(split: str, _root: Path | None) -> ArraySplit:
    return _cut()[split]


DIGITS = dataset(
    Dataset(
        name="digits",
        summary="Handwritten digits of scikit-learn, 8 × 8 grey pixels; nothing to download",
        classes=tuple(str(digit) for digit in range(10)),
        image_size=8,
        channels=1,
        mean=NORMALISATIONS["digits"][0],
        std=NORMALISATIONS["digits"][1],
        splits={"train": 1257, "test": 540},
        preprocessing="pixel / 16; stratified split with random seed 0",
        licence="CC BY 4.0",
        citation="Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI",
        open_split=_open,
    )
)
