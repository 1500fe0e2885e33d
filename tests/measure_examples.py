"""Pairs of models for the tests of measures: alike but not identical, on the same inputs."""

import torch
from torch import Tensor

from samemind.measures import Invariance, Measure, Pair, Side

N_INPUTS, N_UNITS, N_CLASSES = 36, 7, 6


def generator(*key: int) -> torch.Generator:
    """A generator for this key."""
    seed = 0
    for part in key:
        seed = (seed * 1_000_003 + part) % 2**31
    return torch.Generator().manual_seed(seed)


def related(
    n: int = N_INPUTS, widths: tuple[int, int] = (N_UNITS, N_UNITS), seed: int = 0
) -> list[Tensor]:
    """Two representations with a shared part, unequal scales of units, and means off zero."""
    g = generator(1, seed)
    shared = torch.randn(n, 4, generator=g, dtype=torch.float64)
    sides = []
    for width in widths:
        mix = torch.randn(4, width, generator=g, dtype=torch.float64)
        noise = torch.randn(n, width, generator=g, dtype=torch.float64)
        scales = torch.linspace(0.5, 2, width, dtype=torch.float64)
        offset = torch.randn(width, generator=g, dtype=torch.float64)
        sides.append(torch.relu(shared @ mix + 0.7 * noise + 0.5) * scales + offset)
    return sides


def related_with_classes(n: int, widths: tuple[int, int], seed: int = 0) -> list[Tensor]:
    """As `related`, with classes (as many as the first has units) that lie apart on both sides."""
    g = generator(7, seed)
    correct = labels(n, widths[0])
    places = torch.randn(widths[0], 4, generator=g, dtype=torch.float64)
    found = []
    for array in related(n, widths, seed):
        mix = torch.randn(4, array.shape[1], generator=g, dtype=torch.float64)
        own = torch.randn(widths[0], array.shape[1], generator=g, dtype=torch.float64)
        found.append(array + 2 * (places @ mix + 0.7 * own)[correct])
    return found


def tied(kind: str, n: int = N_INPUTS, seed: int = 0) -> Tensor:
    """One unrelated model whose inputs are tied: equal rows, or equal cosines."""
    g = generator(9, seed)
    values = torch.randn(n, N_CLASSES, generator=g, dtype=torch.float64)
    match kind:
        case "one unit":
            return values[:, :1]
        case "rows of zeros":
            dead = torch.rand(n, generator=g) < 0.4
            return torch.where(dead[:, None], 0.0, torch.relu(values))
        case "top-k codes":
            return (values >= values.topk(2).values[:, 1:]).double()
        case "sign codes":
            return values[:, :4].sign()
        case "copies":
            return values[torch.randint(n // 3, (n,), generator=g)]
    raise AssertionError(kind)


TIED = ("one unit", "rows of zeros", "top-k codes", "sign codes", "copies")


def related_logits(n: int = N_INPUTS, n_classes: int = N_CLASSES, seed: int = 0) -> list[Tensor]:
    """Logits of two classifiers that are often, but not always, right."""
    g = generator(2, seed)
    target = torch.nn.functional.one_hot(labels(n, n_classes), n_classes).double()
    shared = torch.randn(n, n_classes, generator=g, dtype=torch.float64)
    return [
        2 * target + shared + torch.randn(n, n_classes, generator=g, dtype=torch.float64)
        for _ in range(2)
    ]


def labels(n: int = N_INPUTS, n_classes: int = N_CLASSES) -> Tensor:
    """The correct classes."""
    return torch.arange(n) % n_classes


def arrays_for(member: Measure, seed: int = 0, n: int = N_INPUTS) -> list[Tensor]:
    """Two arrays of the kind that the measure reads."""
    return (
        related(n, seed=seed) if member.reads == "representation" else related_logits(n, seed=seed)
    )


def score(member: Measure, first: Tensor, second: Tensor, correct: Tensor | None = None) -> float:
    """The score of two arrays, with labels where the measure needs them."""
    n_classes = first.shape[1] if member.reads == "logits" else N_CLASSES
    correct = labels(len(first), n_classes) if correct is None else correct
    return member(first, second, labels=correct if member.needs_labels else None)


def pair_for(member: Measure, first: Tensor, second: Tensor) -> Pair:
    """The two arrays as a pair, with labels."""
    return member.pair(first, second, labels=labels(len(first)))


def class_order(n_classes: int = N_CLASSES) -> Tensor:
    """Which class stands at each place after `Invariance.CLASS_PERMUTATION`."""
    return torch.randperm(n_classes, generator=generator(6))


def changed(array: Tensor, invariance: Invariance) -> Tensor:
    """The array after a random change of this kind."""
    g = generator(3)
    n, width = array.shape
    square = torch.randn(width, width, generator=g, dtype=torch.float64)
    rotation = torch.linalg.qr(square).Q
    match invariance:
        case Invariance.UNIT_PERMUTATION:
            return array[:, torch.randperm(width, generator=g)]
        case Invariance.CLASS_PERMUTATION:
            return array[:, class_order(width)]
        case Invariance.ORTHOGONAL:
            return array @ rotation
        case Invariance.ISOTROPIC_SCALING:
            return 3.7 * array
        case Invariance.INVERTIBLE_LINEAR:
            stretch = torch.logspace(-0.5, 0.5, width, dtype=torch.float64)
            return array @ (rotation * stretch) @ rotation.roll(1, 0).T
        case Invariance.TRANSLATION:
            return array + 2 * torch.randn(width, generator=g, dtype=torch.float64)
        case Invariance.INPUT_CONSTANT:
            return array + 5 * torch.randn(n, 1, generator=g, dtype=torch.float64)
        case Invariance.TEMPERATURE:
            return array / 2.5


OF_REPRESENTATIONS = (
    Invariance.UNIT_PERMUTATION,
    Invariance.ORTHOGONAL,
    Invariance.ISOTROPIC_SCALING,
    Invariance.INVERTIBLE_LINEAR,
    Invariance.TRANSLATION,
)
OF_PREDICTIONS = (
    Invariance.INPUT_CONSTANT,
    Invariance.TEMPERATURE,
    Invariance.CLASS_PERMUTATION,
)


def side(member: Measure, array: Tensor, **options: torch.dtype) -> Side:
    """One side of the kind that the measure reads."""
    if member.reads == "logits":
        return Side(logits=array, labels=labels(len(array)), **options)
    return Side(representation=array, labels=labels(len(array)), **options)
