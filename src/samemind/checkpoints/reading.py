"""Checkpoint files, read without executing anything from them unless that is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.checkpoints.layouts import state_dicts
from samemind.errors import CheckpointError, InvalidInput
from samemind.files.archives import check_size, check_zip
from samemind.files.reading import is_file, is_folder
from samemind.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

ZIP, PICKLE = b"PK", b"\x80"
"""What files of torch.save begin with: those of today, and those of before PyTorch 1.6."""


def read_weights(
    path: Path, *, is_trusted: bool = False, part: int | None = None
) -> dict[str, Tensor]:
    """The weights of a checkpoint file by the names that it gives them.

    **Arguments:**

    - `is_trusted`: a file that holds more than tensors is unpickled, which may run code from it,
      in a separate process; only tensors come back.
    - `part`: which network (from 0), where the file holds several.

    **Raises:** `CheckpointError` where the file is missing, damaged, holds no weights, or holds
    more than tensors and is not trusted.
    """
    held = _held(path, is_trusted)
    found = state_dicts(held)
    if not found:
        raise CheckpointError(
            f"{path} holds no weights: no tensors by name were found in it. Save the "
            f"network's state_dict()."
        )
    if len(found) > 1 and part is None:
        raise CheckpointError(
            f"{path} holds {len(found)} networks. Say which one with --part, from 0 to "
            f"{len(found) - 1}."
        )
    if part is not None and not 0 <= part < len(found):
        raise CheckpointError(f"{path} has no part {part}: it holds {len(found)} network(s).")
    weights = found[part or 0]
    _check_dense(weights, path)
    return weights


def _check_dense(weights: dict[str, Tensor], path: Path) -> None:
    """Raises `CheckpointError` for what is no plain tensor, or repeats a few numbers endlessly."""
    for name, value in weights.items():
        is_plain = isinstance(value, torch.Tensor) and value.layout is torch.strided
        if not is_plain or value.is_meta or value.is_quantized:
            raise CheckpointError(
                f"'{name}' in {path} is {type(value).__name__} of a kind that is not read: it is "
                f"sparse, quantised or without numbers. Save it as a plain tensor."
            )
    try:
        # Strides of zero make a tensor of any size from one number.
        check_size(sum(v.numel() * v.element_size() for v in weights.values()), path)
    except InvalidInput as error:
        raise CheckpointError(str(error)) from None


def _held(path: Path, is_trusted: bool) -> Any:
    from pickle import UnpicklingError

    if not is_file(path):
        what = "It is a folder: name a file in it." if is_folder(path) else "Check the path."
        raise CheckpointError(f"There is no checkpoint file {path}. {what}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        check_zip(path)
        with torch.serialization.safe_globals(_harmless()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except InvalidInput as error:
        raise CheckpointError(str(error)) from None
    except UnpicklingError as error:
        if is_trusted:
            return _in_separate_process(path)
        _refuse_other_kinds(path)
        raise CheckpointError(
            f"{path} holds more than tensors: {_reason(error)} To read it would run code that the "
            f"file brings. If you trust its source, `samemind import --trust` (in Python, "
            f"trust=True) does that in a separate process, from which only tensors come back."
        ) from None
    except Exception as error:  # a damaged file makes torch raise anything at all
        _refuse_other_kinds(path)
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({_first_line(error)}). Fetch it again, or "
            f"save it anew."
        ) from error


def _refuse_other_kinds(path: Path) -> None:
    """Says of a file that PyTorch never wrote what it begins with.

    A page of errors or a pointer of Git LFS in the place of weights is damage of the commonest
    kind, and nobody should be told to trust it.
    """
    if path.suffix == ".safetensors":
        return
    with path.open("rb") as file:
        start = file.read(40)
    if start.startswith((ZIP, PICKLE)):
        return
    first = start.split(b"\n", 1)[0]
    begins = f"begins with {first.decode('latin-1')!a}" if start else "is empty"
    raise CheckpointError(
        f"{path} cannot be read as a checkpoint: it is no file that torch.save wrote, it {begins}. "
        f"Fetch it again, or save the network's state_dict() there (.safetensors files are known "
        f"by their ending)."
    )


def _harmless() -> list[Any]:
    """What NumPy numbers in a file (accuracies, mostly) are made of; none of it runs code."""
    import numpy as np

    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.bool_)]
    scalar = np.float64(0).__reduce__()[0]
    # Files written with NumPy 1 ask for the same function under its old name.
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *kinds]


def _reason(error: Exception) -> str:
    text = str(error)
    for mark in ("GLOBAL ", "Unsupported operand", "Unsupported class "):
        if mark in text:
            return f"it asks for {text.split(mark, 1)[1].split()[0].rstrip('.,')}."
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _in_separate_process(path: Path) -> Any:
    from safetensors import safe_open

    script = Path(__file__).with_name("_trusted.py")
    with tempfile.TemporaryDirectory(prefix="samemind-") as folder:
        out = Path(folder) / "tensors.safetensors"
        # -I: neither the current folder nor the environment decides what is imported there.
        done = subprocess.run(
            [sys.executable, "-I", str(script), str(path.resolve()), str(out)],
            capture_output=True,
            text=True,
            cwd=folder,
            check=False,
        )
        if done.returncode or not out.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise CheckpointError(
                f"{path} could not be read in a separate process either: {last[:200]}. It may be "
                f"damaged, or need the library that wrote it; save its state_dict() there."
            )
        with safe_open(out, framework="pt") as file:
            structure = json.loads(file.metadata()["structure"])
            return _rebuilt(structure, file)


def _rebuilt(item: Any, file: Any) -> Any:
    if item is None:
        return None
    if "tensor" in item:
        return file.get_tensor(item["tensor"])
    if "dict" in item:
        return {key: _rebuilt(value, file) for key, value in item["dict"]}
    return [_rebuilt(value, file) for value in item["list"]]
