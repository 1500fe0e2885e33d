"""Which axis of an activation holds the units: declared by the layers, not guessed from sizes.

Convolutions give (N, C, H, W), the blocks of a Swin transformer (N, H, W, C), and both are averaged
over space. What a layer declares (its type, or `output_fmt` in timm) decides; a block that declares
nothing gives what the last declaring layer inside it made, confirmed by that layer's number of
units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samemind.lazy import torch
from samemind.networks.wrappers import is_innermost

if TYPE_CHECKING:
    from torch import Tensor, nn

FIRST, LAST = 1, -1
FIRST_TYPES = (
    *("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"),
    *("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm", "GroupNorm"),
    *("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
)
LAST_TYPES = ("Linear", "LayerNorm", "RMSNorm", "Embedding", "MultiheadAttention")
UNITS = ("out_channels", "num_features", "num_channels", "out_features", "embed_dim")


@dataclass(frozen=True)
class Declared:
    """Where a layer's output has its units, and how many, where it says so."""

    axis: int
    units: int | None = None


def declared(layer: nn.Module, n_axes: int) -> Declared | None:
    """What a layer says of its output of `n_axes` axes; None for one that keeps what it reads."""
    form = getattr(layer, "output_fmt", None)
    if form is not None:
        text = str(getattr(form, "value", form)).upper()  # NCHW, NHWC, NCL or NLC
        if len(text) == n_axes:
            return Declared(FIRST if text[1] == "C" else LAST)
    dims = getattr(layer, "dims", None)  # torchvision's Permute
    if dims is not None and list(dims) in ([0, 3, 1, 2], [0, 2, 3, 1]):
        return Declared(FIRST if dims[1] == 3 else LAST)
    # Normalisations of images that are derived from those of tokens say so in their names.
    if any("Norm" in kind.__name__ and "2d" in kind.__name__ for kind in type(layer).__mro__):
        return Declared(FIRST, _units(layer))
    if isinstance(layer, tuple(getattr(torch.nn, name) for name in FIRST_TYPES)):
        return Declared(FIRST, _units(layer))
    if isinstance(layer, tuple(getattr(torch.nn, name) for name in LAST_TYPES)):
        # Normalised over (C, H, W) together, an image has its channels first.
        is_image = len(getattr(layer, "normalized_shape", ())) > 1
        return Declared(FIRST if is_image else LAST, _units(layer))
    return None


def _units(layer: nn.Module) -> int | None:
    shape = getattr(layer, "normalized_shape", None)
    if shape is not None:
        return int(shape[0])
    held = (getattr(layer, name, None) for name in UNITS)
    return next((units for units in held if isinstance(units, int)), None)


class Axes:
    """The unit axis of outputs, from the declaring layers that ran so far in a forward pass."""

    def __init__(self) -> None:
        self._ran: list[Declared] = []
        self._begun: dict[int, int] = {}

    def follow(self, network: nn.Module, layers: Sequence[nn.Module], hooks: list[Any]) -> None:
        """Watches every layer of a network and the beginning of `layers`; adds to `hooks`."""
        for layer in network.modules():
            if is_innermost(layer):
                hooks.append(layer.register_forward_hook(self._after))
        for layer in layers:
            hooks.append(layer.register_forward_pre_hook(self._before))

    def clear(self) -> None:
        """Forgets the last forward pass."""
        self._ran.clear()
        self._begun.clear()

    def _before(self, layer: nn.Module, _: Any) -> None:
        self._begun[id(layer)] = len(self._ran)

    def _after(self, layer: nn.Module, _: Any, output: Any) -> None:
        own = declared(layer, getattr(output, "ndim", 0))
        if own is not None:
            self._ran.append(own)

    def of(self, layer: nn.Module, output: Tensor) -> int:
        """The axis of the units in what a layer returned."""
        own = declared(layer, output.ndim)
        if own is not None:
            return own.axis
        if not self._ran:
            return FIRST if output.ndim == 4 else LAST
        last = self._ran[-1]
        is_first, is_last = output.shape[1] == last.units, output.shape[-1] == last.units
        if is_first != is_last:
            return FIRST if is_first else LAST
        inside = self._ran[self._begun.get(id(layer), len(self._ran)) :]
        # As many units as places: a block that reorders the axes on its way puts them back.
        return (inside[0] if is_first and inside else last).axis


def averaged(output: Tensor, axis: int) -> Tensor:
    """The mean over all axes but the first and that of the units: `(N, D)`."""
    others = [i for i in range(1, output.ndim) if i != axis % output.ndim]
    return output.mean(others) if others else output
