"""Weights in several files, as Hugging Face writes them: which files, and in which folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from samemind.checkpoints.kinds import INDEX, SINGLE, folder_says, index_of
from samemind.errors import CheckpointError
from samemind.files.reading import checksum, is_file, is_folder

SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.safetensors|\.bin)$")


def is_checkpoint(path: Path) -> bool:
    """Whether a path can be read as a checkpoint: a file, or a folder of weights."""
    return is_file(path) or (
        is_folder(path) and (bool(_indexes(path)) or _single(path) is not None)
    )


def is_sharded(path: Path) -> bool:
    """Whether a path is a folder, or an index of shards."""
    return is_folder(path) or path.name.endswith(INDEX)


def files_of(path: Path) -> list[Path]:
    """The files that a folder of weights or an index of shards stands for.

    **Raises:** `CheckpointError` where a shard is missing, or there are no weights in the folder.
    """
    if is_folder(path):
        indexes = _indexes(path)
        if not indexes:
            single = _single(path)
            if single is None:
                said = folder_says(path)
                raise CheckpointError(f"{path} cannot be read as a checkpoint: {said}.")
            return [single]
        # Where both kinds are there, they hold the same; safetensors cannot hold code.
        path = min(indexes, key=lambda p: "safetensors" not in p.name)
    names = sorted(set((index_of(path) or {}).values()))
    if not names:
        raise CheckpointError(
            f"{path} is a JSON file, but no index of shards: it has no 'weight_map'. Name the file "
            f"or the folder that has the weights."
        )
    if outside := [name for name in names if Path(name).name != name]:
        raise CheckpointError(
            f"{path} names a file in another folder, {outside[0]}. Put all shards beside the index."
        )
    files = [path.with_name(name) for name in names]
    if missing := [file.name for file in files if not is_file(file)]:
        raise CheckpointError(
            f"{path} is the index of {len(names)} shards, and {missing[0]} is not beside it. Fetch "
            f"all of them into that folder."
        )
    return files


def check_alone(path: Path) -> None:
    """Raises `CheckpointError` for one shard of several, which has a part of the weights only."""
    if (found := SHARD.match(path.name)) and int(found[3]) > 1:
        raise CheckpointError(
            f"{path} is one of {int(found[3])} shards, so it has a part of the weights only. Name "
            f"the folder {path.parent}, or the index in it (*{INDEX})."
        )


def digest_of(path: Path) -> str:
    """The SHA-256 of a checkpoint file; of several, that of the names and sums of all."""
    if not is_sharded(path):
        return checksum(path)
    sums = "".join(f"{file.name} {checksum(file)}\n" for file in files_of(path))
    return hashlib.sha256(sums.encode()).hexdigest()


def _indexes(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.glob(f"*{INDEX}")) if index_of(p)]


def _single(folder: Path) -> Path | None:
    return next((folder / name for name in SINGLE if is_file(folder / name)), None)
