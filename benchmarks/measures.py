"""What one cell of a study costs, against the straightforward public way, measured in one run.

    python benchmarks/measures.py             the cell of the paper, with the ratio and the errors
    python benchmarks/measures.py --inputs 2000     the same with fewer inputs
    python benchmarks/measures.py --growth docs/measures-cost.md    cost over N, D and models

CPU seconds of this process, one thread. The public way takes minutes a pair, so it runs on one
pair of each of three kinds and is scaled by how many pairs of the kind the cell has.
"""

from __future__ import annotations

import argparse
import platform
import resource
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import scipy
import sklearn
import torch
from measures_public_way import exact_scores, public_scores
from threadpoolctl import threadpool_limits

from samemind.measures import Side
from samemind.measures.cell import score_pairs, verify

WIDTHS = {
    "resnet18": 512,
    "resnet50": 2048,
    "wide_resnet50_2": 2048,
    "wide_resnet50_4": 2048,
    "resnext50": 2048,
    "densenet161": 2208,
    "vgg16": 4096,
    "tiny_vit": 320,
}
NEIGHBOURS = (10, 100, 500)
MEASURES = (
    "agreement",
    "jensen_shannon_similarity",
    "jeffreys_divergence",
    "linear_cka",
    "debiased_linear_cka",
    "procrustes_similarity",
    *(f"knn_jaccard@{k}" for k in NEIGHBOURS),
)
#: One pair of each kind, and how many pairs of the kind there are among the 28.
SAMPLES = (
    (("resnet18", "resnet50"), "512 or 320 wide", 11),
    (("resnet50", "wide_resnet50_2"), "2048 and 2208 wide", 10),
    (("resnet50", "vgg16"), "4096 wide", 7),
)


def representation(n: int, width: int, generator: torch.Generator, shared: torch.Tensor):
    """Penultimate features as networks have them: a shared and a private part, a power law."""
    n_latent = shared.shape[1]
    spectrum = torch.arange(1, n_latent + 1) ** -0.5
    latent = 0.7 * (shared + torch.randn(n, n_latent, generator=generator)) * spectrum
    mixed = latent @ torch.randn(n_latent, width, generator=generator) * 0.2
    return torch.relu(mixed + 0.1 * torch.randn(n, width, generator=generator) + 0.1)


def make_cell(n: int, widths: dict[str, int], n_classes: int = 1000, random_seed: int = 0):
    """Representations and logits of each model on the same made-up inputs."""
    generator = torch.Generator().manual_seed(random_seed)
    shared = torch.randn(n, 256, generator=generator)
    classes = torch.randn(n, n_classes, generator=generator)
    return {
        name: (
            representation(n, width, generator, shared),
            3 * classes + 2 * torch.randn(n, n_classes, generator=generator),
        )
        for name, width in widths.items()
    }


def timed(work: Callable[[], object]) -> tuple[object, float]:
    """The result of the work and its CPU seconds."""
    start = process_time()
    result = work()
    return result, process_time() - start


def measures_for(n: int) -> tuple[str, ...]:
    """The measures of the cell that n inputs allow."""
    return tuple(m for m in MEASURES if "@" not in m or int(m.partition("@")[2]) < n - 1)


def run_ours(arrays, device: str):
    """All pairs of the cell, from raw arrays to numbers."""
    sides = {
        name: Side(representation=r.to(device), logits=z.to(device))
        for name, (r, z) in arrays.items()
    }
    names = measures_for(len(next(iter(arrays.values()))[0]))
    return sides, score_pairs(sides, list(combinations(sides, 2)), names)


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
    found = {(s.first, s.second, s.measure): s.score for s in scores}
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


def write_growth(path: Path) -> None:
    """Writes the table of cost over the number of inputs, units and models."""
    base = {"inputs": 4000, "units": 1024, "models": 4}
    steps = {
        "inputs": (1000, 2000, 4000, 8000),
        "units": (256, 512, 1024, 2048, 4096),
        "models": (2, 4, 8, 16),
    }
    lines = [
        "# What measures cost as the work grows",
        "",
        "Written by `python benchmarks/measures.py --growth docs/measures-cost.md`. One cell, all",
        f"pairs, {len(MEASURES)} measures: {', '.join(f'`{m}`' for m in MEASURES)}.",
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
    lines += ["", GROWTH_RULES]
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


def time_on_gpu(n: int) -> None:
    """Prints the seconds of the cell on a GPU, and how far its scores are from the CPU's."""
    arrays = make_cell(n, WIDTHS)
    run_ours({name: (r[:2000], z[:2000]) for name, (r, z) in arrays.items()}, "cuda")
    on_gpu = {name: (r.cuda(), z.cuda()) for name, (r, z) in arrays.items()}
    torch.cuda.synchronize()
    start = perf_counter()
    _, fast = run_ours(on_gpu, "cuda")
    torch.cuda.synchronize()
    print(f"{torch.cuda.get_device_name()}: 28 pairs in {perf_counter() - start:.2f} s")
    _, slow = run_ours(arrays, "cpu")
    apart = max(abs(a.score - b.score) for a, b in zip(fast, slow, strict=True))
    print(f"largest difference from the CPU: {apart:.1e}")


def versions() -> str:
    """The machine and the libraries, as one line."""
    return (
        f"{processor()}, torch {torch.__version__}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, "
        f"Python {platform.python_version()}."
    )


def processor() -> str:
    """The processor's name."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="N, the number of inputs")
    parser.add_argument("--growth", type=Path, help="write the table of cost to this file instead")
    parser.add_argument("--gpu", action="store_true", help="time the cell on a GPU instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        if arguments.growth:
            write_growth(arguments.growth)
        elif arguments.gpu:
            time_on_gpu(arguments.inputs)
        else:
            compare_with_public_way(arguments.inputs)


if __name__ == "__main__":
    main()
