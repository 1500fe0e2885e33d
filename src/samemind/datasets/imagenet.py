"""ImageNet-1k and the study's subsets of it, from the folders that people have on disk.

- `train/` holds a folder per class, named by its WordNet id.
- `val/` either holds the same, or the 50,000 images side by side with a label file.

Both may lie in `ILSVRC/Data/CLS-LOC`, as in Kaggle's archive of the challenge, and be packed in
parts (`train.X1` to `train.X4`, `val.X`), as in Kaggle's ImageNet-100.

Labels count in the order of the sorted WordNet ids, as everywhere in PyTorch. Nothing is
downloaded: ImageNet is given out to registered researchers only.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

from samemind.datasets._normalisations import NORMALISATIONS
from samemind.datasets._validation_labels import LABEL_FILES, validation_labels
from samemind.datasets.base import Dataset, dataset
from samemind.datasets.images import FileSplit, ImageSize, images_below, split_of_folders
from samemind.datasets.roots import data_folder
from samemind.errors import DataError
from samemind.lazy import np

CHALLENGE = Path("ILSVRC/Data/CLS-LOC")
PARTS = {"train": "train.X1 to train.X4", "val": "val.X"}

SIZE = ImageSize(resize=255, crop=224)
"""Of the study's code for inversion and comparison. (It measured accuracies with 256.)"""


@cache
def imagenet_names() -> dict[str, str]:
    """The name of each of the 1,000 classes by WordNet id, in the order of the labels."""
    lines = _text("imagenet_classes.txt").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def _text(name: str) -> str:
    return (files("samemind.datasets") / name).read_text(encoding="utf-8")


def _open(
    folders: tuple[str, ...],
    ids: tuple[str, ...],
    counts: dict[str, int],
    split: str,
    root: Path | None,
) -> FileSplit:
    """A split of the classes `ids` from the first of the folders that is there."""
    if missing := _lacks(folders, ids, split, root):
        raise DataError(missing)
    place = _place(folders, split, root)
    assert place is not None
    parts = _parts(place, split)
    folder = parts[0]
    if split == "val" and not (folder / ids[0]).is_dir() and images_below(folder):
        found = _flat_validation(folder, place, ids)
    else:
        found = split_of_folders(parts, ids, SIZE)
    if len(found) != counts[split]:
        raise DataError(
            f"{folder} holds {len(found):,} images of these {len(ids)} classes, but there should "
            f"be {counts[split]:,}. Unpack it again; for another collection of your own, use "
            f"the dataset 'folder:{folder}'."
        )
    return found


def _place(folders: tuple[str, ...], split: str, root: Path | None) -> Path | None:
    places = [data_folder(root) / name for name in folders]
    nested = [place / CHALLENGE for place in places]
    if "imagenet" in folders:
        nested.append(data_folder(root) / CHALLENGE)
    return next((p for p in (*places, *nested) if _parts(p, split)), None)


def _parts(place: Path, split: str) -> list[Path]:
    """The folder of a split, or those of its parts: `train.X1`, `train.X2` …; `val.X`."""
    if (place / split).is_dir():
        return [place / split]
    return sorted(path for path in place.glob(f"{split}.X*") if path.is_dir())


def _lacks(folders: tuple[str, ...], ids: tuple[str, ...], split: str, root: Path | None) -> str:
    if _place(folders, split, root):
        return ""
    places = [data_folder(root) / name for name in folders]
    return (
        f"ImageNet is not in {' or '.join(str(p / split) for p in places)}. It must be "
        f"fetched by hand: register at image-net.org (or on Kaggle), unpack it so that there "
        f"is {places[-1] / split}/{ids[0]}, or link that folder to your copy, or name the "
        f"folder that holds '{folders[-1]}' in SAMEMIND_DATA. Kaggle's archives are read as they "
        f"unpack: {places[-1] / CHALLENGE / split}, and {places[0]}/{PARTS[split]}."
    )


def _flat_validation(folder: Path, place: Path, ids: tuple[str, ...]) -> FileSplit:
    paths = images_below(folder)
    wanted = {wnid: label for label, wnid in enumerate(ids)}
    # The archive of the challenge has its label file where it was unpacked, or beside its folder.
    above = place.parents[:3] if place.parts[-3:] == CHALLENGE.parts else ()
    wnids = validation_labels(paths, (place, folder, *above), tuple(imagenet_names()))
    kept = [(path, wanted[wnid]) for path, wnid in zip(paths, wnids, strict=True) if wnid in wanted]
    return FileSplit(
        tuple(path for path, _ in kept), np.array([k for _, k in kept], dtype=np.int64), SIZE
    )


def _imagenet(
    name: str, summary: str, ids: Iterable[str], *, train: int, folders: tuple[str, ...]
) -> Dataset:
    ids = tuple(ids)
    splits = {"train": train, "val": 50 * len(ids)}
    return dataset(
        Dataset(
            name=name,
            summary=summary,
            classes=tuple(imagenet_names()[wnid] for wnid in ids),
            image_size=SIZE.crop,
            mean=NORMALISATIONS["imagenet"][0],
            std=NORMALISATIONS["imagenet"][1],
            splits=splits,
            preprocessing=str(SIZE),
            licence="ImageNet terms of access: non-commercial research and education",
            citation="Russakovsky et al. (2015), ImageNet Challenge, arXiv:1409.0575",
            open_split=partial(_open, folders, ids, splits),
            lacks=partial(_lacks, folders, ids),
        )
    )


IMAGENET1K = _imagenet(
    "imagenet1k",
    f"ImageNet-1k, 224 × 224 pixels; folder 'imagenet' (val may be flat with {LABEL_FILES[0]})",
    imagenet_names(),
    train=1_281_167,
    folders=("imagenet",),
)
IMAGENET100 = _imagenet(
    "imagenet100",
    "100 classes of ImageNet-1k, as the study chose them; folder 'imagenet100' or 'imagenet'",
    # The list of the Kaggle data set ambityga/imagenet100.
    _text("imagenet100.txt").split(),
    train=130_000,
    folders=("imagenet100", "imagenet"),
)
IMAGENET50 = _imagenet(
    "imagenet50",
    "50 of the 100 classes of 'imagenet100', as the study drew them; the same folders",
    _text("imagenet50.txt").split(),
    train=65_000,
    folders=("imagenet50", "imagenet100", "imagenet"),
)
IMAGENET100_CMC = _imagenet(
    "imagenet100-cmc",
    "The other well-known 100 classes, of Contrastive Multiview Coding; 8 are in both lists",
    _text("imagenet100_cmc.txt").split(),
    train=126_689,
    folders=("imagenet100-cmc", "imagenet"),
)
