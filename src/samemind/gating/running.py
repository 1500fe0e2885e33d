"""Running a gate: both models look at inputs until every rule is decided, or none are left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samemind.comparison.fidelity import Fidelity, beyond_rounding, fidelity_of, looked_into
from samemind.comparison.flips import flips_between, name_in
from samemind.comparison.pairs import score_measures
from samemind.errors import InvalidInput
from samemind.extraction.looking import layers_seen, look
from samemind.gating.verdicts import Gate, Ruling
from samemind.inputs.images import Images, subset
from samemind.lazy import np, pd, torch
from samemind.measures.base import Pair, Side
from samemind.randomness import numpy_generator
from samemind.sides.nearness import first_neighbours
from samemind.statistics.fidelity import ANSWERS, BITS
from samemind.statistics.gating import (
    FAIL,
    PASS,
    UNDECIDED,
    Evidence,
    Loss,
    Score,
    Share,
    decided,
    looks,
    together,
)
from samemind.statistics.swaps import swap

if TYPE_CHECKING:
    from samemind.execution.devices import Execution
    from samemind.gating.policy import MinSimilarity, Rules
    from samemind.networks.model import Model

CLASSES_SHOWN = 5


@dataclass(frozen=True)
class Judged:
    """One rule with what is known of it: of a rule on classes, a piece of evidence for each."""

    rule: str
    evidence: tuple[Evidence, ...]
    said: str  # what was found and what is asked
    found: float
    limit: float
    names: tuple[str, ...] = ()


@dataclass
class Seen:
    """What both models said so far, in the order in which inputs were looked at."""

    a: Model
    b: Model
    images: Images
    order: np.ndarray
    labels: np.ndarray | None = None
    logits: tuple[list[Any], list[Any]] = field(default_factory=lambda: ([], []))
    representations: tuple[list[Any], list[Any]] = field(default_factory=lambda: ([], []))
    n: int = 0

    def look_on(self, n: int, execution: Execution) -> None:
        """Looks at inputs until so many have been seen."""
        rows = self.order[self.n : n]
        sides = look([self.a, self.b], subset(self.images, rows), execution)
        for place, model in enumerate((self.a, self.b)):
            side = sides[model.name]
            self.logits[place].append(side.logits if side.has_logits else None)
            self.representations[place].append(
                side.representation if side.has_representation else None
            )
        self.n = n

    def sides(self) -> tuple[Side, Side]:
        """What each said of all inputs seen."""
        labels = None if self.labels is None else self.labels[self.order[: self.n]]
        found = [
            Side(
                logits=_joined(self.logits[i]), labels=labels, kind="logits",
                representation=_joined(self.representations[i]),
            )
            for i in (0, 1)
        ]  # fmt: skip
        return found[0], found[1]


def _joined(parts: list[Any]) -> Any:
    return None if parts[0] is None else torch.cat(parts)


def run_gate(
    a: Model,
    b: Model,
    images: Images,
    rules: Rules,
    execution: Execution,
    *,
    sequential: bool = False,
    random_seed: int = 0,
) -> Gate:
    """Whether model `b` may take the place of model `a`, by rules, on the images.

    **Raises:** `InvalidInput` for rules that need labels where none fit, models of unequal classes,
    or a measure without a standard error.

    **Cost:** a forward pass of both for every input looked at, and what `fidelity_of` and layers
    cost where rules ask for them.
    """
    n = len(images)
    order = np.arange(n)
    if sequential:
        order = numpy_generator(random_seed, "gate").permutation(n)
    seen = Seen(a, b, images, order)
    at: list[int] = []
    known = looked_into(a, b, images, execution) if rules.min_fidelity else None
    judged: list[Judged] = []
    answers: list[str] = []
    for goal in looks(n) if sequential else (n,):
        seen.look_on(goal, execution)
        if not at:
            seen.labels = _labels(seen, rules)
        at.append(goal)
        judged = list(_judged(rules, seen, at, known))
        at_end = len(rules.min_similarity) + _needs_all(rules, seen)
        answers = decided([one for rule in judged for one in rule.evidence], later=at_end)
        if FAIL in answers or (UNDECIDED not in answers and not at_end):
            break
    if seen.n == n:
        if _needs_all(rules, seen):
            judged.append(_neighbours(rules, seen))
        judged += [_similarity(one, seen, execution, random_seed) for one in rules.min_similarity]
        answers = decided([one for rule in judged for one in rule.evidence])
    rulings = _rulings(judged, answers, seen.n)
    return Gate(
        old=a.name, new=b.name, inputs=images.name, answer=together(answers), rulings=rulings,
        n_inputs=seen.n, n_available=n, is_sequential=sequential, flips=_flips(seen),
        fidelity=_fidelity(rules, seen, execution, known),
        notes=[f"{m.name}: {m.note}." for m in (a, b) if m.note],
    )  # fmt: skip


def _labels(seen: Seen, rules: Rules) -> np.ndarray | None:
    """The labels of all inputs as classes of the models.

    **Raises:** `InvalidInput` where a rule needs labels and there are none, or classes differ.
    """
    one, other = seen.sides()
    sizes = [s.n_classes if s.has_logits else 0 for s in (one, other)]
    shapes = [s.representation.shape[1] if s.has_representation else 0 for s in (one, other)]
    if sizes[0] != sizes[1] or (not sizes[0] and shapes[0] != shapes[1]):
        raise InvalidInput(
            f"{seen.b.name} cannot take the place of {seen.a.name}: they give {sizes[0]} and "
            f"{sizes[1]} classes. Give models of the same classes."
        )
    labels, why = seen.images.labels_for(sizes[0]) if sizes[0] else (None, "they have no classes")
    if labels is None and rules.needs_labels:
        raise InvalidInput(
            f"The rule {rules.needs_labels[0]} needs to know what is right, but {why}. Give "
            f"labels, or leave the rule out."
        )
    return labels


def _judged(
    rules: Rules, seen: Seen, at: list[int], known: Mapping[str, Any] | None
) -> Iterator[Judged]:
    """The rules on inputs, with what every look found."""
    one, other = seen.sides()
    planned = len(seen.order)
    if rules.needs_labels:
        assert seen.labels is not None
        truth = seen.labels[seen.order[: seen.n]]
        before, after = (s.predictions.cpu().numpy() == truth for s in (one, other))
        lost, won = before & ~after, ~before & after
        if rules.max_negative_flips is not None:
            yield _share("max_negative_flips", lost, at, planned, rules.max_negative_flips,
                         "turn from right to wrong")  # fmt: skip
        if rules.max_negative_flips_per_class is not None:
            yield _by_class(rules.max_negative_flips_per_class, lost, truth, seen, at)
        if rules.max_accuracy_loss is not None:
            limit = rules.max_accuracy_loss
            counts = [tuple(int(v[:n].sum()) for n in at) for v in (lost, won)]
            loss = Loss(limit=limit, seen=tuple(at), lost=counts[0], won=counts[1], planned=planned)
            said = (
                f"Accuracy {before.mean():.4f} → {after.mean():.4f}: a loss of {loss.found:.4f}, "
                f"and at most {limit:g} may be lost"
            )
            yield Judged("max_accuracy_loss", (loss,), said, loss.found, limit)
    if rules.level is not None and not _needs_all(rules, seen):
        assert known is not None
        failing = _not_kept(rules.level, one, other, known)
        yield _share("min_fidelity", failing, at, planned, rules.fidelity_tolerance,
                     f"are not '{rules.level}'")  # fmt: skip


def _share(
    rule: str, failing: np.ndarray, at: list[int], planned: int, limit: float, what: str
) -> Judged:
    counts = tuple(int(failing[:n].sum()) for n in at)
    share = Share(limit=limit, seen=tuple(at), counts=counts, planned=planned)
    said = (
        f"{counts[-1]:,} of {at[-1]:,} inputs {what} ({100 * share.found:.3g} %), and at most "
        f"{100 * limit:g} % may"
    )
    return Judged(rule, (share,), said, share.found, limit)


def _by_class(
    limit: float, lost: np.ndarray, truth: np.ndarray, seen: Seen, at: list[int]
) -> Judged:
    assert seen.labels is not None
    evidence, names, told = [], [], []
    called = seen.images.class_names(int(seen.logits[0][0].shape[1]))
    for label in np.unique(seen.labels):
        is_it = truth == label
        share = Share(
            limit=limit,
            seen=tuple(int(is_it[:n].sum()) for n in at),
            counts=tuple(int((is_it & lost)[:n].sum()) for n in at),
            planned=int((seen.labels == label).sum()),
        )
        evidence.append(share)
        names.append(called[label] if called else str(label))
        told.append((share.found, names[-1], share.counts[-1], share.seen[-1]))
    worst = sorted(told, key=lambda one: -one[0])[:CLASSES_SHOWN]
    said = (
        f"Of the classes, {', '.join(f'{name} loses {c} of {n:,}' for _, name, c, n in worst)}; at "
        f"most {100 * limit:g} % of each may turn from right to wrong"
    )
    return Judged(
        "max_negative_flips_per_class", tuple(evidence), said, worst[0][0], limit, tuple(names)
    )


def _not_kept(level: str, one: Side, other: Side, known: Mapping[str, Any]) -> np.ndarray:
    """Which inputs do not keep what a level promises of each."""
    if level == ANSWERS and one.has_logits:
        return (one.predictions != other.predictions).cpu().numpy()
    a, b = (s.logits if s.has_logits else s.representation for s in (one, other))
    if level == BITS:
        return (a != b).any(1).cpu().numpy()
    return beyond_rounding(a, b, known["floor"]).cpu().numpy()


def _needs_all(rules: Rules, seen: Seen) -> bool:
    """Whether fidelity is of first neighbours, which are among all inputs."""
    return rules.level == ANSWERS and not seen.sides()[0].has_logits


def _neighbours(rules: Rules, seen: Seen) -> Judged:
    one, other = (first_neighbours(side.representation) for side in seen.sides())
    failing = (one != other).cpu().numpy()
    return _share("min_fidelity", failing, [seen.n], seen.n, rules.fidelity_tolerance,
                  "change their first neighbour")  # fmt: skip


def _similarity(rule: MinSimilarity, seen: Seen, execution: Execution, random_seed: int) -> Judged:
    one, other = seen.sides()
    if rule.layer != "representation":
        wanted = [rule.layer, rule.layer_new or rule.layer]
        held = [
            layers_seen([m], seen.images, [name], pooling="mean", execution=execution)[m.name][name]
            for m, name in zip((seen.a, seen.b), wanted, strict=True)
        ]
        one, other = (Side(representation=rows) for rows in held)
    pair = Pair(one, other)
    (row,) = score_measures(
        (seen.a.name, seen.b.name), pair, [rule.measure], both_ways=False, permutations=20,
        random_seed=random_seed,
    )  # fmt: skip
    lacking = [
        k for k in ("score", "standard_error", "floor") if row[k] is None or row[k] != row[k]
    ]
    if lacking:
        why = f" ({row['reason']})" if row.get("reason") else ""
        raise InvalidInput(
            f"{rule.measure} of the layer '{rule.layer}' has no {lacking[0].replace('_', ' ')} "
            f"here{why}, so nothing can be decided by it. Choose another measure."
        )
    above = row["score"] - row["floor"]
    score = Score(
        limit=rule.above_floor, above_floor=above, standard_error=row["standard_error"],
        n_inputs=seen.n,
    )  # fmt: skip
    said = (
        f"{rule.measure} of {rule.layer} is {row['score']:.4f}, {above:.4f} above its floor "
        f"(± {row['standard_error']:.2g}), and {rule.above_floor:g} is the least"
    )
    return Judged(f"min_similarity {rule.layer}", (score,), said, above, rule.above_floor)


def _rulings(judged: list[Judged], answers: list[str], n: int) -> list[Ruling]:
    rulings, place = [], 0
    for rule in judged:
        own = answers[place : place + len(rule.evidence)]
        place += len(rule.evidence)
        answer, needed = together(own), None
        said = f"{rule.said}."
        open_ones = [e for e, a in zip(rule.evidence, own, strict=True) if a == UNDECIDED]
        if answer == UNDECIDED:
            each = [one.needed() for one in open_ones]
            counts = [one for one in each if one is not None]
            needed = max(counts) if len(counts) == len(each) else None
            if rule.names:
                said += f" {len(open_ones)} of {len(own)} classes are not decided."
            of = " of each" if rule.names else ""
            said += (
                f" About {needed:,} inputs{of} would tell in 80 % of samples, at this rate."
                if needed is not None
                else " No number of inputs would tell: it lies on the limit."
            )
        elif rule.names and answer != PASS:
            bad = [name for name, a in zip(rule.names, own, strict=True) if a == FAIL]
            said += f" Failing: {', '.join(bad)}."
        rulings.append(
            Ruling(
                rule=rule.rule, answer=answer, sentence=said, found=float(rule.found),
                limit=rule.limit, n_inputs=n, needed=needed,
            )
        )  # fmt: skip
    return rulings


def _flips(seen: Seen) -> pd.DataFrame | None:
    if seen.labels is None:
        return None
    one, other = seen.sides()
    names = (seen.a.name, seen.b.name)
    truth, before, after = (
        v.cpu().numpy() for v in (one.labels, one.predictions, other.predictions)
    )
    called = name_in(seen.images)
    return flips_between(
        names,
        swap(before, after, truth),  # pyright: ignore[reportArgumentType]
        {names[0]: one, names[1]: other},
        classes=seen.images.class_names(one.n_classes),
        name_of=lambda place: called(int(seen.order[place])),
    )


def _fidelity(
    rules: Rules, seen: Seen, execution: Execution, known: Mapping[str, Any] | None
) -> Fidelity | None:
    if rules.min_fidelity is None:
        return None
    looked_at = subset(seen.images, seen.order[: seen.n])
    if known is not None and known.get("departure") is None:
        known = None  # what the first few inputs did not show, those that differ may
    return fidelity_of(
        seen.a, seen.b, seen.sides(), looked_at, execution,
        tolerance=rules.fidelity_tolerance, known=known,
    )  # fmt: skip
