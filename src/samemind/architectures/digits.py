"""Seven small networks for 8 × 8 grey images, one for each family that the paper compares.

Each is a recognisable small relative of a network of the paper and can be trained adversarially
in a few seconds on one processor core, so that a whole study runs on a laptop in two minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.architectures.base import Architecture, architecture

if TYPE_CHECKING:
    from torch import nn

RESIDUAL = "He et al. (2016), arXiv:1512.03385"


def _fast(network: nn.Module) -> nn.Module:
    # On a processor, channels-last convolutions of this size take about three quarters of the
    # time; the values agree to rounding.
    import torch

    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _resnet(classes: int, _image_size: int) -> nn.Module:
    from samemind.architectures import _small_networks as networks

    return _fast(
        networks.ResidualNetwork(
            classes, block=networks.basic_block, stem=16, widths=(16, 32), depth=1
        )
    )


def _resnet_deep(classes: int, _image_size: int) -> nn.Module:
    from samemind.architectures import _small_networks as networks

    block = networks.bottleneck(width=1)
    return _fast(networks.ResidualNetwork(classes, block=block, stem=16, widths=(32, 64), depth=2))


def _wide_resnet(classes: int, _image_size: int) -> nn.Module:
    from samemind.architectures import _small_networks as networks

    block = networks.bottleneck(width=2)
    return _fast(networks.ResidualNetwork(classes, block=block, stem=16, widths=(32, 64), depth=1))


def _resnext(classes: int, _image_size: int) -> nn.Module:
    from samemind.architectures import _small_networks as networks

    block = networks.bottleneck(width=2, groups=4)
    return _fast(networks.ResidualNetwork(classes, block=block, stem=16, widths=(32, 64), depth=1))


def _densenet(classes: int, _image_size: int) -> nn.Module:
    from samemind.architectures import _small_networks as networks

    return _fast(networks.DenseNetwork(classes, stem=16, growth=16, layers=(2, 2)))


def _vgg_bn(classes: int, image_size: int) -> nn.Module:
    from samemind.architectures import _small_networks as networks

    widths = ((16,), (16, 16), (32,))
    return _fast(networks.PlainNetwork(classes, image_size, widths=widths, hidden=64))


def _vit(classes: int, image_size: int) -> nn.Module:
    from samemind.architectures import _small_networks as networks

    return _fast(networks.TransformerNetwork(classes, image_size, width=32, heads=2, depth=1))


for record in (
    Architecture(
        name="digits_resnet",
        summary="Residual network, 2 basic blocks of 16 and 32 channels",
        family="residual",
        build=_resnet,
        head="fc",
        representation_size=32,
        operations=267_392,
        image_size=8,
        channels=1,
        parameters={10: 19_706},
        reference=RESIDUAL,
    ),
    Architecture(
        name="digits_resnet_deep",
        summary="Residual network, 4 bottleneck blocks of 32 and 64 channels",
        family="residual",
        build=_resnet_deep,
        head="fc",
        representation_size=64,
        operations=182_016,
        image_size=8,
        channels=1,
        parameters={10: 14_394},
        reference=RESIDUAL,
    ),
    Architecture(
        name="digits_wide_resnet",
        summary="Residual network, 2 bottleneck blocks of twice the inner width",
        family="wide residual",
        build=_wide_resnet,
        head="fc",
        representation_size=64,
        operations=259_840,
        image_size=8,
        channels=1,
        parameters={10: 19_322},
        reference="Zagoruyko and Komodakis (2016), arXiv:1605.07146",
    ),
    Architecture(
        name="digits_resnext",
        summary="Residual network, 2 bottleneck blocks with convolutions in 4 groups",
        family="aggregated residual",
        build=_resnext,
        head="fc",
        representation_size=64,
        operations=149_248,
        image_size=8,
        channels=1,
        parameters={10: 10_682},
        reference="Xie et al. (2017), arXiv:1611.05431",
    ),
    Architecture(
        name="digits_densenet",
        summary="Densely connected network, 2 blocks of 2 layers, growth 16",
        family="densely connected",
        build=_densenet,
        head="classifier",
        representation_size=56,
        operations=476_768,
        image_size=8,
        channels=1,
        parameters={10: 24_570},
        reference="Huang et al. (2017), arXiv:1608.06993",
    ),
    Architecture(
        name="digits_vgg_bn",
        summary="VGG with batch norm, 4 convolutions and 2 linear layers",
        family="VGG",
        build=_vgg_bn,
        head="classifier",
        representation_size=64,
        operations=208_128,
        image_size=8,
        channels=1,
        parameters={10: 12_282},
        reference="Simonyan and Zisserman (2015), arXiv:1409.1556",
    ),
    Architecture(
        name="digits_vit",
        summary="Vision transformer with a convolutional stem, 1 block on 16 cells of 32 units",
        family="vision transformer",
        build=_vit,
        head="head",
        representation_size=32,
        operations=742_528,
        image_size=8,
        channels=1,
        parameters={10: 23_578},
        reference="Wu et al. (2022), TinyViT, arXiv:2207.10666",
    ),
):
    architecture(record)
