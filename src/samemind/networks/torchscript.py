"""Networks of TorchScript, scripted or traced, in memory or from `torch.jit.save`."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from samemind.networks.programs import (
    IN_TRAINING,
    NO_LAYERS,
    Called,
    Program,
    Step,
    calls_in,
    class_of,
)

HELD = "held_of_"
SILENT = ("prim::Constant", "prim::GetAttr")
_MODULE = re.compile(r"(\w+)\(([^()]*)\)")
_TRAINS = {"aten::dropout": 2, "aten::dropout_": 2, "aten::batch_norm": 5}
"""Operations that act otherwise in training, and which argument says so."""


class Lowered:
    """A graph of TorchScript as a function of its inputs and of its tensors, which are named.

    Nothing in it changes once it is made, so copies of a network share it.
    """

    def __init__(self, graph: Any, tensors: Sequence[str], arguments: Sequence[Any]) -> None:
        self.graph, self.tensors, self.arguments = graph, tuple(tensors), tuple(arguments)
        steps, self.places, returned = _steps(graph)
        self.calls = calls_in(steps, returned)
        self.trains = any(_is_training(node) for node in graph.nodes())
        self._functions: dict[tuple[Called, ...], Callable[..., Any]] = {}

    def __deepcopy__(self, memo: Any) -> Lowered:
        return self

    def function(self, watched: tuple[Called, ...]) -> Callable[..., Any]:
        """Runs the graph, and returns beside what each of these calls read and gave."""
        if watched not in self._functions:
            graph = self.graph.copy()
            if watched:
                _return_copies(graph, watched, self.places)
            self._functions[watched] = torch._C._create_function_from_graph("forward", graph)
        return self._functions[watched]


class Script(Program):
    """A network of TorchScript, in evaluation mode."""

    def __init__(self, lowered: Lowered) -> None:
        super().__init__()
        self._lowered = lowered

    def forward(self, *inputs: Any, **named: Any) -> Any:
        lowered = self._lowered
        watched = self.watched(lowered.calls)
        given = _arguments(lowered.arguments, inputs, named)
        found = lowered.function(watched)(*given, *(self.held(name) for name in lowered.tensors))
        if not watched:
            return found
        values = iter(found[1:])
        self.pass_on(
            [(c, next(values) if c.reads is not None else None, next(values)) for c in watched]
        )
        return found[0]


class Opaque(Program):
    """A network of TorchScript whose graph cannot be taken apart: its output is all there is."""

    note = NO_LAYERS

    def __init__(self, program: Any) -> None:
        super().__init__()
        self._runs = (program,)  # in a tuple, so that nobody looks for layers in it
        for i, value in enumerate(program.parameters()):
            self.register_parameter(f"weight {i}", nn.Parameter(value.detach()))

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        made = super()._apply(fn, recurse)
        self._runs[0]._apply(fn)
        return made

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self._runs[0](*inputs, **named)


def script_network(program: torch.jit.ScriptModule) -> Program:
    """The network of a TorchScript module, which stays as it is: this is of a copy.

    **Cost:** a copy of its weights.
    """
    is_training = program.training
    needs = {where: value.requires_grad for where, value in program.named_parameters()}
    with torch.no_grad():  # else the copies would remember what they were copied from
        copied: Any = copy.deepcopy(program).eval()
    name = getattr(program, "original_name", "Script")
    try:
        lowered = _lowered(copied)
    except Exception:  # the compiler's own refusals: what it cannot flatten is run as it is
        made: Program = class_of(Opaque, name)(copied)  # pyright: ignore[reportCallIssue]
    else:
        made = class_of(Script, name)(lowered)  # pyright: ignore[reportCallIssue]
        for where, module in copied.named_modules():
            if where:
                made.stand(where, getattr(module, "original_name", "Module"))
        for where, value in copied.named_parameters():
            made.hold(where, nn.Parameter(value.detach(), needs[where]))
        for where, value in copied.named_buffers():
            made.hold(where, value)
        for where in lowered.tensors:
            try:
                made.held(where)
            except AttributeError:  # under another name, or an attribute that is no buffer
                made.hold(where, attrgetter(where)(copied).detach())
        made.note = IN_TRAINING if lowered.trains else ""
    made.is_training_lent = is_training
    return made.eval()


def _lowered(program: Any) -> Lowered:
    """The graph of a module in evaluation mode, all calls put in their places."""
    frozen = torch._C._freeze_module(program._c, [], True, True)
    graph: Any = frozen._get_method("forward").graph.copy()
    itself, *inputs = graph.inputs()
    tensors: list[str] = []
    added: dict[str, Any] = {}
    for node in list(_all_nodes(graph)):
        if node.kind() in ("prim::CallMethod", "prim::SetAttr"):
            raise ValueError(node.kind())
        if node.kind() != "prim::GetAttr" or node.output().type().kind() == "ClassType":
            continue
        out, path = node.output(), _path(node, itself)
        if path not in added:
            value = attrgetter(path)(program)
            if isinstance(value, Tensor):
                added[path] = graph.addInput(HELD + path.replace(".", "_"))
                added[path].setType(torch._C.TensorType.get())
                tensors.append(path)
            else:
                added[path] = graph.insertConstant(value)
                added[path].node().moveBefore(next(iter(graph.nodes())))
        out.replaceAllUsesWith(added[path])
    for node in reversed([n for n in _all_nodes(graph) if n.kind() == "prim::GetAttr"]):
        if not node.output().uses():
            node.destroy()
    graph.eraseInput(0)  # fails where something of the module is still read
    arguments = program._c._get_method("forward").schema.arguments[1:]
    assert len(arguments) == len(inputs)
    return Lowered(graph, tensors, [_Argument(one) for one in arguments])


class _Argument:
    """An argument of `forward`: its name, and its default where it has one."""

    def __init__(self, argument: Any) -> None:
        self.name = argument.name
        self.has_default = argument.has_default_value()
        self.default = argument.default_value if self.has_default else None


def _arguments(known: Sequence[_Argument], inputs: Sequence[Any], named: Any) -> list[Any]:
    given = list(inputs)
    for argument in known[len(given) :]:
        if argument.name not in named and not argument.has_default:
            raise TypeError(f"forward() is missing its argument '{argument.name}'")
        given.append(named.get(argument.name, argument.default))
    return given


def _all_nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _all_nodes(inner)


def _path(node: Any, itself: Any) -> str:
    """The dotted name of the attribute that a node reads."""
    parts = [node.s("name")]
    source = next(iter(node.inputs()))
    while source.debugName() != itself.debugName():
        inner = source.node()
        if inner.kind() != "prim::GetAttr":
            raise ValueError(inner.kind())
        parts.append(inner.s("name"))
        source = next(iter(inner.inputs()))
    return ".".join(reversed(parts))


# -- what the graph says of the original's modules


def _steps(graph: Any) -> tuple[list[Step], list[int], list[Any]]:
    """The operations of the outermost block, the place of each among all nodes, what is returned.

    A value is called (place of its node, number of the output), for names do not outlive a copy.
    """
    made: dict[str, Any] = {}
    for i, value in enumerate(graph.inputs()):
        if not value.debugName().startswith(HELD):
            made[value.debugName()] = -1, i
    steps, places = [], []
    for place, node in enumerate(graph.nodes()):
        if node.kind() in SILENT:
            continue
        reads = tuple(made[name] for v in _read_by(node) if (name := v.debugName()) in made)
        gives = []
        for i, value in enumerate(node.outputs()):
            if value.type().kind() == "TensorType":
                made[value.debugName()] = place, i
                gives.append((place, i))
        steps.append(Step(_within(node), reads, tuple(gives)))
        places.append(place)
    returned = [made[n] for v in graph.outputs() if (n := v.debugName()) in made]
    return steps, places, returned


def _read_by(node: Any) -> Iterator[Any]:
    yield from node.inputs()
    for block in node.blocks():
        for inner in block.nodes():
            yield from _read_by(inner)
        yield from block.outputs()


def _within(node: Any) -> tuple[tuple[str, str, str], ...]:
    """The modules around an operation, from its call stack: 'layer1(Sequential).0(Block)'."""
    found, path = [], ""
    for name, kind in _MODULE.findall(node.getModuleHierarchy()):
        if name == "UNKNOWN_INSTANCE":  # a function, in the module before
            break
        if name == "SELF":
            continue
        path = f"{path}.{name}".lstrip(".")
        found.append((path, path, kind))
    return tuple(found)


def _return_copies(graph: Any, watched: Sequence[Called], places: Sequence[int]) -> None:
    """Lets a graph return what calls read and gave, as it was then: later ones may write to it."""
    nodes, inputs = list(graph.nodes()), list(graph.inputs())
    none = graph.insertConstant(None)
    none.node().moveBefore(nodes[0])

    def copied(place: int, which: int) -> Any:
        value = inputs[which] if place < 0 else list(nodes[place].outputs())[which]
        made = graph.create("aten::clone", [value, none], 1)
        made.output().setType(value.type())
        copies.append(made.output())
        return made

    copies: list[Any] = []
    for called in watched:
        if called.reads is not None:
            copied(*called.reads).insertBefore(nodes[places[called.first]])
        copied(*called.gives).insertAfter(nodes[places[called.last]])
    together = [*graph.outputs(), *copies]
    packed = graph.create("prim::TupleConstruct", together, 1)
    packed.output().setType(torch._C.TupleType([value.type() for value in together]))
    graph.appendNode(packed)
    graph.eraseOutput(0)
    graph.registerOutput(packed.output())


def _is_training(node: Any) -> bool:
    at = _TRAINS.get(node.kind())
    if at is None:
        return False
    said = list(node.inputs())[at].node()
    return said.kind() == "prim::Constant" and bool(said.output().toIValue())
