"""Programs: networks whose code is a graph, of TorchScript or of `torch.export`.

A module stands for the graph. Where the graph says which of the original's modules made a value,
a module of that name and kind stands in for it, with its weights, and passes on what the graph
gives there: whatever watches layers watches these, under the names that the original has.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from samemind.errors import CheckpointError, InvalidInput, reason
from samemind.networks.axes import FIRST_TYPES, LAST_TYPES

IN_TRAINING = (
    "it was made of a network in training mode: its dropout, or its batch norm, acts as in training"
)
NO_LAYERS = "the program does not say which layers its values are of, so its output alone is read"


class StandIn(nn.Module):
    """A module of the original: its weights, and what the graph gave in its place.

    Called with what the original's module read, it returns what that returned.
    """

    def __init__(self) -> None:
        nn.Module.__init__(self)  # whatever else it derives from has weights to make
        self._given: list[Any] = []
        if isinstance(self, nn.Linear):
            self.register_parameter("bias", None)  # until one is held

    def passed_on(self, read: Any, gives: Any) -> None:
        """Lets whatever watches this module see what it read and returned."""
        self._given.append(gives)
        try:
            self(read) if read is not None else self()
        finally:
            self._given.clear()

    def forward(self, *read: Any) -> Any:
        if self._given:
            return self._given[-1]
        if isinstance(self, nn.Linear):
            return nn.functional.linear(read[0], self.weight, self.bias)
        raise InvalidInput(
            f"A {type(self).__name__} of a program runs with all of it only. Name another layer."
        )

    def extra_repr(self) -> str:
        return ""

    @property
    def is_watched(self) -> bool:
        return bool(self._forward_hooks or self._forward_pre_hooks)


@cache
def _stand_in_for(kind: str) -> type[StandIn]:
    """The class of stand-ins for a kind of module; those that declare their axes are of it too."""
    known = kind in (*FIRST_TYPES, *LAST_TYPES)
    bases = (StandIn, getattr(nn, kind)) if known else (StandIn,)
    # A convolution's form is not known: of none, it is taken for no linear head.
    form = {"kernel_size": (), "stride": ()} if kind.startswith("Conv") else {}
    return type(kind, bases, {"__module__": __name__, **form})


@dataclass(frozen=True)
class Step:
    """One operation of a graph.

    - `within`: (key, name, kind) of each module that it runs in, from the outermost on; the key
      tells one call of a module from another.
    - `reads`, `gives`: the tensors of an input that it takes and makes, by any hashable name.
    """

    within: tuple[tuple[str, str, str], ...]
    reads: tuple[Any, ...]
    gives: tuple[Any, ...]


@dataclass(frozen=True)
class Called:
    """One call of a module: what it read first (None for nothing) and gave, and where it ended."""

    name: str
    kind: str
    reads: Any
    gives: Any
    first: int
    last: int


def calls_in(steps: Sequence[Step], returned: Sequence[Any]) -> list[Called]:
    """The calls of modules that a graph shows, in the order in which they ended.

    A call is a run of steps within one module; what it gives is the one value that others read.

    **Arguments:** `returned`: what the graph returns.
    """
    readers: dict[Any, list[int]] = {}
    for at, step in enumerate(steps):
        for value in step.reads:
            readers.setdefault(value, []).append(at)
    for value in returned:
        readers.setdefault(value, []).append(len(steps))
    found = []
    for depth in range(max((len(step.within) for step in steps), default=0)):
        start = 0
        while start < len(steps):
            here, end = steps[start].within[: depth + 1], start + 1
            while end < len(steps) and steps[end].within[: depth + 1] == here:
                end += 1
            if len(here) > depth:
                called = _call(here[-1], steps, start, end, readers)
                found += [] if called is None else [(called, depth)]
            start = end
    found.sort(key=lambda one: (one[0].last, -one[1]))
    return [called for called, _ in found]


def _call(
    module: tuple[str, str, str],
    steps: Sequence[Step],
    start: int,
    end: int,
    readers: dict[Any, list[int]],
) -> Called | None:
    made = [value for step in steps[start:end] for value in step.gives]
    out = [v for v in made if any(at >= end for at in readers.get(v, ()))]
    if len(out) != 1:
        return None
    inside = set(made)
    read = [v for step in steps[start:end] for v in step.reads if v not in inside]
    return Called(module[1], module[2], read[0] if read else None, out[0], start, end - 1)


class Program(nn.Module):
    """The network of a program; its stand-ins hold its weights and lie where the original's did."""

    note = ""
    is_training_lent = False

    def stand(self, name: str, kind: str = "Module") -> StandIn:
        """The stand-in of this name, made with those around it if it is not there yet."""
        inner: nn.Module = self
        for i, part in enumerate(parts := name.split(".")):
            held = inner._modules.get(part)
            if held is None:
                held = _stand_in_for(kind if i == len(parts) - 1 else "Module")()
                inner.add_module(part, held)
            inner = held
        assert isinstance(inner, StandIn)
        return inner

    def hold(self, name: str, value: Tensor) -> None:
        """Registers a tensor of the original under the name that it had there."""
        where, _, own = name.rpartition(".")
        module: Any = self.stand(where) if where else self
        if isinstance(value, nn.Parameter):
            module.register_parameter(own, value)
        else:
            module._parameters.pop(own, None)
            module.register_buffer(own, value)
        if own == "weight" and isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            names = ("out_features", "in_features")
            names = names if isinstance(module, nn.Linear) else ("out_channels", "in_channels")
            for one, size in zip(names, value.shape, strict=False):
                setattr(module, one, size)

    def held(self, name: str) -> Any:
        """What is registered under a name."""
        where, _, own = name.rpartition(".")
        module = self.get_submodule(where) if where else self
        return getattr(module, own)

    def pass_on(self, calls: Sequence[tuple[Called, Any, Any]]) -> None:
        """Shows what each call read and gave to whatever watches its stand-in."""
        for called, read, gives in calls:
            stand_in = self.get_submodule(called.name)
            assert isinstance(stand_in, StandIn)
            stand_in.passed_on(read, gives)

    def watched(self, calls: Sequence[Called]) -> tuple[Called, ...]:
        """Those calls whose stand-ins somebody watches."""

        def is_watched(called: Called) -> bool:
            module = self.get_submodule(called.name)
            return isinstance(module, StandIn) and module.is_watched

        return tuple(called for called in calls if is_watched(called))


@cache
def class_of(base: type[Program], name: str) -> type[Program]:
    """The class of programs of a kind, under the name that the original's class has."""
    return type(name or base.__name__, (base,), {"__module__": __name__})


def as_network(name: str, program: Any) -> Program:
    """The network that a program is.

    **Raises:** `InvalidInput` for a program that cannot be read.
    """
    from samemind.networks.exported import exported_network
    from samemind.networks.torchscript import script_network

    made: Callable[[Any], Program] = (
        script_network if isinstance(program, torch.jit.ScriptModule) else exported_network
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return made(program)
        except InvalidInput:
            raise
        except Exception as error:
            why = reason(error)
            raise InvalidInput(
                f"'{name}' is a program that cannot be read here ({why}). Load its weights into "
                f"the network in Python, or compare its outputs: samemind.Side(logits=...) takes "
                f"what it returns for the inputs."
            ) from error


def read_program(path: Path, kind: str, *, is_trusted: bool) -> Program:
    """The network of a file of `torch.jit.save` or `torch.export.save`.

    A program may do what it likes: TorchScript can write files, and what `torch.export` saves is
    evaluated as Python when it is read. So neither is read unless it is trusted.

    **Raises:** `CheckpointError` for a file that is not trusted, or damaged.
    """
    from samemind.checkpoints.kinds import PROGRAM_FILES, what_to_do
    from samemind.files.archives import check_zip

    if not is_trusted:
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {what_to_do(path)}.")
    try:
        check_zip(path)
    except InvalidInput as error:
        raise CheckpointError(str(error)) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind == "torchscript":
                program = torch.jit.load(str(path), map_location="cpu")
            else:
                program = torch.export.load(str(path))
    except Exception as error:  # a damaged file makes torch raise anything at all
        why = reason(error)
        raise CheckpointError(
            f"{path} is {PROGRAM_FILES[kind]} that cannot be read ({why}). Save it anew, with "
            f"the PyTorch that is installed here ({torch.__version__})."
        ) from error
    return as_network(path.name, program)
