"""Any folder of class folders: `folder:PATH`, or `folder:PATH@SIZE` for a size of its own.

`PATH/train`, `PATH/val` and `PATH/test` are the splits, those of them that are there; a folder
that holds the class folders themselves is one split called 'all'. What the files hold belongs to
the identity of everything made from them: another image in the folder is another data set.
"""

from __future__ import annotations

from math import isqrt
from pathlib import Path

from samemind.datasets._fingerprints import fingerprint
from samemind.datasets._normalisations import NORMALISATIONS
from samemind.datasets.base import DATASETS, Dataset
from samemind.datasets.images import (
    MOST_PIXELS,
    FileSplit,
    ImageSize,
    class_folders,
    images_of_class,
    split_of_folders,
)
from samemind.errors import DataError, InvalidInput
from samemind.files.reading import expanded, shown

SPLITS = ("train", "val", "test")
IMAGENET_SIZE = 224


def from_folder(text: str) -> Dataset:
    """The record of a folder of class folders.

    **Raises:** `DataError` where there is no such folder or it has no classes; `InvalidInput`
    for a size that is no number.

    **Cost:** lists the folders, and reads every image the first time, for its fingerprint; then
    only images that changed.
    """
    if shown(text) != text:
        raise InvalidInput(
            f"The path of 'folder:{shown(text)}' is not UTF-8, and what is made of the folder "
            f"could not name it. Give it another name, or make a link to it."
        )
    before, _, after = text.rpartition("@")
    has_size = bool(before) and "/" not in after
    path = expanded(before if has_size else text)
    size = _size(after if has_size else str(IMAGENET_SIZE), text)
    names = class_folders(path)
    splits = {name: path / name for name in SPLITS if name in names} or {"all": path}
    classes = {name: tuple(class_folders(place)) for name, place in splits.items()}
    first = next(iter(splits))
    for name, found in classes.items():
        if not found:
            raise DataError(
                f"{splits[name]} has no class folders. It should hold one folder for each class, "
                f"with the images in it."
            )
        if found != classes[first]:
            differing = sorted(set(found) ^ set(classes[first]))
            raise DataError(
                f"{splits[name]} and {splits[first]} do not have the same classes: "
                f"{', '.join(map(shown, differing[:5]))} "
                f"{'is' if len(differing) == 1 else 'are'} in one only."
            )

    files = {name: _files(place, classes[first]) for name, place in splits.items()}

    def open_split(name: str, _root: Path | None) -> FileSplit:
        return split_of_folders((splits[name],), classes[first], size)

    return Dataset(
        name=f"folder:{text}",
        summary=f"The images below {path}",
        classes=tuple(map(shown, classes[first])),
        image_size=size.crop,
        # Nothing is known of these images; the constants of ImageNet serve natural ones.
        mean=NORMALISATIONS["imagenet"][0],
        std=NORMALISATIONS["imagenet"][1],
        splits={name: len(files[name]) for name in splits},
        fingerprints={name: fingerprint(place, files[name]) for name, place in splits.items()},
        preprocessing=str(size),
        licence="unknown",
        citation="",
        open_split=open_split,
    )


def _size(text: str, asked: str) -> ImageSize:
    if not (text.isascii() and text.isdigit()) or not text.strip("0"):
        raise InvalidInput(
            f"'folder:{asked}' asks for images of '{text}' pixels, which is no size. Write "
            f"folder:PATH@64 for 64 × 64 pixels, or folder:PATH for 224 × 224."
        )
    crop = int(text[:9])
    if len(text) > 9 or crop**2 > MOST_PIXELS:
        raise InvalidInput(
            f"'folder:{asked[:200]}' asks for images of {text[:20]} × {text[:20]} pixels, and "
            f"{isqrt(MOST_PIXELS):,} × {isqrt(MOST_PIXELS):,} are the most. Write folder:PATH@64 "
            f"for 64 × 64."
        )
    return ImageSize(resize=255 if crop == IMAGENET_SIZE else crop, crop=crop)


def _files(place: Path, classes: tuple[str, ...]) -> list[Path]:
    return [image for name in classes for image in images_of_class(place / name)]


DATASETS.register_prefix("folder", from_folder)
