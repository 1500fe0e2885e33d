"""Images to compare models on: a known dataset, a folder of pictures, or a tensor in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samemind.arrays import Array
from samemind.datasets.base import DATASETS, Split
from samemind.errors import InvalidInput, UnknownName
from samemind.files.pictures import open_picture, peculiarities
from samemind.files.reading import files_below, is_file, is_folder, shown
from samemind.inputs.arrays import read_arrays
from samemind.inputs.labels import joined, named_labels, read_labels
from samemind.inputs.pixels import HeldImages, check_pixels, cropped, extremes, told_of_pixels
from samemind.inputs.pixels import fitted as fitted
from samemind.lazy import torch
from samemind.randomness import numpy_generator
from samemind.registry import did_you_mean
from samemind.sides.held import as_tensor
from samemind.sides.predictions import checked_labels

if TYPE_CHECKING:
    from torch import Tensor

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TENSORS = (".npy", ".npz", ".safetensors", ".h5", ".hdf5", ".mat")

LEFT_UNREAD = {
    "turned": "are to be turned by their EXIF orientation, and were read as they are stored.",
    "transparent": "have transparency, which was dropped: hidden colours show.",
    "animated": "are animations, of which the first picture was read.",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """N images in a fixed order, read when they are needed.

    - `source`: a split `read(indices)` gives arrays of, or the files of a folder.
    - `labels`: `(N,)` class numbers, positions in `classes`; None where nothing is known.
    - `dataset`: the name of a known dataset, or None. `root`: the folder of files, or None.
    - `notes`: what a reader must know of how they were read.
    """

    name: str
    source: Split | Sequence[Path]
    indices: np.ndarray
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    dataset: str | None = None
    root: Path | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def is_folder(self) -> bool:
        return not hasattr(self.source, "read")

    @property
    def ids(self) -> np.ndarray | None:
        """What each input is called, `(N,)`: its file below the folder; None without names."""
        if not self.is_folder:
            return None
        files = [self.source[int(i)] for i in self.indices]  # pyright: ignore[reportIndexIssue]
        root = self.root
        return np.array([str(f.relative_to(root) if root else f.name) for f in files])  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]

    @property
    def shape(self) -> tuple[int, int] | None:
        """(channels, size) of every image as it is; None for pictures of a folder."""
        if self.is_folder or not len(self):
            return None
        first = self.source.read(self.indices[:1])  # pyright: ignore[reportAttributeAccessIssue]
        return first.shape[1], first.shape[-1]

    def remarks(self) -> list[str]:
        """What a reader must know: of how they were read, and what pictures say beyond that.

        **Cost:** opens every picture's file, without decoding it.
        """
        counts: dict[str, int] = {}
        for i in self.indices if self.is_folder else ():
            try:
                with open_picture(self.source[int(i)]) as picture:  # pyright: ignore[reportIndexIssue, reportArgumentType]
                    for what in peculiarities(picture):
                        counts[what] = counts.get(what, 0) + 1
            except Exception:
                continue
        return [
            *self.notes,
            *(
                f"{counts[what]:,} of {len(self):,} pictures {said}"
                for what, said in LEFT_UNREAD.items()
                if what in counts
            ),
        ]

    def labels_for(self, n_classes: int) -> tuple[np.ndarray | None, str]:
        """The labels as class numbers of a model with C classes; None, and why, without them."""
        if self.labels is None:
            return None, "the inputs have no labels"
        if not self.classes or len(self.classes) == n_classes:
            low, high = int(self.labels.min()), int(self.labels.max())
            if low >= 0 and high < n_classes:
                return self.labels, ""
            what = f"start at {low}" if low < 0 else f"go up to {high}"
            return None, f"the labels {what}, the models have {n_classes} classes, from 0"
        if n_classes == 1000:
            known = _imagenet_numbers()
            if all(name in known for name in self.classes):
                return np.array([known[name] for name in self.classes])[self.labels], ""
        return None, (
            f"the inputs have {len(self.classes)} classes and the models {n_classes}, "
            f"so no label is known to be a model's class"
        )

    def class_names(self, n_classes: int) -> tuple[str, ...]:
        """The names that `labels_for` counts in: one per class of the model, or none."""
        if len(self.classes) == n_classes:
            return self.classes
        return DATASETS["imagenet1k"].classes if n_classes == 1000 and self.classes else ()

    def read(
        self, positions: Sequence[int] | np.ndarray, *, size: int | None, crop: float, channels: int
    ) -> Tensor:
        """Images at these positions for one model: float32 `(n, channels, size, size)` in [0, 1].

        Files are resized (bilinear, shorter side to size / crop) and cropped in the middle;
        arrays are resized only where their size is not the model's.

        **Raises:** `DataError` that names an unreadable file; `InvalidInput` for channels that do
        not fit.
        """
        rows = self.indices[np.asarray(positions, dtype=np.int64)]
        if self.is_folder:
            if size is None:
                raise InvalidInput(
                    "Pictures of a folder are brought to one size, but the model states none. "
                    "Give --image-size."
                )
            return torch.stack([cropped(self.source[int(i)], size, crop, channels) for i in rows])  # pyright: ignore[reportIndexIssue, reportArgumentType]
        return fitted(self.source.read(rows), size, channels)  # pyright: ignore[reportAttributeAccessIssue]


# -- finding them


def open_images(
    inputs: str,
    *,
    labels: str | None = None,
    count: int | None = None,
    random_seed: int = 0,
    data: Path | None = None,
) -> Images:
    """The images that `--inputs` names: a dataset (`cifar10`, `cifar10:train`), a folder, a file.

    **Arguments:**

    - `labels`: a file of class numbers, one per image in their order, or a table `file,label`
      that names pictures of a folder; instead of those known.
    - `count`: so many at random, in their order; None for all.
    - `data`: the folder of known datasets, if not the usual one.

    **Raises:** `InvalidInput`, `UnknownName` or `DataError` where there are no such images.
    """
    path = Path(inputs)
    if is_folder(path):
        found = _from_folder(path)
    elif path.suffix in TENSORS:
        found = _from_tensor(path)
    else:
        found = _from_dataset(inputs, data)
    if labels is not None:
        found = labelled_by(found, Path(labels))
    return sampled(found, count, random_seed)


def labelled_by(images: Images, path: Path) -> Images:
    """The images with the labels of a file: by the names in it, or a bare list in their order.

    **Raises:** `InvalidInput` for images without a label, or another number of labels.
    """
    if images.is_folder and images.root is not None and (by_name := named_labels(path)):
        files = [
            images.source[int(i)].relative_to(images.root).as_posix()  # pyright: ignore[reportIndexIssue, reportAttributeAccessIssue]
            for i in images.indices
        ]
        found = joined(by_name, files, path.name)
        notes = (*images.notes, *found.notes)
        return replace(images, labels=found.numbers, classes=found.classes, notes=notes)
    found = labelled(images, read_labels(path), str(path))
    if not images.is_folder or not len(images):
        return found
    first, last = (shown(images.source[int(images.indices[i])].name) for i in (0, -1))  # pyright: ignore[reportIndexIssue, reportAttributeAccessIssue]
    said = (
        f"The labels of {path.name} have no names, so they are taken to be in the order of the "
        f"files, from {first} to {last}. A table file,label says which is whose."
    )
    return replace(found, notes=(*found.notes, said))


def labelled(images: Images, labels: np.ndarray, where: str) -> Images:
    """The images with these class numbers (N,) in the place of what is known of them.

    - `where`: what the labels are called in the error.

    **Raises:** `InvalidInput` for another number of labels than of images.
    """
    if labels.shape != (len(images),):
        raise InvalidInput(f"{where} has {labels.size} labels for {len(images)} images.")
    return replace(images, labels=labels, classes=())


def sampled(images: Images, count: int | None, random_seed: int) -> Images:
    """So many of the images at random, in their order; all of them for None.

    **Raises:** `InvalidInput` for fewer than one.
    """
    if count is None:
        return images
    if not isinstance(count, (int, np.integer)) or count < 1:
        raise InvalidInput(f"{count} inputs were asked for. Ask for a whole number, 1 or more.")
    if count == len(images):
        return images
    if count > len(images):
        said = f"{count:,} inputs were asked for, and there are {len(images):,}: all are used."
        return replace(images, notes=(*images.notes, said))
    generator = numpy_generator(random_seed, "inputs")
    return subset(images, np.sort(generator.choice(len(images), count, False)))


def subset(images: Images, positions: np.ndarray) -> Images:
    """The same images, those at these positions only."""
    labels = None if images.labels is None else images.labels[positions]
    return replace(images, indices=images.indices[positions], labels=labels)


def _from_dataset(inputs: str, data: Path | None) -> Images:
    name, _, split = inputs.partition(":")
    try:
        record = DATASETS[name]
    except UnknownName:
        raise UnknownName(
            f"'{inputs}' is neither a dataset, a folder of images nor a file of a tensor. "
            f"{did_you_mean(name, list(DATASETS))}Datasets: {', '.join(DATASETS)}; tensors: "
            f"{', '.join(TENSORS)}."
        ) from None
    split = split or list(record.splits)[-1]
    opened = record.split(split, data)
    return Images(
        name=f"{name}:{split}",
        source=opened,
        indices=np.arange(len(opened)),
        labels=np.asarray(opened.labels),
        classes=record.classes,
        dataset=name,
    )


def _from_folder(path: Path) -> Images:
    files = sorted(
        f
        for f in files_below(path, follows_links=False)
        if f.suffix.lower() in ENDINGS and is_file(f)
    )
    if not files:
        raise InvalidInput(
            f"The folder {path} holds no images ({', '.join(ENDINGS)}). Name a folder of "
            f"pictures, or of class folders of pictures."
        )
    parts = [f.relative_to(path).parts for f in files]
    if any(len(p) == 1 for p in parts):
        files = [f for f, p in zip(files, parts, strict=True) if len(p) == 1]
        return Images(name=shown(path.name), source=files, indices=np.arange(len(files)), root=path)
    names = sorted({p[0] for p in parts})
    number = {name: i for i, name in enumerate(names)}
    labels = np.array([number[p[0]] for p in parts])
    return Images(
        name=shown(path.resolve().name),
        source=files,
        indices=np.arange(len(files)),
        labels=labels,
        classes=tuple(map(shown, names)),
        root=path,
    )


def given_images(images: Array, labels: Array | None = None) -> Images:
    """Images (N, channels, H, W) that are in memory already, in their order.

    **Raises:** `InvalidInput` for another shape, values that are not finite, or labels that are
    not (N,) class numbers.
    """
    tensor = as_tensor(images, "images")
    if tensor.ndim != 4 or not len(tensor):
        raise InvalidInput(
            f"Images have the shape (N, channels, H, W), but {tuple(tensor.shape)} was found. "
            f"Add the missing axis, or move the channels to the second place."
        )
    if tensor.is_complex():
        raise InvalidInput(f"The images are complex ({tensor.dtype}). Give real numbers.")
    numbers = None if labels is None else checked_labels(labels, None).cpu().numpy()
    if numbers is not None and numbers.shape != (len(tensor),):
        raise InvalidInput(
            f"{len(tensor)} images need as many labels, but labels of shape {numbers.shape} were "
            f"found. Give class numbers (N,)."
        )
    return Images(
        name="images",
        source=HeldImages(tensor),
        indices=np.arange(len(tensor)),
        labels=numbers,
        notes=tuple(told_of_pixels(tensor)),
    )


def refuse_no_pixels(images: Images) -> None:
    """Raises `InvalidInput` for arrays that are no pixels in [0, 1], nor uint8.

    Of networks that bring their own normalisation.
    """
    if images.is_folder or not isinstance(images.source, HeldImages):
        return
    held = torch.as_tensor(images.source.images)
    if held.dtype == torch.uint8:
        return
    low, high = extremes(held)
    if low < 0 or high > 1:
        what = "Divide by 255" if low >= 0 and high > 1.5 else "Undo the normalisation"
        raise InvalidInput(
            f"Images are pixels in [0, 1] (or uint8), but these go from {low:g} to {high:g}. "
            f"{what}: each model applies its own normalisation."
        )


def _from_tensor(path: Path) -> Images:
    arrays = read_arrays(path)
    four = {name: a for name, a in arrays.items() if a.ndim == 4}
    if not four:
        if others := _no_images(path, arrays):
            return others
        shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays.items())
        raise InvalidInput(
            f"{path} holds no images of shape (N, channels, H, W), but {shapes}. Save them so."
        )
    images, notes = four.get("images", next(iter(four.values()))), ()
    if not images.size:
        raise InvalidInput(f"The images in {path} have the shape {images.shape}: there are none.")
    if images.shape[1] not in (1, 3) and images.shape[-1] in (1, 3):
        notes = (
            f"The images in {path.name} have the shape {images.shape}: their last axis was taken "
            f"for the channels.",
        )
        images = np.moveaxis(images, -1, 1)
    check_pixels(images, path)
    labels = arrays.get("labels")
    if labels is not None and labels.size != len(images):
        raise InvalidInput(f"{path} holds {labels.size} labels for {len(images)} images.")
    return Images(
        name=path.stem,
        source=HeldImages(images),
        indices=np.arange(len(images)),
        labels=None if labels is None else np.asarray(labels).reshape(-1).astype(np.int64),
        notes=notes,
    )


def _no_images(path: Path, arrays: dict[str, np.ndarray]) -> Images | None:
    """Inputs of another kind, such as sound or a table: the one array of numbers, or 'inputs'."""
    from samemind.inputs.tensors import given_inputs

    held = {n: a for n, a in arrays.items() if n not in ("labels", "ids") and a.ndim > 1}
    found = held.get("inputs") if len(held) != 1 else next(iter(held.values()))
    if found is None or found.shape[0] == 0:
        return None
    return replace(given_inputs(found, arrays.get("labels")), name=path.stem)


def _imagenet_numbers() -> dict[str, int]:
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo()
    return {info.index_to_label_name(i): i for i in range(info.num_classes())}
