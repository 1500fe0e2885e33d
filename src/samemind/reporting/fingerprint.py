"""Whether a report is already what it would become, so that it need not be drawn again."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.files.reading import read_json
from samemind.lazy import np
from samemind.results import PARTS, Results

if TYPE_CHECKING:
    import pandas as pd

MADE_FILE = "report.json"
PACKAGE = Path(__file__).parents[1]
DRAWN_BY = ("figures", "reporting", "statistics", "axis.py", "results.py")


def fingerprint_of(study: Results) -> str:
    """A hash of everything that a report depends on: the results and the code that draws them."""
    found = hashlib.sha256()
    for place in DRAWN_BY:
        drawn_by = PACKAGE / place
        for file in sorted(drawn_by.iterdir()) if drawn_by.is_dir() else [drawn_by]:
            if file.is_file():
                found.update(file.name.encode() + file.read_bytes())
    if study.contributions is not None:
        for key, image in study.contributions.images.items():
            _add(found, list(key), image)
    for number, image in study.flip_images.items():
        _add(found, [number], image)
    parts = {part.name: table for part, table in study.parts()}
    for table in (study.scores, study.models, *(parts.get(part.name) for part in PARTS)):
        found.update(b"none" if table is None else _bytes(table))
    for item in study.gallery:
        facts = [item.model, item.epsilon, item.architecture, item.seed_label, item.target_label]
        _add(found, facts, item.seed, item.target, item.inverted)
    plain = [study.name, study.study_text, dict(study.environment), dict(study.classes)]
    _add(found, [*plain, dict(study.recipes), list(study.notes), study.convention])
    _add(found, [getattr(study, "tolerance", None)])
    if not study.axis.is_epsilon:
        _add(found, [repr(study.axis)])
    return found.hexdigest()


def is_current(out: Path, fingerprint: str) -> bool:
    """Whether `out` holds a report with that fingerprint, and all its files."""
    try:
        made = read_json(out / MADE_FILE)
        return made["fingerprint"] == fingerprint and all(
            (out / name).stat().st_size == size for name, size in made["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def contents_of(draft: Path, fingerprint: str) -> dict[str, Any]:
    """What `MADE_FILE` holds: the fingerprint, and every file with its size."""
    files = {
        str(file.relative_to(draft).as_posix()): file.stat().st_size
        for file in sorted(draft.rglob("*"))
        if file.is_file()
    }
    return {"fingerprint": fingerprint, "files": files}


def _bytes(table: pd.DataFrame) -> bytes:
    held = io.BytesIO()
    table.reset_index(drop=True).to_parquet(held, index=False)
    return held.getvalue()


def _add(found: Any, facts: list[Any], *images: np.ndarray) -> None:
    found.update(json.dumps(facts, sort_keys=True, default=str).encode())
    for image in images:
        found.update(np.ascontiguousarray(image).tobytes())
