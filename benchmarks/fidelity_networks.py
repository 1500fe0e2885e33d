"""Small networks trained on digits, faults planted in copies, and conversions that are none.

Each network prepares its pictures itself, as exported networks do: it resizes them, normalises them
by ImageNet's constants, and then reads them.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from samemind.datasets.base import NORMALISATIONS

MEAN, STD = NORMALISATIONS["imagenet"]
SIZE, READ = 18, 12  # pixels of a picture, and after resizing
INPUTS = "the inputs"
WEIGHTED = (nn.Conv2d, nn.Linear, nn.Embedding)


class Prepared(nn.Module):
    """A network behind its preprocessing."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.mean, self.std, self.mode, self.is_bgr = MEAN, STD, "bilinear", False

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, 10) of pictures (N, 3, 18, 18) in [0, 1]."""
        smooth = {} if self.mode == "nearest" else {"align_corners": False}
        seen = functional.interpolate(pixels, (READ, READ), mode=self.mode, **smooth)
        seen = seen.flip(1) if self.is_bgr else seen
        mean, std = (seen.new_tensor(v).reshape(1, 3, 1, 1) for v in (self.mean, self.std))
        dtype = next(self.body.parameters()).dtype
        return self.body(((seen - mean) / std).to(dtype))


class Residual(nn.Module):
    """A block with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(4, width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(4, width)
        self.act1, self.act2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps of the same shape."""
        inner = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        return self.act2(x + inner)


class Table(nn.Embedding):
    """A table that gives its last row for what lies beyond it, as exported ones do."""

    def forward(self, input: Tensor) -> Tensor:
        """A row for each number."""
        return super().forward(input.clamp(0, self.num_embeddings - 1))


class Attending(nn.Module):
    """A transformer of two layers over patches, with a table of positions."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 3, stride=3)
        self.position = Table(16, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = tokens + self.position(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(self.norm(tokens).mean(1))


class Block(nn.Module):
    """Attention of two heads and two linear layers, each behind a normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.up, self.act, self.down = nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of the same shape."""
        y = self.norm1(x)
        q, k, v = (f(y).unflatten(2, (2, -1)).transpose(1, 2) for f in (self.query, self.key,
                                                                        self.value))  # fmt: skip
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + mixed
        return x + self.down(self.act(self.up(self.norm2(x))))


class Levels(nn.Module):
    """Levels of grey, looked up in a table, and three linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(16, 4)
        self.one, self.norm1, self.act1 = nn.Linear(576, 64), nn.LayerNorm(64), nn.ReLU()
        self.two, self.norm2, self.act2 = nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU()
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        weights = x.new_tensor([0.2, 0.3, 0.5]).reshape(1, 3, 1, 1)
        levels = ((x * weights).sum(1).flatten(1) * 3 + 7).round().long()
        found = self.table(levels).flatten(1)
        found = self.act1(self.norm1(self.one(found)))
        return self.head(self.act2(self.norm2(self.two(found))))


def convolutions() -> nn.Module:
    """Three convolutions with batch normalisation."""
    layers: list[nn.Module] = []
    for i, o in ((3, 16), (16, 16), (16, 16)):
        layers += [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))


def residual() -> nn.Module:
    """Two residual blocks with group normalisation."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), Residual(16), Residual(16), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


BODIES: dict[str, Callable[[], nn.Module]] = {
    "convolutions": convolutions, "residual": residual, "attending": Attending, "levels": Levels,
}  # fmt: skip


def pictures() -> tuple[Tensor, Tensor]:
    """The digits of scikit-learn, each in a colour of its own, and their classes."""
    from sklearn.datasets import load_digits

    held = load_digits()
    grey = torch.tensor(held.images / 16, dtype=torch.float32)[:, None]
    grey = functional.interpolate(grey, (SIZE, SIZE), mode="bilinear", align_corners=False)
    colours = 0.4 + 0.6 * torch.rand(len(grey), 3, 1, 1, generator=torch.Generator().manual_seed(0))
    return grey * colours, torch.tensor(held.target)


def trained(name: str, images: Tensor, labels: Tensor, seed: int) -> Prepared:
    """A network of this name after a few hundred steps."""
    torch.manual_seed(seed)
    network = Prepared(BODIES[name]())
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(250):
        rows = torch.randint(0, len(images), (96,))
        loss = functional.cross_entropy(network(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


# -- faults: each changes a copy, and says at which layers the copy may be said to part


@dataclass(frozen=True)
class Planted:
    """A changed copy, and the names of the layers at which it parts."""

    network: nn.Module
    layers: frozenset[str]


def _order(network: nn.Module) -> dict[str, nn.Module]:
    """The layers by name, in the order in which they run."""
    from samemind.extraction.traces import trace

    images = torch.rand(2, 3, SIZE, SIZE)
    named = dict(network.named_modules())
    return {c.layer: named[c.layer] for c in trace(network, images) if c.layer in named}


def _of(network: nn.Module, kinds: tuple[type, ...]) -> list[str]:
    return [name for name, layer in _order(network).items() if isinstance(layer, kinds)]


NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
ACTIVATIONS = (nn.ReLU, nn.GELU)


def weight(n: nn.Module, i: int) -> Planted:
    """One weight of one layer moves by half of its layer's deviation."""
    names = _of(n, (nn.Conv2d, nn.Linear))
    layer = n.get_submodule(names[i % len(names)])
    values = layer.weight.data.flatten()  # pyright: ignore
    values[(7919 * i + 13) % len(values)] += 0.5 * values.std()
    return Planted(n, frozenset([names[i % len(names)]]))


def epsilon(n: nn.Module, i: int) -> Planted:
    """A norm's epsilon is another one."""
    names = _of(n, NORMS)
    layer = n.get_submodule(names[i % len(names)])
    layer.eps = (1e-3, 1e-6, 1e-4, 1e-2)[i % 4]  # pyright: ignore
    return Planted(n, frozenset([names[i % len(names)]]))


def bgr(n: nn.Module, _: int) -> Planted:
    """Channels in the other order."""
    n.is_bgr = True  # pyright: ignore
    return Planted(n, frozenset([INPUTS]))


def half(n: nn.Module, _: int) -> Planted:
    """0.5 and 0.5 for ImageNet's constants."""
    n.mean = n.std = (0.5,) * 3  # pyright: ignore
    return Planted(n, frozenset([INPUTS]))


def interpolation(n: nn.Module, i: int) -> Planted:
    """Another interpolation."""
    n.mode = ("bicubic", "nearest")[i % 2]  # pyright: ignore
    return Planted(n, frozenset([INPUTS]))


def swapped(n: nn.Module, i: int) -> Planted:
    """Two layers of one shape have changed places."""
    names = _of(n, (*WEIGHTED, *NORMS))
    layers = {name: n.get_submodule(name) for name in names}
    pairs = [
        (a, b)
        for place, a in enumerate(names)
        for b in names[place + 1 :]
        if type(layers[a]) is type(layers[b]) and layers[a].weight.shape == layers[b].weight.shape
    ]
    a, b = pairs[i % len(pairs)]
    one, other = copy.deepcopy(layers[a].state_dict()), copy.deepcopy(layers[b].state_dict())
    layers[a].load_state_dict(other)
    layers[b].load_state_dict(one)
    return Planted(n, frozenset([a]))


def activation(n: nn.Module, i: int) -> Planted:
    """An activation is missing."""
    names = _of(n, ACTIVATIONS)
    name = names[i % len(names)]
    parent, _, child = name.rpartition(".")
    setattr(n.get_submodule(parent), child, nn.Identity())
    return Planted(n, frozenset([name]))


def statistics(n: nn.Module, i: int) -> Planted:
    """Running statistics of a batch normalisation are off by a little."""
    names = _of(n, (nn.BatchNorm2d,))
    layer = n.get_submodule(names[i % len(names)])
    if i % 2:
        layer.running_mean += 0.02 * layer.running_var.sqrt()  # pyright: ignore
    else:
        layer.running_var *= 1.02  # pyright: ignore
    return Planted(n, frozenset([names[i % len(names)]]))


def rounded(n: nn.Module, i: int) -> Planted:
    """All weights rounded to 8 or 4 bits, row by row."""
    top = (127, 7)[i % 2]
    names = _of(n, (nn.Conv2d, nn.Linear))
    for name in names:
        values = n.get_submodule(name).weight.data  # pyright: ignore
        scale = values.abs().flatten(1).amax(1).reshape(-1, *[1] * (values.ndim - 1)) / top
        values.copy_((values / scale).round() * scale)
    return Planted(n, frozenset([names[0]]))


def truncated(n: nn.Module, i: int) -> Planted:
    """The last rows of a table are gone."""
    (name,) = _of(n, (nn.Embedding,))
    table = n.get_submodule(name)
    left = table.num_embeddings - 1 - i % 3  # pyright: ignore
    short = Table.from_pretrained(table.weight.data[:left])  # pyright: ignore
    parent, _, child = name.rpartition(".")
    setattr(n.get_submodule(parent), child, short.eval())
    return Planted(n, frozenset([name]))


EVERY = tuple(BODIES)
FAULTS: dict[str, tuple[Callable[[nn.Module, int], Planted], tuple[str, ...]]] = {
    "a weight changed": (weight, EVERY),
    "wrong epsilon of a norm": (epsilon, EVERY),
    "BGR for RGB": (bgr, EVERY),
    "0.5/0.5 for ImageNet's constants": (half, EVERY),
    "another interpolation": (interpolation, EVERY),
    "swapped layers": (swapped, ("convolutions", "residual", "attending")),
    "a missing activation": (activation, EVERY),
    "running statistics off": (statistics, ("convolutions",)),
    "rounding to int8 or int4": (rounded, EVERY),
    "a truncated table": (truncated, ("attending", "levels")),
}


# -- conversions that change nothing but rounding


class Exported(nn.Module):
    """An ONNX export up to what the head reads, run by onnxruntime; the head is torch's."""

    def __init__(self, network: nn.Module, folder: Path) -> None:
        super().__init__()
        import onnxruntime

        name = [n for n, m in network.named_modules() if isinstance(m, nn.Linear)][-1]
        body = copy.deepcopy(network)
        parent, _, child = name.rpartition(".")
        setattr(body.get_submodule(parent), child, nn.Identity())
        path = folder / "body.onnx"
        batch = torch.export.Dim("batch")
        torch.onnx.export(
            body, (torch.rand(2, 3, SIZE, SIZE),), str(path), dynamo=True, verbose=False,
            input_names=["images"], dynamic_shapes=({0: batch},),
        )  # fmt: skip
        self.session = onnxruntime.InferenceSession(str(path))
        self.head = copy.deepcopy(network.get_submodule(name))

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        (found,) = self.session.run(None, {"images": images.numpy()})
        return self.head(torch.from_numpy(found))


def _scripted(n: nn.Module, _: Path) -> nn.Module:
    held = io.BytesIO()
    torch.save(n.state_dict(), held)
    held.seek(0)
    made = copy.deepcopy(n)
    made.load_state_dict(torch.load(held, weights_only=True))
    return made


CLEAN: dict[str, tuple[Callable[[nn.Module, Path], nn.Module], int]] = {
    "cast to bf16 and back": (lambda n, _: n.bfloat16().float(), 24),
    "cast to fp16 and back": (lambda n, _: n.half().float(), 12),
    "run in bf16": (lambda n, _: n.bfloat16(), 8),
    "cast to float64": (lambda n, _: n.double(), 8),
    "channels last": (lambda n, _: n.to(memory_format=torch.channels_last), 12),  # pyright: ignore
    "another batch size": (lambda n, _: n, 12),
    "another number of threads": (lambda n, _: n, 12),
    "saved and loaded": (_scripted, 4),
    "ONNX export": (Exported, 8),
}
