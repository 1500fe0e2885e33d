"""Recipes: what to make, as plain data whose hash names the artifact."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any, ClassVar


def later(default: Any, *, as_before: Any = MISSING) -> Any:
    """A recipe field added after artifacts exist.

    While it holds `as_before` (its default, unless said otherwise) it takes no part in the
    identity, so that what was made before the field existed is still found.
    """
    return field(
        default=default, metadata={"as_before": default if as_before is MISSING else as_before}
    )


def described(value: Any) -> Any:
    """The plain JSON value that stands for a recipe, a record or a number in an identity."""
    if is_dataclass(value) and not isinstance(value, type):
        content = {"type": type(value).__name__}
        if isinstance(value, Recipe):
            content |= {"kind": value.kind, "version": value.version}
        for item in fields(value):
            held = getattr(value, item.name)
            if "as_before" in item.metadata and held == item.metadata["as_before"]:
                continue
            # 1 and 1.0 are the same radius, so they must be the same recipe.
            if item.type in (float, "float") and held is not None:
                held = float(held)
            content[item.name] = described(held)
        return content
    if isinstance(value, Mapping):
        return {str(key): described(held) for key, held in value.items()}
    if isinstance(value, (tuple, list)):
        return [described(held) for held in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"A recipe holds plain data, not {type(value).__name__}: {value!r}.")


def canonical_json(content: Any) -> str:
    """One text for one content: sorted keys, no spaces, no NaN."""
    return _CANONICAL.encode(content)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def readable_json(content: Any) -> str:
    """The text of the JSON files of an artifact: one for one content, and a line for each key."""
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def identity_of(content: Any) -> str:
    """The hash that names an artifact, from what `described` gives (or recipe.json holds)."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to make: plain data, hashed in full, what is upstream included.

    Raise `version` by hand when the same fields come to mean another result. Device, batch size
    and the number of workers are not fields: they must not change what is made.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    @property
    def label(self) -> str:
        """The readable part of the folder's name."""
        return type(self).__name__.lower()

    @cached_property
    def content(self) -> dict[str, Any]:
        return described(self)

    @cached_property
    def identity(self) -> str:
        return identity_of(self.content)

    @property
    def name(self) -> str:
        """The address of the artifact within a store: `kind/label-hash`."""
        readable = "".join(c if c.isalnum() or c in "._" else "-" for c in self.label)
        # Letters of other scripts take several bytes, and a name may have 255, a draft's included.
        readable = readable[:80].encode()[:120].decode(errors="ignore")
        return f"{self.kind}/{readable}-{self.identity}"
