"""The table of conventions in docs/paper.md: the verdict on the demo under each of them.

`python docs/_extension/conventions.py STORE` makes it: it runs the study `digits` with the printed
readings beside its own (models of an earlier run are taken from STORE), and writes the table
`conventions` of its report as Markdown.
"""

import sys
import tempfile
from pathlib import Path

from samemind.execution import InProcess
from samemind.execution.devices import Execution
from samemind.measures.conventions import CONVENTIONS
from samemind.reporting.conventions import by_convention
from samemind.reporting.table import Table
from samemind.store.artifacts import Store
from samemind.study import Study, read_study, study_path
from samemind.study.collecting import collect
from samemind.study.running import advance

TABLE = Path(__file__).parents[1] / "conventions-table.md"
PRINTED = CONVENTIONS["as_printed"].measures


def demo(folder: Path) -> Study:
    """The study `digits` with every reading, without its probes."""
    text = study_path("digits").read_text(encoding="utf-8").partition("[probes]")[0]
    listed = "".join(f'  "{name}",\n' for name in PRINTED if f'"{name}"' not in text)
    path = folder / "digits.toml"
    path.write_text(text.replace("measures = [\n", f"measures = [\n{listed}"), encoding="utf-8")
    return read_study(path)


def markdown(table: Table) -> str:
    """The table, with names of measures as code; rows of answers in bold."""
    head = list(map(str, table.frame.columns))
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    for row in table.texts():
        cells = [_code(cell) for cell in row]
        if "Answer" in cells:
            cells = [f"**{cell}**" for cell in cells]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _code(cell: str) -> str:
    name, colon, rest = cell.partition(": ")
    return f"`{name}`{colon}{rest}" if colon else cell


def write(store: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        study = demo(Path(folder))
        result = advance(study, Store(store), InProcess(), Execution())
        if result.failed:
            raise SystemExit(str(result.failed[0].error))
        TABLE.write_text(markdown(by_convention(collect(study, Store(store)))), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python docs/_extension/conventions.py STORE")
    write(Path(sys.argv[1]))
