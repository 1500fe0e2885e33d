"""What is in a store: how large, of what made, needed by what, and what nothing needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from samemind.store.artifacts import (
    DAMAGED_FOLDER,
    DRAFT,
    JOBS_FOLDER,
    MADE_FILE,
    RECIPE_FILE,
    REMOVED,
    SCRATCH_FOLDER,
    Store,
)
from samemind.store.recipes import Recipe, identity_of


@dataclass(frozen=True)
class Entry:
    """An artifact as its folder tells of it; `needs` holds the identities of what is upstream."""

    path: Path
    size: int
    needs: frozenset[str]
    made: str  # when, as made.json says

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def kind(self) -> str:
        return self.path.parent.name

    @property
    def identity(self) -> str:
        return self.path.name.rpartition("-")[2]


class Inventory:
    """All that a store holds, read once from its folders; no code of the recipes is needed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.entries = {e.name: e for e in sorted(map(_entry, store.paths()), key=lambda e: e.name)}

    @cached_property
    def _by_identity(self) -> dict[str, Entry]:
        return {entry.identity: entry for entry in self.entries.values()}

    def needed_by(self, entry: Entry) -> list[Entry]:
        """What was made of it, directly or not."""
        return [e for e in self.entries.values() if entry.identity in e.needs]

    def made_of(self, entry: Entry) -> list[Entry]:
        """What it was made of, as far as that is in this store."""
        found = (self._by_identity.get(identity) for identity in entry.needs)
        return sorted((e for e in found if e is not None), key=lambda e: e.name)

    def with_all_made_of_them(self, entries: Iterable[Entry]) -> list[Entry]:
        """The entries, and whatever depends on one of them."""
        asked = {e.name: e for e in entries}
        identities = {e.identity for e in asked.values()}
        return [
            e
            for e in self.entries.values()
            if e.name in asked or not identities.isdisjoint(e.needs)
        ]

    def not_needed_by(self, recipes: Iterable[Recipe]) -> list[Entry]:
        """The artifacts that are none of these recipes and in none of them."""
        kept: set[str] = set()
        for recipe in recipes:
            kept |= {recipe.identity} | needs_of(recipe.content)
        return [e for e in self.entries.values() if e.identity not in kept]

    def leftovers(self) -> list[tuple[Path, int]]:
        """What belongs to no artifact: damaged ones set aside, drafts, resume states, job files.

        What living processes have in work is left out.
        """
        in_work = self.store.leases.in_work()
        if in_work:
            return []
        root = self.store.root
        folders = [root / name for name in (DAMAGED_FOLDER, SCRATCH_FOLDER, JOBS_FOLDER)]
        found = [p for folder in folders if folder.is_dir() for p in folder.iterdir()]
        found += [p for mark in (DRAFT, REMOVED) for p in root.glob(f"*/{mark}*")]
        return [(path, size_of(path)) for path in sorted(found)]


def _entry(path: Path) -> Entry:
    recipe, made = _json(path / RECIPE_FILE), _json(path / MADE_FILE)
    own = path.name.rpartition("-")[2]
    return Entry(
        path=path,
        size=size_of(path),
        needs=frozenset(needs_of(recipe) - {own}),
        made=str(made.get("time", "")) if isinstance(made, dict) else "",
    )


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # `verify` tells of it


def needs_of(content: Any) -> set[str]:
    """The identities of all recipes within the description of one."""
    return {identity_of(part) for part in _recipes_in(content) if part is not content}


def _recipes_in(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        if {"kind", "type", "version"} <= content.keys():
            yield content
        for part in content.values():
            yield from _recipes_in(part)
    elif isinstance(content, list):
        for part in content:
            yield from _recipes_in(part)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = [path] if path.is_symlink() or not path.is_dir() else path.rglob("*")
    return sum(_size(file) for file in files)


def _size(file: Path) -> int:
    try:
        return 0 if file.is_dir() and not file.is_symlink() else file.lstat().st_size
    except FileNotFoundError:
        return 0  # whoever is at work here has just put it in its place


def kinds(entries: Iterable[Entry]) -> dict[str, tuple[int, int]]:
    """How many artifacts of each kind, and how many bytes."""
    found: dict[str, tuple[int, int]] = {}
    for entry in entries:
        count, size = found.get(entry.kind, (0, 0))
        found[entry.kind] = (count + 1, size + entry.size)
    return found


def readable_size(size: int) -> str:
    """Bytes in the unit that fits, such as '3.4 GB'."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
