"""Labels from files: a bare list of class numbers, or a table that names each input."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from samemind.errors import InvalidInput, UnreadableFile
from samemind.files.reading import read_text
from samemind.inputs.arrays import read_arrays
from samemind.registry import did_you_mean

BINARY = (".npy", ".npz", ".safetensors", ".h5", ".hdf5", ".mat")
SEPARATORS = (",", "\t", ";", None)
"""What parts the two columns of a table; None is any white space."""
LABELS = ("label", "labels", "class", "class_name", "class_id", "target", "category", "y")
"""What a column of labels is called in the first line of a table."""


class Joined(NamedTuple):
    """Labels (N,) in the order of the inputs, the names of the classes where words were given."""

    numbers: np.ndarray
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def read_labels(path: Path) -> np.ndarray:
    """Class numbers `(N,)` from a .npy, .npz, .safetensors, .mat or HDF5 file, or a text file.

    **Raises:** `InvalidInput` where the file has no such array, or names what its labels are of.
    """
    if path.suffix not in BINARY:
        lines = read_text(path).splitlines()
        try:
            return np.loadtxt(lines, dtype=np.int64).reshape(-1)
        except (OSError, ValueError, OverflowError) as error:
            if _table(lines):
                raise InvalidInput(
                    f"{path} names what each label is of, but these inputs have no names. Give a "
                    f"bare list of class numbers, in the order of the inputs."
                ) from None
            raise InvalidInput(
                f"{path} is no list of class numbers: {str(error).rstrip('.')}."
            ) from None
    arrays = read_arrays(path)
    if not arrays:
        raise InvalidInput(f"{path} holds no numbers. Save the class numbers (N,) in it.")
    found = arrays.get("labels", next(iter(arrays.values())))
    if found.size != max(found.shape, default=0) or not np.array_equal(
        found, found.astype(np.int64)
    ):
        raise InvalidInput(f"{path} holds {found.dtype} {found.shape}, not class numbers (N,).")
    return found.reshape(-1).astype(np.int64)


def named_labels(path: Path) -> dict[str, str] | None:
    """Name of a file → its label, of a table `file,label`; None for a bare list or an array.

    Parted by commas, semicolons, tabs or white space; a first line of titles is none.

    **Raises:** `InvalidInput` for a name that has two labels.
    """
    if path.suffix in BINARY:
        return None
    try:
        rows = _table(read_text(path).splitlines())
    except UnreadableFile:
        return None
    found: dict[str, str] = {}
    for name, label in rows or ():
        if found.setdefault(name, label) != label:
            raise InvalidInput(
                f"{path} gives '{name}' two labels, {found[name]} and {label}. Keep one of them."
            )
    return found or None


def _table(lines: Sequence[str]) -> list[tuple[str, str]] | None:
    """The two columns of a table of names and labels; None for what is none."""
    lines = [line.strip() for line in lines if line.strip()]
    for separator in SEPARATORS:
        rows = [line.split(separator) for line in lines]
        if not rows or any(len(row) < 2 for row in rows) or len({len(r) for r in rows}) > 1:
            continue
        cells = [[cell.strip().strip('"') for cell in row] for row in rows]
        titles = [title.lower() for title in cells[0]]
        at = next((i for i, title in enumerate(titles) if title in LABELS and i), None)
        has_titles = at is not None
        if not has_titles and (len(titles) != 2 or all(map(_is_number, [c[0] for c in cells]))):
            continue
        return [(row[0], row[at or 1]) for row in cells[has_titles:]]
    return None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+", text) is not None


def joined(labels: Mapping[str, str], files: Sequence[str], where: str) -> Joined:
    """The labels of files by their names: the path from the folder, the name, or without ending.

    Labels that are all numbers are class numbers; words are numbered in alphabetical order.

    **Raises:** `InvalidInput` for a file without a label, or a name that several files have.
    """
    by_name = _places(files)
    found: list[str | None] = [None] * len(files)
    unknown = 0
    for name, label in labels.items():
        plain = str(PurePosixPath(name.replace("\\", "/")))
        place = next((by_name[key] for key in _keys(plain) if key in by_name), None)
        if place is None:
            unknown += 1
        elif place < 0:
            raise InvalidInput(
                f"{where} names '{name}', and several files are called so. Name them with their "
                f"folders."
            )
        else:
            found[place] = label
    lacking = [file for file, label in zip(files, found, strict=True) if label is None]
    if lacking:
        near = did_you_mean(lacking[0], list(labels)[:1000])
        raise InvalidInput(
            f"{where} has no label for {len(lacking):,} of {len(files):,} files, the first is "
            f"'{lacking[0]}'. {near}Add them, or leave these files out."
        )
    notes = (f"{where} names {unknown:,} files that are not among the inputs.",) if unknown else ()
    words = [str(label) for label in found]
    if all(map(_is_number, words)):
        return Joined(np.array([int(word) for word in words], dtype=np.int64), (), notes)
    classes = tuple(sorted(set(words)))
    number = {name: i for i, name in enumerate(classes)}
    return Joined(np.array([number[w] for w in words], dtype=np.int64), classes, notes)


def _keys(name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    return name, path.name, path.stem


def _places(files: Sequence[str]) -> dict[str, int]:
    """Each way to name a file → its place; -1 where several files have that name."""
    found: dict[str, int] = {}
    for place, file in enumerate(files):
        for key in dict.fromkeys(_keys(file)):
            found[key] = place if key not in found else -1
    for place, file in enumerate(files):  # a whole path is nobody else's name
        found[file] = place
    return found
