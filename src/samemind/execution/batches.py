"""Items in batches, for engines where each task costs more than a function call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from samemind.execution.base import Item, Key, Outcome, attempt


def batches(items: Sequence[Item], together: Key[Item] | None, places: int) -> list[list[Item]]:
    """Batches of items that share what `together` gives, at least four per place where it can be.

    Items that share nothing with others stay alone: one task each, so that one may fail alone.
    """
    if together is None:
        return [[item] for item in items]
    longest = max(1, -(-len(items) // (4 * max(1, places))))
    by_key: dict[Any, list[Item]] = {}
    for item in items:
        by_key.setdefault(together(item), []).append(item)
    return [
        found[start : start + longest]
        for found in by_key.values()
        for start in range(0, len(found), longest)
    ]


def attempt_all(
    do: Callable[[Item], Any], items: Sequence[Item], threads: int
) -> list[Outcome[Item]]:
    """The outcomes of a batch, one after the other, with the threads that scores are made with."""
    from threadpoolctl import threadpool_limits

    outcomes = []
    for item in items:
        with threadpool_limits(threads):
            outcomes.append(attempt(do, item))
    return outcomes
