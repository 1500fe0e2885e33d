"""What one cell of a study costs, against the straightforward public way, measured in one run.

    python benchmarks/measures.py             the cell of the paper, with the ratio and the errors
    python benchmarks/measures.py --inputs 2000     the same with fewer inputs
    python benchmarks/measures.py --growth docs/measures-cost.md    cost over N, D and models

CPU seconds of this process, one thread. The public way takes minutes a pair, so it runs on one
pair of each of three kinds and is scaled by how many pairs of the kind the cell has.
"""

from __future__ import annotations

import argparse
import resource
from pathlib import Path
from time import perf_counter

import torch
from measures_cell import WIDTHS, make_cell, measures_for, run_ours, timed, versions
from measures_growth import PIECES, write_growth
from measures_public_way import exact_scores, public_scores
from threadpoolctl import threadpool_limits

from samemind.comparison.verification import verify

#: One pair of each kind, and how many pairs of the kind there are among the 28.
SAMPLES = (
    (("resnet18", "resnet50"), "512 or 320 wide", 11),
    (("resnet50", "wide_resnet50_2"), "2048 and 2208 wide", 10),
    (("resnet50", "vgg16"), "4096 wide", 7),
)


def compare_with_public_way(n: int) -> None:
    """Prints the ratio on the whole cell and the errors of both ways against float64."""
    print(versions())
    arrays = make_cell(n, WIDTHS)
    names = measures_for(n)
    ks = [int(m.partition("@")[2]) for m in names if "@" in m]
    run_ours({name: (r[:600], z[:600]) for name, (r, z) in arrays.items()}, "cpu")  # warm up
    public, ours_seconds, scores, sides = {}, 0.0, [], {}
    for index, (pair, kind, _) in enumerate(SAMPLES):
        inputs = [array.numpy() for name in pair for array in arrays[name]]
        public[pair] = public_scores(*inputs, ks=ks)
        seconds = public[pair].seconds
        total = sum(seconds.values())
        print(f"public way, {' and '.join(pair)} ({kind}): {total:.1f} CPU-s")
        print("   " + ", ".join(f"{name} {value:.2f}" for name, value in seconds.items()))
        if index == 0:  # between the samples, so that a change of load meets both
            start = perf_counter()
            (sides, scores), ours_seconds = timed(lambda: run_ours(arrays, "cpu"))
            print(
                f"samemind, all 28 pairs: {ours_seconds:.1f} CPU-s, "
                f"{perf_counter() - start:.1f} s by the clock, peak memory of the process "
                f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"
            )
    report_ratio(public, ours_seconds)
    report_errors(arrays, public, scores, ks)
    print(verify(sides, scores))


def report_ratio(public, ours_seconds: float) -> None:
    """Prints how many times the public way costs, per call and with neighbours shared."""
    total = sum(n * sum(public[pair].seconds.values()) for pair, _, n in SAMPLES)
    # A careful user would look for neighbours once a pair and take all k from that.
    saved = sum(n * public[pair].repeated_seconds for pair, _, n in SAMPLES)
    print(f"public way, scaled to 28 pairs: {total:.0f} CPU-s")
    print(f"ratio: {total / ours_seconds:.1f}x")
    print(f"ratio, were its neighbours found once for all k: {(total - saved) / ours_seconds:.1f}x")


def report_errors(arrays, public, scores, ks) -> None:
    """Prints the largest error of both ways against float64, by measure."""
    found = {(s["model_a"], s["model_b"], s["measure"]): s["score"] for s in scores}
    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    for pair, _, _ in SAMPLES:
        inputs = [array.numpy() for name in pair for array in arrays[name]]
        exact = exact_scores(*inputs, ks=ks)
        for name, value in exact.items():
            ours[name] = max(ours.get(name, 0), abs(found[(*pair, name)] - value))
            theirs[name] = max(theirs.get(name, 0), abs(public[pair].scores[name] - value))
    print(f"{'largest error against float64':32}{'samemind':>12}{'public way':>12}")
    for name in ours:
        print(f"{name:32}{ours[name]:12.1e}{theirs[name]:12.1e}")


def time_on_gpu(n: int, rounds: int = 3) -> None:
    """Prints the seconds of the cell on a GPU, and how far its scores are from the CPU's."""
    print(versions())
    arrays = make_cell(n, WIDTHS)
    run_ours({name: (r[:2000], z[:2000]) for name, (r, z) in arrays.items()}, "cuda")
    fast, taken = [], []
    for _ in range(rounds):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        start = perf_counter()
        _, fast = run_ours(arrays, "cuda")
        torch.cuda.synchronize()
        taken.append(perf_counter() - start)
    print(
        f"{torch.cuda.get_device_name()}: 28 pairs, n = {rounds}, from arrays of the host to "
        f"scores: {', '.join(f'{t:.2f}' for t in taken)} s; "
        f"peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of the device",
        flush=True,
    )
    start = perf_counter()
    _, slow = run_ours(arrays, "cpu")
    print(f"CPU, {torch.get_num_threads()} threads: {perf_counter() - start:.1f} s")
    apart: dict[str, float] = {}
    for a, b in zip(fast, slow, strict=True):
        name = a["measure"]
        apart[name] = max(apart.get(name, 0.0), abs(a["score"] - b["score"]))
    for name, difference in apart.items():
        print(f"   largest difference from the CPU, {name}: {difference:.1e}")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="N, the number of inputs")
    parser.add_argument("--growth", type=Path, help="write the table of cost to this file instead")
    parser.add_argument(
        "--pieces", nargs="+", choices=PIECES, default=PIECES, help="write these parts of it only"
    )
    parser.add_argument("--gpu", action="store_true", help="time the cell on a GPU instead")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with threadpool_limits(arguments.threads):
        if arguments.growth:
            write_growth(arguments.growth, arguments.pieces)
        elif arguments.gpu:
            time_on_gpu(arguments.inputs)
        else:
            compare_with_public_way(arguments.inputs)


if __name__ == "__main__":
    main()
