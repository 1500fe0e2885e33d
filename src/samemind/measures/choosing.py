"""Which measures can be computed on some sides: what was given, and what is missing for others.

They may be of any kind: of pairs, of sets of models, and of mechanisms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from samemind.errors import InvalidInput
from samemind.measures.base import MEASURES, Side
from samemind.measures.kinds import Kind, kind_of
from samemind.measures.mechanism import MECHANISM_MEASURES
from samemind.registry import listing
from samemind.sides.nearness import TOLD_FROM


def usual_measures() -> tuple[str, ...]:
    """The measures that are computed unless others are asked for, in their order.

    Debiased CKA stands beside the biased one: with few inputs the biased estimator is far above
    zero for models that have nothing in common.
    """
    usual = [(member.usual, name) for name, member in MEASURES.items() if member.usual is not None]
    return tuple(name for _, name in sorted(usual))


def usual_predictions() -> tuple[str, ...]:
    """Those of the usual measures that read logits."""
    return tuple(name for name in usual_measures() if MEASURES[name].reads == "logits")


def streamed_measures() -> tuple[str, ...]:
    """The measures whose sides may be read in chunks."""
    return tuple(name for name, member in MEASURES.items() if member.streams)


def check_kinds(wanted: Sequence[str] | None, impossible: Mapping[Kind, str]) -> None:
    """Refuses measures that can be refused by their names, before a model has run.

    **Arguments:**

    - `impossible`: the kinds that cannot be computed here, each with what to do about it.

    **Raises:** `UnknownName` for what is no measure; `InvalidInput` for one of these kinds.
    """
    for name in wanted or ():
        why = impossible.get(kind_of(name))
        if why:
            raise InvalidInput(f"The measure '{name}' cannot be computed here: {why}")


def chosen_measures(
    wanted: Sequence[str] | None,
    sides: Mapping[str, Side],
    *,
    usual: Sequence[str],
    notes: list[str] | None = None,
) -> list[str]:
    """The measures asked for, or as many of the usual ones as these sides allow.

    What is left out of the usual ones is added to `notes`, with the reason.

    **Raises:** `InvalidInput` for fewer than two sides, or a measure that was asked for and that
    these sides do not allow.
    """
    if len(sides) < 2:
        raise InvalidInput(
            f"A comparison needs two models or more, but {len(sides)} was given. Name another."
        )
    lacks = _lacking(sides)
    reasons = {name: _why_not(name, lacks) for name in wanted or usual}
    refused = {name: why for name, why in reasons.items() if why}
    if refused and wanted:
        name, why = next(iter(refused.items()))
        raise InvalidInput(f"The measure '{name}' cannot be computed here: {why}. Leave it out.")
    for why in dict.fromkeys(refused.values()):
        left_out = ", ".join(name for name, reason in refused.items() if reason == why)
        if notes is not None:
            notes.append(f"Left out: {left_out}; {why}.")
    return [name for name in reasons if name not in refused]


def told_ties(sides: Mapping[str, Side], measures: Sequence[str]) -> list[str]:
    """What a reader must know of inputs whose last neighbours are tied: a note for each k.

    Nothing where they are fewer than one in a hundred of every model.

    **Arguments:** `measures`: names of measures of pairs.

    **Cost:** none beside the scores of these measures, which need the neighbours too.
    """
    by_count: dict[int, list[str]] = {}
    for name in measures:
        member = MEASURES[name]
        if member.family == "neighbours" and not member.needs_labels:
            by_count.setdefault(member.settings["k"], []).append(name)
    notes = []
    known = {name: side for name, side in sides.items() if side.has_representation}
    for k, names in sorted(by_count.items()):
        shares = {name: s.tied_share(k) for name, s in known.items() if k < s.n_inputs}
        told = [f"{share:.0%} of {name}" for name, share in shares.items() if share >= TOLD_FROM]
        if told:
            notes.append(
                f"Ties: of the inputs, for {listing(told)}, the nearest number {k} is as near as "
                f"the next, and all of those share the last places. So read {listing(names)} "
                f"beside the floor, which ties raise. Look for equal rows, or few units."
            )
    return notes


def _lacking(sides: Mapping[str, Side]) -> dict[str, str]:
    lacks = {}
    # Where two models have it, their pairs have scores and the others their reasons.
    for what, otherwise in (("representation", "logits"), ("logits", "representations")):
        n_without = sum(not has_what(side, what) for side in sides.values())
        if n_without == len(sides):
            lacks[what] = f"only {otherwise} were given"
        elif n_without > len(sides) - 2:
            lacks[what] = f"only {otherwise} are known of all models but one"
        elif n_without:
            lacks[f"{what} of all"] = f"only {otherwise} are known of some models"
    if "logits" not in lacks:
        known = [side for side in sides.values() if side.has_logits]
        each = [side.n_classes for side in known if not side.has_only_decisions]
        counts = sorted(set(each))
        # Where some pair shares its classes it has its scores, and the others their reasons.
        if len(counts) > 1 and len(counts) == len(each):
            found = " and ".join(map(str, counts))
            lacks["logits"] = f"the models predict over different numbers of classes ({found})"
    if not all(side.has_labels for side in sides.values()):
        lacks["labels"] = "it needs the correct classes, and there are none"
    return lacks


def has_what(side: Side, what: str) -> bool:
    """Whether a side has a 'representation', or 'logits'."""
    return side.has_logits if what == "logits" else side.has_representation


def why_lacking(what: str) -> str:
    """Why a measure that reads 'logits', or a 'representation', has no value without them."""
    if what == "logits":
        return "One of the two models predicts nothing: only its representation is known."
    return "Of one of the two models only predictions are known."


def _why_not(name: str, lacks: Mapping[str, str]) -> str:
    kind = kind_of(name)
    if kind == "set":
        return lacks.get("logits", "") or lacks.get("logits of all", "")
    if kind == "mechanism":
        # One model against itself: it has all that a model has, whatever classes others know.
        return lacks.get("labels", "") if MECHANISM_MEASURES[name].needs_labels else ""
    chosen = MEASURES[name]
    if chosen.reads in lacks:
        return lacks[chosen.reads]
    return lacks.get("labels", "") if chosen.needs_labels else ""
