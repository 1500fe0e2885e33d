"""Which row of each model is which input: by their ids, and never by accident.

What holds ids says so: an `ids` array beside the numbers, the id column of a table, the index of a
DataFrame, the files of a folder. Rows without ids are taken in their order, and that is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from samemind.errors import InvalidInput
from samemind.registry import did_you_mean, listing

JOINS = ("exact", "inner")


class Joined(NamedTuple):
    """The rows of each model in one order, None for all as they are; and what is told of it."""

    rows: dict[str, np.ndarray | None]
    notes: tuple[str, ...]


def joined_by_id(ids: Mapping[str, Any], counts: Mapping[str, int], join: str = "exact") -> Joined:
    """The rows of every model so that row i of each is one input.

    They are in the order of the first model that has ids. Models without ids have as many rows as
    that one, in its order.

    **Arguments:**

    - `ids`: of each model `(N,)`, or None. `counts`: the number of rows of each.
    - `join`: "exact" wants the same ids on all sides; "inner" takes what all have, leaves ids out
      that occur twice, and tells how many.

    **Raises:** `InvalidInput` for ids that occur twice or differ, where `join` is exact; for
    nothing in common, or unequal numbers of rows without ids.
    """
    if join not in JOINS:
        raise InvalidInput(
            f"No join is called '{join}'. {did_you_mean(join, list(JOINS))}Known: "
            f"{', '.join(JOINS)}."
        )
    keys = {name: _keys(name, held, counts[name]) for name, held in ids.items() if held is not None}
    _check_counts(keys, counts)
    if not keys:
        said = "Rows were taken in their order: no ids were given (docs/networks.md says how)."
        return Joined(dict.fromkeys(counts), (said,))
    twice = {name: _twice(held) for name, held in keys.items()}
    notes: list[str] = []
    for name, found in twice.items():
        if found and join == "exact":
            raise InvalidInput(
                f"{name} has {len(found):,} ids that occur more than once, the first is "
                f"'{next(iter(found))}'. Give every input an id of its own, or leave them out on "
                f"all sides with --join inner."
            )
        if found:
            notes.append(f"{len(found):,} ids occur more than once in {name} and were left out.")
    left_out = set().union(*twice.values())
    common = set.intersection(*(set(held) for held in keys.values())) - left_out
    first = next(iter(keys))
    wanted = [key for key in keys[first] if key in common]
    if join == "exact":
        _check_same(keys)
    else:
        if not wanted:
            raise InvalidInput(
                f"{listing(list(keys))} have no id in common. Look at how they are written."
            )
        lost = {n: len(set(held) - left_out - common) for n, held in keys.items()}
        if any(lost.values()):
            each = ", ".join(f"{n:,} of {name}" for name, n in lost.items() if n)
            notes.append(f"Joined by ids: {len(wanted):,} that all have; left out are {each}.")
    return Joined(_rows(keys, counts, wanted), (*notes, *_told(keys, counts)))


def _keys(name: str, held: Any, count: int) -> list[str]:
    values = np.asarray(held).reshape(-1)
    if len(values) != count:
        raise InvalidInput(f"{name} has {len(values):,} ids for {count:,} rows.")
    return [_key(value) for value in values.tolist()]


def _key(value: Any) -> str:
    """One id as text: the same number is the same id, however it is stored."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _check_counts(keys: Mapping[str, Sequence[str]], counts: Mapping[str, int]) -> None:
    without = {name: n for name, n in counts.items() if name not in keys}
    wanted = len(keys[next(iter(keys))]) if keys else next(iter(counts.values()), 0)
    if any(n != wanted for n in without.values()):
        raise InvalidInput(
            f"Row i of every model is input i, so all have equally many rows, but there are "
            f"{', '.join(f'{n} in {name}' for name, n in counts.items())}. Extract all from one "
            f"input set, or give ids: rows are then joined by them."
        )


def _twice(keys: Sequence[str]) -> dict[str, None]:
    seen: set[str] = set()
    return {key: None for key in keys if key in seen or seen.add(key)}


def _check_same(keys: Mapping[str, Sequence[str]]) -> None:
    (first, own), *others = keys.items()
    for name, held in others:
        mine, theirs = set(own), set(held)
        if mine == theirs:
            continue
        example, who = next(
            (key, n) for n, one, other in ((first, own, theirs), (name, held, mine)) for key in one
            if key not in other
        )  # fmt: skip
        raise InvalidInput(
            f"{first} and {name} are of other inputs: {len(mine):,} and {len(theirs):,} ids, "
            f"{len(mine & theirs):,} in common; only {who} has '{example}'. --join inner compares "
            f"those in common."
        )


def _rows(
    keys: Mapping[str, Sequence[str]], counts: Mapping[str, int], wanted: Sequence[str]
) -> dict[str, np.ndarray | None]:
    found: dict[str, np.ndarray | None] = {}
    for name, held in keys.items():
        place = {key: i for i, key in enumerate(held)}
        rows = np.array([place[key] for key in wanted], dtype=np.int64)
        is_all = len(rows) == counts[name] and np.array_equal(rows, np.arange(len(rows)))
        found[name] = None if is_all else rows
    of_first = found[next(iter(keys))]  # in whose order models without ids are
    return {name: found.get(name, of_first) for name in counts}


def _told(keys: Mapping[str, Sequence[str]], counts: Mapping[str, int]) -> list[str]:
    (first, own), *others = keys.items()
    notes = []
    moved = [name for name, held in others if set(held) == set(own) and list(held) != list(own)]
    if moved:
        notes.append(
            f"The rows of {listing(moved)} were put in the order of {first}, by their ids."
        )
    if without := [name for name in counts if name not in keys]:
        notes.append(
            f"{listing(without)} came without ids: rows were taken to be in the order of {first}."
        )
    return notes


# -- missing values


def without_missing(missing: Mapping[str, np.ndarray], drops: bool) -> tuple[np.ndarray, str]:
    """The rows that no model lacks, `(n,)`, and what is told of the others; '' where none lacks.

    **Arguments:** `missing`: of each model whether a row has a value that is missing, `(N,)`.

    **Raises:** `InvalidInput` for missing values unless they are to be dropped, or none is left.
    """
    together = np.any(list(missing.values()), axis=0)
    if not together.any():
        return np.arange(len(together)), ""
    each = [(name, held) for name, held in missing.items() if held.any()]
    counts = ", ".join(f"{int(held.sum()):,} of {name}" for name, held in each)
    first = np.flatnonzero(together)
    if not drops:
        shown = ", ".join(map(str, first[:5])) + (", …" if len(first) > 5 else "")
        raise InvalidInput(
            f"Values are missing (NaN), which is not finite, in the rows of {len(first):,} inputs "
            f"({counts}): rows {shown}. --drop-missing (drop_missing=True) leaves these inputs out "
            f"on all sides."
        )
    kept = np.flatnonzero(~together)
    if not len(kept):
        raise InvalidInput(f"Every input has a value that is missing ({counts}): none is left.")
    return kept, (
        f"Values are missing in {len(first):,} of {len(together):,} inputs ({counts}): those were "
        f"left out on all sides."
    )
