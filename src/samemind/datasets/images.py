"""Splits whose images are files: listing class folders, decoding, resizing and cropping."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.errors import DataError, InvalidInput, UnreadableFile
from samemind.files.pictures import eight_bit, open_picture
from samemind.files.reading import files_below, is_folder, shown
from samemind.lazy import np

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 2**26
"""Of an image, decoded or resized: half a gigabyte while it is worked on."""
LARGE = 2**23  # pixels; images of more are decoded one at a time

SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})


@dataclass(frozen=True)
class ImageSize:
    """The shorter side is scaled to `resize`, then `crop` × `crop` pixels of the middle are cut."""

    resize: int
    crop: int

    def apply(self, image: Image) -> Image:
        """The image at this size: what torchvision's Resize and CenterCrop give, bit by bit."""
        from PIL.Image import Resampling

        width, height = image.size
        short = min(width, height)
        if short != self.resize:
            # The longer side is cut off to whole pixels, not rounded.
            width, height = (int(self.resize * side / short) for side in (width, height))
            if width * height > MOST_PIXELS:
                raise DataError(
                    f"it is {image.size[0]} × {image.size[1]} pixels, which at this size would be "
                    f"{width} × {height}"
                )
            image = image.resize((width, height), Resampling.BILINEAR)
        left, top = (round((side - self.crop) / 2.0) for side in (width, height))
        if (width, height) == (self.crop, self.crop):
            return image
        return image.crop((left, top, left + self.crop, top + self.crop))

    def __str__(self) -> str:
        return f"resize {self.resize} (bilinear), centre crop {self.crop}"


@dataclass(frozen=True)
class FileSplit:
    """A split whose images are files, decoded when they are read."""

    paths: tuple[Path, ...]
    labels: np.ndarray
    size: ImageSize

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        wanted = [int(i) for i in indices]
        images = np.empty((len(wanted), 3, self.size.crop, self.size.crop), dtype=np.uint8)

        def place(position: int, is_alone: bool = False) -> bool:
            path = self.paths[wanted[position]]
            pixels = decoded(path, then=self.size.apply, leaves_large=not is_alone)
            if pixels is None:
                return False
            images[position] = np.asarray(pixels).transpose(2, 0, 1)
            return True

        # Pillow decodes and resizes outside Python's lock, so threads share the cores.
        with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as pool:
            is_done = list(pool.map(place, range(len(wanted))))
        # Large ones one by one, and here: each thread would keep the memory that it once took.
        for position in np.flatnonzero(np.logical_not(is_done)):
            place(int(position), is_alone=True)
        return images

    def open_image(self, index: int) -> Image:
        return open_rgb(self.paths[index])


def open_rgb(path: Path) -> Image:
    """An image file, decoded, as RGB.

    **Raises:** `DataError` with the file's name where it cannot be decoded.
    """
    return decoded(path, then=lambda image: image)


def decoded(
    path: Path, *, then: Callable[[Image], Any], mode: str = "RGB", leaves_large: bool = False
) -> Any:
    """What `then` makes of an image file, decoded in a mode of Pillow's ('RGB' or 'L').

    None for a file of more than `LARGE` pixels where those are to be left, undecoded.

    **Raises:** `DataError` with the file's name where it cannot be decoded, has more than
    `MOST_PIXELS`, or `then` raises an error.
    """
    try:
        with open_picture(path) as image:
            pixels = image.size[0] * image.size[1]
            if pixels > MOST_PIXELS:
                raise DataError(f"it has {pixels:,} pixels, and {MOST_PIXELS:,} are the most")
            return None if leaves_large and pixels > LARGE else then(eight_bit(image, mode))
    except Exception as error:  # decoders raise anything over a file that is not what it says
        reason = error.reason if isinstance(error, UnreadableFile) else error
        if isinstance(error, InvalidInput) and not isinstance(error, UnreadableFile):
            raise DataError(f"The image {shown(path)} cannot be read: {error}") from None
        raise DataError(
            f"The image {shown(path)} cannot be read ({reason}). Fetch that file again, or "
            f"unpack the archive that it came in once more."
        ) from error


def class_folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted: the classes, in the order of their labels."""
    if not is_folder(folder):
        raise DataError(f"There is no folder {shown(folder)}.")
    return sorted(e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith("."))


def images_below(folder: Path) -> list[Path]:
    """The image files of one folder, sorted by name."""
    names = sorted(e.name for e in os.scandir(folder) if e.is_file())
    return [folder / n for n in names if Path(n).suffix.lower() in SUFFIXES]


def images_of_class(folder: Path) -> list[Path]:
    """The image files of a folder and of those in it, as torchvision's ImageFolder orders them.

    Links are followed, but none back to a folder above it.
    """
    found = [path for path in files_below(folder) if path.suffix.lower() in SUFFIXES]
    return sorted(found, key=lambda path: (str(path.parent), path.name))


def split_of_folders(folders: Sequence[Path], classes: Sequence[str], size: ImageSize) -> FileSplit:
    """The images of folders of class folders; labels count in the order of `classes`.

    - `folders`: one, or the parts that a split was packed in, each with some of the classes.

    **Raises:** `DataError` where the folder of a class is missing or empty.
    """
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        there = [folder / name for folder in folders if (folder / name).is_dir()]
        found = [path for folder in there for path in images_of_class(folder)]
        if not found:
            state = "is empty" if there else "is missing"
            where = " or ".join(shown(folder / name) for folder in (there or folders))
            raise DataError(
                f"The folder of the class '{shown(name)}' {state}: {where}. Every "
                f"class needs its images ({', '.join(sorted(SUFFIXES))}) in a folder of its name."
            )
        paths += found
        labels += [label] * len(found)
    return FileSplit(tuple(paths), np.array(labels, dtype=np.int64), size)
