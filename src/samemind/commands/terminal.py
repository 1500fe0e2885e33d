"""The command line's console, plain tables, and streams that take whatever they are given."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

import typer
from rich.cells import cell_len

from samemind.printing import Terminal, printable

__all__ = [
    "Terminal",
    "console",
    "forget_stdout",
    "prepare_streams",
    "print_table",
    "printable",
]

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
