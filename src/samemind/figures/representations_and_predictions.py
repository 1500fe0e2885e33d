"""Do models that represent alike predict alike? A point per pair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from samemind.figures._naming import MOST_NAMED, name_points
from samemind.figures.base import Results, figure
from samemind.figures.boxes import measures_in, weak_handles
from samemind.figures.needs import prediction_measures, representation_measures
from samemind.figures.style import (
    COLOUR,
    INPUT_KINDS,
    MARKERS,
    SMALL,
    epsilon_text,
    legend_below,
    letter,
    measure_label,
    panels,
    place_label,
)
from samemind.statistics import rank_correlations

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd
    from matplotlib.axes import Axes

PAIR = ["dataset", "inputs_dataset", "inputs", "epsilon", "model_a", "model_b", "is_weak"]


@figure(
    "representations_and_predictions",
    "Representational against predictive similarity",
    shows="For every pair, its similarity in representation against its similarity in "
    "predictions, on natural and inverted inputs; the shape of a point is its ε, and ρ the rank "
    "correlation over pairs of all ε.",
    needs=("predictions", "representations"),
    is_by_epsilon=True,
    quantities=("cka", "procrustes"),
)
def representations_and_predictions(results: Results) -> matplotlib.figure.Figure:
    """Scatter plots of the paper's measures on representations against one on predictions."""
    rows = results.defined
    on_logits = measures_in(rows[rows["layer"] == "logits"])
    prediction = (prediction_measures(on_logits, results.convention) or on_logits)[0]
    others = measures_in(rows[rows["layer"] != "logits"])
    measures = representation_measures(others, results.convention) or others[:3]
    table = rows.pivot_table(index=PAIR, columns="measure", values="score", aggfunc="mean")
    table = table.reset_index()
    places = list(table.groupby(["dataset", "inputs_dataset"], sort=False))
    drawing, axes = panels(len(measures) * len(places), most=len(measures), height=2.4)
    levels = sorted(table["epsilon"].unique())
    shown = [(key, part, measure) for key, part in places for measure in measures]
    for axis, (key, part, measure) in zip(axes, shown, strict=True):
        _scatter(axis, part, measure, prediction, levels)
        axis.set_title(measure_label(measure))
        axis.set_xlabel(measure_label(measure))
        if axis.get_subplotspec().is_first_col():  # pyright: ignore[reportOptionalMemberAccess]
            place = f"{place_label(*map(str, key))}\n" if results.has_named_places else ""  # pyright: ignore[reportArgumentType, reportCallIssue]
            axis.set_ylabel(f"{place}{measure_label(prediction)}")
    letter(axes)
    legend_below(drawing, _handles(table, levels))
    for axis, (_, part, measure) in zip(axes, shown, strict=True):
        _name_pairs(axis, part, measure, prediction)
    return drawing


def _name_pairs(axis: Axes, table: pd.DataFrame, measure: str, prediction: str) -> None:
    """Names the points of a panel, where they are few."""
    table = table.dropna(subset=[measure, prediction])
    if not 0 < len(table) <= MOST_NAMED:
        return
    points = list(zip(table[measure], table[prediction], strict=True))
    names = [f"{a} – {b}" for a, b in zip(table["model_a"], table["model_b"], strict=True)]
    name_points(axis, points, names)


def _scatter(
    axis: Axes, table: pd.DataFrame, measure: str, prediction: str, levels: list[float]
) -> None:
    notes = []
    for kind in INPUT_KINDS:
        part = table[table["inputs"] == kind]
        if not len(part):
            continue
        for level in levels:
            chosen = part[part["epsilon"] == level]
            axis.scatter(
                chosen[measure], chosen[prediction], s=9, color=COLOUR[kind], alpha=0.6,
                marker=MARKERS[levels.index(level) % len(MARKERS)], linewidths=0,
            )  # fmt: skip
        weak = part[part["is_weak"]]
        axis.scatter(
            weak[measure], weak[prediction], s=22, marker="x", color=COLOUR["ink"], linewidths=0.7
        )
        rho = rank_correlations(part[[measure, prediction]].to_numpy(dtype=float))[0, 1]
        if rho == rho:
            notes.append((f"ρ = {rho:.2f}".replace("-", "−"), COLOUR[kind]))
    for line, (text, colour) in enumerate(notes):
        axis.annotate(
            text, (0.97, 0.04 + 0.09 * line), xycoords="axes fraction", ha="right", color=colour,
            fontsize=SMALL,
        )  # fmt: skip
    axis.grid(True)


def _handles(table: pd.DataFrame, levels: list[float]) -> list[Any]:
    from matplotlib.lines import Line2D

    kinds = [kind for kind in INPUT_KINDS if (table["inputs"] == kind).any()]
    colours = [
        Line2D([], [], linestyle="", marker="o", markersize=4, color=COLOUR[kind],
               label=f"{kind} inputs")
        for kind in kinds
    ]  # fmt: skip
    shapes = [
        Line2D([], [], linestyle="", marker=MARKERS[i % len(MARKERS)], markersize=4,
               color=COLOUR["floor"], label=f"ε = {epsilon_text(level)}")
        for i, level in enumerate(levels if len(levels) > 1 else [])
    ]  # fmt: skip
    return colours + shapes + weak_handles(table)
