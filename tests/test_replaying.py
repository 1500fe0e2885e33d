"""Work that a GPU repeats, where there is none: it runs as it is. On a GPU: tests/test_gpu.py."""

import gc

import torch

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import Attack, L2Ball
from samemind.classifier import new_classifier
from samemind.datasets.base import DATASETS
from samemind.execution.devices import full_float32
from samemind.execution.replaying import Replayed
from samemind.inversion import Descent, invert
from samemind.training import Schedule, accuracy, train


def test_without_a_gpu_every_call_is_made():
    calls = []

    def doubled(x: torch.Tensor) -> tuple[torch.Tensor]:
        calls.append(len(x))
        return (2 * x,)

    replayed = Replayed(doubled)
    for _ in range(6):
        assert replayed(torch.ones(3))[0].tolist() == [2.0] * 3
    assert calls == [3] * 6


def test_float32_is_float32_inside_and_afterwards_as_before():
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    with full_float32():
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.benchmark == before[1]
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark) == before


def test_nothing_that_may_be_recorded_outlives_its_work():
    """On a GPU each of them holds the memory of a whole pass through the network."""
    images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(16) % 10
    classifier = new_classifier(ARCHITECTURES["digits_resnet"], DATASETS["digits"], random_seed=0)
    robust = {"ball": L2Ball(0.5), "attack": Attack(), "device": torch.device("cpu")}
    gc.collect()
    gc.disable()
    try:
        schedule = Schedule(epochs=1, batch_size=8, learning_rate=0.01)
        train(classifier, images, labels, schedule=schedule, random_seed=0, **robust)
        accuracy(classifier, images, labels, **robust)
        invert(classifier, images[:8], images[8:], descent=Descent(steps=2))
        assert not [held for held in gc.get_objects() if type(held) is Replayed]
    finally:
        gc.enable()
