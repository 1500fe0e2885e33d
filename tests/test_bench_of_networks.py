"""What people have: each network is read as its own library reads it, bit for bit, or refused.

Random weights; small pictures where an architecture takes them.
"""

import warnings

import pytest
import torch

from samemind.architectures.heads import head_output
from samemind.errors import InvalidInput
from samemind.networks.model import Loading
from samemind.networks.own import model_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

TIMM = {  # name: pixels; without a head each is an encoder
    "resnet18": 64, "resnetv2_50": 64, "convnext_atto": 64, "efficientnet_b0": 64,
    "mobilenetv4_conv_small": 64, "regnetx_002": 64, "vit_tiny_patch16_224": 224,
    "deit_tiny_patch16_224": 224, "deit_tiny_distilled_patch16_224": 224, "levit_128s": 224,
    "mixer_s32_224": 224, "tiny_vit_5m_224": 224, "fastvit_t8": 64, "edgenext_xx_small": 64,
    "xcit_nano_12_p16_224": 224,
}  # fmt: skip
SEGMENTERS = ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
DETECTORS = ("fasterrcnn_mobilenet_v3_large_fpn",)


def read(network: torch.nn.Module, pixels: int):
    """What samemind reads of a network, and the pictures."""
    torch.manual_seed(0)
    images = torch.rand(2, 3, pixels, pixels)
    with torch.no_grad():
        model = model_of("net", network.eval(), images, Loading())
        return model.classifier, model.classifier(images), images


def check_head(classifier, said, logits) -> None:
    assert torch.equal(said.logits, logits)
    if classifier.head_name:
        assert torch.equal(head_output(classifier.head, said.representation), said.logits)


@pytest.mark.parametrize("name", TIMM)
@torch.no_grad()
def test_timm(name: str) -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=10)
    classifier, said, images = read(network, TIMM[name])
    check_head(classifier, said, network(images))
    pooled = network.forward_head(network.forward_features(images), pre_logits=True)
    assert torch.equal(said.representation, pooled)
    network.reset_classifier(0)
    _, alone, images = read(network, TIMM[name])
    assert alone.logits.shape == (2, 0)
    assert torch.equal(alone.representation, network(images))


@pytest.mark.parametrize("name", [*SEGMENTERS, *DETECTORS])
@torch.no_grad()
def test_segmenters_and_detectors(name: str) -> None:
    from torchvision import models

    torch.manual_seed(0)
    network = models.get_model(name, weights=None, weights_backbone=None)
    _, said, images = read(network, 96)
    if name in DETECTORS:
        prepared, _ = network.transform(list(images))
        found = list(network.backbone.body(prepared.tensors).values())[-1]
    else:
        maps = network.backbone(images)
        found = maps["out"] if "out" in maps else maps["high"]
    assert torch.equal(said.representation, found.mean((2, 3)))
    assert said.logits.shape == (2, 0)


VIT = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 32,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
HUGGING_FACE = {
    "ViTModel": (VIT, "pooler_output"),
    "ViTForImageClassification": (VIT, None),
    "DeiTModel": (VIT, "pooler_output"),
    "Dinov2Model": (VIT, "pooler_output"),
    "CLIPVisionModel": (VIT, "pooler_output"),
    "CLIPVisionModelWithProjection": (VIT | {"projection_dim": 12}, "image_embeds"),
    "SiglipVisionModel": (VIT, "pooler_output"),
    "BeitModel": (VIT, "pooler_output"),
    "ConvNextModel": ({"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1]}, "pooler_output"),
    "ResNetModel": (
        {"hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8}, "pooler_output",
    ),
    "ViTMAEModel": (VIT, "refused"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HUGGING_FACE)
@torch.no_grad()
def test_hugging_face(kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    options, field = HUGGING_FACE[kind]
    cls = getattr(transformers, kind)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = cls(cls.config_class(**options)).eval()
    if field == "refused":
        with pytest.raises(InvalidInput, match="other values each time"):
            read(network, 32)
        return
    classifier, said, images = read(network, 32)
    output = network(images)
    if field is None:
        check_head(classifier, said, output.logits)
        return
    assert torch.equal(said.representation, output[field].flatten(1))
    assert said.logits.shape == (2, 0)
