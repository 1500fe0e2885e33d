"""The API reference: a page per module, written from the docstrings, which are Markdown."""

import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

MODULES = {
    "In one place": ["samemind"],
    "Comparing": [
        "samemind.comparison.pairs", "samemind.own_models", "samemind.comparison.networks",
        "samemind.comparison.activations", "samemind.networks.opening",
        "samemind.networks.model",
        "samemind.inputs.images", "samemind.inputs.pixels", "samemind.inputs.arrays",
        "samemind.statistics.swaps",
    ],
    "Measures": [
        "samemind.measures", "samemind.measures.base", "samemind.sides.pair",
        "samemind.sides.preprocessing", "samemind.measures.of_sets",
    ],
    "Stages": [
        "samemind.study", "samemind.training", "samemind.inversion",
        "samemind.extraction.activations",
        "samemind.classifier", "samemind.attacks", "samemind.comparison.probes",
    ],
    "Families": [
        "samemind.architectures.base", "samemind.datasets.base", "samemind.figures.base",
        "samemind.registry",
    ],
    "Ground": [
        "samemind.store.artifacts", "samemind.store.recipes", "samemind.execution.devices",
        "samemind.errors",
    ],
    "Report and statistics": [
        "samemind.reporting.report", "samemind.reporting.tables", "samemind.reporting.table",
        "samemind.reporting.model_tables", "samemind.statistics",
    ],
}  # fmt: skip


def write(folder: Path) -> None:
    """Writes `folder/*.md` and its index."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.md"):
        old.unlink()
    sections = ["# API reference\n\nWritten from the docstrings of the code.\n"]
    for title, names in MODULES.items():
        rows = "\n".join(names)
        sections.append(f"```{{toctree}}\n:caption: {title}\n:maxdepth: 1\n\n{rows}\n```\n")
        for name in names:
            (folder / f"{name}.md").write_text(page(import_module(name)), encoding="utf-8")
    (folder / "index.md").write_text("\n".join(sections), encoding="utf-8")


def page(module: ModuleType) -> str:
    """The Markdown of one module."""
    parts = [f"# {module.__name__}\n", markdown(module.__doc__)]
    for name, member in public(module):
        kind = "class" if inspect.isclass(member) else "def"
        parts.append(f"## {name}\n\n```python-signature\n{kind} {name}{signature(member)}\n```\n")
        parts.append(markdown(inspect.getdoc(member)))
        if inspect.isclass(member):
            parts += [part for entry in methods(member) for part in entry]
    return "\n".join(parts).replace("```python-signature", "```{code-block} python")


def public(module: ModuleType) -> list[tuple[str, object]]:
    """The functions and classes that the module names in `__all__`, or defines itself."""
    names = getattr(module, "__all__", None)
    found = []
    for name in names or [n for n in vars(module) if not n.startswith("_")]:
        member = getattr(module, name)
        if not (inspect.isclass(member) or inspect.isroutine(member)):
            continue
        if names or getattr(member, "__module__", "") == module.__name__:
            found.append((name, member))
    return found


def methods(cls: type) -> list[list[str]]:
    found = []
    for name, member in vars(cls).items():
        inner = member.fget if isinstance(member, property) else member
        inner = getattr(inner, "__func__", inner)
        if name.startswith("_") or not inspect.isfunction(inner) or not inner.__doc__:
            continue
        shown = name if isinstance(member, property) else f"{name}{signature(inner)}"
        found.append([
            f"### {cls.__name__}.{name}\n\n```python-signature\n{shown}\n```\n",
            markdown(inspect.getdoc(inner)),
        ])  # fmt: skip
    return found


def signature(member: object) -> str:
    try:
        found = inspect.signature(member)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        return ""
    text = re.sub(r" at 0x[0-9a-f]+", "", str(found))
    # One parameter to a line where the line would be long.
    return text if len(text) < 80 else re.sub(r", (?=\*?\w+:|\*,)", ",\n    ", text)


def markdown(docstring: str | None) -> str:
    """The docstring with its `>>>` examples and indented code put into fences."""
    if not docstring:
        return ""
    lines, is_example, found = inspect.cleandoc(docstring).splitlines(), False, []
    for line in lines:
        if line.startswith(">>>") and not is_example:
            found.append("```pycon")
            is_example = True
        elif is_example and not line.strip():
            found.append("```")
            is_example = False
        found.append(line)
    if is_example:
        found.append("```")
    return "\n".join(found) + "\n"
