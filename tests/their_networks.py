"""Networks as other people write them: what the tests' checkpoints were made with.

Written for these tests from the published descriptions; never imported by the package.
"""

import torch
from torch import nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """Option A of He et al. (2016): the shortcut subsamples and pads with zeros."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.pad = (outputs - inputs) // 2
        self.stride = stride

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.pad:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(out + x)


class ResNetOfHe(nn.Module):
    """The CIFAR ResNet of He et al. with 6n + 2 layers."""

    def __init__(self, n, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = (16, 16, 32, 64)
        for stage in (1, 2, 3):
            blocks = [
                BasicBlock(widths[stage - (i == 0)], widths[stage], 2 if stage > 1 and not i else 1)
                for i in range(n)
            ]
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, num_classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def resnet20(num_classes=10):
    return ResNetOfHe(3, num_classes)


def resnet32(num_classes=10):
    return ResNetOfHe(5, num_classes)


def cnn_a():
    """Two convolutions and two linear layers: `cifar_cnn_a_*` of the verification literature."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2048, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def marabou(width):
    """Two convolutions and three linear layers: `cifar_marabou_*` of the same literature."""
    return nn.Sequential(
        nn.Conv2d(3, 8 * width, 4, 2),
        nn.ReLU(),
        nn.Conv2d(8 * width, 16 * width, 4, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(576 * width, 128),
        nn.ReLU(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def marabou_small():
    return marabou(1)


def marabou_medium():
    return marabou(2)


def number():
    return 3


def headless():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10), nn.Softmax(1))


class NewChannelsFirst(nn.Module):
    """A dense layer that puts its new channels before the old ones."""

    def __init__(self, inputs, growth):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        out = self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))
        return torch.cat([out, x], 1)


class Transition(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.bn(x))), 2)


class CifarDenseNet(nn.Module):
    """The CIFAR DenseNet whose weights the robustness library writes; growth 48 is DenseNet-161."""

    def __init__(self, growth=48, depths=(6, 12, 36, 24), num_classes=10):
        super().__init__()
        channels = 2 * growth
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        for block, depth in enumerate(depths, 1):
            layers = [NewChannelsFirst(channels + i * growth, growth) for i in range(depth)]
            self.add_module(f"dense{block}", nn.Sequential(*layers))
            channels += depth * growth
            if block < 4:
                self.add_module(f"trans{block}", Transition(channels, channels // 2))
                channels //= 2
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = self.conv1(x)
        for block in (1, 2, 3):
            x = getattr(self, f"trans{block}")(getattr(self, f"dense{block}")(x))
        x = F.relu(self.bn(self.dense4(x)))
        return self.linear(x.mean((2, 3)))
