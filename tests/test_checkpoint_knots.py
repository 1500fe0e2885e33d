"""Files whose parts hold themselves, or one another a great many times, are read at once."""

import signal
from argparse import Namespace
from collections import OrderedDict
from contextlib import suppress

import pytest
import torch

from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.reading import read_file, read_weights
from samemind.errors import CheckpointError


@pytest.fixture(autouse=True)
def at_once():
    """Ends a test that would go on for as long as the universe."""

    def late(*_: object) -> None:
        raise AssertionError("it was not read at once")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(600)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def itself(kind: type) -> object:
    held = kind()
    held.append(held) if kind is list else held.update(again=held)
    return held


def twice(kind: type, times: int = 60) -> object:
    """2^60 places, of sixty-one objects."""
    held: object = torch.zeros(2)
    for _ in range(times):
        held = [held, held] if kind is list else {"a": held, "b": held}
    return held


def deep(kind: type, times: int = 150) -> object:
    held: object = torch.zeros(2)
    for _ in range(times):
        held = [held] if kind is list else {"a": held}
    return held


KNOTS = {
    f"{make.__name__}-{kind.__name__}": (make, kind)
    for make in (itself, twice, deep)
    for kind in (list, dict)
}


@pytest.mark.parametrize("knot", KNOTS)
def test_a_network_beside_a_knot_is_read(knot, tmp_path):
    make, kind = KNOTS[knot]
    network = ARCHITECTURES["digits_resnet"].build(10, 8)
    held = {"state_dict": network.state_dict(), "history": make(kind), "epoch": 3}
    torch.save(held, tmp_path / "model.pt")
    assert set(network.state_dict()) == set(read_weights(tmp_path / "model.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("knot", ["itself-list", "twice-dict"])
def test_a_network_beside_a_knot_is_read_in_a_process_of_its_own(knot, tmp_path):
    make, kind = KNOTS[knot]
    network = ARCHITECTURES["digits_resnet"].build(10, 8)
    held = {"state_dict": network.state_dict(), "history": make(kind), "asked": Namespace(lr=1)}
    torch.save(held, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="Namespace"):
        read_weights(tmp_path / "model.pt")
    found = read_weights(tmp_path / "model.pt", is_trusted=True)
    assert set(network.state_dict()) == set(found)


@pytest.mark.parametrize("knot", KNOTS)
def test_a_knot_alone_is_a_sentence_or_nothing(knot, tmp_path):
    make, kind = KNOTS[knot]
    torch.save(OrderedDict(held=make(kind)), tmp_path / "model.pt")
    # Any other error, and any other time, is a failure.
    with suppress(CheckpointError):
        assert read_file(tmp_path / "model.pt")
