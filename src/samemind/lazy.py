"""Modules that are imported at their first use.

Importing torch costs two to three seconds of CPU time. `samemind list` and `samemind plan` read
declarations only, so the files that hold declarations must not import torch just by being read.
"""

from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stands for a module and imports it when one of its attributes is read.

    Use it beside the real import, which only the type checker sees:

        if TYPE_CHECKING:
            import torch
        else:
            torch = LazyModule("torch")
    """

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self.__name__), attribute)
