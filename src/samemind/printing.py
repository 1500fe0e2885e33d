"""What is printed: names from outside stay text, whatever characters they have.

A name may look like markup (`m[a]`), hold control sequences that move the cursor or rename the
window, turn the direction of writing, or be no text at all. None of that reaches a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from samemind.lazy import draws_put_back

with draws_put_back():
    from rich.cells import cell_len
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

# Control characters but for line ends and tabs, what turns the direction of writing, line ends of
# other kinds, and bytes that are no text.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """A text whose control characters are written out, such as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class Terminal(Console):
    """Rich's console, for which every string is plain text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """As Rich prints, but for tables, whose lines are never cut."""
        if any(isinstance(one, Columns) for one in objects):
            options.setdefault("soft_wrap", True)
        super().print(*objects, **options)


#: A column of sentences is at least so wide.
NARROWEST = 24


class Columns:
    """A plain table that never breaks a word or loses a cell.

    In a terminal that is too narrow it comes in blocks, each with the first columns again; where
    output goes to a file or a pipe, in lines as long as they need to be.

    **Arguments:** `left`: so many columns begin at their left edge and come in every block; the
    others end at their right edge, as numbers do, unless they are named in `text`.
    """

    def __init__(self, *heads: str, left: int = 1, text: Sequence[str] = ()) -> None:
        self.heads, self.left = heads, left
        self._is_left = [i < left or head in text for i, head in enumerate(heads)]
        self._rows: list[tuple[list[Text], str]] = []

    def add_row(self, *cells: str | Text, style: str = "") -> None:
        texts = [c if isinstance(c, Text) else Text(printable(c)) for c in cells]
        texts += [Text("")] * (len(self.heads) - len(texts))
        self._rows.append((texts, style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        widths = [
            max(cell_len(head), *(row[i].cell_len for row, _ in self._rows), 0)
            for i, head in enumerate(self.heads)
        ]
        room = options.max_width if console.is_terminal else None
        if room is not None:
            # A sentence is wrapped between words; names are there to be copied, and stay whole.
            free = max(room - sum(widths[i] + 2 for i in range(self.left)), NARROWEST)
            widths = [
                min(width, max(free, self._longest_word(i))) if i >= self.left else width
                for i, width in enumerate(widths)
            ]
        for n, block in enumerate(self._blocks(widths, room)):
            if n:
                yield Text("")
            yield self._line([Text(self.heads[i]) for i in block], block, widths, "bold")
            for row, style in self._rows:
                parts = [self._wrapped(row[i], widths[i]) for i in block]
                for cells in zip_longest(*parts, fillvalue=Text("")):
                    yield self._line(cells, block, widths, style)

    def _longest_word(self, column: int) -> int:
        words = [w for row, _ in self._rows for w in row[column].plain.split()]
        return max((cell_len(word) for word in [*words, self.heads[column]]), default=0)

    def _wrapped(self, cell: Text, width: int) -> list[Text]:
        if cell.cell_len <= width:
            return [cell]
        lines = wrap(cell.plain, width, break_long_words=False, break_on_hyphens=False)
        return [Text(line, style=cell.style) for line in lines] or [cell]

    def _blocks(self, widths: Sequence[int], room: int | None) -> list[list[int]]:
        keys, others = list(range(self.left)), range(self.left, len(self.heads))
        taken = sum(widths[i] + 2 for i in keys)
        blocks, used = [list(keys)], taken
        for i in others:
            if room is not None and used + widths[i] > room and len(blocks[-1]) > len(keys):
                blocks.append(list(keys))
                used = taken
            blocks[-1].append(i)
            used += widths[i] + 2
        return blocks

    def _line(
        self, cells: Sequence[Text], block: Sequence[int], widths: Sequence[int], style: str
    ) -> Text:
        line = Text(style=style, no_wrap=True, overflow="ignore")
        for n, (cell, i) in enumerate(zip(cells, block, strict=True)):
            gap = " " * (widths[i] - cell.cell_len)
            line.append("  " if n else "")
            line.append_text(cell + gap if self._is_left[i] else Text(gap) + cell)
        line.rstrip()
        return line
