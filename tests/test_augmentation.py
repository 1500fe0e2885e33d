"""Augmentations: each does what its name says, on a batch as on single images."""

import numpy as np
import pytest
import torch
from torchvision.transforms import functional

from samemind.errors import InvalidInput
from samemind.training.augmentation import (
    AUGMENTATIONS,
    augmentation_of,
    colour_jitter,
    colour_noise,
    random_crop,
    random_flip,
    random_rotation,
    rotated,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 40, channels: int = 3, size: int = 16) -> torch.Tensor:
    return torch.rand(count, channels, size, size, generator=generator(9))


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_augmented_images_keep_shape_and_range_and_repeat_with_the_seed(name: str, channels: int):
    if name == "imagenet" and channels == 1:
        pytest.skip("colour noise is for colours")
    x = images(channels=channels)
    augment = AUGMENTATIONS[name].on_device
    found = augment(x, generator())
    assert found.shape == x.shape
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(found, augment(x, generator()))
    assert (name == "none") == torch.equal(found, x)


def test_a_crop_is_one_of_the_81_windows_of_the_padded_image():
    x = images(300)
    found = random_crop(x, 4, generator())
    padded = torch.nn.functional.pad(x, [4] * 4)
    shifts = set()
    for i in range(len(x)):
        windows = [
            (r, c)
            for r in range(9)
            for c in range(9)
            if torch.equal(padded[i, :, r : r + 16, c : c + 16], found[i])
        ]
        assert len(windows) == 1
        shifts.update(windows)
    assert {r for r, _ in shifts} == {c for _, c in shifts} == set(range(9))


def test_about_half_of_the_images_are_mirrored_and_the_others_left():
    x = images(400)
    found = random_flip(x, generator())
    same = (found == x).flatten(1).all(1)
    mirrored = (found == x.flip(3)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 160 < int(mirrored.sum()) < 240


@pytest.mark.parametrize("degrees", [-7.0, 2.0, 30.0, 90.0])
def test_a_rotation_is_that_of_torchvision(degrees: float):
    x = images(4)
    expected = functional.rotate(x, degrees)
    found = rotated(x, torch.full((4,), degrees))
    # A pixel whose source lies half way between two may be rounded to either.
    agreeing = (found == expected).all(1).float().mean()
    assert agreeing > 0.98


def test_random_rotations_differ_between_images():
    x = images(1, size=64).repeat(20, 1, 1, 1)
    found = random_rotation(x, 10.0, generator())
    assert len({tuple(image.flatten().tolist()) for image in found}) > 15


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_jitter_is_that_of_torchvision_in_some_order(channels: int):
    from itertools import permutations

    x = images(30, channels)
    found = colour_jitter(x, 0.25, generator())
    factors = 1 + 0.25 * (2 * torch.rand(3, 30, generator=generator()) - 1)
    changes = (
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
    )
    orders = set()
    for i in range(30):
        for order in permutations(range(3)):
            expected = x[i]
            for which in order:
                expected = changes[which](expected, float(factors[which, i]))
            if torch.allclose(expected, found[i], atol=2e-4):
                orders.add(order)
                break
        else:
            pytest.fail(f"image {i} is in none of the six orders")
    assert len(orders) > 3 or channels == 1


def test_colour_noise_shifts_all_pixels_of_an_image_alike():
    x = 0.4 + 0.2 * images(2000)
    shift = colour_noise(x, 0.05, generator()) - x
    torch.testing.assert_close(shift, shift.mean((2, 3), keepdim=True).expand_as(shift))
    # The covariance of the shifts is that of the colours of ImageNet times the strength squared.
    found = torch.cov(shift.mean((2, 3)).T) / 0.05**2
    directions = torch.tensor(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    )
    spread = torch.diag(torch.tensor([0.2175, 0.0188, 0.0045]) ** 2)
    np.testing.assert_allclose(found, directions @ spread @ directions.T, rtol=0.1, atol=1e-4)


def test_an_unknown_augmentation_is_refused_with_a_suggestion():
    with pytest.raises(InvalidInput, match="Did you mean 'cifar'"):
        augmentation_of("cifarr")
