"""Arrays from the files that people keep activations in; nothing in a file is executed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from samemind.errors import InvalidInput, MissingExtra
from samemind.files.archives import check_held, check_zip
from samemind.files.hdf5 import hdf5_arrays, mat_arrays
from samemind.files.reading import is_file, is_folder, split_name
from samemind.inputs.tables import arrays_of_table, arrays_of_torch, shards_in, sparse_in

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
    """The arrays of a file by name, or of a folder of such files under each other.

    Kinds: .npy, .npz (also SciPy's sparse matrices), .safetensors, .pt, .h5/.hdf5, .mat, .csv,
    .tsv and .parquet.

    A .npy file has one, named 'array'. Names inside an HDF5 file are paths (`layer4/out`).

    **Raises:** `InvalidInput` for a file that is not there, of another kind, or damaged;
    `MissingExtra` for HDF5 (and MATLAB 7.3, which is HDF5) where h5py is not installed.
    """
    if is_folder(path):
        return shards_in(path, read_arrays, tuple(_READERS))
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
        found = _only_arrays({name: held[name] for name in held.files})
    sparse = sparse_in(found, path)
    return found if sparse is None else {"array": sparse}


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
    ".csv": arrays_of_table,
    ".tsv": arrays_of_table,
    ".parquet": arrays_of_table,
    ".pt": arrays_of_torch,
    ".pth": arrays_of_torch,
}
CHECKPOINTS = (".safetensors", ".pt", ".pth")
"""Kinds of files that hold networks as well."""


REFERENCES = ("rdm", "labels")
"""What `rdm:FILE` and `labels:FILE` are: distances between inputs, and answers of people."""


def is_of_arrays(reference: str) -> bool:
    """Whether a model's reference can be nothing but arrays: by the kind of its file."""
    _, given = split_name(reference)
    if given.partition(":")[0] in REFERENCES:
        return True
    file, _, array = given.partition("::")
    if is_folder(file):
        return any(f.suffix.lower() in _READERS for f in Path(file).iterdir())
    kind = Path(file).suffix.lower()
    return kind in _READERS and (bool(array) or kind not in CHECKPOINTS)


def read_activations(
    references: Sequence[str], *, kind: str = "representation"
) -> dict[str, dict[str, np.ndarray]]:
    """For each model's file its `representation` and `logits`, as far as the file has them.

    **Arguments:**

    - `references`: files; `rdm:FILE` of distances between inputs, `labels:FILE` of class numbers or
      counts of answers; `NAME=FILE` names a model, `FILE::ARRAY` takes one array of the file.
    - `kind`: what an array without a telling name is: 'representation', 'logits', 'probabilities'
      or 'decisions'.

    Arrays of more than two axes are flattened to one row per input. An array `ids` goes with them.

    **Raises:** `InvalidInput` where a file does not say which of its arrays is meant.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for reference in references:
        name, given = split_name(reference)
        source, _, rest = given.partition(":")
        is_reference = source in REFERENCES
        given = rest if is_reference else given
        file, _, array = given.partition("::")
        name = name or (f"{Path(file).stem}::{array}" if array else Path(file).stem)
        if name in found:
            raise InvalidInput(
                f"Two files are called '{name}'. Name them yourself: before=a/acts.npy "
                f"after=b/acts.npy."
            )
        if is_reference:
            found[name] = reference_in(Path(file), array, source)
            continue
        chosen = _chosen(Path(file), array, kind)
        found[name] = {
            what: values if what == "ids" else _rows(values, file, what)
            for what, values in chosen.items()
        }
    return found


def _chosen(path: Path, array: str, kind: str) -> dict[str, np.ndarray]:
    arrays = read_arrays(path)
    if array == "ids":
        return _of_kind(path, arrays, array, kind)
    ids = {name: arrays.pop(name) for name in list(arrays) if name.lower() in ("ids", "id")}
    given = next((held for held in ids.values() if held.ndim == 1), None)
    chosen = _of_kind(path, arrays, array, kind)
    return chosen if given is None else {**chosen, "ids": given}


def _of_kind(
    path: Path, arrays: dict[str, np.ndarray], array: str, kind: str
) -> dict[str, np.ndarray]:
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


def reference_in(path: Path, array: str, source: str) -> dict[str, np.ndarray]:
    """Distances `(N, N)` of `rdm:FILE`, or of `labels:FILE` decisions `(N,)` or shares `(N, C)`.

    **Raises:** `InvalidInput` where a file does not say which of its arrays is meant, or holds
    counts below zero.
    """
    if source == "labels" and path.suffix.lower() in (".txt", ".lst", ""):
        from samemind.inputs.labels import read_labels

        return {"decisions": read_labels(path)}
    arrays = read_arrays(path)
    ids = arrays.pop("ids", arrays.pop("id", None)) if array != "ids" else None
    found = {"ids": ids} if ids is not None else {}
    if array:
        values = _of_kind(path, arrays, array, "array")["array"]
    else:
        named = [arrays[n] for n in RDM_NAMES if n in arrays] if source == "rdm" else []
        several = [a for a in arrays.values() if a.ndim >= 1 and a.size > 1]
        if not named and len(several) != 1:
            shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays.items()) or "none"
            raise InvalidInput(
                f"{path} has no single array that is meant (arrays: {shapes}). Say which: "
                f"{source}:{path}::NAME."
            )
        values = (named or several)[0]
    if source == "rdm":
        return {"distances": np.asarray(values, dtype=np.float64), **found}
    if values.ndim == 1 or 1 in values.shape:
        return {"decisions": values.reshape(-1), **found}
    counts = np.asarray(values, dtype=np.float64)
    totals = counts.sum(1, keepdims=True)
    if not np.isfinite(counts).all() or (counts < 0).any() or (totals <= 0).any():
        raise InvalidInput(
            f"Answers are counted: numbers from 0 up, one or more for every input, but those in "
            f"{path} go from {counts.min():g}, and {int((totals <= 0).sum())} inputs have none."
        )
    return {"probabilities": counts / totals, **found}


RDM_NAMES = ("rdm", "rdms", "dissimilarities", "distances")
