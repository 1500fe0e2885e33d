"""The device that a benchmark runs on, and the seconds that count there."""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


class Clock:
    """CPU seconds of this process and of its children that have ended; on a GPU, by the clock.

    CPU seconds do not grow when other work shares the machine; a GPU has its work from here alone.
    """

    device = torch.device("cpu")

    @classmethod
    def use(cls, device: str) -> None:
        """Takes this device for all that follows, and one thread of the processor."""
        cls.device = torch.device(device)
        torch.set_num_threads(1)

    @classmethod
    def is_gpu(cls) -> bool:
        return cls.device.type == "cuda"

    @classmethod
    def unit(cls) -> str:
        return "s" if cls.is_gpu() else "CPU-s"

    @classmethod
    def now(cls) -> float:
        if cls.is_gpu():
            torch.cuda.synchronize()
            return time.perf_counter()
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in used)

    @classmethod
    def versions(cls) -> str:
        """What the numbers are measured with."""
        if cls.is_gpu():
            return f"torch {torch.__version__}, {torch.cuda.get_device_name()}"
        bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return (
            f"torch {torch.__version__}, {torch.get_num_threads()} thread, {platform.machine()}, "
            f"{torch.backends.cpu.get_cpu_capability()}, bf16 units: {'yes' if bf16 else 'no'}"
        )


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """The result of the work and its seconds."""
    start = Clock.now()
    found = work()
    return found, Clock.now() - start


def timed_apart(work: Callable[[], Result], warm_up: Callable[[], Any]) -> tuple[Result, float]:
    """As `timed`, in a process of its own that has only warmed up; on a GPU, in this one.

    How a process gets its memory depends on what it did before: a loop that shared one with
    samemind's would share what samemind does about that. Both must be such that they can be sent
    to another process.
    """
    if Clock.is_gpu():
        warm_up()
        return timed(work)
    device = str(Clock.device)
    with ProcessPoolExecutor(
        1, get_context("spawn"), initializer=Clock.use, initargs=(device,)
    ) as it:
        it.submit(warm_up).result()
        return it.submit(timed, work).result()
