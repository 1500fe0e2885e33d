"""The device that work is done on, and how much of it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samemind.errors import InvalidInput
from samemind.lazy import LazyModule

if TYPE_CHECKING:
    import torch
else:
    torch = LazyModule("torch")


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
        torch.set_num_threads(self.threads)
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
        except RuntimeError:
            raise InvalidInput(
                f"No device is called '{self.device}'. Use auto, cpu, cuda or cuda:N."
            ) from None
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise InvalidInput(
                f"The device '{self.device}' was asked for, but torch sees "
                f"{torch.cuda.device_count()} CUDA devices. Use --device cpu or auto."
            )
        return device
