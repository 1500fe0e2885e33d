"""Random numbers that belong to a purpose.

Every draw has its own generator, made from the random seed and what the draw is for, so that a
new draw in one place shifts no other, and a resumed run draws what an uninterrupted one would.
"""

from __future__ import annotations

import hashlib

from samemind.errors import InvalidInput
from samemind.lazy import np, torch


def seed_of(random_seed: int, *purpose: str | int) -> int:
    """A 63-bit integer for a random seed and a purpose, the same on every machine."""
    text = "/".join(str(part) for part in (random_seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(random_seed: int, *purpose: str | int) -> np.random.Generator:
    """A NumPy generator for one purpose."""
    return np.random.default_rng(seed_of(random_seed, *purpose))


def torch_generator(random_seed: int, *purpose: str | int) -> torch.Generator:
    """A torch generator for one purpose; on the CPU, so that every device sees the same draws."""
    return torch.Generator().manual_seed(seed_of(random_seed, *purpose))


def draw(count: int, wanted: int | None, random_seed: int, purpose: str) -> np.ndarray:
    """Indices below `count`: all in order, or `wanted` of them at random, ascending.

    **Raises:** `InvalidInput` where more are wanted than there are.
    """
    if wanted is None or wanted == count:
        return np.arange(count)
    if wanted > count:
        raise InvalidInput(
            f"{wanted} {purpose} were asked for, but the split has {count}. Ask for fewer."
        )
    return np.sort(numpy_generator(random_seed, purpose).choice(count, wanted, replace=False))
