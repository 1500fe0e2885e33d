"""`samemind store`: check, list and measure what a store holds, and remove what nothing needs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samemind.commands.options import DEFAULT_STORE, StorePath, TableAsJson
from samemind.commands.terminal import console, print_table
from samemind.errors import InvalidInput, StoreError
from samemind.files.reading import access
from samemind.registry import did_you_mean
from samemind.store.artifacts import Store
from samemind.store.disk import storage_error

if TYPE_CHECKING:
    from samemind.store.inventory import Entry, Inventory

app = typer.Typer(
    name="store",
    help="Check, list and measure what a store holds; remove what nothing needs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def _inventory(path: Path) -> Inventory:
    from samemind.store.inventory import Inventory

    return Inventory(Store(path))


@app.command()
def verify(
    store: StorePath = DEFAULT_STORE,
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Move damaged artifacts out of the way.")
    ] = False,
    as_json: TableAsJson = False,
    yes: Yes = False,
) -> None:
    """Check the recipe and every checksum of every artifact, and say what depends on what is bad.

    Ends with status 1 where something is damaged. It reads every byte. With --set-aside it shows
    what is damaged and asks first.
    """
    if set_aside and as_json and not yes:
        raise InvalidInput("--set-aside asks before it moves anything; with --json, say --yes.")
    held = _inventory(store)
    damaged: list[tuple[Entry, dict[str, Any]]] = []
    for entry in held.entries.values():
        fault = Store.fault(entry.path)
        if fault is not None:
            needed_by = [e.name for e in held.needed_by(entry)]
            told = {"artifact": entry.name, "fault": fault, "needed_by": needed_by}
            damaged.append((entry, told | {"set_aside": None}))
            if not as_json:
                _tell_damaged(told)
    if set_aside and damaged:
        held.store.claim()
        if yes or typer.confirm(f"Set these {len(damaged)} aside, for the next run to rebuild?"):
            for entry, told in damaged:
                told["set_aside"] = _set_aside(held, entry, is_silent=as_json)
    if as_json:
        found = {
            "checked": len(held.entries),
            "damaged": [told for _, told in damaged],
            "no_artifacts": [str(path.relative_to(store)) for path in held.others],
        }
        typer.echo(json.dumps(found, indent=1))
    else:
        for path in held.others:
            console.print(
                f"{path.relative_to(store)} is no artifact by what is in it, and was left alone.",
                soft_wrap=True,
            )
        console.print(f"{len(held.entries)} artifacts checked, {len(damaged)} damaged.")
        if damaged and not set_aside:
            console.print("`samemind store verify --set-aside` lets the next run build them again.")
    if damaged:
        raise typer.Exit(1)


def _set_aside(held: Inventory, entry: Entry, *, is_silent: bool) -> str | None:
    moved = held.store.set_aside(entry.path)
    if not is_silent:
        where = f"was set aside as {moved}" if moved else "could not be set aside"
        console.print(f"{entry.name} {where}.", soft_wrap=True)
    return str(moved) if moved else None


def _tell_damaged(found: dict[str, Any]) -> None:
    console.print(f"{found['artifact']}: {found['fault']}.", soft_wrap=True)
    if found["needed_by"]:
        console.print(f"  Made of it: {', '.join(found['needed_by'])}.", soft_wrap=True)


@app.command(name="list")
def list_artifacts(
    artifacts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARTIFACT...]", help="Only these, with all that they depend on."),
    ] = None,
    store: StorePath = DEFAULT_STORE,
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as checkpoints.")] = None,
    as_json: TableAsJson = False,
) -> None:
    """List the artifacts: when they were made, how large they are and what depends on what."""
    from samemind.store.inventory import kinds, readable_size

    held = _inventory(store)
    known = sorted(kinds(held.entries.values()))
    if kind is not None and kind not in known:
        raise InvalidInput(
            f"The store {store} holds no kind '{kind}'. {did_you_mean(kind, known)}"
            f"It holds: {', '.join(known) or 'nothing'}."
        )
    rows: list[dict[str, Any]] = [
        {
            "artifact": e.name,
            "bytes": e.size,
            "made": e.made,
            "made_of": [m.name for m in held.made_of(e)],
            "needed_by": [n.name for n in held.needed_by(e)],
        }
        for e in (_named(held, artifacts) if artifacts else held.entries.values())
        if kind in (None, e.kind)
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    if artifacts:
        for row in rows:
            _tell_what_depends(row)
        return
    print_table(
        ("artifact", "size", "made", "made of", "needed by"),
        (
            (
                row["artifact"],
                readable_size(row["bytes"]),
                row["made"],
                str(len(row["made_of"])),
                str(len(row["needed_by"])),
            )
            for row in rows
        ),
        right=("size", "made of", "needed by"),
    )


def _tell_what_depends(row: dict[str, Any]) -> None:
    console.print(row["artifact"], soft_wrap=True)
    for words, names in (("made of", row["made_of"]), ("needed by", row["needed_by"])):
        console.print(f"  {words}:{'' if names else ' nothing here'}", soft_wrap=True)
        for name in names:
            console.print(f"    {name}", soft_wrap=True)


@app.command()
def size(store: StorePath = DEFAULT_STORE, as_json: TableAsJson = False) -> None:
    """Say how many artifacts of each kind there are and how much room they take."""
    from samemind.store.inventory import kinds, readable_size

    held = _inventory(store)
    rows: list[dict[str, Any]] = [
        {"kind": kind, "artifacts": count, "bytes": total}
        for kind, (count, total) in sorted(kinds(held.entries.values()).items())
    ]
    left = held.leftovers()
    rows.append({"kind": "left over", "artifacts": len(left), "bytes": sum(s for _, s in left)})
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    total = sum(row["bytes"] for row in rows)
    count = len(held.entries) + len(left)
    print_table(
        ("kind", "artifacts", "size"),
        [
            (row["kind"], f"{row['artifacts']:,}", readable_size(row["bytes"]))
            for row in [*rows, {"kind": "in all", "artifacts": count, "bytes": total}]
        ],
        right=("artifacts", "size"),
    )


@app.command()
def remove(
    artifacts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARTIFACT...]", help="Names as `store list` gives them."),
    ] = None,
    store: StorePath = DEFAULT_STORE,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A study; everything that none of those named needs is removed."),
    ] = None,
    with_dependents: Annotated[
        bool, typer.Option("--with-dependents", help="Also what was made of them.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Remove leftovers of broken runs; or artifacts by name; or all that no kept study needs.

    Shows what it would remove and asks first.
    """
    from samemind.store.inventory import readable_size

    held = _inventory(store)
    in_work = held.store.leases.in_work()
    if in_work:
        raise StoreError(
            f"Somebody is at work in {store} ({next(iter(in_work))}). Wait for it to end."
        )
    for lease in held.store.leases.unread():
        raise StoreError(
            f"Somebody may be at work in {store}: the lease {lease} cannot be read (it is "
            f"{access(lease)}). Ask its owner, and remove it if nobody is."
        )
    held.store.claim()
    chosen = _chosen(held, artifacts or [], keep or [], with_dependents)
    left = [] if artifacts or keep else held.leftovers()
    found = [(e.name, e.size) for e in chosen]
    found += [(str(path.relative_to(store)), count) for path, count in left]
    if not found:
        console.print("There is nothing to remove.")
        return
    rows = [(name, readable_size(count)) for name, count in found]
    print_table(("to be removed", "size"), rows, right=("size",))
    total = readable_size(sum(count for _, count in found))
    if not yes and not typer.confirm(f"Remove these {len(found)} ({total})?"):
        console.print("Nothing was removed.")
        return
    # What depends on others goes first: an interruption leaves nothing without its source.
    for entry in sorted(chosen, key=lambda e: -len(e.needs)):
        held.store.remove(entry.path)
    try:
        for path, _ in left:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise storage_error(store, error) from error
    console.print(f"{len(found)} removed, {total}.")


def _chosen(
    held: Inventory, names: Sequence[str], keep: Sequence[str], with_dependents: bool
) -> list[Entry]:
    if names and keep:
        raise InvalidInput("Give either names of artifacts or --keep STUDY, not both.")
    if keep:
        from samemind.study import read_study

        return held.not_needed_by(
            recipe for study in keep for s in read_study(study).stages for recipe in s.recipes
        )
    asked = _named(held, names)
    everything = held.with_all_made_of_them(asked)
    others = [e.name for e in everything if e.name not in names]
    if others and not with_dependents:
        raise InvalidInput(
            f"{len(others)} artifacts were made of these, {others[0]} among them. Say "
            f"--with-dependents to remove them too."
        )
    return everything


def _named(held: Inventory, names: Sequence[str]) -> list[Entry]:
    unknown = [name for name in names if name not in held.entries]
    if unknown:
        raise InvalidInput(
            f"The store holds no artifact '{unknown[0]}'. "
            f"{did_you_mean(unknown[0], list(held.entries))}`samemind store list` shows all."
        )
    return [held.entries[name] for name in names]
