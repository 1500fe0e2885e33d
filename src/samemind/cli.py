"""The command line. It chooses what to do and where; what is scientific is in the study file."""

from __future__ import annotations

import errno
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from samemind import __version__
from samemind.commands import completing
from samemind.commands.arms import arms
from samemind.commands.compare import compare
from samemind.commands.compare_options import PANELS as COMPARE_PANELS
from samemind.commands.data import app as data
from samemind.commands.engines import Engine, executor_on, to_draw_on
from samemind.commands.figure import figure
from samemind.commands.gate import Exits, gate
from samemind.commands.importing import import_
from samemind.commands.init import init
from samemind.commands.listing import list_members
from samemind.commands.options import DEFAULT_STORE, Device, StorePath, TableAsJson, options_of
from samemind.commands.panels import panelled
from samemind.commands.rows import print_rows
from samemind.commands.store import app as store_commands
from samemind.commands.terminal import console, forget_stdout, prepare_streams, printable
from samemind.commands.trajectory import trajectory
from samemind.errors import DamagedArtifact, InvalidInput, SamemindError
from samemind.execution.devices import Execution, check_compiler
from samemind.files.reading import shown
from samemind.lazy import Interruptions
from samemind.store.artifacts import Store

if TYPE_CHECKING:
    from samemind.execution import Executor
    from samemind.study import Study

app = typer.Typer(
    name="samemind",
    help="Do your models think alike? Compare trained networks in what they predict and represent.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="A study that ships (see `list studies`) or a .toml file.",
        autocompletion=completing.studies,
    ),
]
OutPath = Annotated[
    Path | None, typer.Option("--out", help="Folder of the results [default: runs/STUDY].")
]


def _version(asked: bool) -> None:
    if asked:
        console.print(f"samemind {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Do your models think alike? Compare trained networks in what they predict and represent."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What `samemind run` takes."""

    study: StudyName
    store: StorePath = DEFAULT_STORE
    out: OutPath = None
    workers: Annotated[
        int, typer.Option(min=0, help="Worker processes; 0 takes one per core, or one per GPU.")
    ] = 0
    device: Device = "auto"
    batch_size: Annotated[
        int, typer.Option(min=1, help="Images per forward pass where it does not matter.")
    ] = 256
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile", help="Train with torch.compile: minutes to start, then faster steps."
        ),
    ] = False
    on: Annotated[Engine, typer.Option(help="Where: this machine, Ray or SLURM.")] = Engine.LOCAL
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; auto finds one.")] = None
    partition: Annotated[str | None, typer.Option(help="SLURM partition.")] = None
    minutes: Annotated[int | None, typer.Option(min=1, help="Time of a SLURM job.")] = None
    gpus: Annotated[float | None, typer.Option(min=0, help="Of one task; Ray shares one.")] = None
    cpus: Annotated[int | None, typer.Option(min=1, help="Of one task.")] = None
    at_most: Annotated[int | None, typer.Option(min=1, help="SLURM jobs at once.")] = None
    verify: Annotated[
        bool, typer.Option("--verify", help="Compute a random 1 % of the pairs again in float64.")
    ] = False


RUN_PANELS = {
    "Where it goes": ("store", "out"),
    "How it runs": ("workers", "device", "batch_size", "compiled", "verify"),
    "Other machines": ("on", "address", "partition", "minutes", "gpus", "cpus", "at_most"),
}


@app.command(cls=panelled(RUN_PANELS))
@options_of(RunOptions)
def run(given: RunOptions) -> None:
    """Build what a study still lacks, and write its report. Run it again to continue."""
    with _told_where_interrupted():
        from samemind.study import read_study

        plan_of = read_study(given.study)
        artifacts = Store(given.store)
        execution = Execution(
            device=given.device, batch_size=given.batch_size, compiled=given.compiled
        )
        if given.compiled:
            check_compiler()
        flags = {
            "address": given.address,
            "partition": given.partition,
            "minutes": given.minutes,
            "gpus": given.gpus,
            "cpus": given.cpus,
            "at_most": given.at_most,
        }
        asked = {name: value for name, value in flags.items() if value is not None}
        if asked and given.on is Engine.LOCAL:
            raise InvalidInput(
                f"--{next(iter(asked)).replace('_', '-')} needs --on ray or --on slurm."
            )
        cluster = plan_of.cluster.model_copy(update=asked)
        executor = executor_on(
            given.on, cluster, artifacts, workers=given.workers, device=given.device
        )
        try:
            _run_until_reported(plan_of, artifacts, executor, execution, given.out)
            if given.verify:
                _verify(plan_of, artifacts)
        finally:
            executor.close()


@contextmanager
def _told_where_interrupted() -> Iterator[None]:
    """A request to end (SIGTERM, Ctrl-C) ends the block with a sentence, imports included."""
    ask_to_end = Interruptions()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_end)
    try:
        yield
    except KeyboardInterrupt:
        raise SamemindError(
            "Interrupted. What was finished is kept: run the same command to continue."
        ) from None


def _run_until_reported(
    study: Study, store: Store, executor: Executor, execution: Execution, out: Path | None
) -> None:
    """Builds and reports; what the report finds damaged is built again."""
    _say_plan(study, store)
    while True:
        _advance(study, store, executor, execution)
        try:
            return _write_report([study], store, out, executor)
        except DamagedArtifact as error:
            if not error.is_set_aside:
                raise
            console.print(f"{error.found}; it is built again.")


def _say_plan(study: Study, store: Store) -> None:
    """What is about to be built, in two lines at once, whether anybody watches or a file does."""
    from samemind.commands.costs import costs_of

    missing = {
        stage.name: count
        for stage in study.stages
        if (count := sum(not store.has(recipe) for recipe in stage.recipes))
    }
    if not missing:
        return
    parts = ", ".join(f"{name} {count:,}" for name, count in missing.items())
    there = sum(len(stage.recipes) for stage in study.stages) - sum(missing.values())
    console.print(
        f"{time.strftime('%H:%M')} {study.name}: {sum(missing.values()):,} parts to build "
        f"({parts}), {there:,} done already, in {store.root}",
        soft_wrap=True,
    )
    console.print(costs_of(study, store, None)["sentence"], soft_wrap=True)
    sys.stdout.flush()


def _advance(study: Study, store: Store, executor: Executor, execution: Execution) -> None:
    from samemind.commands.progress import StageProgress
    from samemind.study.running import advance

    result = advance(study, store, executor, execution, watch=StageProgress(store, console))
    for message in result.damaged:
        console.print(f"{message}; it was built again.")
    for outcome in result.failed:
        typer.echo(f"\n{outcome.item.name}\n{outcome.trace or outcome.error}", err=True)
    if result.failed:
        raise SamemindError(
            f"{len(result.failed)} of the study's parts failed (above), and {result.blocked} wait "
            f"for them; the rest is finished and kept. Mend the cause and run again."
        )
    if not result.built:
        console.print("Everything was there already; nothing was built.")


def _verify(study: Study, store: Store) -> None:
    from samemind.comparison.verification import verify_scores

    for scores in study.scores:
        console.print(f"{scores.label}: {verify_scores(scores, store)}")


def _write_report(
    studies: Sequence[Study], store: Store, out: Path | None, executor: Executor | None = None
) -> None:
    from samemind.commands.progress import report_progress
    from samemind.reporting import write_report
    from samemind.study.collecting import collect

    folder = out or Path("runs") / "+".join(study.name for study in studies)
    with report_progress(console) as on_progress, to_draw_on(executor) as drawers:
        page = write_report(
            [collect(study, store) for study in studies],
            folder / "report",
            on_progress=on_progress,
            executor=drawers,
        )
    console.print(f"The report is in {page}")


@app.command()
def report(
    studies: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY...",
            help="Studies that ship (see `list studies`) or .toml files; several make one report.",
            autocompletion=completing.studies,
        ),
    ],
    store: StorePath = DEFAULT_STORE,
    out: OutPath = None,
) -> None:
    """Write tables, figures and the page of a study, or of several together, as far as finished."""
    from samemind.study import read_study

    _write_report([read_study(study) for study in studies], Store(store), out)


@app.command()
def plan(
    study: StudyName,
    store: StorePath = DEFAULT_STORE,
    probe: Annotated[
        bool, typer.Option("--probe", help="Time a few images of each network for an estimate.")
    ] = False,
    device: Annotated[str, typer.Option(help="Of the probe: auto, cpu, cuda.")] = "auto",
    as_json: TableAsJson = False,
) -> None:
    """Say what a study consists of, what is missing and what that costs, before anything runs."""
    from samemind.commands.costs import costs_of, needs_of, verdict_ahead
    from samemind.study import read_study

    read = read_study(study)
    rows = _progress_rows(read, Store(store))
    needs = needs_of(read, Store(store))
    costs = costs_of(read, Store(store), Execution(device=device) if probe else None)
    if as_json:
        content = {
            "study": read.name,
            "store": str(store),
            "stages": rows,
            "needs": needs,
            "costs": costs,
            "verdict": verdict_ahead(read),
        }
        typer.echo(json.dumps(content, indent=1))
        return
    architectures = {checkpoint.architecture for checkpoint in read.checkpoints}
    console.print(f"Study '{read.name}'{f': {read.title}' if read.title else ''}")
    console.print(
        f"{len(read.checkpoints)} models of {len(architectures)} architectures on "
        f"{read.dataset}, {read.along.symbol} in {', '.join(f'{v.value:g}' for v in read.levels)}"
        f"{f' ({read.norm})' if read.along.is_epsilon else ''}."
    )
    print_rows(rows, ("stage", "parts", "done", "missing"))
    for need in needs:
        brought_in = "the run brings it into the store."
        is_here = f"is here; `{need['check']}` looks into it." if need["check"] else brought_in
        found = need["missing"] or is_here
        console.print(f"{need['needs']}: {found}", soft_wrap=True, markup=False)
    console.print(" ".join(verdict_ahead(read)))
    if any(row["missing"] for row in rows):
        console.print(costs["sentence"])
        console.print(f"`samemind run {study}` builds what is missing.", soft_wrap=True)


@app.command()
def status(
    study: StudyName, store: StorePath = DEFAULT_STORE, as_json: TableAsJson = False
) -> None:
    """Say how far a study is, stage by stage."""
    from samemind.study import read_study

    rows = _progress_rows(read_study(study), Store(store))
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    print_rows(rows, ("stage", "parts", "done", "missing", "in work"))
    parts = [part for row in rows for part in row["parts in work"]]
    if parts:
        console.print()
        print_rows(parts, ("in work", "share done", "host", "process", "since"))


class _Progress(TypedDict("_Progress", {"in work": int, "parts in work": list[dict[str, object]]})):
    """How far one stage is."""

    stage: str
    parts: int
    done: int
    missing: int


def _progress_rows(study: Study, store: Store) -> list[_Progress]:
    from samemind.store.resume import fraction_done

    leases = store.leases.in_work()
    rows = []
    for stage in study.stages:
        missing = [r for r in stage.recipes if not store.has(r)]
        in_work = [
            {
                "in work": r.name,
                "share done": fraction_done(store.scratch_path(r)),
                "host": leases[r.name]["host"],
                "process": leases[r.name]["process"],
                "since": time.strftime("%Y-%m-%d %H:%M", time.localtime(leases[r.name]["since"])),
            }
            for r in missing
            if r.name in leases
        ]
        rows.append(
            {
                "stage": stage.name,
                "parts": len(stage.recipes),
                "done": len(stage.recipes) - len(missing),
                "missing": len(missing),
                "in work": len(in_work),
                "parts in work": in_work,
            }
        )
    return rows


app.command(cls=panelled(COMPARE_PANELS, Exits))(compare)
app.command(cls=Exits)(gate)
app.command()(trajectory)
app.command()(figure)
app.command()(arms)
app.command()(init)
app.command(name="list")(list_members)
app.add_typer(store_commands)
app.command(name="import")(import_)
app.add_typer(data, name="data")


def main() -> None:
    """The entry point: errors meant for the reader are printed without a traceback."""
    prepare_streams()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except SamemindError as error:
        typer.echo(printable(f"samemind: {error}"), err=True)
    except BrokenPipeError:
        forget_stdout()  # its reader (head, less) has gone; there is nobody left to tell
    except OSError as error:
        if error.errno not in OF_THE_SYSTEM:
            raise
        forget_stdout()
        what = shown(error.filename) if error.filename is not None else "The output"
        typer.echo(printable(f"samemind: {what[:300]}: {error.strerror}."), err=True)
    else:
        return
    sys.exit(1)


OF_THE_SYSTEM = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EBADF,
    errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EFBIG,
}  # fmt: skip
"""What a disk or a terminal refuses: no fault of samemind, and told in a sentence."""
