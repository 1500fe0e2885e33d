"""The report of a comparison, for commands that take --out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from samemind.commands.terminal import console

if TYPE_CHECKING:
    from samemind.reporting.comparison import Comparison


def write_to(out: Path | None, found: Comparison, *, is_told: bool) -> None:
    """Writes the report where it is asked for, and says where it is."""
    if out is None:
        return
    from samemind.commands.engines import to_draw_on
    from samemind.reporting import write_report

    with to_draw_on() as drawers:
        page = write_report(found, out, executor=drawers)
    if is_told:
        console.print(f"\nThe report is in {page}")
