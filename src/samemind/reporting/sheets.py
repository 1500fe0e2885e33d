"""Many small images in few files: tiles on sheets that fit into a page whatever their number is.

A study of 28 models on the 10,000 test images of CIFAR-10 has 11,000 different images among those
that drive a score. As single PNG files they take 46 MB, as tiles on sheets of JPEG 5 MB.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samemind.figures.style import as_picture
from samemind.lazy import np

COLUMNS = 16
TILES = COLUMNS * 16  # on one sheet
LARGEST = 64  # pixels of a tile's side: what a page shows of one image
BLOCK = 16  # pixels of a JPEG block with halved colours: tiles that fill blocks do not mix
QUALITIES = (90, 80, 65, 50)
SAMPLE = 4  # sheets that are encoded to find out what all of them would take


@dataclass(frozen=True, eq=False)
class Sheets:
    """Images by key, as tiles on sheets.

    - `addresses`: each sheet as an address that holds it.
    - `places`: number of the sheet × `TILES` + number of the tile on it, by key.
    - `sides`: (pixels of a tile, pixels of it that the image fills) of each sheet.
    - `lines`: how many lines of `COLUMNS` tiles each sheet has.
    - `is_exact`: whether tiles are the images to the last bit of eight.
    """

    addresses: Sequence[str]
    places: Mapping[Hashable, int]
    sides: Sequence[tuple[int, int]]
    lines: Sequence[int]
    is_exact: bool

    def as_record(self) -> dict[str, Any]:
        """What the page's script reads, without the keys."""
        return {
            "columns": COLUMNS,
            "tiles": TILES,
            "is_exact": self.is_exact,
            "sheets": [
                {"address": address, "side": side, "filled": filled, "lines": lines}
                for address, (side, filled), lines in zip(
                    self.addresses, self.sides, self.lines, strict=True
                )
            ],
        }


def sheets_of(
    keys: Sequence[Hashable], image_of: Callable[[Any], np.ndarray], *, most_characters: int
) -> Sheets:
    """Sheets that hold the images of `keys` within so many characters, as exactly as they fit.

    **Arguments:**

    - `keys`: the most important first; where even the coarsest quality does not fit them all, the
      last ones are left out.
    - `image_of`: the image of a key, (H, W) or (C, H, W) in [0, 1].

    **Returns:** PNG if that fits, else JPEG of the best quality that does.

    **Cost:** a few sheets are encoded at each quality, and all of them at the one that is taken.
    """
    tiles = {key: tile_of(image_of(key)) for key in keys}
    ways: list[int | None] = [None, *QUALITIES]
    fitting = (way for way in ways if _estimate(tiles, way) <= most_characters)
    quality = next(fitting, ways[-1])
    while True:
        found = _all_sheets(tiles, quality)
        size = sum(map(len, found.addresses))
        if size <= most_characters or not tiles:
            return found
        # The sample was kinder than the rest.
        coarser = ways[ways.index(quality) + 1 :]
        if coarser:
            quality = coarser[0]
        else:
            kept = int(len(tiles) * 0.97 * most_characters / size)
            tiles = dict(list(tiles.items())[:kept])


def _estimate(tiles: Mapping[Hashable, np.ndarray], quality: int | None) -> float:
    """Characters that all sheets would take, going by some of them."""
    sheets = list(_filled(tiles))
    chosen = sheets[:: max(1, len(sheets) // SAMPLE)]
    sampled = sum(len(part) for part in chosen)
    return sum(len(_encode(tiles, part, quality)) for part in chosen) * len(tiles) / max(1, sampled)


def _all_sheets(tiles: Mapping[Hashable, np.ndarray], quality: int | None) -> Sheets:
    addresses, places, sides, lines = [], {}, [], []
    for number, part in enumerate(_filled(tiles)):
        addresses.append(_encode(tiles, part, quality))
        places |= {key: number * TILES + tile for tile, key in enumerate(part)}
        filled = tiles[part[0]].shape[0]
        sides.append((_side(filled), filled))
        lines.append(-(-len(part) // COLUMNS))
    return Sheets(addresses, places, sides, lines, is_exact=quality is None)


def _filled(tiles: Mapping[Hashable, np.ndarray]) -> list[list[Hashable]]:
    """The keys of each sheet; images of one size share sheets."""
    by_size: dict[tuple[int, ...], list[Hashable]] = {}
    for key, tile in tiles.items():
        by_size.setdefault(tile.shape, []).append(key)
    return [
        keys[start : start + TILES]
        for keys in by_size.values()
        for start in range(0, len(keys), TILES)
    ]


def _side(filled: int) -> int:
    return -(-filled // BLOCK) * BLOCK


def _encode(
    tiles: Mapping[Hashable, np.ndarray], keys: Sequence[Hashable], quality: int | None
) -> str:
    from PIL import Image

    first = tiles[keys[0]]
    side, filled = _side(first.shape[0]), first.shape[0]
    lines = -(-len(keys) // COLUMNS)
    sheet = np.zeros((lines * side, COLUMNS * side, *first.shape[2:]), dtype="uint8")
    for number, key in enumerate(keys):
        top, left = number // COLUMNS * side, number % COLUMNS * side
        # Repeating the edge keeps its colours clean in JPEG.
        padding = [(0, side - filled)] * 2 + [(0, 0)] * (first.ndim - 2)
        sheet[top : top + side, left : left + side] = np.pad(tiles[key], padding, mode="edge")
    held = io.BytesIO()
    picture = Image.fromarray(sheet)
    if quality is None:
        picture.save(held, "PNG", optimize=True)
    else:
        picture.save(held, "JPEG", quality=quality, optimize=True)
    kind = "png" if quality is None else "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(held.getvalue()).decode("ascii")


def tile_of(image: np.ndarray) -> np.ndarray:
    """An image as eight bits, square, and no larger than a tile can be."""
    from PIL import Image

    picture = (as_picture(image) * 255).round().astype("uint8")
    height, width = picture.shape[:2]
    side = min(max(height, width), LARGEST)
    if (height, width) == (side, side):
        return picture
    # Others keep their shape on a square, centred.
    scale = side / max(height, width)
    small = Image.fromarray(picture).resize(
        (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.LANCZOS
    )
    square = np.zeros((side, side, *picture.shape[2:]), dtype="uint8")
    top, left = (side - small.height) // 2, (side - small.width) // 2
    square[top : top + small.height, left : left + small.width] = np.asarray(small)
    return square
