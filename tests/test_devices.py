"""Memory that steps use again, and gives back."""

from __future__ import annotations

import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from samemind.architectures.base import ARCHITECTURES
from samemind.classifier import new_classifier, outputs
from samemind.datasets.base import DATASETS
from samemind.execution import devices
from samemind.execution.devices import memory_reused
from samemind.extraction import layer_outputs
from samemind.inversion import Descent, invert
from samemind.training import Schedule, is_right, train

MEBI = 2**20
glibc_only = pytest.mark.skipif(devices._glibc() is None, reason="malloc is not glibc's")


def faults_of_steps() -> int:
    """Pages that the system hands out while steps take 40 MiB each and free it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(40 * MEBI, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def faults_outside_and_inside() -> tuple[int, int]:
    outside = faults_of_steps()
    with memory_reused():
        faults_of_steps()
        return outside, faults_of_steps()


@pytest.mark.slow
@glibc_only
def test_steps_use_the_memory_of_the_step_before():
    # In a process of its own: what others freed in this one may lie there to be used.
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        outside, inside = fresh.submit(faults_outside_and_inside).result()
    assert outside > 20 * 10_000, "the test could not have failed"
    assert inside < outside / 10


def resident_inside_and_outside() -> tuple[int, int, int]:
    before = resident()
    with memory_reused():
        with memory_reused():
            blocks = [torch.ones(10 * MEBI, dtype=torch.uint8) for _ in range(40)]
            inside = resident() - before
            del blocks
        faults = faults_of_steps()
    return inside, faults, resident() - before


@pytest.mark.slow
@glibc_only
def test_the_last_to_leave_gives_back_what_is_free():
    # In a process of its own: threads of others in this one take and free memory meanwhile.
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        inside, faults, after = fresh.submit(resident_inside_and_outside).result()
    assert inside > 380 * MEBI
    assert faults < 10_000, "the one who left first ended it for the other"
    assert after < 80 * MEBI


@glibc_only
def test_an_error_inside_ends_it_too():
    with pytest.raises(ZeroDivisionError), memory_reused():
        1 / 0  # noqa: B018
    assert devices._Reusing.times == 0


def test_where_malloc_is_another_one_nothing_is_done(monkeypatch):
    monkeypatch.setattr(devices, "_glibc", lambda: None)
    with memory_reused():
        assert devices._Reusing.times == 0


CPU = torch.device("cpu")
X, Y = torch.rand(4, 1, 8, 8), torch.arange(4)
ONE_STEP = Schedule(epochs=1, batch_size=4, learning_rate=0.1)
LONG_WORK = {
    "training": lambda c: train(
        c, X, Y, schedule=ONE_STEP, ball=None, attack=None, random_seed=0, device=CPU
    ),
    "inversion": lambda c: invert(c, X, X, descent=Descent(steps=1)),
    "evaluation": lambda c: is_right(c, X, Y, device=CPU),
    "extraction": lambda c: outputs(c, X, batch_size=4, device=CPU),
    "layers": lambda c: layer_outputs(c, [X], layers="all"),
}


@glibc_only
@pytest.mark.parametrize("work", LONG_WORK.values(), ids=LONG_WORK)
def test_long_work_reuses_memory(work):
    classifier = new_classifier(ARCHITECTURES["digits_resnet"], DATASETS["digits"], random_seed=0)
    depths = []
    classifier.register_forward_pre_hook(lambda *_: depths.append(devices._Reusing.times))
    work(classifier)
    assert depths
    assert all(depths)
    assert devices._Reusing.times == 0
