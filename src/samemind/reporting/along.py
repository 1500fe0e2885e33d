"""Checkpoints along one training, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from samemind.lazy import draws_put_back

with draws_put_back():
    from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from samemind.reporting.comparison import Comparison

RELATIONS = {"end": "to the end", "start": "to the start", "neighbour": "to the one before"}


def show_along(found: Comparison, console: Console) -> None:
    """Prints how each checkpoint is like the others, where they change most, and what is amiss."""
    inputs = found.models["dataset"].iloc[0]
    console.print(f"{len(found.models)} checkpoints on {found.n_inputs:,} inputs of {inputs}")
    assert found.trajectory is not None
    for measure, rows in found.trajectory.groupby("measure", sort=False):
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("step", justify="right")
        for words in RELATIONS.values():
            table.add_column(words, justify="right")
        wide = {(r["step"], r["relation"]): r["score"] for r in rows.to_dict("records")}
        for step in sorted(rows["step"].unique()):
            cells = (_number(wide.get((step, relation))) for relation in RELATIONS)
            table.add_row(f"{step:.10g}", *cells)
        table.add_row("floor", _number(rows["floor"].mean()), style="dim")
        console.print(f"\n{str(measure).replace('_', ' ')}:")
        console.print(table)
    console.print()
    for line in sentences(found):
        console.print(line)
    for note in found.notes:
        console.print(f"Note: {note}")


def sentences(found: Comparison) -> list[str]:
    """What is to be said of a training, a sentence each."""
    phases = [] if found.phases is None else found.phases.to_dict("records")
    said = [
        f"By {p['measure'].replace('_', ' ')} the network changes {p['ratio']:.1f} times "
        f"({p['lower']:.1f} to {p['upper']:.1f}) as fast from step {p['first_step']:.10g} to step "
        f"{p['last_step']:.10g} as before and after."
        for p in phases
    ] or ["No change of phase: nowhere is it certainly twice as fast as before and after."]
    if found.integrity is None:
        return said
    wrong = found.integrity.to_dict("records")
    said += [f"Step {w['step']:.10g} is {w['kind']}: {w['reason']}." for w in wrong]
    return said if wrong else [*said, "No checkpoint is a duplicate, misplaced or foreign."]


def _number(value: Any) -> str:
    return "–" if value is None or value != value else f"{value:.4f}"
