"""`samemind gate`: a policy's rules as an exit code, and as files for CI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from samemind.commands.options import BatchSize, Device
from samemind.commands.terminal import console, printable

if TYPE_CHECKING:
    from samemind.gating.verdicts import Gate

COULD_NOT_RUN = 3
USAGE: type[Exception] = typer.BadParameter.__bases__[0]  # of whichever click Typer rests on


class Exits(TyperCommand):
    """A command whose exit code is an answer: 2 means undecided, so a wrong option exits with 3."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As any command, but for the code of what is wrong."""
        is_answer = self.name == "gate" or any(a.startswith("--fail-on") for a in args)
        try:
            return super().parse_args(ctx, args)
        except USAGE as error:
            if is_answer:
                vars(error)["exit_code"] = COULD_NOT_RUN
            raise


@contextmanager
def could_not_run(out: Path | None = None) -> Iterator[None]:
    """Whatever goes wrong inside ends the command with 3 and one sentence: never with 0."""
    from samemind.errors import SamemindError

    try:
        yield
        return
    except typer.Exit:
        raise
    except SamemindError as error:
        message = str(error)
    except KeyboardInterrupt:
        message = "Interrupted."
    except Exception as error:  # a fault of ours or of a network: no pass either
        message = f"{type(error).__name__}: {str(error)[:500] or 'no message'}"
    message = " ".join(message.split())
    typer.echo(printable(f"samemind: could not run: {message}"), err=True)
    if out is not None:
        _tell(out, message)
    raise typer.Exit(COULD_NOT_RUN)


def _tell(out: Path, message: str) -> None:
    from samemind.gating.writing import junit_of_error

    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "junit.xml").write_text(junit_of_error(message), encoding="utf-8")
    except OSError:
        typer.echo(f"samemind: {out} cannot be written either.", err=True)


def gate(
    policy: Annotated[Path, typer.Argument(help="A TOML file: models, inputs and rules.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for gate.json, junit.xml, summary.md, badge.svg and card.md."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    device: Device = "auto",
    batch_size: BatchSize = 64,
) -> None:
    """Whether a new model may take the place of an old one: exits with 0 pass, 1 fail, 2 undecided.

    3: it could not run. Where CI offers a step summary, the answer is written to it.
    """
    with could_not_run(out):
        from samemind.execution.devices import Execution
        from samemind.execution.unchanged import process_kept
        from samemind.gating.door import gate_of_policy
        from samemind.gating.writing import add_to_step_summary, markdown, write_outputs

        with process_kept():
            found = gate_of_policy(policy, Execution(device=device, batch_size=batch_size))
        _print(found, as_json)
        if out is not None:
            written = write_outputs(found, out)
            if not as_json:
                console.print(f"Written: {', '.join(str(path) for path in written)}")
        add_to_step_summary(markdown(found))
    raise typer.Exit(found.exit_code)


def _print(found: Gate, as_json: bool) -> None:
    from samemind.gating.writing import flips_text

    if as_json:
        typer.echo(found.to_json())
        return
    first, *others = found.sentences
    console.print(first, style="bold", soft_wrap=True)
    for sentence in others:
        console.print(f"  {sentence}", soft_wrap=True)
    if found.fidelity is not None:
        for sentence in found.fidelity.sentences:
            console.print(f"  {sentence}", soft_wrap=True)
    if told := flips_text(found):
        console.print(told.strip(), soft_wrap=True)
    console.print(found.how, soft_wrap=True)


def exit_of_swaps(answers: list[str], fail_on: list[str]) -> int:
    """The code of `compare --fail-on`: 1 for a no, 2 for what is undecided, where named; else 0.

    **Raises:** `InvalidInput` for words that are no answers, or where nothing was answered.
    """
    from samemind.errors import InvalidInput

    codes = {"no": 1, "undecided": 2}
    unknown = [word for word in fail_on if word not in codes]
    if unknown or not fail_on:
        raise InvalidInput(
            f"--fail-on takes no, undecided or both with a comma between, but "
            f"'{', '.join(unknown)}' was given."
        )
    if not answers:
        raise InvalidInput(
            "--fail-on asks whether one model can take the place of another, which needs labels "
            "and models of the same classes, and no answer was found. The notes say why."
        )
    return next((c for word, c in codes.items() if word in fail_on and word in answers), 0)
