"""The networks of the paper for 32 × 32 images.

Built on torchvision's networks, with the stem that is usual for small images: a 3 × 3 convolution
of stride 1 and no max pool. The study's Wide ResNets and ResNeXt kept the stem of ImageNet, which
leaves 8 × 8 cells for the first stage and one for the last; those have names of their own, ending
in `_imagenet_stem`. Random weights are drawn as torchvision draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from samemind.architectures.base import Architecture, architecture
from samemind.architectures.imagenet import (
    DENSENET,
    RESNET,
    RESNEXT,
    VGG,
    WIDE_RESNET,
    WRN_50_4,
    from_torchvision,
)

if TYPE_CHECKING:
    from torch import nn


def _residual(model: str, **options: Any) -> Callable[[int, int], nn.Module]:
    def build(classes: int, image_size: int) -> nn.Module:
        from torch import nn

        network: Any = from_torchvision(model, **options)(classes, image_size)
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        network.maxpool = nn.Identity()
        return network

    return build


def _densenet161(classes: int, image_size: int) -> nn.Module:
    from torch import nn

    network: Any = from_torchvision("densenet161")(classes, image_size)
    features = network.features
    features.conv0 = nn.Conv2d(3, 96, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(features.conv0.weight)
    # Each dense layer normalises what it reads, so the stem is the bare convolution.
    features.norm0, features.relu0, features.pool0 = nn.Identity(), nn.Identity(), nn.Identity()
    return network


def _vgg16_bn(classes: int, _image_size: int) -> nn.Module:
    from collections import OrderedDict

    from torch import nn
    from torchvision.models.vgg import cfgs, make_layers

    features = make_layers(cfgs["D"], batch_norm=True)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    classifier = nn.Linear(512, classes)
    nn.init.normal_(classifier.weight, 0, 0.01)
    nn.init.zeros_(classifier.bias)
    parts = {
        "features": features,
        "avgpool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "classifier": classifier,
    }
    return nn.Sequential(OrderedDict(parts))


for record in (
    Architecture(
        name="cifar_resnet18",
        summary="ResNet-18 with a 3 × 3 stem for 32 × 32 pixels",
        family="residual",
        build=_residual("resnet18"),
        head="fc",
        representation_size=512,
        operations=1_110_845_440,
        image_size=32,
        parameters={10: 11_173_962},
        reference=RESNET,
    ),
    Architecture(
        name="cifar_resnet50",
        summary="ResNet-50 with a 3 × 3 stem for 32 × 32 pixels",
        family="residual",
        build=_residual("resnet50"),
        head="fc",
        representation_size=2048,
        operations=2_595_659_776,
        image_size=32,
        parameters={10: 23_520_842},
        reference=RESNET,
    ),
    Architecture(
        name="cifar_wide_resnet50_2",
        summary="Wide ResNet-50-2 with a 3 × 3 stem for 32 × 32 pixels",
        family="wide residual",
        build=_residual("wide_resnet50_2"),
        head="fc",
        representation_size=2048,
        operations=7_368_777_728,
        image_size=32,
        parameters={10: 66_847_050},
        reference=WIDE_RESNET,
    ),
    Architecture(
        name="cifar_wide_resnet50_4",
        summary="Wide ResNet-50-4 with a 3 × 3 stem for 32 × 32 pixels",
        family="wide residual",
        build=_residual("resnet50", **WRN_50_4),
        head="fc",
        representation_size=2048,
        operations=24_162_770_944,
        image_size=32,
        parameters={10: 221_402_954},
        reference=WIDE_RESNET,
    ),
    Architecture(
        name="cifar_resnext50_32x4d",
        summary="ResNeXt-50 32x4d with a 3 × 3 stem for 32 × 32 pixels",
        family="aggregated residual",
        build=_residual("resnext50_32x4d"),
        head="fc",
        representation_size=2048,
        operations=2_687_934_464,
        image_size=32,
        parameters={10: 22_992_714},
        reference=RESNEXT,
    ),
    Architecture(
        name="cifar_wide_resnet50_2_imagenet_stem",
        summary="Wide ResNet-50-2 of ImageNet on 32 × 32 pixels, as in the paper",
        family="wide residual",
        build=from_torchvision("wide_resnet50_2"),
        head="fc",
        representation_size=2048,
        operations=465_182_720,
        image_size=32,
        parameters={10: 66_854_730},
        reference=WIDE_RESNET,
    ),
    Architecture(
        name="cifar_wide_resnet50_4_imagenet_stem",
        summary="Wide ResNet-50-4 of ImageNet on 32 × 32 pixels, as in the paper",
        family="wide residual",
        build=from_torchvision("resnet50", **WRN_50_4),
        head="fc",
        representation_size=2048,
        operations=1_514_807_296,
        image_size=32,
        parameters={10: 221_410_634},
        reference=WIDE_RESNET,
    ),
    Architecture(
        name="cifar_resnext50_32x4d_imagenet_stem",
        summary="ResNeXt-50 32x4d of ImageNet on 32 × 32 pixels, as in the paper",
        family="aggregated residual",
        build=from_torchvision("resnext50_32x4d"),
        head="fc",
        representation_size=2048,
        operations=172_630_016,
        image_size=32,
        parameters={10: 23_000_394},
        reference=RESNEXT,
    ),
    Architecture(
        name="cifar_densenet161",
        summary="DenseNet-161 with a 3 × 3 stem for 32 × 32 pixels",
        family="densely connected",
        build=_densenet161,
        head="classifier",
        representation_size=2208,
        operations=4_935_101_568,
        image_size=32,
        parameters={10: 26_482_378},
        reference=DENSENET,
    ),
    Architecture(
        name="cifar_vgg16_bn",
        summary="VGG-16 with batch norm and one linear layer for 32 × 32 pixels",
        family="VGG",
        build=_vgg16_bn,
        head="classifier",
        representation_size=512,
        operations=626_403_328,
        image_size=32,
        parameters={10: 14_728_266},
        reference=VGG,
    ),
):
    architecture(record)
