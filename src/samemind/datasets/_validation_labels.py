"""The labels of ImageNet's validation images where these lie side by side in one folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from samemind.errors import DataError
from samemind.files.matlab import read_mat5
from samemind.files.reading import read_text

LABEL_FILES = (
    "LOC_val_solution.csv",
    "val.txt",
    "imagenet_2012_validation_synset_labels.txt",
    "ILSVRC2012_validation_ground_truth.txt",
)


def validation_labels(
    paths: Sequence[Path], folders: Sequence[Path], ids: Sequence[str]
) -> list[str]:
    """The WordNet id of each image, from the first label file that is there.

    - `LOC_val_solution.csv` of Kaggle: file name and 'n01440764 box …';
    - `val.txt` of Caffe: file name, and a number in the order of the sorted WordNet ids, or an id;
    - `imagenet_2012_validation_synset_labels.txt`: one id a line, in the order of the file names;
    - `ILSVRC2012_validation_ground_truth.txt` of the development kit, which numbers the classes
      in an order of its own and so needs `meta.mat` beside it.

    **Raises:** `DataError` where there is no such file, or it does not fit the images.
    """
    for name in LABEL_FILES:
        for folder in (*folders, *(f / "ILSVRC2012_devkit_t12" / "data" for f in folders)):
            if (folder / name).is_file():
                return _read(folder / name, paths, ids)
    raise DataError(
        f"The validation images in {folders[-1]} lie side by side, and there is no label file "
        f"with them. Put one of {', '.join(LABEL_FILES)} into {folders[0]}, or sort the images "
        f"into folders named by WordNet id."
    )


def _read(file: Path, paths: Sequence[Path], ids: Sequence[str]) -> list[str]:
    try:
        if file.name == "LOC_val_solution.csv":
            rows = list(csv.reader(read_text(file).splitlines()))[1:]
            by_name = {row[0]: row[1].split()[0] for row in rows}
            found = [by_name[path.stem] for path in paths]
        elif file.name == "val.txt":
            pairs = (line.split() for line in read_text(file).splitlines())
            by_name = {Path(name).stem: label for name, label in pairs}
            labels = [by_name[path.stem] for path in paths]
            found = [ids[int(label)] if label.isdigit() else label for label in labels]
        else:
            lines = read_text(file).split()
            if len(lines) != len(paths):
                raise DataError(
                    f"{file} has {len(lines):,} lines for {len(paths):,} images in "
                    f"{paths[0].parent}. Unpack both again."
                )
            are_ids = bool(lines) and lines[0].startswith("n")
            found = lines if are_ids else _from_development_kit(file, lines)
        unknown = set(found) - set(ids)
        if unknown:
            raise KeyError(sorted(unknown)[0])
    except (IndexError, KeyError, ValueError, csv.Error) as error:
        raise DataError(
            f"The label file {file} does not fit the images in {paths[0].parent}: {error!r}. "
            f"It should name a class of ImageNet-1k for each of them."
        ) from error
    return found


def _from_development_kit(file: Path, numbers: Sequence[str]) -> list[str]:
    meta = file.parent / "meta.mat"
    if not meta.is_file():
        raise DataError(
            f"{file} numbers the classes in an order of its own, which only meta.mat of the same "
            f"development kit explains. Put it into {meta.parent}."
        )
    try:
        synsets = read_mat5(meta, ["synsets"], only_numbers=False)["synsets"]
        wnids = {int(row["ILSVRC2012_ID"].item()): str(row["WNID"]) for row in synsets}
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{meta} cannot be read as the development kit's list of classes ({error}). Unpack "
            f"the development kit again."
        ) from error
    return [wnids[int(number)] for number in numbers]
