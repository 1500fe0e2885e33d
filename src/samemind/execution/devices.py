"""The device that work is done on, and how much of it."""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from samemind.errors import InvalidInput
from samemind.lazy import torch

Result = TypeVar("Result")


def check_compiler() -> None:
    """Raises `InvalidInput` unless there is the C++ compiler that torch.compile calls.

    It is looked for as torch does: what CXX names, else g++ or clang++ on the path.
    """
    named = os.environ.get("CXX")
    if not any(map(shutil.which, [named] if named else ["g++", "clang++"])):
        found = f"'{named}' (from CXX) is not one" if named else "neither g++ nor clang++ is here"
        raise InvalidInput(
            f"Compiling networks needs a C++ compiler, and {found}. Install one (the packages are "
            f"called g++ or build-essential), or leave out --compile."
        )


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How to build, none of which may change what is built.

    - `device`: 'auto' takes CUDA where there is one, else the CPU.
    - `threads`: of torch on the CPU.
    - `batch_size`: images per forward pass where the batch does not matter to the result.
    - `save_every`: seconds between two saves of a long training or inversion.
    - `loaders`: processes that read ahead the images of a training set that does not fit in memory.
    - `compiled`: whether torch compiles networks that are trained; values agree to rounding.
    """

    device: str = "auto"
    threads: int = 1
    batch_size: int = 256
    save_every: float = 60.0
    loaders: int = 2
    compiled: bool = False

    def start(self) -> torch.device:
        """Sets the number of threads and returns the device.

        **Raises:** `InvalidInput` when the device is not there, or no compiler is where one is
        needed.
        """
        if self.compiled:
            check_compiler()
        device = self.checked()
        torch.set_num_threads(self.threads)
        return device

    def checked(self) -> torch.device:
        """The device, and nothing set.

        **Raises:** `InvalidInput` for one that is not there, or a batch size below 1.
        """
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise InvalidInput(
                f"A batch size of {self.batch_size} was asked for. Give 1 or more; it changes no "
                f"result."
            )
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
        except (RuntimeError, TypeError):
            raise InvalidInput(
                f"No device is called '{self.device}'. Use auto, cpu, cuda or cuda:N."
            ) from None
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise InvalidInput(
                f"The device '{self.device}' was asked for, but torch sees "
                f"{torch.cuda.device_count()} CUDA devices. Use --device cpu or auto."
            )
        return device


def full_float32() -> AbstractContextManager[None]:
    """Inside it, convolutions in float32 are that on a GPU too.

    Unless told so, torch rounds what they multiply to eleven bits (TF32), which shows in the third
    digit of a representation. Training and inversion leave it at that, as the study did.
    """
    cudnn = torch.backends.cudnn
    return cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=cudnn.benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=False,
    )


# Of glibc's malloc.h, and the largest block that it can be told to take from the heap.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
LARGEST_ON_HEAP = 32 * 2**20


class _Reusing:
    """How many times memory is being reused now: it is up to the whole process."""

    lock = threading.Lock()
    times = 0


@contextmanager
def memory_reused() -> Iterator[None]:
    """Inside it, memory that is freed stays with the process, for what is allocated next.

    A step frees what the next one allocates again. Of large blocks glibc makes that a trip to the
    system, which clears every page anew: a tenth to a third of a step on the CPU. The last one to
    leave gives back what is free. Where malloc is another one, nothing is done.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    with _Reusing.lock:
        _Reusing.times += 1
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, -1)  # never
    try:
        yield
    finally:
        with _Reusing.lock:
            _Reusing.times -= 1
            if not _Reusing.times:
                # Where glibc's own rules end that move with what is freed; they cannot be had back.
                libc.mallopt(MMAP_MAX, 65536)
                libc.mallopt(MMAP_THRESHOLD, LARGEST_ON_HEAP)
                libc.mallopt(TRIM_THRESHOLD, 2 * LARGEST_ON_HEAP)
                libc.malloc_trim(0)


def _glibc() -> Any:
    """The C library of this process if it is glibc, else None."""
    if os.name != "posix":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def where_memory_suffices(do: Callable[[torch.device], Result], device: torch.device) -> Result:
    """Does it on the device, or on the CPU, saying so, where the device's memory does not suffice.

    For work that the CPU does as well, only slower.
    """
    try:
        return do(device)
    except torch.OutOfMemoryError:
        if device.type == "cpu":
            raise
    torch.cuda.empty_cache()
    warnings.warn(
        f"The memory of {device} does not suffice for a comparison: it is done on the CPU.",
        RuntimeWarning,
        stacklevel=2,
    )
    return do(torch.device("cpu"))
