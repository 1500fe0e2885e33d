"""Work that a GPU repeats, where there is none: it runs as it is. On a GPU: tests/test_gpu.py."""

import torch

from samemind.devices import full_float32
from samemind.replaying import Replayed


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
