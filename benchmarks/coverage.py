"""Do errors, intervals and floors hold? Every measure, simulated at four N on four kinds of data.

`python benchmarks/coverage.py` draws pairs of models whose truth is known by drawing many, adds
what it finds to `runs/check-statistics/`, goes on where it was stopped, and writes
docs/coverage.md.

    python benchmarks/coverage.py --minutes 20          # as much as that time allows, then the page
    python benchmarks/coverage.py --minutes 0           # the page from what there is
    python benchmarks/coverage.py --families neighbours --sizes 20 50 --draws 1000
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from samemind.errors import InvalidInput, UndefinedScore
from samemind.measures import MEASURES, Measure, Pair, Side

ROOT = Path(__file__).parents[1]
FOUND = ROOT / "runs" / "check-statistics"
PAGE = ROOT / "docs" / "coverage.md"
SIZES = (20, 50, 200, 1000)
FAMILIES = tuple(dict.fromkeys(member.family for member in MEASURES.values()))
KINDS = ("Gaussian", "t3", "clusters", "D > N")
#: Draws per cell: n of the page. The dearest cells get fewer.
DRAWS = {20: 400, 50: 400, 200: 300, 1000: 100}
DRAWS_WIDE = {20: 400, 50: 300, 200: 100, 1000: 12}
CLOSED_FORMS = ("linear_cka", "debiased_linear_cka", "rv_coefficient", "knn_jaccard", "mutual_knn")
FLOORS_EVERY = 4
FEWEST_FLOORS = 20  # unrelated pairs from which a share beyond floor_p95 is shown
FEWEST = 8  # draws from which a cell is shown
SHARED, CLASSES, SHUFFLES = 6, 10, 19
RIGHT = {"ratio": (0.8, 1.25), "coverage": (0.92, 0.98), "exceeds": (0.03, 0.07)}

torch.set_num_threads(1)


# -- data


def drawn(kind: str, n: int, seed: int) -> tuple[Pair, Pair]:
    """A pair of related models and one of unrelated models on N inputs each.

    What the models are (their weights) is the same for every seed; which inputs they see is not.
    """
    models = torch.Generator().manual_seed(1)
    inputs = torch.Generator().manual_seed(1000 + seed)
    widths = (n + n // 4, n + n // 2) if kind == "D > N" else (12, 10)
    sides = []
    weights = [_normal(models, SHARED, width) for width in widths]
    centres = _normal(models, CLASSES, SHARED)
    classes = torch.randint(CLASSES, (2, n), generator=inputs)
    for labels in classes:  # the second draw is of other inputs, for the unrelated model
        seen = _seen(kind, n, inputs, labels, centres)
        sides.append(
            [
                _side(kind, inputs, seen, weight, labels, models_seed=i)
                for i, weight in enumerate(weights)
            ]
        )
    (a, b), (_, other) = sides
    apart = Side(representation=other.representation, logits=other.logits, labels=classes[0])
    return Pair(a, b), Pair(a, apart)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _noise(kind: str, generator: torch.Generator, *shape: int) -> Tensor:
    values = _normal(generator, *shape)
    if kind != "t3":
        return values
    squares = sum(_normal(generator, *shape).square() for _ in range(3))
    return values / (squares / 3).sqrt()


def _seen(kind: str, n: int, generator: torch.Generator, labels: Tensor, centres: Tensor) -> Tensor:
    if kind == "clusters":
        return 2 * centres[labels] + 0.5 * _normal(generator, n, SHARED)
    return _noise(kind, generator, n, SHARED)


def _side(
    kind: str,
    generator: torch.Generator,
    seen: Tensor,
    weights: Tensor,
    labels: Tensor,
    models_seed: int,
) -> Side:
    n = len(seen)
    representation = seen @ weights + 2 * _noise(kind, generator, n, weights.shape[1])
    n_classes = n + n // 4 if kind == "D > N" else CLASSES
    head = _normal(torch.Generator().manual_seed(7 + models_seed), SHARED, n_classes)
    # Of clusters the models are nearly always right: errors are rare events.
    certainty = 6.0 if kind == "clusters" else 1.5
    logits = 0.4 * seen @ head / (2 if kind == "clusters" else 1)
    logits += certainty * torch.nn.functional.one_hot(labels, n_classes)
    logits += _noise(kind, generator, n, n_classes)
    return Side(representation=representation, logits=logits, labels=labels)


# -- one draw


def looked_at(
    member: Measure, related: Pair, apart: Pair, seed: int, has_floor: bool
) -> list[float | None]:
    """Score, standard error, lower, upper; the score of unrelated models and their floor_p95."""
    try:
        score = member.score(related)
    except (UndefinedScore, InvalidInput):
        return [None] * 6
    error = member.standard_error(related)
    low, high = member.interval(related)
    unrelated, threshold = None, None
    if has_floor:
        try:
            unrelated = member.score(apart)
            floor = member.floor(apart, permutations=SHUFFLES, random_seed=seed)
            threshold = None if floor is None else floor.p95
        except (UndefinedScore, InvalidInput):
            unrelated = None
    return [score, error, low, high, unrelated, threshold]


class Cell(NamedTuple):
    """One kind of data, one N, and one family of measures: what is drawn at once."""

    kind: str
    n: int
    family: str

    @property
    def file(self) -> Path:
        """Where its draws are kept; delete it to draw anew."""
        kind = self.kind.replace(" > ", "-above-").lower()
        return FOUND / f"{kind}-{self.n}-{self.family.replace(' ', '-')}.jsonl"

    @property
    def n_draws(self) -> int:
        """How many draws it gets: topology, which has no errors and no floors, the fewest.

        And none where one takes minutes.
        """
        if self.family == "topology":
            return FEWEST if self.n <= 50 else 0
        return (DRAWS_WIDE if self.kind == "D > N" else DRAWS)[self.n]

    def has_floor(self, member: Measure, seed: int) -> bool:
        """Whether the floor is asked for: where it costs 19 scores of many units, now and then.

        That one in twenty lies beyond 19 shuffles needs no simulation; closed forms do.
        """
        if not member.matches_inputs or self.family == "topology":
            return False
        if member.reads == "logits" or member.name in CLOSED_FORMS:
            return True
        return seed % FLOORS_EVERY == 0 and (self.kind != "D > N" or self.n < 1000)

    def read(self) -> list[dict[str, list[float | None]]]:
        """The draws so far; a line that was cut short is left out."""
        rows = []
        for line in (
            self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else ()
        ):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return rows

    def draw(self, seed: int) -> None:
        """One more draw, added to the file."""
        related, apart = drawn(self.kind, self.n, seed)
        row = {
            name: looked_at(member, related, apart, seed, self.has_floor(member, seed))
            for name, member in MEASURES.items()
            if member.family == self.family
        }
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def run(cells: list[Cell], minutes: float, draws: int | None) -> None:
    """Draws until all are there or the time is over, which the cells share evenly."""
    FOUND.mkdir(parents=True, exist_ok=True)
    start = last = time.monotonic()
    done = {cell: len(cell.read()) for cell in cells}
    spent = dict.fromkeys(cells, 0.0)
    while last - start < 60 * minutes:
        left = [cell for cell in cells if done[cell] < min(cell.n_draws, draws or cell.n_draws)]
        if not left:
            break
        # Every cell has something to show when time is over.
        cell = min(left, key=lambda c: (done[c] >= FEWEST, spent[c]))
        cell.draw(done[cell])
        done[cell] += 1
        now = time.monotonic()
        spent[cell] += now - last
        last = now


# -- the page


def summary(values: list[list[float | None]], *, of_all: bool) -> dict[str, float]:
    """Ratio of the stated to the true error, coverage and share above floor_p95 of one cell.

    The truth is that of the draws that state an error. With `of_all` it is that of all draws:
    where only large scores have an error, they would be compared among themselves.
    """
    held = np.array(values, dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        score, error, low, high, apart, threshold = held.T
        is_there = np.isfinite(score)
        found = {"n": len(held), "scores": int(is_there.sum())}
        found["mean"], found["spread"] = np.nanmean(score), np.nanstd(score, ddof=1)
        stated, ends = np.isfinite(error), np.isfinite(low)
        of_errors, of_ends = (
            score if of_all or not some.any() else score[some] for some in (stated, ends)
        )
        spread, truth = np.nanstd(of_errors, ddof=1), np.nanmean(of_ends)
        found["errors"] = int(stated.sum())
        found["ratio"] = (
            np.sqrt(np.nanmean(error**2)) / spread if stated.sum() >= FEWEST else np.nan
        )
        inside = (low[ends] <= truth) & ((truth <= high[ends]) | np.isnan(high[ends]))
        found["intervals"] = int(ends.sum())
        found["coverage"] = inside.mean() if ends.any() else np.nan
        both = np.isfinite(apart) & np.isfinite(threshold)
        found["floors"] = int(both.sum())
        both &= both.sum() >= FEWEST_FLOORS
        found["above"] = (apart[both] > threshold[both]).mean() if both.any() else np.nan
        found["below"] = (apart[both] < threshold[both]).mean() if both.any() else np.nan
    return found


def summaries() -> dict[tuple[str, int], dict[str, dict[str, float]]]:
    """Of every cell, what was found for every measure."""
    found = {}
    for kind in KINDS:
        for n in SIZES:
            by_measure = defaultdict(list)
            for family in FAMILIES:
                for row in Cell(kind, n, family).read():
                    for name, values in row.items():
                        by_measure[name].append(values)
            found[kind, n] = {
                name: _directed(name, summary(values, of_all=MEASURES[name].is_without_sign))
                for name, values in by_measure.items()
            }
    return found


def _directed(name: str, found: dict[str, float]) -> dict[str, float]:
    found["exceeds"] = found["above" if MEASURES[name].larger_is_more_similar else "below"]
    return found


def wrong(found: dict[str, float], what: str) -> bool:
    """Whether a value lies outside of what is right by more than the simulation's own error."""
    value, (low, high) = found[what], RIGHT[what]
    if not np.isfinite(value):
        return False
    n = {"ratio": found["errors"], "coverage": found["intervals"], "exceeds": found["floors"]}[what]
    off = 3 * (value / np.sqrt(2 * n) if what == "ratio" else np.sqrt(0.05 * 0.95 / n))
    # An interval that covers more is no lie, where counts come in steps.
    return value < low - off or (value > high + off and what != "coverage")


def cell_text(found: dict[str, float] | None) -> str:
    """One cell of the page: ratio, coverage, share above floor_p95; bold where it is wrong."""
    if found is None or found["n"] < FEWEST:
        return ""
    if found["scores"] < FEWEST:
        return "no score"
    parts = []
    for what, form in (("ratio", "{:.2f}"), ("coverage", "{:.0f}"), ("exceeds", "{:.0f}")):
        value = found[what]
        text = "–"
        if np.isfinite(value):
            text = form.format(value if what == "ratio" else 100 * value)
            text = f"**{text}**" if wrong(found, what) else text
        parts.append(text)
    return " / ".join(parts)


HEAD = """# Do the errors, intervals and floors hold?

Simulated by `make check-statistics` (`benchmarks/coverage.py`): pairs of models that are the same
for every draw, on inputs that are not. Each cell has three numbers:

- the standard error stated (root mean square over draws) over the true one (the deviation of the
  scores over the draws that state one); right is 0.8 to 1.25;
- how many in a hundred intervals (`lower`, `upper`) hold the mean of the scores; right is 92 to 98,
  and more where counts come in steps;
- how many in a hundred unrelated pairs lie beyond their `floor_p95`, from {shuffles} shuffles where
  it is shuffled; right is 3 to 7.

Bold is what lies outside by more than three times the simulation's own error. – is undefined: see
[below](#what-is-undefined). Data: 12 and 10 units that share 6 directions, with noise
(*Gaussian*, *t3* for all parts); 10 clusters, on which predictions are nearly always right, so that
errors are rare events; 1.25 N and 1.5 N units, and 1.25 N classes (*D > N*). Draws: random seeds
1000, 1001, …. The simulation's own error: with n draws, a ratio is off by 1 / √(2 n) of itself (a
quarter at n = 8, a tenth at 50), a coverage of 95 by 22 / √n (8 at 8, 3 at 50). So few see gross
faults only: the run goes on where it stopped, for as many minutes as it is given.

"""

DRIFT = """## Do scores move with N?

An error and an interval are about the expectation *at that N*. The mean score of the draws at each
N, on Gaussian data; the last step is from N = 200 to N = 1,000, in true standard errors at N = 200:
beyond 2, the interval at N = 200 does not hold what 1,000 inputs would say. `--extrapolate` looks
at your own models' scores at N/4, N/2 and N; see [](reading.md).
"""

UNDEFINED = """
## What is undefined

- Canonical correlations and what is made of them have no score where a model has as many
  directions as there are inputs (D > N).
- A difference without its sign has no standard error where it is less than two of them: its sign
  is not known, so its slope is not. It has an interval.
- `pwcca` has no standard error unless all canonical correlations lie apart by many times what is
  left to chance: the directions that it weighs turn otherwise.
- Topology has no share of an input; see [](reading.md).
- Measures that ignore which input is which have no floor. Floors that are shuffled are looked at in
  every fourth draw, and not at N = 1,000 with D > N; nor are those of topology, whose measures are
  simulated up to N = 50: for their cost.
"""


def page() -> str:
    """docs/coverage.md from what was found so far."""
    found = summaries()
    lines = [HEAD.format(shuffles=SHUFFLES)]
    lines += ["## The worst cells\n", *worst(found), ""]
    for kind in KINDS:
        counts = ", ".join(f"{_draws(found[kind, n])} at N = {n}" for n in SIZES)
        lines += [f"## {kind}\n", f"n, the number of draws: {counts}.\n"]
        lines.append("| measure | " + " | ".join(f"N = {n}" for n in SIZES) + " |")
        lines.append("| --- |" + " --- |" * len(SIZES))
        for name in MEASURES:
            cells = [cell_text(found[kind, n].get(name)) for n in SIZES]
            lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join([*lines, DRIFT, *drift(found), UNDEFINED])


def drift(found: dict[tuple[str, int], dict[str, dict[str, float]]]) -> list[str]:
    """A row a measure: its mean score at every N, and the last step in standard errors."""
    lines = ["| measure | " + " | ".join(f"N = {n}" for n in SIZES) + " | last step |"]
    lines.append("| --- |" + " --- |" * (len(SIZES) + 1))
    for name in MEASURES:
        cells = [found["Gaussian", n].get(name) for n in SIZES]
        seen = [c if c is not None and c["scores"] >= FEWEST else None for c in cells]
        means = ["" if c is None else f"{c['mean']:.4g}" for c in seen]
        *_, before, last = seen
        step = ""
        if before is not None and last is not None and before["spread"] > 0:
            step = f"{(last['mean'] - before['mean']) / before['spread']:+.1f}"
        lines.append(f"| `{name}` | " + " | ".join(means) + f" | {step} |")
    return lines


def _draws(found: dict[str, dict[str, float]]) -> str:
    counts = sorted({int(cell["n"]) for cell in found.values()}) or [0]
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def worst(found: dict[tuple[str, int], dict[str, dict[str, float]]]) -> list[str]:
    """A line for what is wrong, of each of the three numbers, the worst cells first."""
    lines = []
    names = {
        "ratio": ("stated over true error", "{:.2f}"),
        "coverage": ("coverage", "{:.0%}"),
        "exceeds": ("beyond floor_p95", "{:.0%}"),
    }
    for what, (words, form) in names.items():
        bad = [
            (_distance(cell[what], what), name, kind, n, cell[what])
            for (kind, n), measures in found.items()
            for name, cell in measures.items()
            if cell["scores"] >= FEWEST and wrong(cell, what)
        ]
        total = sum(
            np.isfinite(cell[what]) and cell["scores"] >= FEWEST
            for measures in found.values()
            for cell in measures.values()
        )
        bad.sort(reverse=True)
        named = "; ".join(
            f"`{name}` {form.format(value)} ({kind}, N = {n})"
            for _, name, kind, n, value in bad[:12]
        )
        lines.append(
            f"- {words}: {len(bad)} of {total} cells are outside"
            + (f": {named}." if named else ".")
        )
    return lines


def _distance(value: float, what: str) -> float:
    if what == "ratio":
        return abs(np.log(max(value, 1e-9)))
    return abs(value - (0.95 if what == "coverage" else 0.05))


def main() -> None:
    """Draws what is asked for and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--draws", type=int)
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--sizes", nargs="*", type=int, default=list(SIZES))
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--print", action="store_true", help="show what was found, write no page")
    asked = parser.parse_args()
    asked_for = product(asked.kinds, asked.sizes, asked.families)
    run([Cell(*cell) for cell in asked_for], asked.minutes, asked.draws)
    if asked.print:
        for (kind, n), measures in summaries().items():
            for name, cell in measures.items():
                print(f"{kind:9s} {n:5d} {name:42s} {cell_text(cell)}")
    else:
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
