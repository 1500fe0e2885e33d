"""Whether a report is already what it would become, so that it need not be drawn again."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.figures.base import Results
from samemind.files.reading import read_json
from samemind.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
else:
    np = LazyModule("numpy")

MADE_FILE = "report.json"
PACKAGE = Path(__file__).parents[1]
DRAWN_BY = ("figures", "reporting", "statistics")


def fingerprint_of(study: Results) -> str:
    """A hash of everything that a report depends on: the results and the code that draws them."""
    found = hashlib.sha256()
    for folder in DRAWN_BY:
        for file in sorted((PACKAGE / folder).iterdir()):
            if file.is_file():
                found.update(file.name.encode() + file.read_bytes())
    tables = [study.scores, study.models, study.probes, study.subgroups, study.layers, study.sets]
    if study.contributions is not None:
        tables.append(study.contributions.table)
        for key, image in study.contributions.images.items():
            _add(found, list(key), image)
    if study.flips is not None:
        tables += [study.flips.table, study.flips.by_class]
        for number, image in study.flips.images.items():
            _add(found, [number], image)
    for table in tables:
        found.update(b"none" if table is None else _bytes(table))
    for item in study.gallery:
        facts = [item.model, item.epsilon, item.architecture, item.seed_label, item.target_label]
        _add(found, facts, item.seed, item.target, item.inverted)
    plain = [study.name, study.study_text, dict(study.environment), dict(study.classes)]
    _add(found, [*plain, dict(study.recipes)])
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
