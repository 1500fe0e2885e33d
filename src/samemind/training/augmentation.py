"""Augmentations of training images, a whole batch at a time on the device. Pure.

They are those of the robustness library (Engstrom et al. 2019), which the study trained with.
Differences: values are not rounded to 8 bits between two changes, and each change is one tensor
operation for the batch, with its own random numbers for every image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samemind.errors import InvalidInput
from samemind.lazy import torch
from samemind.registry import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

# Of red, green and blue, as PIL and torchvision turn colours to grey.
LUMA = (0.299, 0.587, 0.114)
# Eigenvalues and eigenvectors of the colours of ImageNet (Krizhevsky et al. 2012).
COLOUR_SPREAD = (0.2175, 0.0188, 0.0045)
COLOUR_DIRECTIONS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training images are varied.

    - `on_device`: (images (N, channels, H, W) in [0, 1], generator) → images of the same shape.
    - `crops_originals`: whether a random part of the image as published is taken first, which
      needs the image files and not the preprocessed images.
    """

    name: str
    summary: str
    on_device: Callable[[Tensor, torch.Generator], Tensor]
    crops_originals: bool = False


def _cifar(images: Tensor, generator: torch.Generator) -> Tensor:
    images = random_crop(images, 4, generator)
    images = random_flip(images, generator)
    images = colour_jitter(images, 0.25, generator)
    return random_rotation(images, 2.0, generator)


def _imagenet(images: Tensor, generator: torch.Generator) -> Tensor:
    return colour_noise(colour_jitter(images, 0.1, generator), 0.05, generator)


AUGMENTATIONS = {
    a.name: a
    for a in (
        Augmentation(name="none", summary="images as they are", on_device=lambda x, _: x),
        Augmentation(
            name="cifar",
            summary="crop after padding by 4, flip, colour jitter 0.25, rotation by up to 2°",
            on_device=_cifar,
        ),
        Augmentation(
            name="imagenet",
            summary="random resized crop and flip of the original, colour jitter 0.1, "
            "colour noise 0.05",
            on_device=_imagenet,
            crops_originals=True,
        ),
    )
}


def augmentation_of(name: str) -> Augmentation:
    """The augmentation of a name, or an error that suggests one."""
    if name not in AUGMENTATIONS:
        raise InvalidInput(
            f"No augmentation is called '{name}'. {did_you_mean(name, list(AUGMENTATIONS))}"
            f"Known: {', '.join(AUGMENTATIONS)}."
        )
    return AUGMENTATIONS[name]


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Each image moved by up to `padding` pixels along each axis; what is uncovered is black."""
    count, _, height, width = images.shape
    moved = torch.randint(0, 2 * padding + 1, (2, count), generator=generator)
    moved = moved.to(images.device, non_blocking=True)
    padded = torch.nn.functional.pad(images, [padding] * 4)
    rows = moved[0, :, None] + torch.arange(height, device=images.device)
    columns = moved[1, :, None] + torch.arange(width, device=images.device)
    which = torch.arange(count, device=images.device)
    # Indexed with the channels last, so that one look-up moves all channels of a pixel.
    cropped = padded.permute(0, 2, 3, 1)[which[:, None, None], rows[:, :, None], columns[:, None]]
    return cropped.permute(0, 3, 1, 2)


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image, mirrored left to right with probability one half."""
    flipped = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(_per_image(flipped, images) > 0, images.flip(3), images)


def colour_jitter(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation, each times 1 ± `strength`, in an order per image."""
    count = len(images)
    factors = 1 + strength * (2 * torch.rand(3, count, generator=generator) - 1)
    order = torch.rand(3, count, generator=generator).argsort(0)
    changes = (_brightness, _contrast, _saturation)
    for position in range(3):
        for number, change in enumerate(changes):
            # A factor of one changes nothing: images whose turn is another change pass through.
            factor = torch.where(order[position] == number, factors[number], torch.ones(count))
            images = change(images, _per_image(factor, images))
    return images


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return (images * factor).clamp(0, 1)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    mean = _grey(images).mean((1, 2, 3), keepdim=True)
    return torch.where(factor == 1, images, torch.lerp(mean, images, factor)).clamp(0, 1)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    return torch.where(factor == 1, images, torch.lerp(_grey(images), images, factor)).clamp(0, 1)


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = (images[:, i : i + 1] * LUMA[i] for i in range(3))
    return red + green + blue


def random_rotation(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Each image turned about its centre by up to `degrees`; nearest pixel, black outside."""
    angles = degrees * (2 * torch.rand(len(images), generator=generator) - 1)
    return rotated(images, angles.to(images.device, non_blocking=True))


def rotated(images: Tensor, degrees: Tensor) -> Tensor:
    """Images turned counter-clockwise by angles (N,) in degrees; nearest pixel, black outside."""
    angle = degrees * (math.pi / 180)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # Output to input coordinates, both from -1 to 1; the y axis points down.
    aspect = images.shape[2] / images.shape[3]
    rows = (cos, -sin * aspect, zero, sin / aspect, cos, zero)
    grid = torch.nn.functional.affine_grid(
        torch.stack(rows, 1).reshape(-1, 2, 3), list(images.shape), align_corners=False
    )
    return torch.nn.functional.grid_sample(images, grid, mode="nearest", align_corners=False)


def colour_noise(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """A random shift of all colours of an image along the main directions of ImageNet's colours.

    **Source:** Krizhevsky et al. (2012), section 4.1; the robustness library's `Lighting`.
    """
    amounts = strength * torch.randn(len(images), 3, generator=generator)
    shift = (amounts * torch.tensor(COLOUR_SPREAD)) @ torch.tensor(COLOUR_DIRECTIONS).T
    return (images + shift.to(images, non_blocking=True)[:, :, None, None]).clamp(0, 1)


def gaussian_noise(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Noise of standard deviation `strength` on every value, which may leave [0, 1].

    **Source:** Cohen et al. (2019), who do not clip either: clipped noise is not Gaussian.
    """
    noise = torch.randn(images.shape, generator=generator)
    return images + strength * noise.to(images, non_blocking=True)


def _per_image(values: Tensor, images: Tensor) -> Tensor:
    # The host does not wait for the device, which has work to do until the copy's turn comes.
    return values.to(images, non_blocking=True).reshape(-1, 1, 1, 1)
