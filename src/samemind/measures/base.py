"""How a function becomes a measure: the registry, and the decorator that declares its promises.

A member is one file with one function under `@measure(...)`; the registry finds it, and the
tests check each of its promises, both ways.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Required, TypedDict, Unpack

from samemind.errors import InvalidInput, UnknownName
from samemind.measures.aliases import canonical
from samemind.measures.intervals import Interval
from samemind.measures.members import Measure, Score
from samemind.measures.promises import Calibrated, Floor, Invariance
from samemind.registry import Registry
from samemind.sides.pair import Pair, Side

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "MEASURES",
    "Calibrated",
    "Floor",
    "Invariance",
    "Measure",
    "Pair",
    "Score",
    "Side",
    "measure",
]


class Measures(Registry[Measure]):
    """The measures by name; `NAME@VALUE` is the measure at another value of its parameter.

    `knn_jaccard` has k = 10, and `knn_jaccard@100` is the same measure at k = 100.
    """

    def __getitem__(self, name: str) -> Measure:
        plain, at, value = name.partition("@")
        try:
            member = super().__getitem__(plain)
        except UnknownName:
            self._explain_settings(name)
            raise
        return member.at(value) if at else member

    def _explain_settings(self, name: str) -> None:
        """Says what a short name stands for; of a name with a number, how a setting is written."""
        meant, said = canonical(name)
        if said:
            raise UnknownName(
                f"No measure is called '{name}'. What is usually meant is '{meant}': write that, "
                f"or choose another from `samemind list measures`."
            )
        found = re.fullmatch(r"(\w+?)[\W_]*(?:k\W*)?(\d+(?:\.\d+)?)", name)
        member = self._members.get(found[1]) if found else None
        if found is None or member is None or member.parameter is None:
            return
        raise UnknownName(
            f"No measure is called '{name}'. A measure at another setting is written NAME@VALUE: "
            f"'{found[1]}@{found[2]}' is '{found[1]}' at {member.parameter} = {found[2]}."
        )

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        plain, at, value = name.partition("@")
        if not super().__contains__(plain):
            return False
        if not at:
            return True
        try:
            self[f"{plain}@{value}"]
        except (UnknownName, InvalidInput):
            return False
        return True


MEASURES = Measures("measure", "samemind.measures")


class Declared(TypedDict, total=False):
    """What a measure may say of itself; see `measure`."""

    reads: Required[Literal["representation", "logits"]]
    family: Required[str]
    bounds: Required[tuple[float, float]]
    identical: Required[float | None]
    invariances: Required[frozenset[Invariance] | set[Invariance]]
    reference: Required[str]
    cost: Required[str]
    larger_is_more_similar: bool
    is_symmetric: bool
    needs_labels: bool
    matches_inputs: bool
    per_input: Callable[..., Tensor] | None
    influence: Callable[..., Tensor | None] | None
    floor: Callable[..., Floor | None] | None
    interval: Callable[..., Interval] | None
    is_without_sign: bool
    unsettled: Callable[..., str | None] | None
    shuffle: Callable[[Pair, torch.Generator], Pair] | None
    no_standard_error: str | None
    label: str | None
    usual: int | None
    streams: bool
    sees: str | None
    cannot_see: str | None


_UNLESS_SAID = {
    "larger_is_more_similar": True,
    "is_symmetric": True,
    "needs_labels": False,
    "matches_inputs": True,
}
# Declarations that a member keeps under another name, beside its methods.
_KEPT_AS = {
    "influence": "influence_of_inputs",
    "floor": "closed_form_floor",
    "interval": "declared_interval",
}


def measure(**declared: Unpack[Declared]) -> Callable[[Callable[..., Score]], Measure]:
    """Makes a function of a `Pair` a member of the registry, under the function's name.

    **Arguments:**

    - `per_input`: gives one value per input whose mean is the score.
    - `influence`: gives the influence of each input on the score. Needed where the score is not
        simply the mean of independent values; without it, that of the mean of `per_input`. If it
        takes a keyword `rows` (a slice or indices), it is asked for those inputs only.
    - `floor`: the closed form of the shuffled score, or None where it does not hold.
    - `interval`: of 95 %, where it does not follow from score, standard error and bounds.
    - `is_without_sign`: the score is the size of a difference, which has a kink at 0.
    - `unsettled`: says why influences do not reach as far as the sampling error at some pair.
    - `shuffle`: gives a pair in which nothing corresponds that the measure is of; unless given, the
        inputs of the second side in any order.
    - `no_standard_error`: why there is neither.
    - `label`: what figures call it. `usual`: its place among those that are computed unless others
        are asked for. `streams`: it is a function of moments (or of moments and one row at a time),
        so that sides may be read in chunks.
    - `sees`, `cannot_see`: for the table of README.md.

    The function and these share the keyword arguments of the function (its parameter, such
    as `k`). The function's first line of docstring is the measure's summary. It returns NaN where
    it has no value; `Measure.score` turns that into an error that says why.
    """

    unknown = declared.keys() - Declared.__annotations__.keys()
    if unknown:
        raise TypeError(f"A measure declares no '{sorted(unknown)[0]}'.")

    def register(compute: Callable[..., Score]) -> Measure:
        settings = {
            parameter.name: parameter.default
            for parameter in inspect.signature(compute).parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        kept: dict[str, Any] = _UNLESS_SAID | {_KEPT_AS.get(n, n): v for n, v in declared.items()}
        kept["invariances"] = frozenset(declared["invariances"])
        member = Measure(
            name=compute.__name__,
            summary=(inspect.getdoc(compute) or "").partition("\n")[0],
            parameter=next(iter(settings), None),
            settings=settings,
            compute=compute,
            **kept,
        )
        # Doctests and `help` read the documentation from the member.
        object.__setattr__(member, "__doc__", compute.__doc__)
        return MEASURES.register(member.name, member)

    return register
