"""What a gate found as files: JUnit XML, Markdown, JSON, a badge, and a model card's block."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from samemind.errors import InvalidInput, MissingExtra
from samemind.printing import printable
from samemind.statistics.gating import FAIL, PASS, UNDECIDED

if TYPE_CHECKING:
    from samemind.gating.verdicts import Gate

FLIPS_SHOWN = 20
SUMMARY = "GITHUB_STEP_SUMMARY"  # the file that CI shows as a run's summary
COLOURS = {PASS: "#2e7d32", FAIL: "#c62828", UNDECIDED: "#8a6d00"}


def write_outputs(found: Gate, folder: Path) -> list[Path]:
    """Writes gate.json, junit.xml, summary.md, badge.svg and, with huggingface_hub, card.md.

    **Raises:** `InvalidInput` for a folder that cannot be written.
    """
    makers: Mapping[str, Callable[[Gate], str]] = {
        "gate.json": lambda gate: gate.to_json(),
        "junit.xml": junit,
        "summary.md": markdown,
        "badge.svg": lambda gate: badge(gate.answer),
        "card.md": card,
    }
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, make in makers.items():
            try:
                text = make(found)
            except MissingExtra:
                continue
            (folder / name).write_text(text, encoding="utf-8")
            written.append(folder / name)
    except OSError as error:
        raise InvalidInput(
            f"What the gate found cannot be written to {folder}: {error.strerror}."
        ) from None
    return written


def add_to_step_summary(text: str) -> None:
    """Appends Markdown to the summary that CI offers, if it offers one."""
    path = os.environ.get(SUMMARY)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as summary:
            summary.write(f"{text}\n")
    except OSError as error:
        raise InvalidInput(
            f"The summary that {SUMMARY} names cannot be written: {error.strerror}."
        ) from None


def junit(found: Gate) -> str:
    """A test case per rule; what is undecided has failed, of the type "undecided"."""
    cases = []
    for ruling in found.rulings:
        name = quoteattr(printable(ruling.rule))
        said = printable(ruling.sentence)
        text = escape(said)
        if ruling.answer == PASS:
            body = f"<system-out>{text}</system-out>"
        else:
            body = f"<failure type={quoteattr(ruling.answer)} message={quoteattr(said)}>{text}"
            body += f"{escape(flips_text(found))}</failure>"
        cases.append(f'  <testcase classname="samemind.gate" name={name}>{body}</testcase>\n')
    bad = sum(r.answer != PASS for r in found.rulings)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name="samemind gate" tests="{len(cases)}" failures="{bad}" errors="0" '
        f'skipped="0">\n{"".join(cases)}</testsuite>\n'
    )


def junit_of_error(message: str) -> str:
    """The same of a gate that could not run: one test case with an error."""
    text = escape(printable(message))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<testsuite name="samemind gate" tests="1" failures="0" errors="1" skipped="0">\n'
        f'  <testcase classname="samemind.gate" name="gate"><error type="could not run" '
        f"message={quoteattr(printable(message))}>{text}</error></testcase>\n</testsuite>\n"
    )


def markdown(found: Gate) -> str:
    """For a pull request or a step summary: the answer, a row per rule, and the flips."""
    rows = "".join(
        f"| {_cell(r.rule)} | **{r.answer}** | {_cell(r.sentence)} |\n" for r in found.rulings
    )
    lines = [f"## samemind gate: {found.answer}\n", f"{_cell(found.sentences[0])}\n"]
    lines += [f"| rule | answer | |\n| --- | --- | --- |\n{rows}"]
    if found.fidelity is not None:
        lines += [f"{_cell(sentence)}\n" for sentence in found.fidelity.sentences]
    if told := flips_text(found):
        lines.append(f"```text\n{told.replace('```', '` ` `').strip()}\n```\n")
    lines += [f"- {_cell(note)}\n" for note in found.notes]
    lines.append(f"{found.how}\n")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text in which nothing is markup, on one line."""
    text = printable(text).replace("\n", " ").replace("\\", "\\\\")
    for mark in "|<>`*_[]":
        text = text.replace(mark, f"\\{mark}" if mark not in "<>" else f"&{'lg'[mark == '>']}t;")
    return text


def flips_text(found: Gate) -> str:
    """The first inputs that turn, a line each; "" without labels or flips."""
    if found.flips is None or not len(found.flips):
        return ""
    rows = found.flips.head(FLIPS_SHOWN).to_dict("records")
    lines = [
        f"{r['name']} is {r['label']}: {r['prediction_a']} → {r['prediction_b']} ({r['direction']})"
        for r in rows
    ]
    more = len(found.flips) - len(rows)
    if more > 0:
        lines.append(f"and {more:,} more")
    return printable("\n" + "\n".join(lines))


def badge(answer: str) -> str:
    """A picture of two words, to be shown where the model is."""
    left, width = 70, 70 + 14 + 7 * len(answer)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" '
        f'aria-label="samemind: {answer}"><title>samemind: {answer}</title>'
        f'<rect width="{width}" height="20" rx="3" fill="#444"/>'
        f'<rect x="{left}" width="{width - left}" height="20" rx="3" fill="{COLOURS[answer]}"/>'
        f'<g fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,sans-serif" '
        f'font-size="11"><text x="{left / 2:g}" y="14">samemind</text>'
        f'<text x="{(left + width) / 2:g}" y="14">{answer}</text></g></svg>\n'
    )


def card(found: Gate) -> str:
    """The metadata of a Hugging Face model card, as huggingface_hub writes it, between two `---`.

    **Raises:** `MissingExtra` where huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError:
        raise MissingExtra(
            "A model card needs huggingface_hub. Install it: pip install 'samemind[cards]'."
        ) from None
    results = [
        EvalResult(
            task_type="other",
            task_name=f"taking the place of {found.old}",
            dataset_type=found.inputs,
            dataset_name=found.inputs,
            metric_type=ruling.rule.partition(" ")[0],
            metric_name=f"{ruling.rule} (limit {ruling.limit:g}): {ruling.answer}",
            metric_value=ruling.found,
        )
        for ruling in found.rulings
    ]
    data = ModelCardData(model_name=found.new, eval_results=results, tags=["samemind"])
    return f"---\n{data.to_yaml()}\n---\n"
