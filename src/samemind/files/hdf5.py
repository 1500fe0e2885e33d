"""Numbers from MAT and HDF5 files: nothing else is read from them, and nothing from elsewhere.

Both kinds of file can declare more than they hold, cells and objects among it, and HDF5 can point
to other files. So what a file says of itself is checked before anything is read.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from samemind.errors import InvalidInput, MissingExtra, reason
from samemind.files.archives import ALWAYS_FINE, MOST_DEFLATED, WIDEST, check_size, inflated_size
from samemind.files.matlab import is_mat5, read_mat5
from samemind.files.reading import check_regular, open_regular
from samemind.lazy import np

HDF5_MARK = b"\x89HDF\r\n\x1a\n"
USER_BLOCKS = (0, 512, 1024, 2048)  # bytes that may stand before the mark; MATLAB writes 512


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, a MAT file of version 7.3 included."""
    with open_regular(path) as stream:
        return any(stream.seek(at) == at and stream.read(8) == HDF5_MARK for at in USER_BLOCKS)


# -- MAT


def mat_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The numeric arrays of a MAT file of any version, by name; of `names` only, where given.

    **Raises:** `InvalidInput` where the file is damaged, or would unpack to far more than it
    holds; `MissingExtra` for version 7.3, which is HDF5, where h5py is not installed.
    """
    if is_hdf5(path):
        # MATLAB stores columns first, so HDF5 gives its arrays with the axes reversed.
        found = hdf5_arrays(path, names)
        return {name: array.T for name, array in found.items() if not name.startswith("#refs#")}
    if is_mat5(path):
        return read_mat5(path, names)
    return _mat4(path, names)


def _mat4(path: Path, names: Collection[str] | None) -> dict[str, np.ndarray]:
    """Version 4, which SciPy reads in Python: it holds matrices only."""
    from scipy.io import loadmat, whosmat

    try:
        declared = {
            name: math.prod(shape)
            for name, shape, kind in whosmat(path)
            if kind != "sparse" and (names is None or name in names)
        }
        check_size(8 * sum(declared.values()), path)
        held = loadmat(path, variable_names=list(declared)) if declared else {}
    except InvalidInput:
        raise
    except Exception as error:  # scipy raises anything over a damaged file
        raise InvalidInput(f"{path} cannot be read as a MAT file: {reason(error)}.") from error
    return {n: held[n] for n in declared if n in held and held[n].dtype.kind in "fiu"}


# -- HDF5


def hdf5_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The numeric arrays of an HDF5 file by their paths in it; of `names` only, where given.

    **Raises:** `InvalidInput` where the file is damaged, points to other files, or would unpack
    to far more than it holds; `MissingExtra` where h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise MissingExtra(
            f"{path} is an HDF5 file (MATLAB 7.3 files are such), which h5py reads. "
            f"`pip install 'samemind[hdf5]'` brings it."
        ) from None
    check_regular(path)
    found: dict[str, Any] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub" and item.shape is not None:
            found[name] = item

    try:
        # Links to other files are not followed, and an array that lies in one is refused.
        with h5py.File(path, "r") as held:
            held.visititems(visit)
            wanted = {name: found[name] for name in found if names is None or name in names}
            for name, item in wanted.items():
                _check_layout(name, item, path)
            check_size(sum(_bytes_needed(item) for item in wanted.values()), path)
            return {name: np.asarray(item[()]) for name, item in wanted.items()}
    except InvalidInput:
        raise
    except Exception as error:  # h5py raises anything over a damaged file
        raise InvalidInput(f"{path} cannot be read as HDF5: {reason(error)}.") from error


def _bytes_needed(item: Any) -> int:
    """Of an array, and of one of its chunks: that may be larger, and is unpacked whole."""
    chunk = math.prod(item.chunks or ()) * item.dtype.itemsize
    return max(math.prod(item.shape) * max(item.dtype.itemsize, WIDEST), chunk)


def _check_layout(name: str, item: Any, path: Path) -> None:
    """Raises `InvalidInput` where an array lies in other files or its chunks are bombs."""
    import h5py

    if item.external or item.is_virtual:
        raise InvalidInput(
            f"The array '{name}' of {path} lies in other files. Copy it into this one "
            f"(`h5repack`), so that nothing else is read."
        )
    plan = item.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    if h5py.h5z.FILTER_DEFLATE not in filters:
        return
    if filters.count(h5py.h5z.FILTER_DEFLATE) > 1:
        raise InvalidInput(f"The array '{name}' of {path} is compressed twice. Save it anew.")
    most = math.prod(item.chunks) * item.dtype.itemsize
    suspects: list[Any] = []
    # What HDF5 unpacks a chunk to is bounded by nothing but the stream itself.
    item.id.chunk_iter(
        lambda chunk: suspects.append(chunk) if chunk.size * MOST_DEFLATED > ALWAYS_FINE else None
    )
    for chunk in suspects:
        _, content = item.id.read_direct_chunk(chunk.chunk_offset)
        if inflated_size([content], most) > most:
            raise InvalidInput(
                f"A chunk of the array '{name}' of {path} would unpack to more than the "
                f"{most:,} bytes that it holds. The file is damaged: fetch it again."
            )
