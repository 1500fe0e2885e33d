"""The digits: real images, one fixed cut into training and test."""

import numpy as np
import pytest

from samemind.datasets.base import DATASETS
from samemind.errors import UnknownName

DIGITS = DATASETS["digits"]


def test_the_digits_are_cut_into_the_declared_numbers_of_images():
    for name, count in DIGITS.splits.items():
        split = DIGITS.split(name)
        assert len(split) == count == len(split.labels)
    assert DIGITS.splits == {"train": 1257, "test": 540}


def test_digits_are_pixels_between_0_and_1_in_one_grey_channel():
    images = DIGITS.split("test").read([5, 0, 5])
    assert images.shape == (3, 1, 8, 8)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert np.array_equal(images[0], images[2])
    assert np.array_equal(images * 16, np.round(images * 16))


def test_training_and_test_digits_together_are_all_of_scikit_learns():
    from sklearn.datasets import load_digits

    original = load_digits()
    splits = [DIGITS.split(name) for name in DIGITS.splits]
    ours = np.concatenate([s.read(range(len(s)))[:, 0] * 16 for s in splits])
    labels = np.concatenate([s.labels for s in splits])
    rows = sorted((*image.ravel(), label) for image, label in zip(ours, labels, strict=True))
    expected = sorted(
        (*image.ravel(), label)
        for image, label in zip(original.images, original.target, strict=True)
    )
    assert rows == expected


def test_every_digit_has_its_share_of_both_splits():
    for name in DIGITS.splits:
        labels = DIGITS.split(name).labels
        assert labels.dtype == np.int64
        shares = np.bincount(labels, minlength=10) / len(labels)
        assert shares.min() > 0.09
        assert shares.max() < 0.11


def test_the_declared_mean_and_deviation_are_those_of_the_training_digits():
    train = DIGITS.split("train")
    pixels = train.read(range(len(train))).astype(np.float64)
    # Four decimals are declared.
    assert abs(pixels.mean() - DIGITS.mean[0]) < 5.1e-5
    assert abs(pixels.std() - DIGITS.std[0]) < 5.1e-5


def test_a_digit_opens_as_a_grey_image():
    split = DIGITS.split("train")
    image = split.open_image(3)
    assert image.mode == "L"
    assert image.size == (8, 8)
    # 255 levels for 17: half a level is the rounding.
    assert np.abs(np.asarray(image) / 255 - split.read([3])[0, 0]).max() <= 0.5 / 255 + 1e-6


def test_an_unknown_split_is_answered_with_a_suggestion():
    with pytest.raises(UnknownName, match=r"no split 'tests'\. Did you mean 'test'"):
        DIGITS.split("tests")
