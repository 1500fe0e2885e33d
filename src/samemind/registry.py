"""A named family: members register themselves, and look-ups that fail suggest a name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

from samemind.errors import InvalidInput, UnknownName

Member = TypeVar("Member")


def did_you_mean(name: str, known: list[str]) -> str:
    """Returns 'Did you mean …? ' for the nearest known name, or an empty string."""
    close = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"Did you mean '{close[0]}'? " if close else ""


LISTED = ("measure", "architecture", "dataset", "figure")
"""Kinds of members that `samemind list` shows."""
NEAREST = 5  # names that are told of many
MOST_KNOWN = 400  # characters of a list of names in a message


def known_names(name: str, known: Sequence[str], shows_all: str = "") -> str:
    """'Known: …', with all names where they are few, else with those that are like `name`.

    - `shows_all`: what shows all of them.
    """
    whole = ", ".join(known)
    if len(whole) <= MOST_KNOWN:
        return f"Known: {whole}."
    plain = name.lower()
    like = [one for one in known if plain and plain in one.lower()]
    like += [
        one for one in get_close_matches(plain, known, n=NEAREST, cutoff=0.4) if one not in like
    ]
    shown = f", among them {', '.join(like[:NEAREST])}" if like else ""
    said = f"; {shows_all} shows all" if shows_all else ""
    return f"{len(known)} are known{shown}{said}."


class Registry(Mapping[str, Member]):
    """The members of one family by name, in the order of their names.

    The members live one to a file in `package`; every file there is imported at the first
    look-up, except those whose name begins with an underscore. Adding a member is adding a file.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._members: dict[str, Member] = {}
        self._resolvers: dict[str, Callable[[str], Member]] = {}
        self._resolve_other: Callable[[str], Member | None] = lambda _: None
        self._is_loaded = False

    def register(self, name: str, member: Member) -> Member:
        """Adds a member and returns it; a name can be taken only once."""
        if name in self._members:
            raise InvalidInput(f"There are two {self.kind}s called '{name}'. Rename one of them.")
        self._members[name] = member
        return member

    def register_prefix(self, prefix: str, resolve: Callable[[str], Member]) -> None:
        """Makes `prefix:REST` mean `resolve(REST)`, for families with members from outside."""
        self._resolvers[prefix] = resolve

    def register_other(self, resolve: Callable[[str], Member | None]) -> None:
        """Makes `resolve` answer, or not (None), for `ANY:REST` whose prefix is not known."""
        self._resolve_other = resolve

    def __getitem__(self, name: str) -> Member:
        self._load()
        prefix, colon, rest = name.partition(":")
        if colon and prefix in self._resolvers:
            return self._resolvers[prefix](rest)
        if name in self._members:
            return self._members[name]
        if colon and (found := self._resolve_other(name)) is not None:
            return found
        known = sorted(self._members)
        raise UnknownName(
            f"No {self.kind} is called '{name}'. {did_you_mean(name, known)}"
            f"{known_names(name, known, self._shows_all)}"
        )

    @property
    def _shows_all(self) -> str:
        return f"`samemind list {self.kind}s`" if self.kind in LISTED else ""

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._members))

    def __len__(self) -> int:
        self._load()
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._members

    def _load(self) -> None:
        if self._is_loaded:
            return
        self._is_loaded = True
        for module in iter_modules(import_module(self.package).__path__):
            if not module.name.startswith("_"):
                import_module(f"{self.package}.{module.name}")


def listing(names: Sequence[str]) -> str:
    """Names as a sentence has them, at most seven.

    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    shown = [*names[:6], f"{len(names) - 6} others"] if len(names) > 7 else list(names)
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
