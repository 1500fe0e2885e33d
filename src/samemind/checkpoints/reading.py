"""Checkpoint files, read without executing anything from them unless that is asked for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.checkpoints._layout import shown
from samemind.checkpoints.foreign import form_of, nameless, what_instead
from samemind.checkpoints.kinds import kind_of, what_to_do
from samemind.checkpoints.metadata import metadata_in, said_beside
from samemind.checkpoints.parts import Part, chosen, parts_in
from samemind.checkpoints.sharded import check_alone, files_of, is_sharded
from samemind.errors import CheckpointError, InvalidInput
from samemind.files.archives import check_size, check_zip
from samemind.files.reading import is_file, is_folder
from samemind.lazy import torch
from samemind.store.leases import owner, split_owner

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Contents:
    """The networks of one checkpoint file, read; `choose` takes one.

    `is_unpickled` is True where code of the file may have run, in a separate process; then only
    tensors, numbers and short texts come back. `metadata` is what the file says of itself, and of
    shards their index and the config.json beside it: see `samemind.checkpoints.metadata`. `left`
    says what else was found and is no network.
    """

    path: Path
    parts: tuple[Part, ...]
    is_unpickled: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    left: tuple[str, ...] = ()

    def choose(
        self,
        part: str | int | None = None,
        *,
        fits: Callable[[dict[str, Tensor]], bool] | None = None,
    ) -> Part:
        """One network of the file; see `samemind.checkpoints.parts.chosen`.

        **Raises:** `CheckpointError` where there is no such part, or no saying which.
        """
        found = chosen(self.parts, part, str(self.path), fits)
        _check_dense(found.weights, self.path)
        if is_file(self.path) and not is_sharded(self.path):
            _check_room(found.weights, self.path)
        if not self.left:
            return found
        return replace(found, steps=(*found.steps, f"not read: {shown(self.left)}"))


def read_file(path: Path, *, is_trusted: bool = False) -> Contents:
    """All networks of a checkpoint: a file of torch.save or safetensors, or shards with an index.

    **Arguments:**

    - `path`: the file; or the folder or the index of shards, as Hugging Face writes them.
    - `is_trusted`: a file that holds more than tensors is unpickled, which may run code from it,
      in a separate process; only tensors, numbers and short texts come back.

    **Raises:** `CheckpointError` where the file is missing, damaged, of another kind, holds no
    weights, or holds more than tensors and is not trusted.
    """
    if not is_file(path) and not is_folder(path):
        raise CheckpointError(f"There is no checkpoint file {path}. Check the path.")
    if is_sharded(path):
        weights: dict[str, Tensor] = {}
        is_unpickled = False
        metadata = said_beside(path)
        for file in files_of(path):
            held, ran = _held(file, is_trusted)
            found = chosen(parts_in(held), None, str(file)).weights
            _check_dense(found, file)
            _check_room(found, file)
            weights |= found
            is_unpickled |= ran
            metadata |= _said(file, held)
        return Contents(path, (Part("", weights),), is_unpickled, metadata)
    check_alone(path)
    held, is_unpickled = _held(path, is_trusted)
    found, lists = parts_in(held), nameless(held)
    parts = [part for part in found if not form_of(part.weights)]
    if not parts:
        said = form_of(found[0].weights) if found else what_instead(held, lists)
        raise CheckpointError(f"{path} {said}.")
    left = (f"'{name}', {count} tensors without names" for name, count in lists)
    return Contents(path, tuple(parts), is_unpickled, _said(path, held), tuple(left))


def read_weights(
    path: Path, *, is_trusted: bool = False, part: str | int | None = None
) -> dict[str, Tensor]:
    """The weights of a checkpoint file by the names that it gives them.

    **Arguments:**

    - `is_trusted`: see `read_file`.
    - `part`: which network, by number from 0 or by name, where the file holds several.

    **Raises:** `CheckpointError` as `read_file` and `Contents.choose`.
    """
    return read_file(path, is_trusted=is_trusted).choose(part).weights


def split_part(source: str) -> tuple[str, str | None]:
    """('FILE', 'PART') of 'FILE::PART'; no part where there is none, or a file is called so."""
    file, colons, part = source.rpartition("::")
    return (file, part) if colons and file and part and not is_file(source) else (source, None)


def _check_dense(weights: dict[str, Tensor], path: Path) -> None:
    """Raises `CheckpointError` for what is no plain tensor."""
    for name, value in weights.items():
        is_plain = isinstance(value, torch.Tensor) and value.layout is torch.strided
        if not is_plain or value.is_meta or value.is_quantized:
            raise CheckpointError(
                f"'{name}' in {path} is {type(value).__name__} of a kind that is not read: it is "
                f"sparse, quantised or without numbers. Save it as a plain tensor."
            )


def _check_room(weights: dict[str, Tensor], path: Path) -> None:
    """Raises `CheckpointError` for weights that repeat a few numbers of their file endlessly."""
    try:
        # Strides of zero make a tensor of any size from one number.
        check_size(sum(v.numel() * v.element_size() for v in weights.values()), path)
    except InvalidInput as error:
        raise CheckpointError(str(error)) from None


def _said(path: Path, held: Any) -> dict[str, Any]:
    """What a file says of itself: beside the weights, or in the header of safetensors."""
    if kind_of(path) != "safetensors":
        return metadata_in(held)
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return metadata_in(file.metadata() or {})


def _held(path: Path, is_trusted: bool) -> tuple[Any, bool]:
    """What a file holds, and whether it was unpickled without care to tell."""
    from pickle import UnpicklingError

    try:
        check_zip(path)
    except InvalidInput as error:
        raise CheckpointError(str(error)) from None
    kind = kind_of(path)
    if kind == "pickle":
        if is_trusted:
            return _in_separate_process(path, "plain"), True
        raise CheckpointError(
            f"{path} is a Python pickle that torch.save did not write, and to read it would run "
            f"code that it brings. {TRUST}"
        )
    if said := what_to_do(path):
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {said}.")
    try:
        if kind == "safetensors":
            from safetensors.torch import load_file

            return load_file(path), False
        _check_sums(path)
        # By its name torch would take a file for one of safetensors.
        with path.open("rb") as file, torch.serialization.safe_globals(_harmless()):
            return torch.load(file, map_location="cpu", weights_only=True), False
    except InvalidInput as error:
        raise CheckpointError(str(error)) from None
    except UnpicklingError as error:
        if is_trusted:
            return _in_separate_process(path), True
        raise CheckpointError(
            f"{path} holds more than tensors: {_reason(error)} To read it would run code that the "
            f"file brings. {TRUST}"
        ) from None
    except Exception as error:  # a damaged file makes torch raise anything at all
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({_first_line(error)}). Fetch it again, or "
            f"save it anew."
        ) from error


TRUST = (
    "If you trust its source, --trust (in Python, trust=True) reads it in a separate process, from "
    "which only tensors, numbers and short texts come back."
)


def _check_sums(path: Path) -> None:
    """Compares what a file of torch.save holds with the checksums in it, which torch does not.

    **Raises:** `InvalidInput` that names the member that differs.
    """
    try:
        with zipfile.ZipFile(path) as held:
            # torch.serialization.set_crc32_options(False) leaves all of them out.
            has_sums = any(member.CRC for member in held.infolist())
            damaged = held.testzip() if has_sums else None
    except zipfile.BadZipFile as error:
        if kind_of(path) == "legacy":
            return
        raise InvalidInput(f"{path} is a damaged zip file ({error}). Fetch it again.") from error
    if damaged is not None:
        raise InvalidInput(
            f"{path} is damaged: its part '{damaged}' does not have the checksum that was written "
            f"with it. Fetch it again."
        )


def _harmless() -> list[Any]:
    """What NumPy numbers and arrays, and mappings with a default, are made of; none runs code."""
    import numpy as np

    names = ("Bool", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    kinds = [getattr(np.dtypes, f"{n}DType") for n in (*names, "Float16", "Float32", "Float64")]
    kinds += [np.dtypes.StrDType, np.dtypes.BytesDType]
    scalar = np.float64(0).__reduce__()[0]
    array = np.zeros(0).__reduce__()[0]
    return [
        # Files written with NumPy 1 ask for the same functions under their old names.
        *(scalar, (scalar, "numpy.core.multiarray.scalar")),
        *(array, (array, "numpy.core.multiarray._reconstruct")),
        *(np.ndarray, np.dtype, *kinds),
        # torch fills no mapping of this kind, so that it becomes a plain one.
        (_without_default, "collections.defaultdict"),
        *(dict, list, set, int, float, str),
    ]


def _without_default(*_: Any) -> dict[Any, Any]:
    return {}


def _reason(error: Exception) -> str:
    text = str(error)
    for mark in ("GLOBAL ", "Unsupported operand", "Unsupported class "):
        if mark in text:
            return f"it asks for {text.split(mark, 1)[1].split()[0].rstrip('.,')}."
    said = text.partition("WeightsUnpickler error:")[2].strip() or _first_line(error)
    return f"{said.splitlines()[0][:200].rstrip('.')}."


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


PREFIX = "samemind-trusted-"


def remove_what_the_dead_left() -> None:
    """Removes the folders of processes of this machine that were killed while they read a file."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        _, who = split_owner(folder.name)
        if who is not None and who.is_gone:
            shutil.rmtree(folder, ignore_errors=True)


def _in_separate_process(path: Path, *more: str) -> Any:
    from safetensors import safe_open

    script = Path(__file__).with_name("_trusted.py")
    remove_what_the_dead_left()
    # The name says who may still need it: a process that is killed removes nothing.
    with tempfile.TemporaryDirectory(prefix=PREFIX, suffix=f"-{owner()}") as folder:
        out = Path(folder) / "tensors.safetensors"
        # -I: neither the current folder nor the environment decides what is imported there.
        done = subprocess.run(
            [sys.executable, "-I", str(script), str(path.resolve()), str(out), *more],
            capture_output=True,
            text=True,
            cwd=folder,
            check=False,
        )
        if done.returncode or not out.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise CheckpointError(
                f"{path} could not be read in a separate process either: {last[:200].rstrip('.')}. "
                f"It may be damaged, or need the library that wrote it; save its state_dict() "
                f"there."
            )
        with safe_open(out, framework="pt") as file:
            structure = json.loads(file.metadata()["structure"])
            return _rebuilt(structure, file)


def _rebuilt(item: Any, file: Any) -> Any:
    if item is None:
        return None
    if "value" in item:
        return item["value"]
    if "tensor" in item:
        return file.get_tensor(item["tensor"])
    if "dict" in item:
        return {key: _rebuilt(value, file) for key, value in item["dict"]}
    return [_rebuilt(value, file) for value in item["list"]]
