"""Small wrong changes of functions: found in a file, and put into functions that are already made.

A mutant is applied by giving each function that was made from the changed lines the code of the
changed file, so that nothing is imported again: a process that has imported torch and collected the
tests forks, and the child has the mutant after some milliseconds.
"""

from __future__ import annotations

import ast
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import _lru_cache_wrapper, partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
# Calls of one argument, or methods, that are left out: f(x) and x.f(...) become x.
SHAPING = {"abs", "sqrt", "exp", "log", "clamp", "clip", "sorted", "square", "flip", "strip"}
SWAPPED = {"max": "min", "min": "max", "any": "all", "all": "any", "amin": "amax", "amax": "amin"}


@dataclass(frozen=True)
class Mutant:
    """One wrong change: in which file and line, and of what to what."""

    file: str
    line: int
    function: str
    before: str
    after: str
    number: int  # of the changes of the file, or -1: `before` and `after` are passages of its text

    @property
    def name(self) -> str:
        """The same as long as the function and the changed words stay."""
        return f"{Path(self.file).name}::{self.function}: {self.before} -> {self.after}"

    def changed(self) -> ast.Module:
        """The whole file, with the change."""
        text = Path(self.file).read_text(encoding="utf-8")
        if self.number < 0:
            return ast.parse(text.replace(self.before, self.after))
        tree = ast.parse(text)
        for number, (_, _, new, put) in enumerate(_all_changes(tree)):
            if number == self.number:
                put(new)
                return tree
        raise AssertionError(f"{self.file} has no change {self.number}")


def mutants_of(file: Path) -> list[Mutant]:
    """All mutants of the bodies of a file's functions; none of messages, types or imports."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = []
    for number, (function, node, new, _) in enumerate(_all_changes(tree)):
        before, after = (" ".join(ast.unparse(n).split())[:120] for n in (node, new))
        found.append(Mutant(str(file), node.lineno, function, before, after, number))
    return found


def mutant_by_text(file: Path, before: str, after: str) -> Mutant:
    """The mutant that replaces one passage of a file, which must stand there once."""
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, (file, before, text.count(before))
    line = text[: text.index(before)].count("\n") + 1
    function = ""
    for node in ast.walk(ast.parse(text)):
        is_one = isinstance(node, (ast.FunctionDef, ast.ClassDef))
        if is_one and node.lineno <= line <= (node.end_lineno or 0):
            function = f"{function}.{node.name}".lstrip(".")
    return Mutant(str(file), line, function, before, after, -1)


def apply(mutant: Mutant) -> int:
    """Puts a mutant into this process; how many functions it changed (0: it is not in use)."""
    new = compile(mutant.changed(), mutant.file, "exec", dont_inherit=True)
    codes = {(c.co_qualname, c.co_firstlineno): c for c in _codes(new)}
    changed = 0
    for function in _functions(mutant.file):
        code = codes.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
        if code is None or code.co_freevars != function.__code__.co_freevars:
            continue
        if _text(code) != _text(function.__code__):
            function.__code__ = code
            changed += 1
    for held in gc.get_objects():
        # What the function answered before the change is no answer of the mutant.
        if type(held) is _lru_cache_wrapper and _is_of(held.__wrapped__, mutant.file):
            held.cache_clear()
    return changed


def _is_of(function: object, file: str) -> bool:
    # By its type: some objects warn when they are asked for their class.
    return type(function) is FunctionType and function.__code__.co_filename == file


def _functions(file: str) -> Iterator[FunctionType]:
    for held in gc.get_objects():
        if _is_of(held, file):
            yield held


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for held in code.co_consts:
        if isinstance(held, CodeType):
            yield from _codes(held)


def _text(code: CodeType) -> object:
    """What tells whether two codes do the same; positions of lines do not belong to it."""
    consts = tuple(
        _text(c) if isinstance(c, CodeType) else (type(c), repr(c)) for c in code.co_consts
    )
    return code.co_code, consts, code.co_names, code.co_varnames


# -- where a change can be made


def _all_changes(tree: ast.Module) -> Iterator[tuple[str, Any, ast.AST, Callable[[ast.AST], None]]]:
    """(function, node, what it becomes, what puts that in its place), in the order of the file."""
    for function, node, parent, field, index in _places(tree):
        for new in _changes(node):
            yield function, node, new, partial(_put, parent, field, index)


def _places(tree: ast.Module) -> Iterator[tuple]:
    """(function, node, parent, field, index) of all that is in the bodies of functions."""

    def walk(node: ast.AST, names: tuple[str, ...], is_inside: bool) -> Iterator[tuple]:
        for field, value in ast.iter_fields(node):
            is_declared = field in ("annotation", "returns", "decorator_list", "args", "bases")
            if is_declared and not (field == "args" and isinstance(node, ast.Call)):
                continue
            held = value if isinstance(value, list) else [value]
            for i, child in enumerate(held):
                if not isinstance(child, ast.AST) or _is_left_alone(child):
                    continue
                inner, now = names, is_inside
                if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                    inner = (*names, child.name)
                    now = is_inside or isinstance(child, ast.FunctionDef)
                elif is_inside:
                    yield ".".join(names), child, node, field, i if held is value else None
                yield from walk(child, inner, now)

    yield from walk(tree, (), False)


def _is_left_alone(node: ast.AST) -> bool:
    if isinstance(node, (ast.JoinedStr, ast.Raise, ast.Import, ast.ImportFrom, ast.AnnAssign)):
        return not isinstance(node, ast.AnnAssign)
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or is_docstring


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may be changed to; each with the node's own place in the file."""
    for new in _new(node):
        new = ast.copy_location(new, node)
        ast.fix_missing_locations(new)
        yield new


def _new(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=comparators):
            yield ast.Compare(left, [COMPARISONS[type(op)]()], comparators)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            if not isinstance(left, (ast.Constant, ast.JoinedStr)) or isinstance(
                getattr(left, "value", None), (int, float)
            ):
                yield ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.If(test=test, body=body, orelse=orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            yield ast.Pass()
        case ast.Call(func=ast.Name(id=name) as func, args=args, keywords=words):
            if name in SWAPPED:
                yield ast.Call(ast.Name(SWAPPED[name], func.ctx), args, words)
            elif name in SHAPING and len(args) == 1:
                yield args[0]
        case ast.Call(func=ast.Attribute(value=value, attr=name, ctx=c), args=args, keywords=words):
            if name in SWAPPED:
                yield ast.Call(ast.Attribute(value, SWAPPED[name], c), args, words)
            elif name in SHAPING:
                is_module = isinstance(value, ast.Name) and value.id in ("np", "torch", "math")
                if not is_module or len(args) == 1:
                    yield args[0] if is_module else value


class Lines:
    """A trace function that keeps (file, line) of what runs in some files, and nothing else."""

    def __init__(self, files: set[str]) -> None:
        self.files = files
        self.seen: set[tuple[str, int]] = set()

    def __enter__(self) -> Lines:
        sys.settrace(self._call)
        threading.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]

    def _call(self, frame, event, argument):
        if frame.f_code.co_filename not in self.files:
            return None
        self.seen.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line

    def _line(self, frame, event, argument):
        self.seen.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line
