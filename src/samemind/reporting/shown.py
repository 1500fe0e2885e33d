"""Which part of very large results the page holds: it must stay below 15 MB."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from samemind.lazy import np
from samemind.results import Results

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 40_000  # of scores; each takes about 140 bytes


def shown_on_page(study: Results) -> tuple[Results, str]:
    """The results with the scores that the page holds, and what it leaves out ('' for nothing).

    Networks are left out from the end of the table of models, each at every ε: what is shown of a
    network is shown whole.
    """
    rows = study.main
    if len(rows) <= MOST_ROWS:
        return study, ""
    units = ["dataset", "architecture", "random_seed"]
    place = study.models.groupby(units, sort=False, dropna=False).ngroup()
    places = dict(zip(_keys(study.models, "model"), place, strict=True))
    of_row = np.maximum(
        *(
            np.array([places.get(key, -1) for key in _keys(rows, name)], dtype=int)
            for name in ("model_a", "model_b")
        )
    )
    # How many rows there are among the first 1, 2, … networks.
    counts = np.cumsum(np.bincount(of_row[of_row >= 0], minlength=place.max() + 1))
    kept = int(np.searchsorted(counts, MOST_ROWS, side="right"))
    shown = rows[of_row < kept].drop(columns="is_weak")
    several = "networks" if study.models["epsilon"].nunique() > 1 else "models"
    left_out = (
        f"The interactive charts would grow too large: they show the first {kept:,} of "
        f"{place.max() + 1:,} {several} ({len(shown):,} of {len(rows):,} scores). The verdict, the "
        f"figures and the tables are of all; scores.parquet has every score."
    )
    return replace(study, scores=shown), left_out


def _keys(table: pd.DataFrame, name: str) -> list[tuple[str, str]]:
    return list(zip(table["dataset"], table[name], strict=True))
