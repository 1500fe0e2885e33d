"""`samemind list`: the members of every family, and the layers of an architecture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any

import typer

from samemind.commands import completing
from samemind.commands.options import TableAsJson
from samemind.commands.rows import print_rows
from samemind.commands.terminal import console
from samemind.errors import InvalidInput

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
    as_json: TableAsJson = False,
    long: Annotated[
        bool, typer.Option("--long", help="Of measures: with kind, bounds and whole summary.")
    ] = False,
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
        if not long:
            _print_grouped(rows)
            return
    print_rows(rows, shown)


def _print_grouped(rows: Sequence[Mapping[str, Any]]) -> None:
    """A line a measure under its family: the name, and what it is, in as many words as fit."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        other = {"set": "all models together", "mechanism": "mechanisms"}.get(str(row["kind"]))
        groups.setdefault(str(other or row["family"]), []).append(row)
    widest = max(len(str(row["name"])) for row in rows)
    for where, members in sorted(groups.items()):
        console.print(where, style="bold")
        for row in members:
            room = max(console.width - widest - 4, 30)
            told = str(row["summary"])
            told = _first_words(told, room) if console.is_terminal else told
            console.print(f"  {row['name']:<{widest}}  {told}", soft_wrap=True)
    console.print("\n`--long` has kinds and bounds, `--json` every promise.")


def _first_words(text: str, room: int) -> str:
    """As many whole words as there is room for."""
    if len(text) <= room:
        return text
    return text[: max(text.rfind(" ", 0, room - 1), 0)].rstrip(" ,;:") + " …"


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
