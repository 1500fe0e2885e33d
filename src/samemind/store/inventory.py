"""What is in a store: how large, of what made, needed by what, and what nothing needs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from samemind.errors import UnreadableFile
from samemind.files.reading import read_json
from samemind.store.artifacts import Store
from samemind.store.marking import (
    DAMAGED_FOLDER,
    JOBS_FOLDER,
    MADE_FILE,
    SCRATCH_FOLDER,
    drafts,
    half_removed,
    is_artifact,
    is_whole_recipe,
    of_ours,
    recipe_of,
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
    """All that a store holds, read once from its folders; no code of the recipes is needed.

    `others` are folders with the name of an artifact whose content does not say that they are one:
    they are told of, and never counted, moved or removed.

    **Raises:** `StoreError` for a folder that is no store.

    **Cost:** reads the recipe of each artifact; grows with their number and the size of recipes.
    """

    def __init__(self, store: Store) -> None:
        store.check_is_there()
        self.store = store
        self.entries: dict[str, Entry] = {}
        self.others: list[Path] = []
        for path in sorted(store.paths(), key=str):
            entry = _entry(path)
            if entry is None:
                self.others.append(path)
            else:
                self.entries[entry.name] = entry

    @cached_property
    def _by_identity(self) -> dict[str, list[Entry]]:
        # Several under one identity: one that was copied under another kind or label.
        found: dict[str, list[Entry]] = {}
        for entry in self.entries.values():
            found.setdefault(entry.identity, []).append(entry)
        return found

    @cached_property
    def _users(self) -> dict[str, list[Entry]]:
        """What was made of each identity, in the order of the names."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries.values():
            for identity in entry.needs:
                found.setdefault(identity, []).append(entry)
        return found

    def needed_by(self, entry: Entry) -> list[Entry]:
        """What was made of it, directly or not."""
        return self._users.get(entry.identity, [])

    def made_of(self, entry: Entry) -> list[Entry]:
        """What it was made of, as far as that is in this store."""
        found = (e for i in entry.needs for e in self._by_identity.get(i, ()))
        return sorted(found, key=lambda e: e.name)

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
        found = [
            path
            for folder in (DAMAGED_FOLDER, SCRATCH_FOLDER, JOBS_FOLDER)
            for path in of_ours(root, folder)
        ]
        found += [*drafts(root), *half_removed(root)]
        return [(path, size_of(path)) for path in sorted(found)]


def _entry(path: Path) -> Entry | None:
    """What a folder tells of the artifact in it; None where it does not say that it holds one."""
    recipe = recipe_of(path)
    if not is_whole_recipe(recipe, path):
        if not is_artifact(path):
            return None
        recipe = None  # of another artifact, or nothing that one is made of
    own = path.name.rpartition("-")[2]
    return Entry(
        path=path,
        size=_size_below(str(path)),
        needs=frozenset(needs_of(recipe) - {own}),
        made=_made(path / MADE_FILE),
    )


def _made(file: Path) -> str:
    try:
        made = read_json(file)
    except UnreadableFile:
        return ""  # `verify` tells of it
    return str(made.get("time", ""))[:40] if isinstance(made, dict) else ""


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
    """Bytes of a file, or of all files below a folder; links count as themselves."""
    try:
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
    except OSError:
        return 0  # whoever is at work here has just put it in its place
    return _size_below(str(path))


def _size_below(folder: str) -> int:
    size = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    size += _size_below(entry.path)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        size += entry.stat(follow_symlinks=False).st_size
    except OSError:
        return size  # it went away, or its owner keeps it to themselves
    return size


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
