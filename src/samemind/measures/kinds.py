"""The three kinds of measures under one roof: of pairs, of sets of models, and of mechanisms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from samemind.errors import SamemindError, UnknownName
from samemind.measures.base import MEASURES
from samemind.measures.mechanism import MECHANISM_MEASURES
from samemind.measures.of_sets import SET_MEASURES
from samemind.registry import Registry, did_you_mean, known_names

Kind = Literal["pair", "set", "mechanism"]

KINDS: dict[Kind, Registry[Any]] = {
    "pair": MEASURES,
    "set": SET_MEASURES,
    "mechanism": MECHANISM_MEASURES,
}


def kind_of(name: str) -> Kind:
    """The kind of the measure of this name.

    **Raises:** `UnknownName` or `InvalidInput` for what is no measure, or no setting of one.

    >>> kind_of("knn_jaccard@100"), kind_of("ambiguity"), kind_of("stir@procrustes_similarity")
    ('pair', 'set', 'mechanism')
    """
    plain = name.partition("@")[0]
    for kind, registry in KINDS.items():
        if plain in list(registry):
            registry[name]
            return kind
    known = [member for registry in KINDS.values() for member in registry]
    raise UnknownName(
        f"No measure is called '{name}'. {did_you_mean(name, known)}"
        f"{known_names(name, known, '`samemind list measures`')}"
    )


def record_of(name: str) -> Mapping[str, Any]:
    """What a measure of any kind promises; of one that only the scores know, that large is alike.

    A report is read where the measures of one's own that a study used may not be registered.
    """
    try:
        return KINDS[kind_of(name)][name].as_record()
    except SamemindError:
        return {"larger_is_more_similar": True}


def larger_is_more_similar(name: str) -> bool:
    """Whether larger scores of a measure of any kind mean more alike."""
    return bool(record_of(name)["larger_is_more_similar"])


def of_kind(kind: Kind, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names whose measures are of this kind."""
    return tuple(name for name in names if kind_of(name) == kind)


def records() -> list[dict[str, Any]]:
    """Every measure of every kind with its promises, as plain data."""
    return [
        {"kind": kind} | {"reads": "logits"} | member.as_record()
        for kind, registry in KINDS.items()
        for member in registry.values()
    ]
