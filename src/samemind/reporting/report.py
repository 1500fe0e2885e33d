"""Writing a report: a folder that appears complete or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from samemind.errors import InvalidInput
from samemind.execution import Executor, InProcess
from samemind.figures.base import FIGURES, Figure, Results
from samemind.figures.boxes import measures_in
from samemind.figures.evidence import verdicts
from samemind.figures.style import labels_of, place_label
from samemind.figures.widths import drawn_at
from samemind.lazy import pd
from samemind.reporting.comparison import Comparison
from samemind.reporting.conventions import by_convention
from samemind.reporting.fingerprint import (
    MADE_FILE,
    contents_of,
    fingerprint_of,
    is_current,
)
from samemind.reporting.page import Drawn, page_of
from samemind.reporting.pairs_table import write_pairs
from samemind.reporting.placing import put_in_place
from samemind.reporting.table import write_table
from samemind.reporting.tables import tables_of
from samemind.reporting.together import together
from samemind.results import PARTS

OURS = (
    *("index.html", "figures", "tables", "scores.parquet", "models.parquet", "study.toml"),
    *("environment.json", "verdict.json", "recipes.json", MADE_FILE),
    *(part.file for part in PARTS),
)


SHARES = 8
# What each format has in the place of the date.
UNDATED: dict[str, dict[str, Any] | None] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": None,
}


@dataclass(frozen=True)
class Undrawn:
    """A figure that these results do not carry, and why."""

    name: str
    title: str
    missing: tuple[str, ...]


def write_report(
    results: Results | Sequence[Results],
    out: Path,
    *,
    on_progress: Callable[[int, int, str], None] | None = None,
    executor: Executor | None = None,
) -> Path:
    """The path of `index.html` of a report on one study, or on several drawn together.

    The report is made in a hidden sibling of `out` and swapped in when it is complete. What `out`
    held before is replaced only if it is a report; a report that would come out the same is left
    as it is.

    - `on_progress`: called with (done, of how many, what comes next).
    - `executor`: draws figures beside one another; they are the same bytes either way.

    **Raises:** `InvalidInput` if `out` is no folder, holds something that is not a report, or no
    results were given; `StoreError` if it cannot be written.
    """
    study = together([results] if isinstance(results, Results) else list(results))
    out = Path(out)
    _check_replaceable(out)
    fingerprint = fingerprint_of(study)
    if is_current(out, fingerprint):
        return out / "index.html"
    with put_in_place(out) as draft:
        (draft / "figures").mkdir()
        (draft / "tables").mkdir()
        _fill(draft, study, on_progress or _silent, executor or InProcess())
        write_json(draft / MADE_FILE, contents_of(draft, fingerprint))
    return out / "index.html"


def _silent(done: int, total: int, what: str) -> None:
    del done, total, what


def _check_replaceable(out: Path) -> None:
    try:
        names = sorted(path.name for path in out.iterdir())
    except FileNotFoundError:
        return
    except NotADirectoryError:
        taken = next(path for path in (out, *out.parents) if path.is_file())
        raise InvalidInput(
            f"Cannot write the report to {out}: {taken} is a file, no folder. Name another one."
        ) from None
    except OSError as error:
        raise InvalidInput(f"{out} cannot be read ({error.strerror}). Name another one.") from error
    foreign = [name for name in names if name not in OURS]
    if foreign:
        raise InvalidInput(
            f"{out} holds '{foreign[0]}', which no report has, so it was left as it is. "
            f"Name an empty or new folder for the report."
        )


def _fill(
    draft: Path, study: Results, on_progress: Callable[[int, int, str], None], executor: Executor
) -> None:
    write_data(draft, study)
    tables = [*tables_of(study), *filter(lambda table: len(table.frame), [by_convention(study)])]
    for table in tables:
        write_table(table, draft / "tables")
    write_pairs(study, draft / "tables")
    drawn, undrawn = draw_all(study, draft / "figures", on_progress, executor)
    stated = {"convention": study.convention} | axis_record(study)
    described = [
        {"dataset": dataset} | stated | named_along(study, verdict.as_record())
        for dataset, verdict in verdicts(study)
    ]
    write_json(draft / "verdict.json", without_nan(described))
    page = page_of(study, tables, drawn, undrawn, draft / "figures")
    (draft / "index.html").write_text(page, encoding="utf-8")


def axis_record(study: Results) -> dict[str, Any]:
    """What models are compared along, as plain data; nothing where that is ε."""
    return {} if study.axis.is_epsilon else {"axis": asdict(study.axis)}


def named_along(study: Results, record: Any) -> Any:
    """Plain data with the axis of the study in the names of its keys."""
    if study.axis.is_epsilon:
        return record
    if isinstance(record, dict):
        names = {"n_epsilons": "n_levels", "epsilon": study.axis.name}
        return {names.get(key, key): named_along(study, held) for key, held in record.items()}
    if isinstance(record, list):
        return [named_along(study, held) for held in record]
    return record


def write_data(draft: Path, study: Results) -> None:
    """Writes the tables of the results as they are, and what says where they are from."""
    # Inner layers last, so that the rows of the page's data are the first of the file.
    scores = pd.concat([study.main, study.inner], ignore_index=True).drop(columns="is_weak")
    named = study.axis.named
    named(scores).to_parquet(draft / "scores.parquet", index=False)
    named(study.models).to_parquet(draft / "models.parquet", index=False)
    for part, table in study.parts():
        named(table).to_parquet(draft / part.file, index=False)
    (draft / "study.toml").write_text(study.study_text, encoding="utf-8")
    write_json(draft / "environment.json", dict(study.environment))
    if study.recipes:
        write_json(draft / "recipes.json", dict(study.recipes))


def write_json(path: Path, content: Any) -> None:
    """Writes plain JSON, keys in order; what has no JSON form as its text."""
    text = json.dumps(content, indent=1, sort_keys=True, default=str, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def without_nan(content: Any) -> Any:
    """The same with None for numbers that are not finite, which JSON does not have."""
    if isinstance(content, dict):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [without_nan(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def draw_all(
    study: Results,
    folder: Path,
    on_progress: Callable[[int, int, str], None],
    executor: Executor,
) -> tuple[list[Drawn], list[Undrawn]]:
    """Draws every figure that the results carry, in all its variants, as PDF and PNG."""
    undrawn = []
    for member in FIGURES.values():
        missing = member.missing(study)
        if missing:
            title = study.axis.told(member.title)
            undrawn.append(Undrawn(member.name, title, tuple(missing)))
    plan = drawing_plan(study)
    # Few and mixed shares: each takes the results along, and the slow figures are neighbours.
    shares = [tuple(range(start, len(plan), SHARES)) for start in range(min(SHARES, len(plan)))]
    done = 0
    on_progress(0, len(plan), plan[0][2].file if plan else "")
    for outcome in executor.map(partial(draw_some, study, folder), shares):
        if outcome.error is not None:
            raise outcome.error
        done += len(outcome.item)
        on_progress(done, len(plan), "")
    return [entry for _, _, entry in plan], undrawn


def drawing_plan(study: Results) -> list[tuple[Figure, Results, Drawn]]:
    """Every figure and variant that the results carry, in reading order."""
    able = [member for member in FIGURES.values() if _suits(member, study)]
    plan = [step for member in able for step in variants(member, study)]
    return sorted(plan, key=lambda step: reading_order(step[0]))


def _suits(member: Figure, study: Results) -> bool:
    return not member.missing(study) and not (member.is_of_study and isinstance(study, Comparison))


def draw_some(study: Results, folder: Path, numbers: Sequence[int]) -> None:
    """Draws some steps of the plan; figures themselves do not travel between processes."""
    plan = drawing_plan(study)
    for number in numbers:
        member, results, entry = plan[number]
        save(member, results, folder / entry.file)


def reading_order(member: Figure) -> tuple[int, str]:
    """The overview first, then the paper's figures in their order, then the others by name."""
    if member.name == "similarity_by_epsilon":
        return 0, ""
    return (1, member.paper) if member.paper else (2, member.name)


def variants(member: Figure, study: Results) -> list[tuple[Figure, Results, Drawn]]:
    """The figure itself, once for each measure, and with the models present at every ε only.

    What shows one matrix of pairs comes for each measure and dataset.
    """

    def entry(file: str, variant: str = "", measure: str = "") -> Drawn:
        told = study.axis.told
        return Drawn(
            member.name, told(member.title), member.caption(study),
            member.paper if study.axis.is_epsilon else "", file, told(variant), measure,
        )  # fmt: skip

    found = [] if member.per_measure == "only" else [(member, study, entry(member.name))]
    if member.per_measure == "also":
        for measure in measures_in(study.defined):
            file = f"{member.name}-{safe_file_name(measure)}"
            found.append((member, study.only(measure=measure), entry(file, measure=measure)))
    if member.per_measure == "only":
        rows = study.defined[["measure", "dataset", "inputs_dataset"]].drop_duplicates()
        places = rows[["dataset", "inputs_dataset"]].drop_duplicates()
        called = labels_of([*places["dataset"], *places["inputs_dataset"]])
        for measure, dataset, inputs_dataset in rows.itertuples(index=False, name=None):
            alone = study.only(measure=measure, dataset=dataset, inputs_dataset=inputs_dataset)
            place = place_label(dataset, inputs_dataset) if len(places) > 1 else ""
            file = f"{member.name}-{measure}"
            if place:
                file += f"-{called[dataset]}-on-{called[inputs_dataset]}"
            found.append((member, alone, entry(safe_file_name(file), place, measure)))
    found = [step for step in found if not step[0].missing(step[1])]
    if member.is_by_epsilon:
        common = study.only_common_models()
        if len(common.models) < len(study.models) and not member.missing(common):
            variant = "only the models present at every ε"
            found.append((member, common, entry(f"{member.name}-common-models", variant)))
    return found


def single_variants(member: Figure, study: Results) -> list[tuple[str, Results]]:
    """What `samemind figure` draws: (what the file name goes on with, results) of each file.

    That is one file, unless the figure shows a single measure: then one for each measure and
    dataset that the results have.
    """
    if member.per_measure != "only" or member.missing(study):
        return [("", study)]
    return [
        (entry.file.removeprefix(member.name), chosen)
        for _, chosen, entry in variants(member, study)
    ]


def save(
    member: Figure,
    results: Results,
    path: Path,
    *,
    formats: Sequence[str] = ("pdf", "png"),
    width: float | None = None,
) -> list[Path]:
    """Writes a figure at print size in each of the formats, and names the files.

    - `formats`: pdf (fonts embedded), svg (its words stay words) and png.
    - `width`: in inches; the figure's own unless given.
    """
    from samemind.figures.style import house_style

    with drawn_at(width):
        drawing = member(results)
    files = {one: path.with_name(f"{path.name}.{one}") for one in formats}
    with house_style():
        if "png" not in files:
            drawing.draw_without_rendering()
            drawing.set_layout_engine("none")
        for one in sorted(files, key=lambda one: one != "png"):
            # Without a date the same results give the same bytes.
            drawing.savefig(files[one], metadata=UNDATED[one])
            # The layout stands; finding it again for each file would cost as much as drawing.
            drawing.set_layout_engine("none")
    return list(files.values())


def safe_file_name(name: str) -> str:
    """The name with everything that a file name should not hold replaced by a hyphen."""
    return "".join(c if c.isalnum() or c in "_-." else "-" for c in name)
