"""How the measures agree with each other about which pairs are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._naming import LETTER
from samemind.figures.base import Results, figure
from samemind.figures.boxes import measures_in
from samemind.figures.style import (
    INPUT_KINDS,
    SMALLEST,
    measure_label,
    new_figure,
    place_label,
)
from samemind.figures.widths import width_or
from samemind.lazy import np
from samemind.statistics import rank_correlations

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd

PAIR = ["dataset", "inputs_dataset", "epsilon", "model_a", "model_b"]


@figure(
    "measure_agreement",
    "How the measures agree",
    shows="Spearman's rank correlation between every two measures over the pairs of one ε, "
    "averaged over ε, for each kind of input. 1 means that two measures order pairs alike.",
    needs=("scores", "several_measures", "several_models"),
)
def measure_agreement(results: Results) -> matplotlib.figure.Figure:
    """A matrix of rank correlations between measures for each kind of input."""
    rows = results.defined
    kinds = [kind for kind in INPUT_KINDS if (rows["inputs"] == kind).any()]
    places = list(rows.groupby(["dataset", "inputs_dataset"], sort=False))
    measures = measures_in(rows)
    labels = [measure_label(name) for name in measures]
    size = max(1.6, 0.32 * len(measures))
    beside = LETTER * SMALLEST / 72 * max(map(len, labels))  # inches that names take
    width = width_or(2.3 + (size + 0.3) * len(kinds))
    columns = max(1, min(len(kinds), int((width - beside - 0.7) / 1.2)))
    if columns < len(kinds):
        columns = 1  # one kind of inputs below the other
    size = min(size, (width - beside - 0.7) / columns)
    rows_of_panels = len(places) * len(kinds) // columns
    drawing = new_figure(width, beside + 0.5 + (size + 0.4) * rows_of_panels)
    axes = drawing.subplots(rows_of_panels, columns, squeeze=False, sharey=True)
    picture = None
    panels = [(place, part, kind) for place, part in places for kind in kinds]
    for axis, (place, part, kind) in zip(axes.flat, panels, strict=True):
        of_kind = part[part["inputs"] == kind]
        if not len(of_kind):
            axis.set_visible(False)
            continue
        found = mean_rank_correlations(of_kind, measures)
        picture = axis.imshow(found, cmap="RdBu", vmin=-1, vmax=1)
        for i, j in np.argwhere(np.isfinite(found)):
            ink = "white" if abs(found[i, j]) > 0.6 else "black"
            text = f"{found[i, j]:.2f}".replace("0.", ".", 1).replace("-", "−")
            axis.text(
                j, i, text, ha="center", va="center", fontsize=SMALLEST, color=ink, in_layout=False
            )
        # Names of columns under the last matrix of a column only: they are long, and all alike.
        is_last = place == [key for key, other in places if (other["inputs"] == kind).any()][-1]
        below = labels if is_last else [""] * len(labels)
        axis.set_xticks(range(len(labels)), below, rotation=90, fontsize=SMALLEST)
        axis.set_yticks(range(len(labels)), labels, fontsize=SMALLEST)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        named = f"{place_label(*map(str, place))}\n" if results.has_named_places else ""  # pyright: ignore[reportArgumentType, reportCallIssue]
        axis.set_title(f"{named}{kind} inputs", loc="center")
    assert picture is not None
    drawing.colorbar(picture, ax=axes, shrink=0.6, label="rank correlation over pairs")
    return drawing


def mean_rank_correlations(rows: pd.DataFrame, measures: list[str]) -> np.ndarray:
    """Rank correlations within each ε, averaged over the ε that have them.

    Within, because over all ε any two measures that rise with it would seem to agree.
    """
    table = rows.pivot_table(index=PAIR, columns="measure", values="score", aggfunc="mean")
    table = table.reindex(columns=measures)
    parts = table.groupby(level=["dataset", "inputs_dataset", "epsilon"])
    found = np.stack([rank_correlations(part.to_numpy(dtype=float)) for _, part in parts])
    counts = np.isfinite(found).sum(axis=0)
    return np.where(counts > 0, np.nansum(found, axis=0) / np.maximum(counts, 1), np.nan)
