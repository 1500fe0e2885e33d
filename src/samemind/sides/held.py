"""Arrays as people hold them: whatever holds numbers becomes a tensor, or is refused by name.

NumPy, torch (dense, sparse, nested), pandas, SciPy sparse, lists, and what speaks DLPack or
`__array__`, such as JAX. Float64 stays float64, in nested lists too.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from samemind.errors import InvalidInput
from samemind.lazy import np, torch

if TYPE_CHECKING:
    from torch import Tensor


NO_UNITS = (
    *("id", "ids", "idx", "index", "unnamed: 0", "level_0", "file", "filename", "path"),
    *("label", "labels", "target", "targets", "class", "split", "fold"),
)
"""What columns beside activations are called in tables."""


def as_tensor(given: Any, what: str) -> Tensor:
    """What holds numbers, as a dense tensor on its own device, sharing memory where it can.

    **Raises:** `InvalidInput` for what holds no numbers, has missing ones, or rows of unequal
    length; `what` is what the message calls it.
    """
    if isinstance(given, torch.Tensor):
        return _dense(given.detach(), what)
    if isinstance(given, str | bytes) or given is None or isinstance(given, dict | set):
        raise InvalidInput(
            f"As {what}, {type(given).__name__} was given, which is no array. Give numbers: a "
            f"NumPy array, a tensor, a DataFrame or nested lists."
        )
    if isinstance(given, list | tuple) and any(_is_tensor(v) for v in given):
        return _stacked([as_tensor(v, what) for v in given], what)
    values: Any = given
    if hasattr(values, "toarray"):  # SciPy sparse
        values = values.toarray()
    elif hasattr(values, "to_numpy"):  # pandas, polars
        values = _of_table(values, what)
    elif hasattr(values, "__dlpack__") and not isinstance(values, np.ndarray):
        try:
            return _dense(torch.from_dlpack(values), what)
        except (RuntimeError, BufferError, TypeError, ValueError):
            pass  # a type or a device that torch does not take so
    return _of_numpy(_array(values, what), what)


def _is_tensor(value: Any) -> bool:
    """Whether NumPy would not take it for numbers: a tensor, or what only speaks DLPack."""
    if isinstance(value, torch.Tensor):
        return True
    return hasattr(value, "__dlpack__") and not hasattr(value, "__array__")


def index_of(given: Any) -> np.ndarray | None:
    """The index of a table of pandas', `(N,)`, unless it only counts the rows."""
    index = getattr(given, "index", None)
    if index is None or callable(index) or not hasattr(given, "to_numpy"):
        return None
    counts = type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1
    return None if counts else np.asarray(index)


def only_counts(given: Any) -> bool:
    """Whether the index of a table of pandas' is the one that it has unless another is given."""
    index = getattr(given, "index", None)
    return type(index).__name__ == "RangeIndex" and index_of(given) is None


def refuse_recounted(counting: Sequence[str], ids: Mapping[str, Any]) -> None:
    """Raises `InvalidInput` for an index that counts rows beside the same numbers in disorder.

    Rows then belong together by index, if a table was shuffled, or by position, if another was
    made of the shuffled one.

    **Arguments:** `counting`: what came with an index that counts; `ids`: of all others.
    """
    for name, held in ids.items():
        numbers = None if held is None else np.asarray(held)
        if not counting or numbers is None or numbers.dtype.kind not in "iu":
            continue
        is_counted = np.array_equal(np.sort(numbers), np.arange(len(numbers)))
        if is_counted and (numbers[:-1] > numbers[1:]).any():
            raise InvalidInput(
                f"The index of {counting[0]} counts its rows, and that of {name} holds the same "
                f"numbers in another order: whether rows belong together by index or by position "
                f"is not known. Give {name} as `.sort_index()` for the first, as "
                f"`.reset_index(drop=True)` for the second."
            )


def _dense(tensor: Tensor, what: str) -> Tensor:
    if tensor.is_meta:
        raise InvalidInput(
            f"As {what}, a tensor on the device 'meta' was given, which has a shape and no "
            f"numbers. Compute it on a device that holds some, such as cpu."
        )
    if tensor.is_nested:
        raise InvalidInput(
            f"As {what}, a nested tensor was given, whose rows may differ in length. Average each "
            f"over its tokens, or pad them, so that every input has as many values."
        )
    if tensor.is_quantized:
        return tensor.dequantize()
    if tensor.layout != torch.strided:
        return tensor.to_dense()
    return tensor.resolve_conj().resolve_neg()


def _stacked(tensors: list[Tensor], what: str) -> Tensor:
    shapes = sorted({tuple(t.shape) for t in tensors})
    if len(shapes) > 1:
        raise _unequal(what, f"shapes {shapes[0]} and {shapes[1]}")
    return torch.stack(tensors)


def _unequal(what: str, found: str) -> InvalidInput:
    if what == "images":
        return InvalidInput(f"The images differ in size ({found}). Bring them to one size.")
    return InvalidInput(
        f"What was given as {what} has rows of unequal length ({found}). Average or pad them, so "
        f"that every input has as many values."
    )


def _of_table(values: Any, what: str) -> Any:
    """The numbers of a DataFrame or a Series; what is missing in it is NaN."""
    kinds = getattr(values, "dtypes", None)
    if kinds is not None and hasattr(values, "columns") and hasattr(kinds, "items"):
        words = [str(name) for name, kind in kinds.items() if getattr(kind, "kind", "f") in "OSUMm"]
        if words:
            shown = ", ".join(words[:3]) + (" …" if len(words) > 3 else "")
            raise InvalidInput(
                f"As {what}, a table was given with columns that hold no numbers ({shown}). Leave "
                f"them out: `table.select_dtypes('number')`."
            )
        beside = [str(name) for name in kinds.index if str(name).lower() in NO_UNITS]
        if beside and len(beside) < len(kinds):
            raise InvalidInput(
                f"As {what}, a table was given with columns that are none of its values "
                f"({', '.join(beside)}). Leave them out: `table.drop(columns={beside})`."
            )
    found = values.to_numpy()
    if found.dtype == object:  # pandas' own types of numbers that may be missing
        try:
            return values.to_numpy(dtype="float64", na_value=float("nan"))
        except (TypeError, ValueError):
            return found
    return found


def _array(values: Any, what: str) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            raise InvalidInput(
                f"As {what}, a masked array was given with values that are missing. Leave those "
                f"inputs out, on both sides."
            )
        values = values.data
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getattr(np, "VisibleDeprecationWarning", UserWarning))
            return np.asarray(values)
    except (ValueError, TypeError, RuntimeError, Warning) as error:
        if "inhomogeneous" in str(error) or "broadcast" in str(error):
            raise _unequal(what, "as a list of lists") from None
        raise InvalidInput(
            f"As {what}, {type(values).__name__} was given, which makes no array "
            f"({str(error).splitlines()[0][:120].rstrip('.')}). Give a NumPy array or a tensor."
        ) from None


def _of_numpy(array: np.ndarray, what: str) -> Tensor:
    kind = array.dtype.kind
    if kind == "V" and array.dtype.names is None:  # bfloat16 and its like, of ml_dtypes
        try:
            array, kind = array.astype(np.float32), "f"
        except (TypeError, ValueError):
            kind = "V"
    if kind == "O":
        lengths = {np.shape(one) for one in array.flat} if array.ndim == 1 else set()
        if len(lengths) > 1:
            raise _unequal(what, f"{len(lengths)} shapes")
        try:
            array = np.asarray([np.asarray(one, np.float64) for one in array.flat]).reshape(
                *array.shape, *next(iter(lengths), ())
            )
        except (TypeError, ValueError):
            kind = "S"
    if kind in "SUMmV":
        raise InvalidInput(
            f"What was given as {what} holds {named(array)}, and no numbers. Give numbers, a row "
            f"per input."
        )
    if array.dtype.itemsize > 8 and kind == "f":
        array = array.astype(np.float64)  # long doubles
    if kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.float64)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    with warnings.catch_warnings():
        # A read-only array, such as a memory map, cannot be written to; nothing here does.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array))


def named(array: np.ndarray) -> str:
    """What an array that holds no numbers holds instead."""
    first = next(iter(array.flat), None) if array.dtype.kind == "O" else None
    if first is not None:
        return f"a {type(first).__name__}"
    return {"S": "text", "U": "text", "M": "dates", "m": "durations"}.get(
        array.dtype.kind, f"{array.dtype}"
    )
