"""No layer depends on how the inputs are cut into batches: networks of every kind, all layers."""

import pytest
import torch
from torch import nn

from samemind.extraction import layer_outputs

N, TOKENS, WIDTH = 12, 6, 8


class Called(nn.Module):
    """Layers by name, and how they are called."""

    def __init__(self, forward, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.calls = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.calls(self, x)


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3), nn.GroupNorm(2, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 5),
    )  # fmt: skip


def convolutions_of_sound() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(6, 4),
    )  # fmt: skip


def convolutions_of_volumes() -> nn.Module:
    return nn.Sequential(nn.Conv3d(3, 4, 2), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten())


def vit() -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=8, patch_size=4, embed_dim=WIDTH, depth=2, num_heads=2, num_classes=3
    )


def swin() -> nn.Module:
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(
        img_size=16, patch_size=2, window_size=4, embed_dim=8, depths=(1, 1), num_heads=(2, 2),
        num_classes=3,
    )  # fmt: skip


def torchvision_vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(8, 4, 2, 2, WIDTH, 16, num_classes=3)


def encoder(*, batch_first: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, 0.0, batch_first=batch_first)

    def forward(self, x):
        x = self.encoder(x if batch_first else x.transpose(0, 1))
        return self.head(x.mean(1 if batch_first else 0))

    made = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return Called(forward, encoder=made, head=nn.Linear(WIDTH, 3))


def recurrent(kind: type[nn.RNNBase], *, batch_first: bool) -> nn.Module:
    def forward(self, x):
        x, _ = self.cells(self.embed(x) if batch_first else self.embed(x).transpose(0, 1))
        return self.head(x[:, -1] if batch_first else x[-1])

    layers = {"embed": nn.Linear(WIDTH, 7), "head": nn.Linear(5, 3)}
    return Called(forward, cells=kind(7, 5, batch_first=batch_first), **layers)


def tokens_first() -> nn.Module:
    """Attention alone, and a layer that keeps the axes that it is given."""

    def forward(self, x):
        x = x.transpose(0, 1)
        x, _ = self.attention(x, x, x)
        return self.last(self.norm(x)).mean(0)

    layers = {"norm": nn.LayerNorm(WIDTH), "last": nn.Identity()}
    return Called(forward, attention=nn.MultiheadAttention(WIDTH, 2), **layers)


IMAGES, TEXTS = (3, 8, 8), (TOKENS, WIDTH)
NETWORKS = {
    "CNN": (cnn, IMAGES),
    "sound": (convolutions_of_sound, (3, N)),
    "volumes": (convolutions_of_volumes, (3, 4, 4, 4)),
    "ViT of timm": (vit, IMAGES),
    "ViT of torchvision": (torchvision_vit, IMAGES),
    "Swin": (swin, (3, 16, 16)),
    "encoder, batch first": (lambda: encoder(batch_first=True), TEXTS),
    "encoder, tokens first": (lambda: encoder(batch_first=False), TEXTS),
    "RNN": (lambda: recurrent(nn.RNN, batch_first=True), TEXTS),
    "RNN, tokens first": (lambda: recurrent(nn.RNN, batch_first=False), TEXTS),
    "GRU, tokens first": (lambda: recurrent(nn.GRU, batch_first=False), TEXTS),
    "LSTM, tokens first": (lambda: recurrent(nn.LSTM, batch_first=False), TEXTS),
    "attention, tokens first": (tokens_first, TEXTS),
}
SIZES = (1, 3, TOKENS, WIDTH)
"""Of batches: among them the number of tokens, of units, of heads, and of all inputs."""


@pytest.mark.parametrize("kind", NETWORKS)
def test_layers_are_the_same_whatever_the_batches(kind: str) -> None:
    make, shape = NETWORKS[kind]
    torch.manual_seed(0)
    network = make().eval().double()
    inputs = torch.randn(N, *shape, dtype=torch.float64)
    names = [name for name, _ in network.named_modules() if name]
    for pooling in ("mean", "flatten"):
        reference = layer_outputs(network, [inputs], pooling=pooling)
        assert len(reference) >= 2
        for size in SIZES:
            found = layer_outputs(network, inputs.split(size), pooling=pooling)
            assert list(found) == list(reference), size
            for name, values in found.items():
                assert len(values) == N
                torch.testing.assert_close(values, reference[name], rtol=1e-9, atol=1e-9)
        # Row i is what input i alone gives, whatever else is in its batch.
        for row in (0, N - 1):
            alone = layer_outputs(network, [inputs[row : row + 1]], pooling=pooling)
            for name, values in alone.items():
                torch.testing.assert_close(values[0], reference[name][row], rtol=1e-9, atol=1e-9)
    assert set(reference) <= set(names)


@pytest.mark.parametrize("kind", ["encoder", "RNN", "GRU", "LSTM", "attention"])
def test_tokens_first_and_batch_first_give_the_same_layers(kind: str) -> None:
    inputs = torch.randn(N, *TEXTS, dtype=torch.float64)
    if kind == "attention":
        network = tokens_first().eval().double()
        with torch.no_grad():
            turned = inputs.transpose(0, 1)
            expected = network.attention(turned, turned, turned)[0].mean(0)
        found = layer_outputs(network, inputs.split(TOKENS), ["attention"])["attention"]
        torch.testing.assert_close(found, expected)
        return
    makes = {"encoder": encoder}
    made = []
    for batch_first in (True, False):
        torch.manual_seed(1)
        make = makes.get(kind) or (lambda **k: recurrent(getattr(nn, kind), **k))
        made.append(make(batch_first=batch_first).eval().double())
    made[1].load_state_dict(made[0].state_dict())
    wanted = {"encoder": ["encoder", "encoder.layers.0", "encoder.layers.1.linear1", "head"]}
    names = wanted.get(kind, ["cells", "head"])
    for size in (TOKENS, N):
        first, second = (layer_outputs(n, inputs.split(size), names) for n in made)
        for name in names:
            torch.testing.assert_close(first[name], second[name], rtol=1e-9, atol=1e-9)
