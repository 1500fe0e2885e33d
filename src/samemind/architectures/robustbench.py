"""The networks for 32 × 32 images of most entries of RobustBench, with the names of their weights.

Residual networks with batch norm and ReLU before each convolution. `cifar_resnet18` and
`cifar_resnet50` read RobustBench's ResNets too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from samemind.architectures.base import Architecture, architecture
from samemind.architectures.imagenet import WIDE_RESNET

if TYPE_CHECKING:
    from torch import nn


def _wide_resnet(depth: int, width: int, classes: int, _image_size: int) -> nn.Module:
    from samemind.architectures import _preactivation as networks

    return networks.WideResNet(classes, depth=depth, width=width)


def _preact_resnet18(classes: int, _image_size: int) -> nn.Module:
    from samemind.architectures import _preactivation as networks

    return networks.PreActResNet(classes)


for depth, width, operations, parameters in (
    (28, 10, 10_486_657_536, 36_479_194),
    (34, 10, 13_317_812_736, 46_160_474),
    (70, 16, 77_528_420_352, 266_796_506),
):
    architecture(
        Architecture(
            name=f"cifar_wide_resnet{depth}_{width}",
            summary=f"Wide ResNet-{depth}-{width} for 32 × 32 pixels, as in RobustBench",
            family="wide residual",
            build=partial(_wide_resnet, depth, width),
            head="fc",
            representation_size=64 * width,
            operations=operations,
            image_size=32,
            parameters={10: parameters},
            reference=WIDE_RESNET,
        )
    )
architecture(
    Architecture(
        name="cifar_preact_resnet18",
        summary="ResNet-18 with activations first, for 32 × 32 pixels, as in RobustBench",
        family="residual",
        build=_preact_resnet18,
        head="linear",
        representation_size=512,
        operations=1_110_845_440,
        image_size=32,
        parameters={10: 11_172_170},
        reference="He et al. (2016), Identity mappings, arXiv:1603.05027",
    )
)
