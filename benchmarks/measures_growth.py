"""Writes docs/measures-cost.md: a cell as the work grows, and what stands beside a score."""

from __future__ import annotations

from pathlib import Path

from measures_cell import MEASURES, make_cell, run_ours, timed, versions

from samemind.measures import MEASURES as ALL_MEASURES
from samemind.measures import Floor, Pair, Side

#: Measures of which it is said what stands beside a score: the cell's, and one of each other kind.
BESIDE = (*MEASURES, "mean_cca", "svcca", "linear_regression_r2", "gulp_distance")


def write_growth(path: Path) -> None:
    """Writes the table of cost over the number of inputs, units and models."""
    base = {"inputs": 2000, "units": 512, "models": 4}
    steps = {
        "inputs": (1000, 2000, 4000, 8000),
        "units": (256, 512, 1024, 2048),
        "models": (2, 4, 8, 16),
    }
    lines = [
        "# What measures cost as the work grows",
        "",
        "Written by `python benchmarks/measures.py --growth docs/measures-cost.md`; the ratio to",
        "public packages on a cell of the paper's size is what `make bench-measures` prints.",
        f"One cell, all pairs, {len(MEASURES)} measures: {', '.join(f'`{m}`' for m in MEASURES)}.",
        "Made-up representations, float32; logits of 1,000 classes. CPU seconds, one thread.",
        f"Where nothing else is said: {base['inputs']:,} inputs, {base['units']:,} units,",
        f"{base['models']} models.",
        "",
        versions(),
    ]
    for what, values in steps.items():
        lines += ["", f"| {what} | pairs | CPU seconds | per pair |", "|--:|--:|--:|--:|"]
        for value in values:
            size = base | {what: value}
            widths = {f"model {i}": size["units"] for i in range(size["models"])}
            arrays = make_cell(size["inputs"], widths)
            _, seconds = timed(lambda arrays=arrays: run_ours(arrays, "cpu"))
            n_pairs = size["models"] * (size["models"] - 1) // 2
            lines.append(f"| {value:,} | {n_pairs} | {seconds:.2f} | {seconds / n_pairs:.2f} |")
            print(lines[-1], flush=True)
    lines += ["", GROWTH_RULES, *beside_a_score(2 * base["inputs"], 2 * base["units"])]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


GROWTH_RULES = """\
How it must grow, with N inputs, D and D' units, C classes:

| part | once per model | once per pair |
|---|---|---|
| centring, scaling | N D | |
| neighbours, for any number of k | N² D (half of it, by symmetry) + N² | N² / 8 bytes per k |
| cross-covariance: both CKAs, Procrustes | | 2 N D D' |
| nuclear norm: Procrustes | | D' min(D, D')² + 4/3 min(D, D')³, in float64 |
| probabilities, entropies | N C | |
| Jensen-Shannon, Jeffreys | | N C |
| agreement | N C | N |

Where N < D, a factor of N columns takes the place of the representation, so D becomes N.
"""


def beside_a_score(n: int, width: int) -> list[str]:
    """What the standard error and the floor of one pair cost, as multiples of its score."""
    lines = [
        "## What stands beside a score",
        "",
        f"One pair, {n:,} inputs, {width:,} units each, 1,000 classes, float32. CPU seconds of the",
        "score once what depends on one model alone was made; then the score with its standard",
        "error and contributions, and with its floor, as multiples of that.",
        "",
        "| measure | score | with standard error | with floor | floor |",
        "|---|--:|--:|--:|---|",
    ]
    arrays = make_cell(n, {"first": width, "second": width})
    sides = [Side(representation=r, logits=z) for r, z in arrays.values()]
    for name in BESIDE:
        member = ALL_MEASURES[name]
        for _ in range(2):  # the first round makes what each model shares with all its pairs
            warm = Pair(*sides)
            member.standard_error(warm)
            floor = member.floor(warm, permutations=1)
        _, alone = timed(lambda m=member: m.score(Pair(*sides)))
        _, with_error = timed(lambda m=member: m.standard_error(Pair(*sides)))
        floor, with_floor = timed(lambda m=member: m.floor(Pair(*sides)))
        kind = origin(floor)
        lines.append(
            f"| `{name}` | {alone:.3f} | {with_error / alone:.1f}x | {with_floor / alone:.1f}x "
            f"| {kind} |"
        )
        print(lines[-1], flush=True)
    return [*lines, "", BESIDE_RULES]


def origin(floor: Floor | None) -> str:
    """Where a floor comes from, in a word or two."""
    if floor is None:
        return "none"
    if floor.is_closed_form:
        return "closed form"
    if floor.is_limit:
        return "limit of many units"
    if floor.n_pairs:
        return f"{floor.n_pairs:,} pairs of rows"
    return f"{floor.permutations} shuffles"


BESIDE_RULES = """\
Multiples of scores that take a few milliseconds are multiples of fixed costs. Elsewhere, where more
than 1.5 times the score is paid, theory asks for it: the share of input i in linear CKA is a
product of row i with the cross-covariance and the other row i, N D D' operations, as many as the
cross-covariance itself. The shares in Procrustes need the rotation, so singular vectors where the
score needs singular values only, and two more products. A shuffle changes what depends on the
pair, so each costs a score. Nothing of this is made unless it is asked for.
"""
