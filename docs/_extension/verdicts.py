"""The table of simulated studies in docs/verdict.md: what is true, and what the verdict says.

`python docs/_extension/verdicts.py` writes it, in a few minutes of one core; a slow test holds
that what is committed is current.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samemind.statistics import Evidence, PairScores, holm, judge, trend
from samemind.statistics.verdict import ANSWERS

TABLE = Path(__file__).parents[1] / "verdict-table.md"
STUDIES = 400
SIZES = ((4, 2), (5, 4), (7, 4), (10, 4))  # models, ε
RANDOM_SEED = 0


@dataclass(frozen=True)
class Truth:
    """What is put into a simulated study.

    - `name`: as the table has it.
    - `changes`: of three measures, from the lowest to the highest ε.
    - `last`: the mean at the highest ε, between floor 0 and ceiling 1.
    - `slopes`: the standard deviation with which models change each in their own way.
    - `has_tail`: the effects of models have a long tail towards little likeness.
    """

    name: str
    changes: tuple[float, float, float]
    last: float = 0.7
    slopes: float = 0.05
    has_tail: bool = False


TRUTHS = (
    Truth("all three rise by 0.3", (0.3, 0.3, 0.3)),
    Truth("all three rise by 0.1", (0.1, 0.1, 0.1)),
    Truth("all three rise by 0.03", (0.03, 0.03, 0.03), slopes=0.0),
    Truth("two rise by 0.3, one stays", (0.3, 0.3, 0.0)),
    Truth("nothing changes", (0.0, 0.0, 0.0), slopes=0.0),
    Truth("nothing changes on average, models do", (0.0, 0.0, 0.0), slopes=0.1),
    Truth("all three fall by 0.3", (-0.3, -0.3, -0.3)),
    Truth("no change at a level of 0.97", (0.0, 0.0, 0.0), last=0.97, slopes=0.0),
    Truth("no change at a level of 0.9, a tail", (0.0, 0.0, 0.0), 0.9, 0.0, has_tail=True),
)


def simulated(
    truth: Truth, n_models: int, n_levels: int, generator: np.random.Generator
) -> list[PairScores]:
    """Three measures of one study. Half of a model's effect is common to them."""
    places = np.linspace(-1, 0, n_levels)

    def effects(size: tuple[int, ...]) -> np.ndarray:
        if truth.has_tail:
            return 1 - generator.exponential(size=size)
        return generator.normal(size=size)

    deviation = min(0.04, (1 - truth.last) / 4)
    common = effects((1, n_models)) + generator.normal(0, 1, (n_levels, n_models))
    found = []
    for change in truth.changes:
        alone = effects((1, n_models)) + generator.normal(0, 1, (n_levels, n_models))
        slope = truth.slopes / 2 * generator.normal(size=n_models)
        parts = (truth.last + change * places[:, None]) / 2
        parts = parts + deviation / 4 * (common + alone) + places[:, None] * slope
        noise = generator.normal(0, deviation / 4, (n_levels, n_models, n_models))
        scores = parts[:, :, None] + parts[:, None, :] + (noise + noise.swapaxes(1, 2)) / 2
        scores[:, np.arange(n_models), np.arange(n_models)] = np.nan
        names = tuple(f"model{i}" for i in range(n_models))
        found.append(PairScores(np.minimum(scores, 1), tuple(places), names))
    return found


def answer(truth: Truth, n_models: int, n_levels: int, generator: np.random.Generator) -> str:
    """What the verdict says of one simulated study, of which the ceiling is measured."""
    trends = [trend(pairs) for pairs in simulated(truth, n_models, n_levels, generator)]
    corrected = holm([found.p_value for found in trends])
    evidence = [
        Evidence("measure", found, 0.0, 1.0, is_ceiling_measured=True, p_value=p_value)
        for found, p_value in zip(trends, corrected, strict=True)
    ]
    return judge("Representations", evidence, list("ABC")).answer


def shares(truth: Truth, n_models: int, n_levels: int, studies: int) -> dict[str, float]:
    """How often each answer comes out, most often first."""
    generator = np.random.default_rng([RANDOM_SEED, TRUTHS.index(truth), n_models, n_levels])
    found = Counter(answer(truth, n_models, n_levels, generator) for _ in range(studies))
    order = list(ANSWERS)
    ranked = sorted(found.items(), key=lambda item: (-item[1], order.index(item[0])))
    return {name: count / studies for name, count in ranked}


def cell(found: dict[str, float]) -> str:
    """The answers of a cell, in whole per cent."""
    return ", ".join(f"{name} {100 * share:.0f}" for name, share in found.items() if share >= 0.005)


def table(studies: int = STUDIES) -> str:
    """A row for each truth, a column for each size."""
    heads = [f"{models} models, {levels} ε" for models, levels in SIZES]
    lines = [f"| true | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for truth in TRUTHS:
        cells = [cell(shares(truth, *size, studies)) for size in SIZES]
        lines.append(f"| {truth.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
    sys.stdout.write(f"{TABLE}\n")
