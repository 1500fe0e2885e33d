"""Activations of any layer: shapes, containers, hooks that go away, and the layer map."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import samemind
from samemind.comparison.layer_maps import layer_map
from samemind.errors import InvalidInput
from samemind.extraction import layer_names, layer_outputs


@dataclass
class Held:
    extra: None
    hidden: torch.Tensor


class Inner(nn.Module):
    """Returns its input doubled, in the container that it was told."""

    def __init__(self, container: str) -> None:
        super().__init__()
        self.container = container

    def forward(self, x):
        y = 2 * x
        return {"tuple": (y, None), "dict": {"a": None, "b": y}, "dataclass": Held(None, y)}[
            self.container
        ]


class Network(nn.Module):
    def __init__(self, container: str = "tuple", fails: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.inner = Inner(container)
        self.unused = nn.Linear(2, 2)
        self.fails = fails

    def forward(self, x):
        x = self.relu(self.conv(x))
        self.inner(x)
        if self.fails:
            raise RuntimeError("half way")
        return x.mean((2, 3))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("container", ["tuple", "dict", "dataclass"])
def test_pooled_and_flattened_activations_are_those_of_a_plain_forward_pass(
    container: str, images
) -> None:
    network = Network(container).eval()
    with torch.no_grad():
        before_relu = network.conv(images)
    mean = layer_outputs(network, images.split(4))
    assert list(mean) == ["conv", "relu", "inner"]  # `unused` does not run
    # The in-place ReLU after it must not have changed what was kept of the convolution.
    torch.testing.assert_close(mean["conv"], before_relu.mean((2, 3)))
    torch.testing.assert_close(mean["inner"], 2 * before_relu.relu().mean((2, 3)))
    flat = layer_outputs(network, images.split(4), ["conv"], pooling="flatten")
    torch.testing.assert_close(flat["conv"], before_relu.flatten(1))


def test_tokens_are_averaged_over_tokens() -> None:
    network = nn.Sequential(nn.Linear(5, 7))
    tokens = torch.randn(3, 4, 5)
    (rows,) = layer_outputs(network, [tokens]).values()
    torch.testing.assert_close(rows, network(tokens).mean(1).detach())


def hooks_of(network: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


def test_hooks_are_removed_whatever_happens(images) -> None:
    network = Network(fails=True)
    with pytest.raises(RuntimeError, match="half way"):
        layer_outputs(network, [images])
    assert hooks_of(network) == 0
    network.fails = False
    layer_outputs(network, [images])
    assert hooks_of(network) == 0


def test_wrong_layers_are_answered_with_a_suggestion(images) -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'conv'"):
        layer_names(Network(), ["cnv"])
    with pytest.raises(InvalidInput, match="gives no row per input"):
        layer_outputs(Network(), [images], ["unused"])
    with pytest.raises(InvalidInput, match="Known: mean, flatten"):
        layer_outputs(Network(), [images], pooling="max")


def test_the_layer_map_has_ones_on_its_diagonal_and_the_measures_own_scores() -> None:
    rng = np.random.default_rng(0)
    layers = {n: torch.from_numpy(rng.standard_normal((40, d))) for n, d in (("x", 3), ("y", 5))}
    layers["dead"] = torch.ones(40, 2)
    table = layer_map(layers, layers, "linear_cka").set_index(["layer_a", "layer_b"])
    assert table.loc[("x", "x"), "score"] == pytest.approx(1)
    expected = samemind.measure("linear_cka")(layers["x"], layers["y"])
    assert table.loc[("x", "y"), "score"] == pytest.approx(expected)
    assert np.isnan(table.loc[("x", "dead"), "score"])
    assert "constant" in table.loc[("x", "dead"), "reason"]


def plain_outputs(network: nn.Module, images: torch.Tensor, names: list[str]) -> dict:
    """What the named modules return, by hooks of our own, unpooled."""
    seen = {}
    handles = [
        network.get_submodule(n).register_forward_hook(
            lambda _, __, y, n=n: seen.__setitem__(n, y.detach().clone())
        )
        for n in names
    ]
    with torch.no_grad():
        network.eval()(images)
    for handle in handles:
        handle.remove()
    return seen


# The axis of the units of each layer, as the architecture's own code has it.
AXES = [
    (
        "swin_tiny_patch4_window7_224",
        {
            "patch_embed.proj": 1, "patch_embed": 3, "layers.0.blocks.0.norm1": 3,
            "layers.0.blocks.1": 3, "layers.0": 3, "layers.1.downsample": 3,
            "layers.1.blocks.0.mlp.act": 2, "layers.3": 3, "norm": 3,
        },
    ),
    ("vit_tiny_patch16_224", {"patch_embed": 2, "blocks.0": 2, "blocks.5.mlp.act": 2, "norm": 2}),
    (
        "convnext_atto",
        {"stem.0": 1, "stem.1": 1, "stages.0.blocks.0": 1, "stages.1": 1, "stages.1.downsample": 1},
    ),
    ("densenet121", {"features.denseblock1": 1, "features.norm5": 1, "features.pool0": 1}),
    ("resnet18", {"act1": 1, "maxpool": 1, "layer1": 1, "layer2.0.bn2": 1, "layer4": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "axes"), AXES, ids=[name for name, _ in AXES])
def test_pooling_averages_over_space_wherever_an_architecture_has_its_channels(name, axes) -> None:
    import timm

    network = timm.create_model(name, pretrained=False)
    shape = (2, 3, 224, 224) if "patch" in name else (2, 3, 64, 64)
    images = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    plain = plain_outputs(network, images, list(axes))
    found = layer_outputs(network, [images], list(axes))
    for layer, axis in axes.items():
        others = [i for i in range(1, plain[layer].ndim) if i != axis]
        torch.testing.assert_close(found[layer], plain[layer].mean(others))
    assert hooks_of(network) == 0


class AsManyUnitsAsPlaces(nn.Module):
    """Four channels on 4 × 4 pixels, changed to channels last and back, as ConvNeXt does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 1)
        self.act = nn.ReLU()
        self.block = Permuting()
        self.last = nn.Linear(4, 4)

    def forward(self, x):
        x = self.block(self.act(self.stem(x)))
        return self.last(x.permute(0, 2, 3, 1)).mean((1, 2))


class Permuting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.point = nn.Linear(4, 4)

    def forward(self, x):
        y = self.point(self.depthwise(x).permute(0, 2, 3, 1))
        return x + y.permute(0, 3, 1, 2)


def test_sizes_that_tell_nothing_do_not_mislead(images) -> None:
    network = AsManyUnitsAsPlaces()
    axes = {"stem": 1, "act": 1, "block": 1, "block.depthwise": 1, "block.point": 3, "last": 3}
    plain = plain_outputs(network, images, list(axes))
    found = layer_outputs(network, [images], list(axes))
    for layer, axis in axes.items():
        torch.testing.assert_close(
            found[layer], plain[layer].mean([i for i in (1, 2, 3) if i != axis])
        )


@dataclass
class Said:
    loss: None
    hidden: tuple
    logits: torch.Tensor


class Wrapped(nn.Module):
    """A classifier that returns its logits in a container, as many libraries do."""

    def __init__(self, container: str) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU())
        self.fc = nn.Linear(5, 3)
        self.container = container

    def forward(self, x):
        hidden = self.body(x)
        y = self.fc(hidden)
        return {
            "tensor": y,
            "tuple": (y, hidden),
            "dict": {"hidden": hidden, "logits": y},
            "dataclass": Said(None, (hidden,), y),
        }[self.container]


@pytest.mark.parametrize("container", ["tuple", "dict", "dataclass"])
def test_networks_that_return_containers_are_compared_like_plain_ones(container, images) -> None:
    torch.manual_seed(0)
    plain = Wrapped("tensor")
    packed = Wrapped(container)
    packed.load_state_dict(plain.state_dict())
    found = samemind.compare([plain, packed], images, permutations=0, measures=["linear_cka"])
    assert found.scores["score"].item() == pytest.approx(1)
    # Nothing stays: neither what found the head nor what saw what it reads.
    assert hooks_of(packed) == hooks_of(plain) == 0
    outputs = [layer_outputs(network, [images]) for network in (plain, packed)]
    for name in ("body.1", "fc"):
        torch.testing.assert_close(outputs[0][name], outputs[1][name])
    assert hooks_of(packed) == 0


@pytest.mark.parametrize("batch_first", [True, False])
def test_layers_are_read_along_the_inputs_whatever_the_batch(batch_first: bool) -> None:
    torch.manual_seed(0)

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=batch_first)
            self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

        def forward(self, x):
            x = x if batch_first else x.transpose(0, 1)
            x = self.encoder(x)
            return x.mean(1 if batch_first else 0)

    network, tokens = Tokens(), torch.randn(12, 6, 8)
    name = "encoder.layers.0.norm2"
    plain = plain_outputs(network, tokens, [name])[name].mean(1 if batch_first else 0)
    for size in (1, 5, 6, 12):  # 6 is as long as the sequence
        found = layer_outputs(network, tokens.split(size), [name])[name]
        torch.testing.assert_close(found, plain)
