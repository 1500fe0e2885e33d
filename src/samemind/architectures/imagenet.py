"""The networks of the paper for 224 × 224 images: torchvision's, and TinyViT from timm.

Any number of classes; random weights, drawn as torchvision and timm draw them. The paper's
tables print the parameters of ResNeXt-50 and DenseNet-161 the wrong way round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from samemind.architectures.base import Architecture, architecture

if TYPE_CHECKING:
    from torch import nn

RESNET = "He et al. (2016), arXiv:1512.03385"
WIDE_RESNET = "Zagoruyko and Komodakis (2016), arXiv:1605.07146"
RESNEXT = "Xie et al. (2017), arXiv:1611.05431"
DENSENET = "Huang et al. (2017), arXiv:1608.06993"
VGG = "Simonyan and Zisserman (2015), arXiv:1409.1556"
TINY_VIT = "Wu et al. (2022), arXiv:2207.10666"

WRN_50_4: dict[str, Any] = {"width_per_group": 256}
"""What makes torchvision's ResNet-50 a Wide ResNet-50-4, which it has no name for."""


def from_torchvision(model: str, **options: Any) -> Callable[[int, int], nn.Module]:
    """A builder of a model of torchvision, with random weights."""

    def build(classes: int, _image_size: int) -> nn.Module:
        from torchvision.models import get_model

        return get_model(model, weights=None, num_classes=classes, **options)

    return build


def _tiny_vit(classes: int, _image_size: int) -> nn.Module:
    import timm

    # The tag decides nothing but the pretrained weights; without it timm would give 21,841
    # classes where the number is left out.
    return timm.create_model("tiny_vit_5m_224.in1k", pretrained=False, num_classes=classes)


for record in (
    Architecture(
        name="resnet18",
        summary="ResNet-18 for 224 × 224 pixels",
        family="residual",
        build=from_torchvision("resnet18"),
        head="fc",
        representation_size=512,
        operations=3_628_146_688,
        image_size=224,
        parameters={1000: 11_689_512, 100: 11_227_812, 50: 11_202_162},
        reference=RESNET,
    ),
    Architecture(
        name="resnet50",
        summary="ResNet-50 for 224 × 224 pixels",
        family="residual",
        build=from_torchvision("resnet50"),
        head="fc",
        representation_size=2048,
        operations=8_178_368_512,
        image_size=224,
        parameters={1000: 25_557_032, 100: 23_712_932, 50: 23_610_482},
        reference=RESNET,
    ),
    Architecture(
        name="wide_resnet50_2",
        summary="Wide ResNet-50-2 for 224 × 224 pixels",
        family="wide residual",
        build=from_torchvision("wide_resnet50_2"),
        head="fc",
        representation_size=2048,
        operations=22_796_042_240,
        image_size=224,
        parameters={1000: 68_883_240, 100: 67_039_140, 50: 66_936_690},
        reference=WIDE_RESNET,
    ),
    Architecture(
        name="wide_resnet50_4",
        summary="Wide ResNet-50-4 for 224 × 224 pixels",
        family="wide residual",
        build=from_torchvision("resnet50", **WRN_50_4),
        head="fc",
        representation_size=2048,
        operations=74_227_646_464,
        image_size=224,
        parameters={1000: 223_439_144, 100: 221_595_044, 50: 221_492_594},
        reference=WIDE_RESNET,
    ),
    Architecture(
        name="resnext50_32x4d",
        summary="ResNeXt-50 32x4d for 224 × 224 pixels",
        family="aggregated residual",
        build=from_torchvision("resnext50_32x4d"),
        head="fc",
        representation_size=2048,
        operations=8_460_959_744,
        image_size=224,
        parameters={1000: 25_028_904, 100: 23_184_804, 50: 23_082_354},
        reference=RESNEXT,
    ),
    Architecture(
        name="densenet161",
        summary="DenseNet-161 for 224 × 224 pixels",
        family="densely connected",
        build=from_torchvision("densenet161"),
        head="classifier",
        representation_size=2208,
        operations=15_455_814_144,
        image_size=224,
        parameters={1000: 28_681_000, 100: 26_692_900, 50: 26_582_450},
        reference=DENSENET,
    ),
    Architecture(
        name="vgg16_bn",
        summary="VGG-16 with batch norm for 224 × 224 pixels",
        family="VGG",
        build=from_torchvision("vgg16_bn"),
        head="classifier.6",
        representation_size=4096,
        operations=30_940_528_640,
        image_size=224,
        parameters={1000: 138_365_992, 100: 134_678_692, 50: 134_473_842},
        reference=VGG,
    ),
    Architecture(
        name="tiny_vit_5m",
        summary="TinyViT-5M for 224 × 224 pixels",
        family="vision transformer",
        build=_tiny_vit,
        head="head.fc",
        representation_size=320,
        operations=2_510_349_440,
        image_size=224,
        parameters={1000: 5_392_764, 100: 5_103_864, 50: 5_087_814},
        reference=TINY_VIT,
    ),
):
    architecture(record)
