"""MAT files of version 5 (MATLAB 5 to 7.2), read without trusting what they say of themselves.

In Python and NumPy only: SciPy's reader, written in C, crashes on damaged files, and makes room for
whatever is declared. Numbers, text, cells and structs are read; all else is passed over.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from samemind.errors import InvalidInput, reason
from samemind.files.archives import check_size
from samemind.files.reading import open_regular
from samemind.lazy import np

ORDERS = {b"IM": "<", b"MI": ">"}
HEAD = 4096  # bytes, more than the flags, sides and name of an array ever take
DEEPEST = 20  # arrays within cells within cells

# Types of data in an element.
MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"} | {
    13: "u8"
}
TEXTS = {1: "utf-8", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
# Classes of arrays.
CELL, STRUCT, TEXT = 1, 2, 4
NUMERIC = range(6, 16)
COMPLEX = 0x800  # among the flags


def is_mat5(path: Path) -> bool:
    """Whether a file is a MAT file of version 5."""
    with open_regular(path) as stream:
        head = stream.read(128)
    return head[126:] in ORDERS and head[:4].find(b"\0") < 0


def read_mat5(
    path: Path, names: Collection[str] | None = None, *, only_numbers: bool = True
) -> dict[str, Any]:
    """The arrays of a MAT file of version 5 by name; of `names` only, where given.

    Numbers are arrays of the type that they are stored in, texts are strings, cells are lists,
    structs are lists of dictionaries by field. What is not asked for is not unpacked.

    **Raises:** `InvalidInput` where the file is damaged, or would unpack to far more than it holds.
    """
    found: dict[str, Any] = {}
    try:
        with path.open("rb") as stream:
            total = 0
            for array in _arrays(stream, path.stat().st_size):
                is_asked_for = names is None or array.head.name in names
                if not is_asked_for or (only_numbers and not array.head.is_numeric):
                    continue
                total += array.size
                check_size(total, path)
                value = _value(_Elements(array.whole(), array.order), 0)
                if value is not None:
                    found[array.head.name] = value
    except InvalidInput:
        raise
    except (ArithmeticError, LookupError, ValueError, OSError, struct.error, zlib.error) as error:
        raise InvalidInput(f"{path} cannot be read as a MAT file: {reason(error)}.") from error
    return found


@dataclass(frozen=True)
class _Head:
    """What an array says of itself."""

    kind: int
    is_complex: bool
    sides: tuple[int, ...]
    name: str

    @property
    def is_numeric(self) -> bool:
        return self.kind in NUMERIC and not self.is_complex


class _Elements:
    """The elements in some bytes, one after the other."""

    def __init__(self, content: bytes | memoryview, order: str) -> None:
        self.content = memoryview(content)
        self.order = order
        self.at = 0

    def next(self) -> tuple[int, memoryview]:
        """Type and data of the next element."""
        word, after = struct.unpack_from(f"{self.order}II", self.content, self.at)
        if word >> 16:  # up to four bytes are kept in the place of their number
            kind, count, begin, end = word & 0xFFFF, word >> 16, self.at + 4, self.at + 8
            if count > 4:
                raise ValueError("an element is longer than its place")
        else:
            kind, count, begin = word, after, self.at + 8
            end = begin + count + -count % 8
        data = self.content[begin : begin + count]
        if len(data) != count:
            raise ValueError("it is cut off")
        self.at = end
        return kind, data

    def numbers(self) -> np.ndarray:
        """The next element as numbers (N,)."""
        kind, data = self.next()
        if kind not in NUMBERS:
            raise ValueError(f"data of type {kind} stand where numbers should")
        return np.frombuffer(data, dtype=np.dtype(self.order + NUMBERS[kind]))

    def head(self) -> _Head:
        """The flags, sides and name that an array begins with."""
        flags, sides = int(self.numbers()[0]), self.numbers().tolist()
        if any(side < 0 for side in sides):
            raise ValueError(f"an array has the sides {sides}")
        name = bytes(self.next()[1]).decode("latin-1")
        return _Head(flags & 0xFF, bool(flags & COMPLEX), tuple(sides), name)


@dataclass(frozen=True)
class _Array:
    """An array of a file, of which only the head has been unpacked."""

    stream: BinaryIO
    order: str
    at: int
    count: int  # bytes in the file
    size: int  # bytes when unpacked
    is_compressed: bool
    head: _Head

    def whole(self) -> bytes:
        """All its bytes, unpacked: no more than it has declared."""
        self.stream.seek(self.at)
        content = self.stream.read(self.count)
        if not self.is_compressed:
            return content
        return zlib.decompressobj().decompress(content, 8 + self.size)[8:]


def _arrays(stream: BinaryIO, length: int) -> Iterator[_Array]:
    """The arrays of a file, whose elements follow one another behind 128 bytes."""
    order = ORDERS[stream.read(128)[126:]]
    at = 128
    while at < length:
        stream.seek(at)
        kind, count = struct.unpack(f"{order}II", stream.read(8))
        at += 8
        if at + count > length:
            raise ValueError("it is cut off")
        begin = stream.read(min(count, HEAD))
        size = count
        if kind == COMPRESSED:
            begin = zlib.decompressobj().decompress(begin, HEAD)
            kind, size = struct.unpack_from(f"{order}II", begin)
            begin, is_compressed = begin[8:], True
        else:
            is_compressed = False
        if kind == MATRIX and size:
            head = _Elements(begin, order).head()
            yield _Array(stream, order, at, count, size, is_compressed, head)
        at += count if is_compressed else count + -count % 8


def _value(elements: _Elements, depth: int) -> Any:
    """The value of the array whose head comes next; None where its class is not read."""
    if depth > DEEPEST:
        raise ValueError(f"arrays lie in one another more than {DEEPEST} deep")
    head = elements.head()
    if head.is_numeric:
        found = elements.numbers().reshape(head.sides, order="F")
        return found.astype(found.dtype.newbyteorder("="))
    if head.kind == TEXT:
        kind, data = elements.next()
        endian = {"<": "-le", ">": "-be"}[elements.order] if kind in (4, 17, 18) else ""
        return bytes(data).decode(TEXTS[kind] + endian)
    if head.kind == CELL:
        return [_inner(elements, depth) for _ in range(math.prod(head.sides))]
    if head.kind == STRUCT:
        width = int(elements.numbers()[0])
        text = bytes(elements.next()[1])
        if width <= 0 or not text:
            return []  # without fields
        fields = [
            text[start : start + width].rstrip(b"\0").decode("latin-1")
            for start in range(0, len(text), width)
        ]
        count = math.prod(head.sides)
        return [{field: _inner(elements, depth) for field in fields} for _ in range(count)]
    return None


def _inner(elements: _Elements, depth: int) -> Any:
    kind, data = elements.next()
    if kind != MATRIX:
        raise ValueError(f"data of type {kind} stand where an array should")
    return _value(_Elements(data, elements.order), depth + 1) if len(data) else None
