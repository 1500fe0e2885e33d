"""Representations from tables, torch files, sparse matrices and folders of shards."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samemind.errors import InvalidInput
from samemind.files.archives import check_held
from samemind.files.reading import check_regular, is_file
from samemind.lazy import pd, torch
from samemind.sides.held import as_tensor

if TYPE_CHECKING:
    from pandas import DataFrame

ID_COLUMNS = (
    "id", "ids", "uid", "key", "index", "name", "names", "file", "filename", "path", "image",
    "image_id", "input", "input_id", "stimulus", "row_id",
)  # fmt: skip
"""What the column of a table is called that names each input."""
LABEL_COLUMNS = ("label", "labels", "class", "target", "y")


def arrays_of_table(path: Path) -> dict[str, np.ndarray]:
    """The columns of numbers of a CSV, TSV or Parquet file as 'representation' `(N, D)`.

    A column that names inputs gives 'ids': one of `ID_COLUMNS`, the index that pandas wrote, or
    the one column of words. A column of lists is an array of its own.

    **Raises:** `InvalidInput` for other columns of words, or none of numbers.
    """
    check_regular(path)
    if path.suffix.lower() == ".parquet":
        table = pd.read_parquet(path)
        if type(table.index).__name__ != "RangeIndex":
            table = table.reset_index(names=table.index.name or "id")
    else:
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        first = pd.read_csv(path, sep=separator, header=None, nrows=1)
        table = pd.read_csv(path, sep=separator, header=None if _has_no_titles(first) else "infer")
        if table.columns[0] == "Unnamed: 0":  # the index, as pandas writes it
            table = table.rename(columns={"Unnamed: 0": "id"})
    return _of_frame(table, path)


def _of_frame(table: DataFrame, path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    called = {str(name).lower(): name for name in table.columns}
    numbers = [name for name in table.columns if pd.api.types.is_numeric_dtype(table[name])]
    others = [name for name in table.columns if name not in numbers]
    lists = [name for name in others if _holds_lists(table, name)]
    words = [name for name in others if name not in lists]
    id_column = next((called[name] for name in ID_COLUMNS if name in called), None)
    if id_column is None and len(words) == 1:
        (id_column,) = words
    if id_column is not None:
        found["ids"] = table[id_column].to_numpy()
    if left := [str(name) for name in words if name != id_column]:
        raise InvalidInput(
            f"{path} has columns that hold no numbers ({', '.join(left[:4])}). Leave them out, or "
            f"call the one that names the inputs 'id'."
        )
    label = next((called[name] for name in LABEL_COLUMNS if name in called), None)
    units = [name for name in numbers if name not in (id_column, label)]
    if label in numbers and (units or lists):
        found["labels"] = table[label].to_numpy()
    if units:
        found["representation"] = table[units].to_numpy(dtype=np.float64, na_value=np.nan)
    for name in lists:
        stacked = as_tensor(list(table[name]), f"column '{name}' of {path}").numpy()
        found["representation" if len(lists) == 1 and not units else str(name)] = stacked
    if not units and not lists:
        raise InvalidInput(f"{path} has no columns of numbers. Write a column for each unit.")
    return found


def _holds_lists(table: DataFrame, name: Any) -> bool:
    first = next((value for value in table[name] if value is not None), None)
    return isinstance(first, (list, tuple, np.ndarray))


# -- torch


def arrays_of_torch(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file of `torch.save`, which holds one or several by name.

    Nothing in it is executed.

    **Raises:** `InvalidInput` for a file that holds anything else.
    """
    check_regular(path)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InvalidInput(
            f"{path} holds more than tensors, or is damaged, so it is not read "
            f"({type(error).__name__}). Save the tensor alone: torch.save(tensor, path)."
        ) from None
    if not isinstance(held, dict):
        held = {"array": held}
    arrays = {}
    for name, value in held.items():
        if isinstance(value, (torch.Tensor, np.ndarray)):
            tensor = as_tensor(value, f"array '{name}'")
            narrow = tensor.is_floating_point() and tensor.element_size() == 2
            arrays[str(name)] = (tensor.float() if narrow else tensor).numpy()
        elif isinstance(value, (list, tuple)) and str(name) == "ids":
            arrays["ids"] = np.asarray(value)
    return arrays


# -- sparse


def sparse_in(held: dict[str, np.ndarray], path: Path) -> np.ndarray | None:
    """The matrix that `scipy.sparse.save_npz` wrote, dense; None for another archive."""
    if "format" not in held or "shape" not in held or "data" not in held:
        return None
    from scipy import sparse

    rows, columns = (int(n) for n in held["shape"])
    check_held(rows * columns, path)
    return sparse.load_npz(path).toarray()


# -- shards


def shards_in(
    folder: Path, read: Callable[[Path], dict[str, np.ndarray]], kinds: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """The arrays of all files of a folder under each other, in the order of their numbers.

    **Raises:** `InvalidInput` for no files, files that hold other arrays, or other widths.
    """
    files = [f for f in folder.iterdir() if f.suffix.lower() in kinds and is_file(f)]
    files.sort(key=lambda f: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", f.name)])
    if not files:
        raise InvalidInput(f"The folder {folder} holds no arrays. Known are {', '.join(kinds)}.")
    parts = [(f, read(f)) for f in files]
    names = list(parts[0][1])
    for file, held in parts:
        if list(held) != names:
            raise InvalidInput(
                f"The shards of {folder} differ: {files[0].name} holds {', '.join(names)}, and "
                f"{file.name} {', '.join(held) or 'nothing'}."
            )
        for name in names:
            if held[name].shape[1:] != parts[0][1][name].shape[1:]:
                raise InvalidInput(
                    f"The shards of {folder} differ: {name} is {parts[0][1][name].shape} in "
                    f"{files[0].name}, and {held[name].shape} in {file.name}."
                )
    return {name: np.concatenate([held[name] for _, held in parts]) for name in names}


def _has_no_titles(first: DataFrame) -> bool:
    """Whether the first line of a table is an input: all numbers, and not 0, 1, 2, … as titles."""
    if not all(pd.api.types.is_numeric_dtype(kind) for kind in first.dtypes):
        return False
    values = first.iloc[0].tolist()
    return not first.isna().any(axis=None) and values != list(range(len(values)))
