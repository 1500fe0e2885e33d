"""Small networks for colour images: relatives of the paper's, for studies on a laptop.

Those for 32 × 32 pixels halve the image in the stem, those for 224 × 224 reduce it to 28 × 28;
from there on both are the same. A robust one is trained on ten thousand small images in minutes
of one processor core. Those for 32 × 32 pixels come narrower and wider too, by `WIDTHS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from samemind.architectures.base import Architecture, architecture
from samemind.architectures.imagenet import DENSENET, RESNET, VGG, WIDE_RESNET

if TYPE_CHECKING:
    from torch import nn

Build = Callable[[int, int], "nn.Module"]
STRIDES = {32: 2, 224: 8}
"""How much smaller the stem makes an image, by its size."""
WIDTHS = {"quarter": 0.25, "half": 0.5, "double": 2.0}
"""What names of narrower and wider members end in, and how many times the channels they have."""


def _resnet(width: float, stride: int, classes: int, _image_size: int) -> nn.Module:
    from samemind.architectures import _small_networks as networks

    return networks.ResidualNetwork(
        classes,
        block=networks.basic_block,
        stem=_times(width, 16),
        widths=[_times(width, n) for n in (16, 32, 64)],
        depth=1,
        channels=3,
        stride=stride,
    )


def _wide_resnet(width: float, stride: int, classes: int, _image_size: int) -> nn.Module:
    from samemind.architectures import _small_networks as networks

    return networks.ResidualNetwork(
        classes,
        block=networks.bottleneck(width=2),
        stem=_times(width, 16),
        widths=[_times(width, n) for n in (32, 64, 128)],
        depth=1,
        channels=3,
        stride=stride,
    )


def _densenet(width: float, stride: int, classes: int, _image_size: int) -> nn.Module:
    from samemind.architectures import _small_networks as networks

    return networks.DenseNetwork(
        classes,
        stem=_times(width, 32),
        growth=_times(width, 16),
        layers=(2, 2, 2),
        channels=3,
        stride=stride,
    )


def _vgg_bn(width: float, stride: int, classes: int, image_size: int) -> nn.Module:
    from samemind.architectures import _small_networks as networks

    return networks.PlainNetwork(
        classes,
        image_size,
        widths=[[_times(width, n)] for n in (32, 64, 64)],
        hidden=_times(width, 128),
        channels=3,
        stem=_times(width, 16),
        stride=stride,
    )


def _times(width: float, channels: int) -> int:
    return int(width * channels)


def _register(
    name: str,
    what: str,
    build: Callable[[float, int, int, int], nn.Module],
    *,
    family: str,
    head: str,
    representation_size: int,
    operations: dict[int, int],
    parameters: dict[int, dict[int, int]],
    of_widths: dict[str, tuple[int, int]],
    reference: str,
) -> None:
    """Registers a network for both sizes of images, which come first in what depends on them.

    **Arguments:**

    - `of_widths`: (operations, parameters) for 32 × 32 pixels and ten classes, by `WIDTHS`.
    """
    for image_size, stride in STRIDES.items():
        architecture(
            Architecture(
                name=f"cifar_{name}" if image_size == 32 else name,
                summary=f"{what}, for {image_size} × {image_size} pixels",
                family=family,
                build=partial(build, 1.0, stride),
                head=head,
                representation_size=representation_size,
                operations=operations[image_size],
                image_size=image_size,
                parameters=parameters[image_size],
                reference=reference,
            )
        )
    for ending, (operations_of_one, parameters_of_one) in of_widths.items():
        width = WIDTHS[ending]
        architecture(
            Architecture(
                name=f"cifar_{name}_{ending}",
                summary=f"{what}; {width:g} times the channels, for 32 × 32 pixels",
                family=family,
                build=partial(build, width, STRIDES[32]),
                head=head,
                representation_size=_times(width, representation_size),
                operations=operations_of_one,
                image_size=32,
                parameters={10: parameters_of_one},
                reference=reference,
                width=width,
                width_of=f"cifar_{name}",
            )
        )


_register(
    "small_resnet",
    "Small residual network, 3 basic blocks of 16 to 64 channels",
    _resnet,
    family="residual",
    head="fc",
    representation_size=64,
    operations={32: 6_251_776, 224: 33_344_512},
    parameters={32: {10: 78_042}, 224: {1000: 144_312, 100: 85_812, 50: 82_562}},
    of_widths={
        "quarter": (432_448, 5_214),
        "half": (1_618_560, 19_954),
        "double": (24_562_176, 308_650),
    },
    reference=RESNET,
)
_register(
    "small_wide_resnet",
    "Small wide residual network, 3 bottleneck blocks of twice the inner width",
    _wide_resnet,
    family="wide residual",
    head="fc",
    representation_size=128,
    operations={32: 6_515_200, 224: 34_275_328},
    parameters={32: {10: 78_362}, 224: {1000: 207_992, 100: 91_892, 50: 85_442}},
    of_widths={
        "quarter": (449_152, 5_486),
        "half": (1_684_736, 20_370),
        "double": (25_613_312, 307_242),
    },
    reference=WIDE_RESNET,
)
_register(
    "small_densenet",
    "Small densely connected network, 3 blocks of 2 layers, growth 16",
    _densenet,
    family="densely connected",
    head="classifier",
    representation_size=64,
    operations={32: 9_667_840, 224: 57_880_576},
    parameters={32: {10: 42_186}, 224: {1000: 110_376, 100: 51_876, 50: 48_626}},
    of_widths={
        "quarter": (687_424, 3_162),
        "half": (2_527_872, 11_242),
        "double": (37_784_064, 163_210),
    },
    reference=DENSENET,
)
_register(
    "small_vgg_bn",
    "Small VGG with batch norm, 4 convolutions and 2 linear layers",
    _vgg_bn,
    family="VGG",
    head="classifier",
    representation_size=128,
    operations={32: 6_187_520, 224: 33_218_560},
    parameters={32: {10: 94_874}, 224: {1000: 265_464, 100: 149_364, 50: 142_914}},
    of_widths={
        "quarter": (428_672, 6_350),
        "half": (1_602_816, 24_274),
        "double": (24_302_592, 375_082),
    },
    reference=VGG,
)
