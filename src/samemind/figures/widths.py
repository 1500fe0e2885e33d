"""How wide a figure is drawn: as wide as it likes, or as wide as a page has room for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from samemind.errors import InvalidInput

ONE_COLUMN = 3.3  # inches, the column of a two-column paper
TWO_COLUMNS = 6.9
MM_PER_INCH = 25.4
NARROWEST = 50.0  # mm; names and numbers have no room below
WIDEST = 1000.0
NARROWEST_PANEL = 1.95  # inches, for an axis with numbers and a title

_ASKED: ContextVar[float | None] = ContextVar("width of figures", default=None)


def width_of(text: str) -> float:
    """The width in inches that `one`, `two` (columns) or a number of millimetres says.

    >>> width_of("one"), round(width_of("84 mm"), 2)
    (3.3, 3.31)

    **Raises:** `InvalidInput` for other words, and for widths outside 50 to 1,000 mm.
    """
    named = {"one": ONE_COLUMN, "two": TWO_COLUMNS}
    word = text.strip().lower()
    if word in named:
        return named[word]
    number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:mm)?", word)
    if number is None or not NARROWEST <= float(number[1]) <= WIDEST:
        raise InvalidInput(
            f"The width of a figure is one (column, {ONE_COLUMN * MM_PER_INCH:.0f} mm), two "
            f"(columns, {TWO_COLUMNS * MM_PER_INCH:.0f} mm) or millimetres from {NARROWEST:g} to "
            f"{WIDEST:g}, such as 120; '{text}' is none of these."
        )
    return float(number[1]) / MM_PER_INCH


@contextmanager
def drawn_at(width: float | None) -> Iterator[None]:
    """Figures that are drawn in this block are `width` inches wide; None leaves that to them."""
    before = _ASKED.set(width)
    try:
        yield
    finally:
        _ASKED.reset(before)


def width_or(own: float) -> float:
    """The width in inches that was asked for, or the figure's own."""
    asked = _ASKED.get()
    return own if asked is None else asked


def columns_within(most: int, narrowest: float = NARROWEST_PANEL) -> int:
    """How many panels stand in a row, at most `most`: fewer where the width asked has no room.

    - `narrowest`: inches that a panel needs.
    """
    asked = _ASKED.get()
    return most if asked is None else max(1, min(most, int(asked / narrowest + 0.01)))
