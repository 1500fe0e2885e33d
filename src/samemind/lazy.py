"""Modules that are imported at their first use.

Importing torch costs two to three seconds of CPU time. `samemind list` and `samemind plan` read
declarations only, so the files that hold declarations must not import torch just by being read.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any


class LazyModule(ModuleType):
    """Stands for a module and imports it when one of its attributes is read.

    Use it beside the real import, which only the type checker sees, as at the end of this file.
    """

    def __getattr__(self, attribute: str) -> Any:
        return getattr(imported(self.__name__), attribute)


def imported(name: str) -> ModuleType:
    """A module, imported unless it is already, which draws no random numbers."""
    if name in sys.modules:
        return import_module(name)
    with draws_put_back():
        return import_module(name)


@contextmanager
def draws_put_back() -> Iterator[None]:
    """The state of Python's `random` is again what it was: importing rich draws from it."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


LONGEST_IMPORT = 60.0  # seconds that a request to end waits for one


class Interruptions:
    """A signal handler that raises `KeyboardInterrupt`, but never in the middle of an import.

    There an exception is swallowed by whatever tries one module after the other, turned into
    another one by code in C, or leaves a module half made that the rest of the process then uses.
    So the signal is sent again a moment later, until the import is over. It is sent again, too,
    where Python ignored the exception because it came in a finaliser or in the callback of a weak
    reference; otherwise the request would be lost behind a printed traceback.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._listens = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.must_wait(number, frame):
            if not self._listens:
                self._listen_to_what_is_ignored(number)
            raise KeyboardInterrupt

    def _listen_to_what_is_ignored(self, number: int) -> None:
        self._listens = True
        tell = sys.unraisablehook

        def heed(ignored: "sys.UnraisableHookArgs") -> None:
            if issubclass(ignored.exc_type, KeyboardInterrupt):
                _send_again(number)
            else:
                tell(ignored)

        sys.unraisablehook = heed

    def must_wait(self, number: int, frame: FrameType | None) -> bool:
        """Whether an import is under way; the signal then comes once more by itself."""
        since = self._since if self._since is not None else time.monotonic()
        if not is_importing(frame) or time.monotonic() - since > LONGEST_IMPORT:
            self._since = None
            return False
        self._since = since
        _send_again(number)
        return True


def _send_again(number: int) -> None:
    again = threading.Timer(0.05, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def is_importing(frame: FrameType | None) -> bool:
    """Whether a frame is called by the import of a module."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


# What most files need, so that each has one line: `from samemind.lazy import np, pd, torch`.
if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
else:
    np = LazyModule("numpy")
    pd = LazyModule("pandas")
    torch = LazyModule("torch")
