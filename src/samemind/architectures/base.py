"""What an architecture is: a record that can be read without torch, and the family's registry."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samemind.errors import InvalidInput
from samemind.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network with random weights, and where its representation is found.

    The representation is what the last linear layer reads: `head(representation) == logits`.
    """

    name: str
    summary: str
    """One line for `samemind list architectures`."""
    family: str
    """The kind of network: 'residual', 'wide residual', 'vision transformer', …"""
    build: Callable[[int, int], nn.Module]
    """(classes, image size) → the network, with random weights drawn from torch's generator."""
    head: str
    """The dotted name of the last linear layer within the network."""
    representation_size: int
    """The number of units that the last linear layer reads."""
    operations: int = 0
    """Of one forward pass at `image_size` with most classes; a multiply-add is two. 0: unknown."""
    image_size: int
    """Height and width, in pixels, of the images that it was designed for."""
    channels: int = 3
    parameters: Mapping[int, int]
    """Number of classes → exact number of parameters (batch-norm statistics not counted)."""
    reference: str
    width: float = 1.0
    """How many times the channels of the architecture `width_of`, where there is one."""
    width_of: str = ""

    def check_images(self, channels: int, image_size: int) -> None:
        """Raises `InvalidInput` unless images of this shape can be read."""
        if channels != self.channels:
            raise InvalidInput(
                f"The architecture '{self.name}' reads images of {self.channels} channel(s), but "
                f"these have {channels}. Choose another architecture or dataset."
            )
        if image_size < self.image_size // 8:
            raise InvalidInput(
                f"The architecture '{self.name}' is made for images of {self.image_size} pixels; "
                f"those of {image_size} are too small for it. Choose another architecture."
            )


ARCHITECTURES: Registry[Architecture] = Registry("architecture", "samemind.architectures")


def architecture(record: Architecture) -> Architecture:
    """Registers an architecture under its name and returns it."""
    return ARCHITECTURES.register(record.name, record)


def of_width(name: str, width: float) -> str:
    """The name of the member with `width` times the channels of an architecture.

    **Raises:** `InvalidInput` where there is none, with the widths that there are.
    """
    record = ARCHITECTURES[name]
    if record.width == width:
        return record.name
    members = {r.width: r.name for r in ARCHITECTURES.values() if r.width_of == record.name}
    if width not in members:
        there = ", ".join(f"{w:g}" for w in sorted({*members, record.width}))
        raise InvalidInput(
            f"The architecture '{name}' was asked for with {width:g} times its channels, but there "
            f"is none. Its widths: {there}."
        )
    return members[width]


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts the weights into a network that has exactly these names and shapes."""
    held = OrderedDict(weights)
    # Some networks (torchvision's MNASNet) refuse a state that does not say which version it has.
    versions = getattr(network.state_dict(), "_metadata", None)
    held._metadata = versions  # pyright: ignore[reportAttributeAccessIssue]
    network.load_state_dict(held)
