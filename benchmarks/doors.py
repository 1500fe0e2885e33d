"""What the doors cost for one cell, beside the bare loop over pairs: CPU seconds, one thread.

    python benchmarks/doors.py [--inputs N] [--rounds N]

A study, `samemind.compare` and the command line are asked for the same: scores alone, and scores
with errors, intervals and floors. Interleaved; the least of all rounds counts.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from contextlib import redirect_stdout
from itertools import combinations
from pathlib import Path
from time import process_time

import numpy as np
import torch

import samemind
from samemind.commands.compare import compare as command
from samemind.comparison.pairs import score_pairs
from samemind.comparison.table import Place
from samemind.measures import Side

MEASURES = (
    *("agreement", "jensen_shannon_similarity", "jeffreys_divergence", "linear_cka"),
    *("debiased_linear_cka", "procrustes_similarity", "knn_jaccard@10", "knn_jaccard@100"),
    "knn_jaccard@500",
)
WIDTHS = (512, 1024, 1024, 768)
PERMUTATIONS = 20


def arrays_of(n: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Representations and logits of four made-up models that share a part."""
    g = torch.Generator().manual_seed(0)
    shared = torch.randn(n, 128, generator=g)
    return {
        f"m{i}": (
            shared @ torch.randn(128, d, generator=g) + torch.randn(n, d, generator=g),
            3 * torch.randn(n, 100, generator=g),
        )
        for i, d in enumerate(WIDTHS)
    }


def sides_of(arrays: dict) -> dict[str, Side]:
    """A fresh side of each model: nothing is made yet."""
    return {n: Side(representation=r, logits=z) for n, (r, z) in arrays.items()}


def main() -> None:
    """Times every door and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    arrays = arrays_of(given.inputs)
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, (r, z) in arrays.items():
            files.append(str(Path(folder) / f"{name}.npz"))
            np.savez(files[-1], representation=r.numpy(), logits=z.numpy())

        def bare(errors: bool, floors: int) -> None:
            sides = sides_of(arrays)
            pairs = combinations(sides, 2)
            list(score_pairs(sides, pairs, MEASURES, errors=errors, permutations=floors))

        def study(errors: bool, floors: int) -> None:
            # What `build_scores` does of one input set, without driving inputs and subgroups.
            place = Place(
                dataset="cell", epsilon=0.0, models={n: (n, 0) for n in arrays},
                inputs_dataset="cell", n_inputs=given.inputs,
            )  # fmt: skip
            scored = score_pairs(
                sides_of(arrays), place.pairs(), MEASURES, both_ways=place.both_ways,
                errors=errors, permutations=floors,
            )  # fmt: skip
            place.placed(scored)

        def python(errors: bool, floors: int) -> None:
            samemind.compare(
                sides_of(arrays), measures=MEASURES, errors=errors, permutations=floors
            )

        def command_line(errors: bool, floors: int) -> None:
            with redirect_stdout(io.StringIO()):
                command(models=files, activations=True, measures=",".join(MEASURES), errors=errors,
                        permutations=floors, out=None, as_json=True)  # fmt: skip

        doors = (bare, study, python, command_line)
        ways = {"scores alone": (False, 0), "errors and floors": (True, PERMUTATIONS)}
        taken: dict[tuple[str, str], list[float]] = {}
        for _ in range(given.rounds):
            for way, (errors, floors) in ways.items():
                for door in doors:
                    start = process_time()
                    door(errors, floors)
                    taken.setdefault((way, door.__name__), []).append(process_time() - start)
    print(f"{len(WIDTHS)} models, N = {given.inputs}, {len(MEASURES)} measures, "
          f"n = {given.rounds} rounds, torch {torch.__version__}")  # fmt: skip
    for way in ways:
        base = min(taken[way, "bare"])
        for door in doors:
            best = min(taken[way, door.__name__])
            print(f"{way:<18} {door.__name__:<13} {best:>7.2f} CPU-s {best / base:>6.2f}")


if __name__ == "__main__":
    main()
