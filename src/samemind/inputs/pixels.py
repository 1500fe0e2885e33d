"""Pixels: brought to a model's size and channels, checked, and what is said where they look odd."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samemind.arrays import Array
from samemind.datasets.images import MOST_PIXELS, decoded
from samemind.errors import DataError, InvalidInput
from samemind.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

FEW_CHANNELS = (1, 3, 4)
"""Numbers of channels that pictures have."""


def cropped(path: Path, size: int, crop: float, channels: int) -> Tensor:
    """A picture, its shorter side at size / crop and cut in the middle: `(channels, size, size)`.

    **Raises:** `DataError` that names a file that is unreadable, or too long for its width.
    """
    from PIL import Image

    short = max(round(size / crop), size)

    def resized(picture: Image.Image) -> np.ndarray:
        scale = short / min(picture.size)
        width, height = (max(round(side * scale), short) for side in picture.size)
        if width * height > MOST_PIXELS:
            raise DataError(f"its sides are too unequal: it would be {width} × {height} pixels")
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - size) // 2, (height - size) // 2
        picture = picture.crop((left, top, left + size, top + size))
        return np.asarray(picture, dtype=np.float32) / 255

    pixels = decoded(path, then=resized, mode="L" if channels == 1 else "RGB")
    pixels = pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(pixels))


def fitted(images: np.ndarray | Tensor, size: int | None, channels: int) -> Tensor:
    """Arrays as pixels of a model's size and channels: grey is repeated for colour.

    In float32, or in float64 where that was given.

    **Raises:** `InvalidInput` for channels that do not fit.
    """
    from samemind.arrays import as_pixels

    pixels = as_pixels(images, keeps_float64=True)
    if pixels.shape[1] == 1 and channels == 3:
        pixels = pixels.expand(-1, 3, -1, -1)
    if pixels.shape[1] != channels:
        what = "Choose other inputs, or a model for them"
        if pixels.shape[3] == channels:
            what = "If the channels come last, images.permute(0, 3, 1, 2) puts them first"
        raise InvalidInput(
            f"The model reads {channels} channel(s), but the images have {pixels.shape[1]}, in "
            f"the shape (N, {', '.join(map(str, pixels.shape[1:]))}). {what}."
        )
    if size is not None and pixels.shape[-2:] != (size, size):
        resize = torch.nn.functional.interpolate
        pixels = resize(pixels, (size, size), mode="bilinear", antialias=True).clamp(0, 1)
    return pixels


@dataclass(frozen=True, eq=False)
class HeldImages:
    """Images of a file or in memory, as a split."""

    images: Array
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        rows = self.images[np.asarray(indices, dtype=np.int64)]
        return rows  # pyright: ignore[reportReturnType]

    def open_image(self, index: int) -> Any:
        raise DataError(f"Image {index} is kept as numbers only; there is no file to open.")


def told_of_pixels(images: Tensor) -> Iterator[str]:
    """What is said of images that networks are given as they are, where they look odd.

    **Raises:** `InvalidInput` for values that are not finite.
    """
    shape = tuple(images.shape)
    if shape[1] not in FEW_CHANNELS and shape[3] in FEW_CHANNELS:
        yield (
            f"The images have the shape {shape}, which was read as {shape[1]} channels of "
            f"{shape[2]} × {shape[3]} pixels. Where the channels come last, give "
            f"images.permute(0, 3, 1, 2)."
        )
    if images.dtype == torch.uint8:
        yield "The images are uint8 and were divided by 255: networks were given pixels in [0, 1]."
        return
    low, high = extremes(images)
    if not (isfinite(low) and isfinite(high)):
        bad = torch.nonzero(~torch.isfinite(images.flatten(1)).all(1)).flatten()
        raise InvalidInput(
            f"{len(bad):,} of {len(images):,} images have values that are not finite, the first "
            f"is image {int(bad[0])}. Leave them out, or find out where they come from."
        )
    if low >= 0 and high > 1.5:
        yield (
            f"The images go from {low:g} to {high:g}, and networks were given them as they are. "
            f"Divide by 255 where they were trained on pixels in [0, 1]."
        )


def extremes(images: Tensor) -> tuple[float, float]:
    """The smallest and the largest value."""
    plain = images if images.is_floating_point() else images.double()
    low, high = torch.aminmax(plain)
    return float(low), float(high)


def check_pixels(images: np.ndarray, path: Path) -> None:
    """Raises `InvalidInput` for arrays of a file that are no pixels in [0, 1], nor uint8."""
    if images.dtype.kind not in "fiub":
        raise InvalidInput(
            f"Images are numbers, but those in {path} are {images.dtype}. Save pixels in [0, 1], "
            f"or as uint8."
        )
    if images.dtype == np.uint8:
        return
    low, high = (float(v) for v in (images.min(), images.max()))
    if not (isfinite(low) and isfinite(high)):
        raise InvalidInput(
            f"{path} holds images with values that are not finite. Leave them out, or find out "
            f"where they come from."
        )
    if low < 0 or high > 1:
        what = "Undo the normalisation: each model applies its own"
        if low >= 0 and high > 1.5:
            what = "Divide by 255, or save them as uint8"
        raise InvalidInput(
            f"Images are pixels in [0, 1] (or uint8), but {path} goes from {low:g} to {high:g}. "
            f"{what}."
        )
