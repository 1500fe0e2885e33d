"""Options that several commands have, and commands whose options are the fields of a record."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

StorePath = Annotated[
    Path, typer.Option("--store", envvar="SAMEMIND_STORE", help="Folder of the finished artifacts.")
]
DEFAULT_STORE = Path("runs/store")
ReportPath = Annotated[Path | None, typer.Option("--out", help="Folder for the full report.")]
TableAsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

Count = Annotated[int | None, typer.Option(min=1, help="So many inputs at random [default: all].")]
Permutations = Annotated[int, typer.Option(min=0, help="Shuffles for the floor of each score.")]
Errors = Annotated[bool, typer.Option("--errors/--no-errors", help="Standard errors of scores.")]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Unpickle files that hold more than weights: runs their code."),
]
Head = Annotated[
    str | None, typer.Option(help="The layer that makes the logits, of several heads.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images per forward pass.")]

Record = TypeVar("Record")


def options_of(record: type[Record]) -> Callable[[Callable[[Record], None]], Callable[..., None]]:
    """Makes of a command that takes a record one that takes its fields, as Typer reads them.

    **Arguments:**

    - `record`: a dataclass whose fields are annotated as Typer's parameters are.
    """
    hints = get_type_hints(record, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[field.name],
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
        )
        for field in fields(record)  # pyright: ignore[reportArgumentType]
    ]

    def taking(command: Callable[[Record], None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            command(record(**given))

        run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
        run.__annotations__ = hints
        return run

    return taking


def split(text: str | None) -> list[str]:
    """What stands between commas."""
    return [one.strip() for one in (text or "").split(",") if one.strip()]
