"""What a shell offers for a name that is being typed. Imports wait until a shell asks."""

from __future__ import annotations

from pathlib import Path


def studies(typed: str) -> list[str]:
    """The studies that ship and the .toml files beside the caller that begin so."""
    from samemind.study import shipped_studies

    here = [str(path) for path in Path().glob("*.toml") if path.name != "pyproject.toml"]
    return [name for name in (*shipped_studies(), *sorted(here)) if name.startswith(typed)]


def figures(typed: str) -> list[str]:
    """The figures that begin so."""
    from samemind.figures.base import FIGURES

    return [name for name in FIGURES if name.startswith(typed)]


def architectures(typed: str) -> list[str]:
    """The architectures that begin so."""
    from samemind.architectures.base import ARCHITECTURES

    return [name for name in ARCHITECTURES if name.startswith(typed)]
