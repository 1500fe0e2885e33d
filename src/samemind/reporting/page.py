"""The page: one self-contained file that opens offline."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.figures.base import Results
from samemind.reporting.tables import Table

if TYPE_CHECKING:
    from samemind.reporting.report import Drawn, Undrawn

HERE = Path(__file__).parent


def page_of(
    study: Results,
    tables: Sequence[Table],
    drawn: Sequence[Drawn],
    undrawn: Sequence[Undrawn],
    figures: Path,
) -> str:
    """The text of index.html; `figures` is the folder with the PNG files to put into it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(
        study=study,
        counts=counts_of(study),
        tables=tables,
        drawn=drawn,
        undrawn=undrawn,
        picture=lambda entry: data_uri(figures / f"{entry.file}.png"),
    )


def data_uri(file: Path) -> str:
    """A PNG file as an address that holds the whole file."""
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode("ascii")


def counts_of(study: Results) -> dict[str, Any]:
    """What the top of the page says: how much there is, and what is undefined or weak."""
    undefined = study.scores[study.scores["score"].isna()]
    reasons = undefined["reason"].fillna("no reason was recorded").value_counts()
    return {
        "models": len(study.models),
        "pairs": len(study.scores[["dataset", "epsilon", "model_a", "model_b"]].drop_duplicates()),
        "scores": len(study.scores),
        "undefined": len(undefined),
        "reasons": list(reasons.items()),
        "weak": sorted(study.weak_models),
    }
