"""Commands whose options are the fields of a record, so that a command takes one thing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from typing import Any, TypeVar, get_type_hints

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
