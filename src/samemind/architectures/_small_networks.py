"""The networks of `digits.py` and `small.py`; a file of its own because it imports torch.

All but the VGG for digits reduce the image in the stem, as the ImageNet networks do, so that a
training step takes a few milliseconds of one processor core.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Block = Callable[[int, int, int], nn.Module]
"""(channels in, channels out, stride) → module."""


def convolution(
    inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution without bias, followed by batch norm."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Residual(nn.Module):
    """relu(shortcut(x) + branch(x)); the shortcut is projected only where the shape changes."""

    def __init__(self, branch: nn.Module, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.branch = branch
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.shortcut(x) + self.branch(x))


def reduced(channels: int, stem: int, stride: int, *, bare: bool = False) -> list[nn.Module]:
    """The layers of a stem that makes an image `stride` times smaller.

    One 3 × 3 convolution by 1 or 2; by 8 as for ImageNet: 7 × 7 with stride 4, then a max pool.

    **Arguments:**

    - `bare`: the first convolution alone, for networks that normalise what they read.
    """
    size, step, after = (7, 4, [nn.MaxPool2d(3, 2, 1)]) if stride == 8 else (3, stride, [])
    if bare:
        return [nn.Conv2d(channels, stem, size, step, size // 2, bias=False), *after]
    return [convolution(channels, stem, size, step), nn.ReLU(), *after]


def basic_block(inputs: int, outputs: int, stride: int) -> Residual:
    """Two 3 × 3 convolutions (He et al. 2016, the block of ResNet-18)."""
    branch = nn.Sequential(
        convolution(inputs, outputs, 3, stride), nn.ReLU(), convolution(outputs, outputs)
    )
    return Residual(branch, inputs, outputs, stride)


def bottleneck(width: int, groups: int = 1) -> Block:
    """1 × 1, 3 × 3, 1 × 1 convolutions: the block of ResNet-50 and its wide and grouped kin.

    The middle has `width` times a quarter of the block's outputs, in `groups` groups.
    """

    def build(inputs: int, outputs: int, stride: int) -> Residual:
        middle = outputs * width // 4
        branch = nn.Sequential(
            convolution(inputs, middle, 1),
            nn.ReLU(),
            convolution(middle, middle, 3, stride, groups),
            nn.ReLU(),
            convolution(middle, outputs, 1),
        )
        return Residual(branch, inputs, outputs, stride)

    return build


class ResidualNetwork(nn.Module):
    """Stem, stages of blocks (each stage after the first halves the map), pool, linear layer."""

    def __init__(
        self,
        classes: int,
        *,
        block: Block,
        stem: int,
        widths: Sequence[int],
        depth: int,
        channels: int = 1,
        stride: int = 2,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(*reduced(channels, stem, stride))
        blocks, inputs = [], stem
        for stage, outputs in enumerate(widths):
            for position in range(depth):
                stride = 2 if stage and not position else 1
                blocks.append(block(inputs, outputs, stride))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


class DenseLayer(nn.Module):
    """Appends `growth` channels, computed from all that came before, to its input."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, 2 * growth, 1, bias=False),
            nn.BatchNorm2d(2 * growth),
            nn.ReLU(),
            nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.branch(x)), dim=1)


class DenseNetwork(nn.Module):
    """Dense blocks with halving transitions between them (Huang et al. 2017)."""

    def __init__(
        self,
        classes: int,
        *,
        stem: int,
        growth: int,
        layers: Sequence[int],
        channels: int = 1,
        stride: int = 2,
    ) -> None:
        super().__init__()
        features: list[nn.Module] = reduced(channels, stem, stride, bare=True)
        channels = stem
        for block, depth in enumerate(layers):
            if block:
                features += [
                    nn.BatchNorm2d(channels),
                    nn.ReLU(),
                    nn.Conv2d(channels, channels // 2, 1, bias=False),
                    nn.AvgPool2d(2),
                ]
                channels //= 2
            for _ in range(depth):
                features.append(DenseLayer(channels, growth))
                channels += growth
        self.features = nn.Sequential(*features, nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


class PlainNetwork(nn.Module):
    """3 × 3 convolutions and max pools, no shortcuts, two linear layers (VGG with batch norm)."""

    def __init__(
        self,
        classes: int,
        image_size: int,
        *,
        widths: Sequence[Sequence[int]],
        hidden: int,
        channels: int = 1,
        stem: int = 0,
        stride: int = 1,
    ) -> None:
        super().__init__()
        features: list[nn.Module] = reduced(channels, stem, stride) if stem else []
        inputs, side = stem or channels, image_size // stride
        for stage in widths:
            for outputs in stage:
                features += [convolution(inputs, outputs), nn.ReLU()]
                inputs = outputs
            features.append(nn.MaxPool2d(2))
            side //= 2
        self.features = nn.Sequential(*features, nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(inputs * side * side, hidden), nn.ReLU())
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.hidden(self.features(x)))


class TransformerBlock(nn.Module):
    """Self-attention and a two-layer perceptron, each normalised first and added to its input."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            self.queries_keys_values(self.norm_attention(x))
            .unflatten(-1, (3, self.heads, -1))
            .permute(2, 0, 3, 1, 4)
        )
        attended = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.mix(attended.transpose(1, 2).flatten(2))
        return x + self.perceptron(x)


class TransformerNetwork(nn.Module):
    """Convolutional stem, transformer blocks on its cells, mean over cells, layer norm.

    As in TinyViT (Wu et al. 2022), the stem is convolutional with batch norm: with a linear
    one, adversarial training by plain SGD at ε = 1 did not leave chance level.
    """

    def __init__(
        self, classes: int, image_size: int, *, width: int, heads: int, depth: int
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            convolution(1, width // 2, 3, 2),
            nn.ReLU(),
            convolution(width // 2, width),
            nn.ReLU(),
            convolution(width, width),
        )
        # As large as what the stem gives, so that place counts from the first step: the usual
        # 0.02 does not grow enough in the few hundred steps that these networks are trained.
        self.positions = nn.Parameter(torch.randn(1, (image_size // 2) ** 2, width))
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, heads, 2 * width) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        cells = self.stem(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(cells).mean(1)))
