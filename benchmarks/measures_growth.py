"""Writes docs/measures-cost.md: a cell as the work grows, and what stands beside a score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from measures_cell import MEASURES, make_cell, run_ours, timed, versions

from samemind.measures import MEASURES as ALL_MEASURES
from samemind.measures import Floor, Pair, Side

#: Measures of which it is said what stands beside a score: the cell's, and one of each other kind.
BESIDE = (*MEASURES, "mean_cca", "svcca", "linear_regression_r2")


BASE = {"inputs": 5000, "units": 1024, "models": 4}
STEPS = {
    "inputs": (2500, 5000, 10_000, 20_000),
    "units": (512, 1024, 2048, 4096),
    "models": (2, 4, 8, 16),
}
#: What can be measured on its own; each takes some minutes.
PIECES = (*STEPS, "beside")


def write_growth(path: Path, pieces: Sequence[str]) -> None:
    """Measures these pieces and puts them into the page, which keeps what it has of the others."""
    found = _pieces_of(path.read_text(encoding="utf-8")) if path.exists() else {}
    for piece in pieces:
        lines = growth_over(piece) if piece in STEPS else beside_a_score(4000, 1024)
        found[piece] = "\n".join([versions(), "", *lines])
        page = [INTRODUCTION]
        for name in PIECES:
            if name == "beside":
                page.append(GROWTH_RULES)
            page.append(f"{_mark(name)}\n\n{found.get(name, 'Not measured yet.')}\n")
        path.write_text("\n".join([*page, BESIDE_RULES]), encoding="utf-8")


def _mark(piece: str) -> str:
    return f"<!-- {piece} -->"


def _pieces_of(page: str) -> dict[str, str]:
    found = {}
    ends = dict.fromkeys(PIECES, GROWTH_RULES) | {"beside": BESIDE_RULES}
    for name in PIECES:
        _, is_there, rest = page.partition(f"{_mark(name)}\n\n")
        for end in (*(_mark(other) for other in PIECES), ends[name]):
            rest = rest.partition(end)[0]
        if is_there:
            found[name] = rest.rstrip("\n")
    return found


def growth_over(what: str) -> list[str]:
    """The table of a cell's cost over one of its sizes."""
    held = (f"{size:,} {name}" for name, size in BASE.items() if name != what)
    lines = [f"With {' and '.join(held)}:", ""]
    lines += [f"| {what} | pairs | CPU seconds | per pair |", "|--:|--:|--:|--:|"]
    for value in STEPS[what]:
        size = BASE | {what: value}
        widths = {f"model {i}": size["units"] for i in range(size["models"])}
        arrays = make_cell(size["inputs"], widths)
        _, seconds = timed(lambda arrays=arrays: run_ours(arrays, "cpu"))
        n_pairs = size["models"] * (size["models"] - 1) // 2
        lines.append(f"| {value:,} | {n_pairs} | {seconds:.2f} | {seconds / n_pairs:.2f} |")
        print(lines[-1], flush=True)
    return lines


INTRODUCTION = f"""\
# What measures cost as the work grows

Written by `python benchmarks/measures.py --growth docs/measures-cost.md`, or a piece at a time with
`--pieces` ({", ".join(PIECES)}); the ratio to public packages on a cell of the paper's size is what
`make bench-measures` prints. One cell, all pairs, {len(MEASURES)} measures:
{", ".join(f"`{m}`" for m in MEASURES)}. Made-up representations, float32; logits of 1,000 classes.
CPU seconds, one thread, one run, on a machine that other work shared.
"""

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
        "error, and with its floor, as multiples of that.",
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
            member.floor(warm, permutations=1)
        _, alone = timed(lambda m=member: m.score(Pair(*sides)))
        _, with_error = timed(lambda m=member: m.standard_error(Pair(*sides)))
        floor, with_floor = timed(lambda m=member: m.floor(Pair(*sides), permutations=1))
        kind = origin(floor)
        lines.append(
            f"| `{name}` | {alone:.3f} | {with_error / alone:.1f}x | {with_floor / alone:.1f}x "
            f"| {kind} |"
        )
        print(lines[-1], flush=True)
    return lines


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
    return "one shuffle of twenty"


BESIDE_RULES = """\
Multiples of scores that take a few milliseconds are multiples of fixed costs. Elsewhere, the
standard error of more than 2,048 inputs comes from the influences of a random 2,048, so what it
adds to linear CKA falls with the number of inputs. Where theory asks for more than 1.5 times the
score: the shares in Procrustes need the best rotation, so singular vectors where the score needs
singular values only, in a problem that does not become smaller with fewer inputs; whitened measures
need singular vectors likewise, and products in float64. The contributions of *all* inputs in linear
CKA take N D D' operations, as many as the cross-covariance itself. Floors in closed form, in the
limit of many units or from pairs of rows cost a part of a score; for other measures a shuffle
changes what depends on the pair, so each of the shuffles costs a score. Nothing of this is made
unless it is asked for.
"""
