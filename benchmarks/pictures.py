"""Real images for the benchmarks, where this machine has them; nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import lzma
import os
from pathlib import Path

import torch

from samemind.datasets.cifar10 import BATCHES, FOLDER, MD5, read_arrays
from samemind.datasets.roots import data_folder


def cifar10(split: str) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Images (uint8) and labels of CIFAR-10, or None where no folder has the published batches.

    Looked for in SAMEMIND_TEST_DATA, ../shared/data and samemind's own data folder; packed with xz
    or not. For training one batch of 10,000 images is enough here.
    """
    named = os.environ.get("SAMEMIND_TEST_DATA")
    beside = Path(__file__).parents[2] / "shared" / "data"
    for root in (*([Path(named)] if named else []), beside, data_folder()):
        name = BATCHES[split][0]
        plain = root / FOLDER / name
        packed = plain.with_name(f"{name}.xz")
        if plain.is_file():
            content = plain.read_bytes()
        elif packed.is_file():
            content = lzma.decompress(packed.read_bytes())
        else:
            continue
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != MD5[name]:
            continue
        held = read_arrays(content, plain)
        images = torch.from_numpy(held["data"].reshape(-1, 3, 32, 32).copy())
        return images, torch.tensor(held["labels"])
    return None


def random_pictures(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images of the size of CIFAR-10: what is on them does not matter to the speed."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=generator).to(torch.uint8)
    return images, torch.arange(count) % 10
