"""Narrow networks train in a memory format in which no convolution writes past its end."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from samemind.architectures.base import ARCHITECTURES
from samemind.execution.memory_format import memory_format_for

NARROW = [name for name in ARCHITECTURES if name.endswith(("_quarter", "_half"))]
CPU, GPU = torch.device("cpu"), torch.device("cuda")

# What writes past its end does not always die by itself, so each network is trained for a few
# steps, and where the C library can check its memory at every release, it does.
TRAINING = """
import sys, torch
from samemind.architectures.base import ARCHITECTURES
from samemind.classifier import new_classifier
from samemind.datasets.base import DATASETS
from samemind.training import Schedule, train

torch.set_num_threads(1)
schedule = Schedule(epochs=1, batch_size=32, learning_rate=0.01)
labels = torch.arange(64) % 10
images = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))
images[:, 0, 0] = labels[:, None] / 10
for name in sys.argv[1:]:
    print(name, flush=True)
    network = new_classifier(ARCHITECTURES[name], DATASETS["cifar10"], random_seed=1)
    train(network, images, labels, schedule=schedule, ball=None, attack=None, random_seed=1,
          device=torch.device("cpu"))
print("all came through")
"""


def _trained_apart(names: list[str]) -> subprocess.CompletedProcess[str]:
    checked = {"MALLOC_CHECK_": "3", "LD_PRELOAD": "libc_malloc_debug.so.0"}
    return subprocess.run(
        [sys.executable, "-c", TRAINING, *names],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | (checked if sys.platform == "linux" else {}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_narrow_networks_train_without_a_crash() -> None:
    assert len(NARROW) == 8
    done = _trained_apart(NARROW)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-2000:])
    assert done.stdout.split() == [*NARROW, "all", "came", "through"]


def _shortcut(channels: int, *, kernel: int = 1, stride: int = 2, groups: int = 1) -> nn.Module:
    made = nn.Conv2d(channels, 32, kernel, stride, groups=groups)
    return nn.Sequential(nn.ReLU(), nn.Sequential(made))


@pytest.mark.parametrize(
    ("network", "is_contiguous"),
    [
        (_shortcut(4), True),
        (_shortcut(15), True),
        (_shortcut(32, groups=4), True),
        (_shortcut(16), False),
        (_shortcut(4, stride=1), False),
        (_shortcut(4, kernel=3), False),
    ],
)
def test_only_narrow_strided_shortcuts_are_contiguous(
    network: nn.Module, is_contiguous: bool
) -> None:
    expected = torch.contiguous_format if is_contiguous else torch.channels_last
    assert memory_format_for(network, CPU) == expected
    assert memory_format_for(network, GPU) == torch.channels_last


def test_networks_whose_format_is_not_channels_last_are_these() -> None:
    """Every other trained network gives what it gave, to the last bit."""
    found = []
    for name, record in ARCHITECTURES.items():
        if not name.startswith(("cifar_small_", "digits_")):
            continue
        with torch.device("meta"):
            network = record.build(10, record.image_size)
        if memory_format_for(network, CPU) == torch.contiguous_format:
            found.append(name)
    assert sorted(found) == [
        "cifar_small_resnet_half",
        "cifar_small_resnet_quarter",
        "cifar_small_wide_resnet_quarter",
    ]
