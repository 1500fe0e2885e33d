"""Checkpoints along one training: how they change, and which are not what their place says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import np, pd, torch
from samemind.measures import measure
from samemind.measures.base import Measure, Pair, Side
from samemind.randomness import numpy_generator
from samemind.statistics.paths import phases, shared_units, strays

if TYPE_CHECKING:
    from torch import Tensor

#: What each checkpoint is compared with.
END, START, NEIGHBOUR = "end", "start", "neighbour"
#: Numbers of each checkpoint's representation that positions are told by, and units at most.
MOST_NUMBERS, MOST_UNITS = 2**20, 512
#: Two checkpoints whose representations differ by less of their size hold the same network.
SAME = 1e-5
#: Units of one network correspond by so many standard deviations; with fewer units none can.
CORRESPONDING, FEWEST_UNITS = 5.0, 8
#: Groups of inputs that are left out in turn, and Student's t of one fewer for 95 %.
GROUPS, QUANTILE = 20, 2.093


# -- which step


def steps_of(references: Sequence[str]) -> list[float]:
    """The step of each checkpoint: the one number in which the references differ.

    Of several, the one that follows the word step, iteration or iter.

    **Raises:** `InvalidInput` where no number, or more than one, can be meant, or a step comes
    twice.
    """
    numbers = [re.findall(r"(step|iteration|iter)?[^0-9a-z]*(\d+)", r.lower()) for r in references]
    places = range(len(numbers[0])) if len({len(found) for found in numbers}) == 1 else ()
    differing = [i for i in places if len({int(found[i][1]) for found in numbers}) > 1]
    named = [i for i in differing if all(found[i][0] for found in numbers)]
    if len(differing) > 1 and len(named) == 1:
        differing = named
    if len(differing) != 1:
        several = "several numbers" if differing else "no one number"
        raise InvalidInput(
            f"Which step each checkpoint is of cannot be told: {several} differ between "
            f"{references[0]} and {references[-1]}. Write STEP=FILE, or give the steps."
        )
    return checked_steps([int(found[differing[0]][1]) for found in numbers])


def checked_steps(steps: Sequence[float]) -> list[float]:
    """Steps that are numbers, each once.

    **Raises:** `InvalidInput` for a step that is no number, or that comes twice.
    """
    given = [float(step) for step in steps]
    if not all(np.isfinite(given)):
        raise InvalidInput("A step is a finite number. Give one for each checkpoint.")
    twice = [step for step in given if given.count(step) > 1]
    if twice:
        raise InvalidInput(f"Two checkpoints are of step {twice[0]:g}. Give each step once.")
    return given


# -- what is compared


def pairs_along(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each checkpoint with the last, the first and the one before it; every pair once."""
    first, last = names[0], names[-1]
    found = [(name, last) for name in names[:-1]]
    found += [(first, name) for name in names[1:]]
    found += list(pairwise(names))
    return list(dict.fromkeys(found))


def curves(scores: pd.DataFrame, steps: Mapping[str, float]) -> pd.DataFrame:
    """A row per checkpoint, relation (to the end, the start, the neighbour before) and measure.

    **Arguments:**

    - `scores`: of `pairs_along`. `steps`: of each checkpoint, in order.
    """
    names = list(steps)
    at = {name: i for i, name in enumerate(names)}
    columns = ["score", "standard_error", "lower", "upper", "floor"]
    rows = []
    for row in scores.to_dict("records"):
        i, j = sorted((at[row["model_a"]], at[row["model_b"]]))
        relations = [(END, i, j)] if j == len(names) - 1 else []
        relations += [(START, j, i)] if i == 0 else []
        relations += [(NEIGHBOUR, j, i)] if j == i + 1 else []
        rows += [
            {"step": steps[names[of]], "model": names[of], "relation": relation,
             "other": names[to], "measure": row["measure"]} | {c: row[c] for c in columns}
            for relation, of, to in relations
        ]  # fmt: skip
    return pd.DataFrame(rows).sort_values(
        ["measure", "relation", "step"], kind="stable", ignore_index=True
    )


# -- phases


def phases_of(
    sides: Mapping[str, Side], steps: Mapping[str, float], name: str, *, random_seed: int = 0
) -> pd.DataFrame:
    """Where a network certainly changes at least twice as fast as before and after.

    Fast is how far the measure is from that of identical networks, per step, between neighbours.

    **Returns:** columns `measure`, `first_step`, `last_step`, `ratio`, `lower`, `upper`: the speed
    in terms of the faster side's with its 95 % interval, from a jackknife over groups of inputs.

    **Cost:** 21 scores for each pair of neighbours.
    """
    chosen, order = measure(name), list(steps)
    columns = ["measure", "first_step", "last_step", "ratio", "lower", "upper"]
    n_inputs = next(iter(sides.values())).n_inputs
    if chosen.identical is None or n_inputs < 2 * GROUPS or len(order) < 6:
        return pd.DataFrame(columns=columns)
    taken = np.diff(np.array(list(steps.values())))
    places = numpy_generator(random_seed, "groups of inputs").permutation(n_inputs) % GROUPS
    speeds = _distances_along(sides, order, chosen, None) / taken
    replicates = np.array([
        _distances_along(sides, order, chosen, torch.as_tensor(np.flatnonzero(places != group)))
        / taken
        for group in range(GROUPS)
    ])  # fmt: skip
    rows = [
        {"measure": name, "first_step": steps[order[p.first]], "last_step": steps[order[p.last]],
         "ratio": p.ratio, "lower": p.lower, "upper": p.upper}
        for p in phases(speeds, replicates, QUANTILE)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _distances_along(
    sides: Mapping[str, Side], order: Sequence[str], chosen: Measure, rows: Tensor | None
) -> np.ndarray:
    """How far each checkpoint is from the next by a measure, on some of the inputs."""
    assert chosen.identical is not None
    there = [s if rows is None else s.restricted(rows) for s in (sides[n] for n in order)]
    found = []
    for before, after in pairwise(there):
        try:
            found.append(abs(chosen.identical - chosen.score(Pair(before, after))))
        except UndefinedScore:
            found.append(float("nan"))
    return np.array(found)


# -- integrity


class _Seen(NamedTuple):
    """Representations of all checkpoints as their positions are told by.

    - `units`: centred, `(K, N', D')`. `squares`: their squared distances, `(K, K)`; 0 for those
      that hold the same network.
    """

    units: Tensor
    squares: np.ndarray


def integrity(sides: Mapping[str, Side], steps: Mapping[str, float]) -> pd.DataFrame:
    """Checkpoints that are not what their place says: duplicate, misplaced or foreign.

    The units of two checkpoints of one training are the same units, so representations are
    compared without aligning them. A checkpoint is

    - a *duplicate* where it differs from another by less than 1e-5 of its size: it holds the same
      network. Of those that do, the one that fits its place is the original.
    - *foreign* where its units do not correspond to those of the others (5 standard deviations of
      the sum over all orders of units), or where it lies nowhere on their path: of another
      training, damaged, or of a spike.
      The first one is never called so for its units: an untrained network may have nothing in
      common with what becomes of it.
    - *misplaced* where it lies between two others than those it stands between; see
      `samemind.statistics.paths.strays`.

    **Returns:** columns `step`, `model`, `kind`, `other` (the checkpoint whose copy it is),
    `after`, `before` (the checkpoints that it lies between) and `reason`.

    **Cost:** K² products of at most 1,048,576 numbers each.
    """
    names = list(steps)
    columns = ["step", "model", "kind", "other", "after", "before", "reason"]
    if len({sides[name].n_units for name in names}) > 1 or len(names) < 2:
        found = _of_other_size(sides, names)
    else:
        seen = _seen([sides[name] for name in names])
        found = _duplicates(seen.squares, names)
        left = [i for i, name in enumerate(names) if name not in {f["model"] for f in found}]
        strangers = _foreign(seen.units, names, left)
        found += strangers
        left = [i for i in left if names[i] not in {f["model"] for f in strangers}]
        found += _off_the_path(seen.squares, names, left)
    rows = [{"step": steps[one["model"]]} | one for one in found]
    table = pd.DataFrame(rows, columns=columns)
    table = table.astype(dict.fromkeys(columns[1:], object))
    table = table.where(table.notna(), None)
    return table.sort_values("step", kind="stable", ignore_index=True)


def _of_other_size(sides: Mapping[str, Side], names: Sequence[str]) -> list[dict[str, Any]]:
    """The checkpoints that have another number of units than most."""
    counts = [sides[name].n_units for name in names]
    usual = max(counts, key=counts.count)
    return [
        _claim(name, "foreign", reason=f"it has {count:,} units, most others {usual:,}")
        for name, count in zip(names, counts, strict=True)
        if count != usual
    ]


def _claim(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"model": name, "kind": kind, "other": None, "after": None, "before": None} | more


def _seen(sides: Sequence[Side]) -> _Seen:
    n, d = sides[0].n_inputs, sides[0].n_units
    units = np.linspace(0, d - 1, min(d, MOST_UNITS)).round().astype(int)
    rows = np.linspace(0, n - 1, min(n, max(2, MOST_NUMBERS // len(units)))).round().astype(int)
    chosen = [side.representation[rows][:, units].float().cpu() for side in sides]
    held = torch.stack([one - one.mean(0) for one in chosen])
    flat = held.flatten(1).double()
    products = flat @ flat.T
    sizes = products.diagonal()
    squares = (sizes + sizes[:, None] - 2 * products).clamp(min=0).fill_diagonal_(0)
    # What is left of the difference of equals is rounding, which is no distance.
    squares[squares < SAME**2 * torch.minimum(sizes, sizes[:, None])] = 0
    return _Seen(held, squares.numpy())


def _duplicates(squares: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """All but one of the checkpoints that hold the same network."""
    found = []
    for group in sorted({tuple(np.flatnonzero(row == 0).tolist()) for row in squares}):
        if len(group) < 2:
            continue
        others = [i for i in range(len(names)) if i not in group]
        original = min(group, key=lambda i: _misfit(squares, i, others))
        found += [
            _claim(names[i], "duplicate", other=names[original],
                   reason=f"it holds the same network as {names[original]}")
            for i in group if i != original
        ]  # fmt: skip
    return list({one["model"]: one for one in found}.values())


def _misfit(squares: np.ndarray, i: int, others: Sequence[int]) -> tuple[float, float]:
    """How far a checkpoint is from the nearest others before and after; of equals, the last."""
    beside = [max((o for o in others if o < i), default=None),
              min((o for o in others if o > i), default=None)]  # fmt: skip
    far = [squares[i, o] for o in beside if o is not None]
    return (float(np.mean(far)) if far else 0.0), -i


def _foreign(units: Tensor, names: Sequence[str], left: Sequence[int]) -> list[dict[str, Any]]:
    """The checkpoints whose units do not correspond to those of the largest part of the others."""
    if len(left) < 3 or units.shape[2] < FEWEST_UNITS:
        return []
    lengths = units.norm(dim=1, keepdim=True)
    standard = torch.where(lengths > 0, units / lengths, torch.zeros(()))
    part = {i: i for i in left}

    def join(i: int, j: int) -> None:
        if part[i] != part[j] and (
            shared_units((standard[i].T @ standard[j]).double().numpy()) > CORRESPONDING
        ):
            old, new = part[j], part[i]
            part.update({k: new for k, p in part.items() if p == old})

    for i, j in pairwise(left):
        join(i, j)
    for gap in range(2, len(left)):
        for i, j in zip(left, left[gap:], strict=False):
            join(i, j)
    sizes = {p: sum(q == p for q in part.values()) for p in part.values()}
    most = max(sizes, key=lambda p: sizes[p])
    reason = "its units do not correspond to those of the others"
    if sum(size == sizes[most] for size in sizes.values()) > 1:
        reason += ", which are as many: which of the two trainings is meant cannot be told"
    return [
        _claim(names[i], "foreign", reason=reason)
        for i in left
        if part[i] != most and not (i == 0 and sizes[part[i]] == 1)
    ]


def _off_the_path(
    squares: np.ndarray, names: Sequence[str], left: Sequence[int]
) -> list[dict[str, Any]]:
    found = []
    for stray in strays(squares[np.ix_(left, left)]):
        name = names[left[stray.point]]
        after, before = (
            None if one is None else names[left[one]] for one in (stray.after, stray.before)
        )
        if not stray.is_on_path:
            reason = "it lies off the path of the others"
            found.append(_claim(name, "foreign", reason=reason))
            continue
        where = f"between {after} and {before}" if after and before else (
            f"after {after}" if after else f"before {before}"
        )  # fmt: skip
        reason = f"it lies {where}"
        found.append(_claim(name, "misplaced", after=after, before=before, reason=reason))
    return found
