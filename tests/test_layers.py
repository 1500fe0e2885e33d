"""Activations of any layer: shapes, containers, hooks that go away, and the layer map."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import samemind
from samemind.errors import InvalidInput
from samemind.layers import layer_map, layer_names, layer_outputs


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
