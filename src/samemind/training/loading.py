"""Where training batches come from: memory of the device where the images fit, else the disk.

The order of the images and every random number belong to a step, so both ways, any number of
loading processes and a resumed run give the same batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.datasets.base import Split
from samemind.lazy import np, torch
from samemind.randomness import seed_of

if TYPE_CHECKING:
    from torch import Tensor

# Of the memory that is free: the images share it with the network and its activations.
SHARE_OF_MEMORY = 0.4


@dataclass(frozen=True)
class SplitImages:
    """The preprocessed images of a split, read when they are indexed; memory for those only."""

    split: Split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return torch.from_numpy(self.split.read(indices.numpy()))


@dataclass(frozen=True)
class OriginalImages:
    """Random parts of the images of a split as published, scaled to a size: uint8.

    The part covers 8 to 100 % of the image and is mirrored half of the time (the usual random
    resized crop), from random numbers of its own for each step.
    """

    split: Split
    image_size: int
    random_seed: int

    def __len__(self) -> int:
        return len(self.split)

    def of_step(self, step: int, indices: Tensor) -> Tensor:
        from torchvision.transforms import v2

        transform = v2.Compose(
            [
                v2.RandomResizedCrop(self.image_size, antialias=True),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
            ]
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.random_seed, "crop", step))
            return torch.stack([transform(self.split.open_image(int(i))) for i in indices])


@dataclass(frozen=True)
class _BatchReader:
    """A dataset whose items are whole batches, for a DataLoader that does not collate."""

    images: SplitImages | OriginalImages

    def __getitem__(self, key: tuple[int, Tensor]) -> tuple[Tensor, Tensor]:
        step, indices = key
        if isinstance(self.images, OriginalImages):
            return indices, self.images.of_step(step, indices)
        return indices, self.images[indices]


def loaded(
    images: Tensor | SplitImages | OriginalImages,
    order: Iterable[tuple[int, Tensor]],
    *,
    device: torch.device,
    workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """(indices, images on the device) for each (step, indices) of an order.

    **Arguments:**

    - `workers`: processes that read ahead, where images come from the disk.
    """
    if not isinstance(images, (SplitImages, OriginalImages)):
        for _, indices in order:
            here = indices.to(images.device, non_blocking=True)
            yield indices, images[here].to(device, non_blocking=True)
        return
    loader: Any = torch.utils.data.DataLoader(
        _BatchReader(images),  # pyright: ignore[reportArgumentType]
        batch_size=None,
        sampler=order,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
    for indices, batch in loader:
        yield indices, batch.to(device, non_blocking=True)


def images_for_training(
    split: Split,
    *,
    image_size: int,
    crops_originals: bool,
    random_seed: int,
    device: torch.device,
) -> Tensor | SplitImages | OriginalImages:
    """The images of a split: a tensor on the device where they fit, else a reader."""
    if crops_originals:
        return OriginalImages(split, image_size, random_seed)
    probe = split.read(range(1))
    if probe.nbytes * len(split) <= SHARE_OF_MEMORY * free_memory(device):
        return torch.from_numpy(split.read(np.arange(len(split)))).to(device)
    return SplitImages(split)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on the device; on the CPU, what the system says is available."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = {line.split(":")[0]: line.split()[1] for line in lines}
        return int(found["MemAvailable"]) * 1024
    except (OSError, KeyError):
        return 4 * 2**30
