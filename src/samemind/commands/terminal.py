"""What goes to the terminal: names from outside stay text, whatever characters they have.

A name may look like markup (`m[a]`), hold control sequences that move the cursor or rename the
window, turn the direction of writing, or be no text at all. None of that reaches the terminal.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
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


console = Terminal()


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Prints rows under their columns, never cut: names are there to be copied.

    - `right`: the columns that end at their right edge, as numbers do.

    **Cost:** linear; Rich's tables take a millisecond for a row.
    """
    lines = [list(columns), *([printable(cell) for cell in row] for row in rows)]
    lengths = [[cell_len(cell) for cell in line] for line in lines]
    widths = [max(column) for column in zip(*lengths, strict=True)]
    is_right = [column in right for column in columns]
    text = []
    for line, taken in zip(lines, lengths, strict=True):
        cells = (
            " " * (width - length) + cell if at_right else cell + " " * (width - length)
            for cell, length, width, at_right in zip(line, taken, widths, is_right, strict=True)
        )
        text.append("  ".join(cells).rstrip())
    typer.echo("\n".join(text))


def prepare_streams() -> None:
    """Makes stdout and stderr take any text, and stand open, whoever started this process how.

    What an encoding has no letter for is written out as `\\u03b5`. A stream that was closed becomes
    the null device: the next file to be opened must not take its number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def forget_stdout() -> None:
    """Lets what is still to be written to stdout go nowhere: nobody reads it, or it is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
