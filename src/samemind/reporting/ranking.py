"""Pairs ranked by score, with groups that cannot be told apart."""

from __future__ import annotations

from samemind.lazy import pd
from samemind.measures.base import MEASURES
from samemind.statistics.differences import groups_told_apart, letters
from samemind.statistics.verdict import ALPHA


def ranking(scores: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """The pairs by score, the most alike first, with the groups that cannot be told apart.

    **Arguments:** the tables of a comparison.

    **Returns:** columns `measure`, `rank`, `model_a`, `model_b`, `score`, `standard_error`,
    `groups`: letters, one that two pairs share says that they are not told apart.
    """
    tables = []
    for name, told_of in differences.groupby("measure", sort=False):
        chosen = MEASURES[str(name)]
        rows = scores[(scores["measure"] == name) & (scores["inputs"] == "natural")]
        keys = list(zip(rows["model_a"], rows["model_b"], strict=True))
        known = {
            *zip(told_of["model_a"], told_of["model_b"], strict=True),
            *zip(told_of["other_a"], told_of["other_b"], strict=True),
        }
        rows = rows[[key in known for key in keys]]
        rows = rows.sort_values("score", ascending=not chosen.larger_is_more_similar, kind="stable")
        place = {k: i for i, k in enumerate(zip(rows["model_a"], rows["model_b"], strict=True))}
        is_apart = told_of[told_of["p_holm"] < ALPHA]
        apart = [
            (place[row["model_a"], row["model_b"]], place[row["other_a"], row["other_b"]])
            for row in is_apart.to_dict("records")
        ]
        groups = groups_told_apart(range(len(rows)), apart)
        table = rows[["measure", "model_a", "model_b", "score", "standard_error"]].copy()
        table.insert(1, "rank", range(1, len(rows) + 1))
        table["groups"] = [letters(some) for some in groups]
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
