"""Unpickles one file whose source is trusted, and writes its tensors, numbers and short texts.

Run as a script, in a process of its own: `python _trusted.py FILE OUT [plain]`. Unpickling may
execute whatever the file asks for, so this must not happen in the process that does the research.
Classes that are not installed (dill's, a training library's) are replaced by empty ones.
"""

import json
import pickle
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

# The unpickler that is written in Python; its type says less than it has.
PythonUnpickler: Any = pickle._Unpickler


class Absent:
    """Stands for an object of a class that is not installed; takes anything and does nothing."""

    def __init__(self, *_: Any, **__: Any):
        pass

    def __call__(self, *_: Any, **__: Any):
        return self

    def __setstate__(self, state: Any):
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __setitem__(self, key: Any, value: Any):
        pass

    def append(self, item: Any):
        pass

    def extend(self, items: Any):
        pass


class Tolerant(PythonUnpickler):
    """An unpickler that goes on where a class cannot be found, or an object cannot be made.

    The one written in Python, as that of C insists on classes where an absent function of dill
    should have made one. The values of tensors do not go through it.
    """

    dispatch = dict(PythonUnpickler.dispatch)  # noqa: RUF012 -- as in the class above it

    def find_class(self, module_name: str, global_name: str):
        try:
            return super().find_class(module_name, global_name)
        except (ImportError, AttributeError):
            return Absent

    def load_reduce(self):
        arguments = self.stack.pop()
        function = self.stack[-1]
        try:
            self.stack[-1] = function(*arguments)
        except Exception:
            # Functions and classes of a script want its globals; a tensor must not be missing.
            if str(getattr(function, "__module__", "")).startswith("torch"):
                raise
            self.stack[-1] = Absent()

    def load_newobj(self):
        arguments = self.stack.pop()
        kind = self.stack.pop()
        self.append(kind.__new__(kind, *arguments) if isinstance(kind, type) else Absent())

    def load_newobj_ex(self):
        named = self.stack.pop()
        arguments = self.stack.pop()
        kind = self.stack.pop()
        is_there = isinstance(kind, type)
        self.append(kind.__new__(kind, *arguments, **named) if is_there else Absent())

    def load_build(self):
        state, made = self.stack[-1], self.stack[-2]
        try:
            super().load_build()
        except Exception:
            # The class is installed, but cannot take back what it wrote (cox.utils.Parameters).
            # What it should have taken may hold the weights.
            if self.stack[-1] is state:
                self.stack.pop()
            if not isinstance(state, dict) or not hasattr(made, "__dict__"):
                if str(type(made).__module__).startswith("torch"):
                    raise
                return
            vars(made).update(state)

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex


def tolerant_pickle():
    """A stand-in for the pickle module, as torch.load wants one."""
    module = ModuleType("tolerant_pickle")
    module.__dict__.update(vars(pickle))
    module.__dict__["Unpickler"] = Tolerant
    module.__dict__["load"] = lambda file, **options: Tolerant(file, **options).load()
    return module


LONGEST_TEXT = 80
MOST_VALUES = 1000  # numbers and texts of a dictionary; some hold the loss of every step


def plain_value(held: Any) -> Any:
    """A number or a short text as plain JSON; else None."""
    import numpy as np

    if isinstance(held, np.generic) and held.dtype.kind in "biuf":
        held = held.item()
    is_plain = isinstance(held, (int, float)) or (isinstance(held, str) and held.isprintable())
    if not is_plain or len(str(held)) > LONGEST_TEXT:
        return None
    return None if held != held or held in (float("inf"), -float("inf")) else held


def tensors_of(held: Any, found: dict[str, Any], seen: set[int]):
    """What an object holds as plain JSON, with tensors (kept in `found`) by number."""
    import numpy as np
    import torch

    if isinstance(held, np.ndarray) and held.dtype.kind in "biuf":
        held = torch.from_numpy(np.array(held, dtype=held.dtype.newbyteorder("=")))
    if isinstance(held, torch.Tensor):
        name = str(len(found))
        # A copy: safetensors refuses tensors that share memory.
        found[name] = held.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if id(held) in seen:
        return None
    # What is held in two places is written once: each further place would double what is written.
    seen.add(id(held))
    if is_module(held):
        return tensors_of(state_of(held), found, seen)
    if isinstance(held, (Namespace, SimpleNamespace)):
        held = vars(held)  # the options of a training script
    if isinstance(held, dict):
        items, n_values = [], 0
        for k, v in held.items():
            value = plain_value(v) if n_values < MOST_VALUES else None
            n_values += value is not None
            item = tensors_of(v, found, seen) if value is None else {"value": value}
            items += [(str(k), item)] if item is not None else []
        return {"dict": items}
    if isinstance(held, (list, tuple)):
        return {"list": [tensors_of(v, found, seen) for v in held]}
    return None


def is_module(held: Any) -> bool:
    """Whether an object is a network, also one whose class is absent.

    Its own dictionary is looked at: some classes say of any attribute that they have it.
    """
    own = getattr(held, "__dict__", {})
    return isinstance(own.get("_parameters"), dict) and isinstance(own.get("_modules"), dict)


def state_of(module: Any, prefix: str = "") -> dict[str, Any]:
    """The state dict of a pickled module, also of one whose class is absent."""
    state = {}
    for held in (module._parameters, getattr(module, "_buffers", {})):
        state.update({prefix + k: v for k, v in held.items() if v is not None})
    for name, inner in module._modules.items():
        if is_module(inner):
            state.update(state_of(inner, f"{prefix}{name}."))
    return state


def main(path: str, out: str, is_plain: str = "") -> None:
    """Reads `path` and writes `out`; 'plain' is a pickle that torch.save did not write."""
    import torch
    from safetensors.torch import save_file

    if is_plain == "plain":
        with Path(path).open("rb") as file:
            held = Tolerant(file).load()
    else:
        held = torch.load(
            path, map_location="cpu", weights_only=False, pickle_module=tolerant_pickle()
        )
    if isinstance(held, (Absent, SimpleNamespace)) and not is_module(held):
        held = vars(held)
    found = {}
    structure = tensors_of(held, found, set())
    save_file(found, out, metadata={"structure": json.dumps(structure)})


if __name__ == "__main__":
    main(*sys.argv[1:])
