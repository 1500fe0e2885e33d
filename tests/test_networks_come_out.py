"""Networks come out as they went in, from every public function, and also where one fails.

What is looked at: the mode of every module, hooks, parameters and buffers (the same objects in
the same memory, with the same values), gradients, and the state of the process: random states,
default type, gradient mode and threads.
"""

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import samemind
from samemind.architectures.heads import find_head
from samemind.attacks import L2Ball
from samemind.classifier import Classifier, check_head, outputs
from samemind.errors import InvalidInput
from samemind.extraction import layer_outputs
from samemind.inversion import Descent, invert
from samemind.training.evaluation import Attack, is_right

CPU = torch.device("cpu")


class HalfWay(Exception):
    """What a network fails with."""


class Network(nn.Module):
    """Draws random numbers, counts its calls in a buffer, and may fail at one of them."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout(0.5)
        )
        self.head = nn.Linear(6, 4)
        self.calls: torch.Tensor
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.fails_at, self.made = fails_at, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.made += 1
        noise = torch.rand(1, dtype=images.dtype) + random.random() + np.random.rand()  # noqa: NPY002
        if self.fails_at is not None and self.made > self.fails_at:
            raise HalfWay
        return self.head(self.body(images).mean((2, 3)) + 0 * noise)


def lent(kind: str, *, fails_at: int | None = None) -> nn.Module:
    """A network in the middle of someone's work."""
    torch.manual_seed(5)
    network = Network(fails_at).train()
    if kind == "float64":
        network = network.double()
    if kind == "bfloat16":
        network = network.bfloat16()
    if kind == "channels last":
        network = network.to(memory_format=torch.channels_last)
    if kind == "evaluating":
        network = network.eval()
    network.body[1].eval()  # frozen statistics in a network that is trained
    network.body[0].weight.requires_grad_(False)
    network.head.register_forward_hook(_own_hook)
    weight = network.head.weight
    weight.grad = torch.full_like(weight, 0.5)
    return network


def _own_hook(*_: Any) -> None:
    return None


HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks", "_backward_pre_hooks")


def state_of(network: nn.Module) -> dict[str, Any]:
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return {
        "modes": [(name, m.training) for name, m in network.named_modules()],
        "hooks": [(n, h, list(getattr(m, h))) for n, m in network.named_modules() for h in HOOKS],
        "tensors": [
            (n, id(t), t.data_ptr(), t.device, t.dtype, t.stride(), t.requires_grad)
            for n, t in tensors
        ],
        "values": [(n, t.detach().clone()) for n, t in tensors],
        "gradients": [(n, None if t.grad is None else t.grad.sum().item()) for n, t in tensors],
        "attributes": sorted(vars(network)),
    }


def state_of_process() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].copy(),  # noqa: NPY002
        "random": random.getstate(),
        "default": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
    }


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor | np.ndarray):
        return bool((first == second).all())
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def images(n: int = 10) -> torch.Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def as_classifier(network: nn.Module) -> Classifier:
    if isinstance(network, Classifier):
        return network
    return Classifier(network, head="head", mean=[0.0] * 3, std=[1.0] * 3)


def asked(n: int = 10, **options: Any) -> Callable[[nn.Module], Any]:
    return lambda network: samemind.compare(
        [network, copy.deepcopy(network)],
        images(n),
        measures=["agreement", "linear_cka"],
        permutations=2,
        batch_size=n // 2 - 1,
        device="cpu",
        **options,
    )


FUNCTIONS: dict[str, Callable[[nn.Module], Any]] = {
    "compare": asked(),
    "compare layers": asked(layers="all"),
    "compare at depths": asked(layers=[0.5]),
    "compare inverted": asked(invert=2, invert_steps=2),
    "compare with labels and probes": asked(40, labels=np.arange(40) % 4, probe=True),
    "layer_outputs": lambda n: layer_outputs(n, casted(n).split(4)),
    "find_head": lambda n: find_head(n, casted(n)),
    "outputs": lambda n: outputs(as_classifier(n), images(), batch_size=4, device=CPU),
    "check_head": lambda n: check_head(as_classifier(n), images()),
    "a pass of the classifier": lambda n: as_classifier(n)(images()),
    "invert": lambda n: invert(
        as_classifier(n), images()[:2], images()[2:4], descent=Descent(steps=2)
    ),
    "is_right": lambda n: is_right(
        as_classifier(n),
        images(),
        torch.arange(10) % 4,
        ball=L2Ball(0.1),
        attack=Attack(steps=2, random_start=True),
        batch_size=4,
        device=CPU,
    ),
}
KEEPS_THE_PROCESS = [name for name in FUNCTIONS if name.startswith("compare")]


def casted(network: nn.Module) -> torch.Tensor:
    return images().to(next(network.parameters()).dtype)


@pytest.fixture(autouse=True)
def _process() -> Iterator[None]:
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    yield
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])


@contextmanager
def bare() -> Iterator[None]:
    """What a network raised, which `compare` turns into one sentence with its name."""
    try:
        yield
    except InvalidInput as error:
        raise error.__cause__ or error from None


def check(name: str, network: nn.Module) -> None:
    before, process = state_of(network), state_of_process()
    with suppress(HalfWay), bare():
        FUNCTIONS[name](network)
    after, process_after = state_of(network), state_of_process()
    # A pass of one's own is one's own: the counter of calls moves where nothing of ours looks.
    skipped = {"values"} if name == "a pass of the classifier" else set()
    for what in before.keys() - skipped:
        assert same(before[what], after[what]), what
    if name in KEEPS_THE_PROCESS:
        for what, value in process.items():
            assert same(value, process_after[what]), what


@pytest.mark.parametrize("kind", ["training", "evaluating", "channels last", "float64", "bfloat16"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_network_comes_out_as_it_went_in(name: str, kind: str) -> None:
    if kind == "bfloat16" and name in ("invert", "is_right", "compare inverted"):
        pytest.skip("descends in float32")
    check(name, lent(kind))


@pytest.mark.parametrize("fails_at", [0, 1, 2, 4])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_network_that_fails_in_the_middle_comes_out_as_it_went_in(name, fails_at) -> None:
    check(name, lent("training", fails_at=fails_at))


def test_a_classifier_that_is_lent_comes_out_as_it_went_in() -> None:
    for name in ("compare", "compare layers", "compare inverted", "outputs", "is_right"):
        check(name, as_classifier(lent("training")))


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_copying_scripting_and_the_way_back_work_afterwards() -> None:
    def made() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))

    network = made().train()
    waiting = network.eval()(images()).sum()  # a graph that waits for its way back
    network.train()
    samemind.compare([network, made()], images(), permutations=0, layers="all", device="cpu")
    waiting.backward()
    copied = copy.deepcopy(network)
    scripted = torch.jit.script(network)
    assert network.training
    torch.testing.assert_close(scripted.eval()(images()), copied.eval()(images()))
    for name in ("forward_hooks", "forward_pre_hooks"):
        assert not any(getattr(m, f"_{name}") for m in network.modules())


def test_nothing_of_a_pass_stays_in_memory_afterwards() -> None:
    network, read = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), []
    samemind.compare([network, copy.deepcopy(network)], images(), permutations=0, device="cpu")
    network[1].register_forward_pre_hook(lambda _, given: read.append(given[0]))
    network(images())
    assert len(read) == 1
    found = [m for m in network.modules() if m._forward_pre_hooks]
    assert found == [network[1]]
