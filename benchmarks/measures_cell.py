"""The cell that the benchmarks work on: made-up models of the paper's widths, and one run of it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from time import process_time
from typing import Any, TypeVar

import numpy as np
import scipy
import sklearn
import torch

import samemind
from samemind.measures import Side

Result = TypeVar("Result")
Arrays = dict[str, tuple[torch.Tensor, torch.Tensor]]

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


def representation(
    n: int, width: int, generator: torch.Generator, shared: torch.Tensor
) -> torch.Tensor:
    """Penultimate features as networks have them: a shared and a private part, a power law."""
    n_latent = shared.shape[1]
    spectrum = torch.arange(1, n_latent + 1) ** -0.5
    latent = 0.7 * (shared + torch.randn(n, n_latent, generator=generator)) * spectrum
    mixed = latent @ torch.randn(n_latent, width, generator=generator) * 0.2
    return torch.relu(mixed + 0.1 * torch.randn(n, width, generator=generator) + 0.1)


def make_cell(
    n: int, widths: Mapping[str, int], n_classes: int = 1000, random_seed: int = 0
) -> Arrays:
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


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """The result of the work and its CPU seconds."""
    start = process_time()
    result = work()
    return result, process_time() - start


def measures_for(n: int) -> tuple[str, ...]:
    """The measures of the cell that n inputs allow."""
    return tuple(m for m in MEASURES if "@" not in m or int(m.partition("@")[2]) < n - 1)


def run_ours(
    arrays: Arrays, device: str = "cpu", *, errors: bool = False, permutations: int = 0
) -> tuple[dict[str, Side], list[dict[str, Any]]]:
    """All pairs of the cell by `samemind.compare`, the public door, from raw arrays to numbers."""
    sides = {
        name: Side(representation=r.to(device), logits=z.to(device))
        for name, (r, z) in arrays.items()
    }
    names = measures_for(len(next(iter(arrays.values()))[0]))
    found = samemind.compare(sides, measures=names, errors=errors, permutations=permutations)
    return sides, found.scores.to_dict("records")


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
