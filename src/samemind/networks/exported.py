"""Networks of `torch.export`: programs, what their `module()` gives, and `.pt2` files."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, Interpreter, Node
from torch.utils import _pytree as pytree

from samemind.arrays import first_tensor
from samemind.errors import InvalidInput
from samemind.networks.programs import IN_TRAINING, Called, Program, Step, calls_in, class_of

_TRAINS = {"dropout": 2, "dropout_": 2, "batch_norm": 5}
"""Operations that act otherwise in training, and which argument says so."""


class Flat:
    """The graph of an exported program, which copies of a network share.

    - `shape`: of its first input without the batch; None stands for any number.
    - `least`, `most`: inputs at a time that it takes; None for as many as one likes.
    """

    def __init__(self, module: Any) -> None:
        self.module, self.graph = module, module.graph
        operations = [n for n in self.graph.nodes if _is_step(n)]
        self.places = {n: i for i, n in enumerate(operations)}
        inputs = [n for n in self.graph.nodes if n.op == "placeholder"]
        made = {*inputs, *operations}
        steps = [Step(_within(n), _tensors(n.all_input_nodes, made), (n,)) for n in operations]
        (end,) = (n for n in self.graph.nodes if n.op == "output")
        self.calls = calls_in(steps, end.all_input_nodes)
        self.ends = {n: i for i, n in enumerate(operations)}
        self.trains = any(_is_training(n) for n in operations)
        said = inputs[0].meta.get("val") if inputs else None
        if not isinstance(said, Tensor) or not said.ndim:
            raise InvalidInput(
                "A program of torch.export reads a tensor of several inputs first, but this one "
                "does not. Export it with one."
            )
        self.dtype = said.dtype
        self.shape = tuple(one if isinstance(one, int) else None for one in said.shape[1:])
        self.least, self.most = _range(said.shape[0])
        self.names = list(getattr(self.graph._codegen, "pytree_info", ((),))[0] or ())

    def __deepcopy__(self, memo: Any) -> Flat:
        return self


class Exported(Program):
    """A network of `torch.export`, as it was exported.

    Batches of another length than it takes are cut, and the last one padded with copies of its last
    input, whose outputs are cut off again.
    """

    def __init__(self, flat: Flat) -> None:
        super().__init__()
        self._flat = flat
        self._without_rows: frozenset[Called] = frozenset()

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of one input; None where any number will do."""
        return self._flat.shape

    @property
    def cuts_batches(self) -> bool:
        """Whether batches of some lengths are given in parts."""
        return self._flat.most is not None or self._flat.least > 1

    def forward(self, *inputs: Any, **named: Any) -> Any:
        flat = self._flat
        given = [*inputs, *(named[name] for name in flat.names[len(inputs) :] if name in named)]
        first = first_tensor(given)
        if first is None:
            raise InvalidInput("A program of torch.export reads tensors. Give it one.")
        self._check_shape(first)
        watched = self.watched(flat.calls)
        n = len(first)
        most = n if flat.most is None else flat.most
        if flat.least <= n <= most:
            output, values = self._run(given, watched)
            self.pass_on(values)
            return output
        parts = []
        for start in range(0, n, most):
            rows = min(most, n - start)
            size = max(rows, flat.least)
            parts.append((self._run(_padded(given, n, start, rows, size), watched), rows, size))
        shown = [c for c in watched if c not in self._without_rows]
        held = [{c: (read, gives) for c, read, gives in part[0][1]} for part in parts]
        sizes = [(rows, size) for _, rows, size in parts]
        self.pass_on(
            [
                (c, *(_joined([one[c][side] for one in held], sizes) for side in (0, 1)))
                for c in shown
            ]
        )
        leaves, form = zip(*(pytree.tree_flatten(part[0][0]) for part in parts), strict=True)
        joined = [_joined(same, sizes) for same in zip(*leaves, strict=True)]
        return pytree.tree_unflatten(joined, form[0])

    def _check_shape(self, first: Tensor) -> None:
        wanted = self._flat.shape
        fits = first.ndim - 1 == len(wanted) and all(
            size in (None, found) for size, found in zip(wanted, first.shape[1:], strict=True)
        )
        if not fits:
            said = ", ".join("any" if size is None else str(size) for size in wanted)
            found = ", ".join(map(str, first.shape[1:]))
            raise InvalidInput(
                f"{type(self).__name__} was exported for inputs (N, {said}), but inputs (N, "
                f"{found}) were given. Give those, or export it with that axis dynamic."
            )

    def _run(
        self, given: Sequence[Any], watched: Sequence[Called]
    ) -> tuple[Any, list[tuple[Called, Any, Any]]]:
        runs = _Runs(self, self._flat, watched)
        output = runs.run(*given)
        return output, [(c, runs.read.get(c), runs.gave[c]) for c in watched]

    def find_rows(self) -> None:
        """Finds which layers give a row per input, where batches have to be cut or padded.

        Sizes of one batch would not tell, for a sequence may be as long as it: of one more input
        they give one more row; or, where no more are taken, of the same ones in another order they
        give the same rows in that order.
        """
        flat = self._flat
        if flat.least <= 1 and flat.most is None:
            return
        if len(flat.names) != 1 or not flat.dtype.is_floating_point:
            self._without_rows = frozenset(flat.calls)
            return
        n = max(flat.least, min(2, flat.most or 2))
        more = n + 1 if flat.most is None or n < flat.most else n
        shape = [size or 2 for size in flat.shape]
        images = torch.rand(more, *shape, generator=torch.Generator().manual_seed(0)).to(flat.dtype)
        one, other = (images[:n], images) if more > n else (images, images.flip(0))
        with torch.no_grad():
            seen = [self._run([x], flat.calls)[1] for x in (one, other)]
        self._without_rows = frozenset(
            c
            for (c, *first), (_, *second) in zip(*seen, strict=True)
            if not all(_has_rows(a, b, n, more) for a, b in zip(first, second, strict=True))
        )


class _Runs(Interpreter):
    """Runs a graph with the weights of its network, and keeps what calls read and gave."""

    def __init__(self, network: Exported, flat: Flat, watched: Sequence[Called]) -> None:
        super().__init__(network, graph=flat.graph)
        self.flat = flat
        self.read: dict[Called, Tensor] = {}
        self.gave: dict[Called, Tensor] = {}
        self._begins: dict[int, list[Called]] = {}
        self._ends: dict[int, list[Called]] = {}
        for called in watched:
            self._begins.setdefault(called.first, []).append(called)
            self._ends.setdefault(called.last, []).append(called)

    def fetch_attr(self, target: str) -> Any:
        try:
            return self.module.held(target)  # pyright: ignore[reportCallIssue]
        except AttributeError:  # the graphs inside of a condition, and what is no tensor
            return attrgetter(target)(self.flat.module)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self.flat.module.get_submodule(target)(*args, **kwargs)

    def run_node(self, n: Node) -> Any:
        place = self.flat.places.get(n)
        if place is None:
            return super().run_node(n)
        for called in self._begins.get(place, ()):
            # A copy: an operation that writes where it reads would change what was kept.
            if called.reads is not None:
                self.read[called] = self.env[called.reads].clone()
        made = super().run_node(n)
        for called in self._ends.get(place, ()):
            value = made if called.gives is n else self.env[called.gives]
            self.gave[called] = value.clone()
        return made


def exported_network(program: Any) -> Program:
    """The network of an `ExportedProgram`, or of what its `module()` gave, which it shares."""
    module = program if isinstance(program, nn.Module) else program.module()
    flat = Flat(module)
    kinds = {c.name: c.kind for c in flat.calls}
    made = class_of(Exported, _name_of(flat.graph))(flat)  # pyright: ignore[reportCallIssue]
    assert isinstance(made, Exported)
    for name, kind in kinds.items():
        made.stand(name, kind)
    for held in (module.named_parameters(remove_duplicate=False), module.named_buffers()):
        for name, value in held:
            made.hold(name, value)
    for node in flat.graph.nodes:
        if node.op == "get_attr" and isinstance(value := attrgetter(node.target)(module), Tensor):
            try:
                made.held(node.target)
            except AttributeError:  # a constant of the graph
                made.hold(node.target, value)
    made.note = IN_TRAINING if flat.trains else ""
    made.find_rows()
    return made.eval()


def _name_of(graph: Graph) -> str:
    for node in graph.nodes:
        for name, kind in (node.meta.get("nn_module_stack") or {}).values():
            if not name:
                return _kind(kind)
    return ""


def _kind(given: Any) -> str:
    text = given if isinstance(given, str) else getattr(given, "__name__", "")
    return text.rpartition(".")[2]


def _is_step(node: Node) -> bool:
    return node.op == "call_function" and isinstance(node.meta.get("val"), Tensor | tuple | list)


def _tensors(nodes: Sequence[Node], made: set[Node]) -> tuple[Node, ...]:
    return tuple(n for n in nodes if n in made and isinstance(n.meta.get("val"), Tensor))


def _within(node: Node) -> tuple[tuple[str, str, str], ...]:
    stack = node.meta.get("nn_module_stack") or {}
    return tuple((key, name, _kind(kind)) for key, (name, kind) in stack.items() if name)


def _range(size: Any) -> tuple[int, int | None]:
    """The fewest and the most inputs at a time; None for as many as one likes."""
    if isinstance(size, int):
        return size, size
    try:
        found = size.node.shape_env.bound_sympy(size.node.expr)
        least = int(found.lower)
        most = int(found.upper) if found.upper.is_Integer and found.upper < 2**31 else None
    except (AttributeError, TypeError, ValueError):
        return 1, None
    return max(1, least), most


def _is_training(node: Node) -> bool:
    name = getattr(node.target, "_opname", str(node.target).split(".")[0])
    at = _TRAINS.get(name)
    return at is not None and len(node.args) > at and node.args[at] is True


def _padded(given: Sequence[Any], n: int, start: int, rows: int, size: int) -> list[Any]:
    """A batch of `size` of these inputs, its last input repeated where there are fewer."""

    def cut(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.ndim or len(value) != n:
            return value
        part = value[start : start + rows]
        return torch.cat([part, *[part[-1:]] * (size - rows)]) if size > rows else part

    return [pytree.tree_map(cut, one) for one in given]


def _joined(parts: Sequence[Any], sizes: Sequence[tuple[int, int]]) -> Any:
    """What batches gave, without what was padded; of what has no row per input, the first."""
    has_rows = all(
        isinstance(part, Tensor) and part.ndim and len(part) == size
        for part, (_, size) in zip(parts, sizes, strict=True)
    )
    if not has_rows:
        return parts[0]
    return torch.cat([part[:rows] for part, (rows, _) in zip(parts, sizes, strict=True)])


def _has_rows(one: Any, other: Any, n: int, more: int) -> bool:
    """Whether two tensors of n and `more` inputs, or of n in turned order, have rows of them."""
    if one is None or other is None:
        return one is other
    if not one.ndim or len(one) != n or len(other) != more:
        return False
    return more > n or _alike(one.flip(0), other)


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(
        one.float(), other.float(), rtol=1e-3, atol=1e-5 * float(one.float().abs().max() + 1e-30)
    )
