"""Arrays from the files that people keep activations in; nothing in a file is executed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from samemind.errors import InvalidInput, MissingExtra
from samemind.files.archives import check_held, check_zip
from samemind.files.hdf5 import hdf5_arrays, mat_arrays
from samemind.files.reading import is_file, split_name

REPRESENTATION_NAMES = (
    "representation", "representations", "features", "activations", "embeddings", "x",
)  # fmt: skip
LOGITS_NAMES = ("logits", "scores", "outputs")
NAMES = {
    "representation": REPRESENTATION_NAMES,
    "logits": LOGITS_NAMES,
    "probabilities": ("probabilities", "probs", "softmax"),
}


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npy, .npz, .safetensors, .h5/.hdf5 or .mat file, by name.

    A .npy file has one, named 'array'. Names inside an HDF5 file are paths (`layer4/out`).

    **Raises:** `InvalidInput` for a file that is not there, of another kind, or damaged;
    `MissingExtra` for HDF5 (and MATLAB 7.3, which is HDF5) where h5py is not installed.
    """
    if not is_file(path):
        raise InvalidInput(f"There is no file {path}. Check the path.")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidInput(
            f"{path} is of no kind that arrays are read from. Known: {', '.join(_READERS)}."
        )
    try:
        found = reader(path)
        # Before anything is made of them: a file may say little and repeat it a billion times.
        check_held(sum(array.size for array in found.values()), path)
        return found
    except (InvalidInput, MissingExtra):
        raise
    except Exception as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        if "allow_pickle" in why or "pickle" in why:
            why = (
                "it holds Python objects, or is no such file. Save numbers, np.asarray(values, "
                "float), with np.save"
            )
        raise InvalidInput(f"{path} cannot be read as {path.suffix}: {why[:300]}.") from error


def _npy(path: Path) -> dict[str, np.ndarray]:
    return _only_arrays({"array": np.load(path, mmap_mode="c", allow_pickle=False)})


def _npz(path: Path) -> dict[str, np.ndarray]:
    check_zip(path)
    with np.load(path, allow_pickle=False) as held:
        return _only_arrays({name: held[name] for name in held.files})


def _only_arrays(held: dict[str, object]) -> dict[str, np.ndarray]:
    # NumPy looks at what a file begins with, not at its name, and gives other things for it.
    for name, value in held.items():
        if not isinstance(value, np.ndarray):
            raise ValueError(f"'{name}' is {type(value).__name__}, not an array")
    return held  # pyright: ignore[reportReturnType]


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import safe_open

    # Through torch, because NumPy has no bfloat16.
    with safe_open(path, framework="pt") as held:
        tensors = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
    return {
        name: (t.float() if t.element_size() == 2 and t.is_floating_point() else t).numpy()
        for name, t in tensors.items()
    }


_READERS = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".h5": hdf5_arrays,
    ".hdf5": hdf5_arrays,
    ".mat": mat_arrays,
}


def read_activations(
    references: Sequence[str], *, kind: str = "representation"
) -> dict[str, dict[str, np.ndarray]]:
    """For each model's file its `representation` and `logits`, as far as the file has them.

    **Arguments:**

    - `references`: files; `NAME=FILE` names a model, `FILE::ARRAY` takes one array of the file.
    - `kind`: what an array without a telling name is: 'representation', 'logits', 'probabilities'
      or 'decisions'.

    Arrays of more than two axes are flattened to one row per input.

    **Raises:** `InvalidInput` where a file does not say which of its arrays is meant, or the
    numbers of inputs differ.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for reference in references:
        name, given = split_name(reference)
        file, _, array = given.partition("::")
        name = name or (f"{Path(file).stem}::{array}" if array else Path(file).stem)
        if name in found:
            raise InvalidInput(
                f"Two files are called '{name}'. Name them yourself: before=a/acts.npy "
                f"after=b/acts.npy."
            )
        chosen = _chosen(Path(file), array, kind)
        found[name] = {what: _rows(values, file, what) for what, values in chosen.items()}
    counts = {name: len(next(iter(a.values()))) for name, a in found.items()}
    if len(set(counts.values())) > 1:
        raise InvalidInput(
            f"Row i of every file is input i, so all have equally many rows, but there are "
            f"{', '.join(f'{n} in {name}' for name, n in counts.items())}."
        )
    return found


def _chosen(path: Path, array: str, kind: str) -> dict[str, np.ndarray]:
    arrays = read_arrays(path)
    if array:
        if array not in arrays:
            from samemind.registry import did_you_mean

            raise InvalidInput(
                f"{path} has no array '{array}'. {did_you_mean(array, list(arrays))}"
                f"Found: {', '.join(arrays)}."
            )
        return {kind: arrays[array]}
    named = {}
    for what, names in NAMES.items():
        for name, values in arrays.items():
            if name.lower().rpartition("/")[2] in names:
                named.setdefault(what, values)
    if named:
        return named
    usable = {name: a for name, a in arrays.items() if a.ndim >= 2}
    if len(usable) == 1:
        return {kind: next(iter(usable.values()))}
    if not usable and len(arrays) == 1:
        (one,) = arrays.values()
        if kind != "representation" and one.ndim == 1:
            return {kind: one}
        raise InvalidInput(
            f"{path} holds one array, of shape {one.shape}, but activations have a row per input, "
            f"(N, D). Save them so; class numbers (N,) are read with --logits."
        )
    shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays.items()) or "none"
    raise InvalidInput(
        f"{path} has no single array that is a model's activations (arrays: {shapes}). "
        f"Say which: {path}::NAME."
    )


def _rows(values: np.ndarray, file: str, what: str) -> np.ndarray:
    if not values.ndim or not values.size:
        raise InvalidInput(
            f"Activations have one row per input, but an array of shape {values.shape} was found "
            f"in {file}. Save one that holds numbers."
        )
    if values.ndim == 1:
        if what == "representation":
            raise InvalidInput(
                f"Activations have a row per input, (N, D), but an array of shape {values.shape} "
                f"was found in {file}. Save one unit as (N, 1)."
            )
        return values  # class numbers
    return values.reshape(len(values), -1)
