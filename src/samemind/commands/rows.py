"""Rows of plain data as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from samemind.commands.terminal import console
from samemind.printing import Columns


def print_rows(rows: Sequence[Mapping[str, object]], columns: tuple[str, ...]) -> None:
    """Prints the named columns of the rows: numbers to the right, text to the left."""
    heads = [column.replace("_", " ") for column in columns]
    numeric = [all(isinstance(row.get(column), int) for row in rows) for column in columns]
    text = [head for head, is_number in zip(heads, numeric, strict=True) if not is_number]
    table = Columns(*heads, text=text)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{k}: {v:,}" if isinstance(v, int) else f"{k}: {v}" for k, v in value.items()
        )
    if isinstance(value, (list, tuple)):
        # ImageNet has a thousand classes: --json has them all.
        return ", ".join(_cell(v) for v in value) if len(value) <= 10 else f"{len(value):,}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
