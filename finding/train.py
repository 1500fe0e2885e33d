"""Trains the networks of docs/finding.md, one random seed after the other, and looks at them.

Everything up to the activations; `samemind run finding/ARM.toml` then only compares. It may be
ended at any time: run again, it goes on where it was. What is in the store is not made again.

    SAMEMIND_DATA=DATA python finding/train.py --store STORE
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from samemind.building import Ended, build, upstream
from samemind.errors import SamemindError
from samemind.execution.devices import Execution
from samemind.store.artifacts import Recipe, Store
from samemind.study import Study, read_study

HERE = Path(__file__).parent
# The first answers (a) and (b), each of the next a part of (c), and the last (d).
ARMS = (
    "robust",
    "stopped-55",
    "noise-25",
    "narrow",
    "wide",
    "stopped-45",
    "noise-50",
    "robust-inverted",
)


def in_order() -> Iterator[tuple[str, Recipe]]:
    """Every recipe but the comparisons, with the arm and random seed that it is made for."""
    studies = {arm: read_study(HERE / f"{arm}.toml") for arm in ARMS}
    seeds = dict.fromkeys(seed for study in studies.values() for seed in study.random_seeds)
    for seed in seeds:
        for arm, study in studies.items():
            of_seed = Study.model_validate(study.model_dump() | {"random_seeds": (seed,)})
            for stage in of_seed.stages:
                if stage.name != "comparison":
                    yield from ((f"seed {seed}, {arm}", recipe) for recipe in stage.recipes)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--store", type=Path, required=True)
    asked.add_argument("--device", default="cpu")
    given = asked.parse_args()
    store = Store(given.store)
    execution = Execution(device=given.device, loaders=0)
    recipes = list(in_order())
    for number, (what, recipe) in enumerate(recipes, 1):
        # What failed to train has nothing that could be looked at.
        if store.has(recipe) or not all(store.has(u) for u in upstream(recipe)):
            continue
        start = time.monotonic()
        try:
            ended = build(recipe, root=given.store.absolute(), execution=execution)
        except SamemindError as error:
            print(f"{number}/{len(recipes)} {what}: {recipe.name} failed: {error}", flush=True)
            continue
        seconds = f", {time.monotonic() - start:.0f} s" if ended is Ended.BUILT else ""
        print(f"{number}/{len(recipes)} {what}: {recipe.name} {ended}{seconds}", flush=True)


if __name__ == "__main__":
    main()
