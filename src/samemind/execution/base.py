"""What every executor promises: each item done once, an error in one stopping no other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from traceback import format_exc
from typing import Any, Generic, Protocol, TypeVar

from samemind.errors import SamemindError

Item = TypeVar("Item")
Key = Callable[[Item], Hashable]


@dataclass(frozen=True)
class Outcome(Generic[Item]):
    """How one item ended: `error` is None where it is done, and `result` what doing it gave."""

    item: Item
    error: Exception | None = None
    trace: str = ""  # of an error that is a bug: tracebacks do not travel between processes
    result: Any = None


class Executor(Protocol):
    """Does each item once and yields outcomes as they come; an error stops no other item."""

    def map(
        self, do: Callable[[Item], Any], items: Sequence[Item], *, together: Key[Item] | None = None
    ) -> Iterator[Outcome[Item]]:
        """Outcomes as they come. Items with the same `together` like to be done in one place."""
        ...

    def close(self) -> None: ...


def attempt(do: Callable[[Item], Any], item: Item) -> Outcome[Item]:
    """Does one item and turns an error that is meant for the user into an outcome.

    Any other error is a bug; it travels as an outcome too, so that it stops no other item, and
    the run shows its traceback at the end.
    """
    try:
        return Outcome(item, result=do(item))
    except SamemindError as error:
        return Outcome(item, error)
    except Exception as error:
        return Outcome(item, error, format_exc())
