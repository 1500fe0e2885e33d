"""`samemind list`: the members of every family, and the layers of an architecture."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Annotated, Any

import typer

from samemind.commands import completing
from samemind.commands.rows import print_rows
from samemind.errors import InvalidInput

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
FAMILIES = (
    *("measures", "architectures", "datasets", "checkpoints", "figures", "studies"),
    "layers",
)


def _families(typed: str) -> list[str]:
    """What can be listed that begins so, for a shell."""
    return [name for name in FAMILIES if name.startswith(typed)]


def list_members(
    family: Annotated[
        str,
        typer.Argument(
            metavar="FAMILY",
            help=f"One of {', '.join(FAMILIES)}.",
            autocompletion=_families,
        ),
    ],
    of: Annotated[
        str | None,
        typer.Argument(
            metavar="[ARCHITECTURE]",
            help="Whose layers, for `list layers`.",
            autocompletion=completing.architectures,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the measures, architectures, datasets, published checkpoints, figures, or studies.

    Or layers, of the architecture that is named after it.
    """
    rows = _layers(of) if family == "layers" else _members(family)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    shown = {
        "measures": ("name", "kind", "reads", "bounds", "alike", "summary"),
        "architectures": ("name", "parameters", "representation_size", "summary"),
        "figures": ("name", "title", "paper"),
        "checkpoints": ("name", "architecture", "norm", "epsilon", "clean_accuracy", "here"),
        "datasets": ("name", "classes", "image_size", "splits", "summary"),
        "layers": ("name", "type"),
    }.get(family, ("name", "summary"))
    if family == "measures":
        for row in rows:
            row["alike"] = "large" if row["larger_is_more_similar"] else "small"
    print_rows(rows, shown)


def _layers(architecture: str | None) -> list[dict[str, Any]]:
    """Every layer of an architecture in its order."""
    from samemind.comparison.layers import layers_of

    if architecture is None:
        raise InvalidInput("Whose layers? `samemind list layers resnet18`, for one.")
    return [{"name": name, "type": kind} for name, kind in layers_of(architecture)]


def _members(family: str) -> list[dict[str, Any]]:
    from samemind.registry import did_you_mean

    if family == "studies":
        from samemind.study import read_study, shipped_studies

        return [{"name": n, "summary": read_study(n).title} for n in shipped_studies()]
    if family not in FAMILIES:
        raise InvalidInput(
            f"There is no family '{family}'. {did_you_mean(family, list(FAMILIES))}"
            f"Known: {', '.join(FAMILIES)}."
        )
    if family == "measures":
        from samemind.measures.kinds import records

        return records()
    from importlib import import_module

    if family == "checkpoints":
        from samemind.checkpoints.published import PUBLISHED as registry
    else:
        registry = getattr(import_module(f"samemind.{family}.base"), family.upper())
    return [_record(member) for member in registry.values()]


def _record(member: Any) -> dict[str, Any]:
    """What can be said of a member in JSON; its functions are left out."""
    if hasattr(member, "as_record"):
        return member.as_record()
    held = {f.name: getattr(member, f.name) for f in fields(member)}
    return {name: value for name, value in held.items() if not callable(value)}
