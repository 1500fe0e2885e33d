"""Checkpoints along one training: how like the end, the start and the one before each is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from samemind.figures.base import Results, figure
from samemind.figures.style import COLOUR, CYCLE, SMALL, legend_below, letter, measure_label, panels
from samemind.lazy import np

if TYPE_CHECKING:
    import matplotlib.figure
    from matplotlib.axes import Axes

RELATIONS = {"end": "to the end", "start": "to the start", "neighbour": "to the one before"}
MARKS = {"duplicate": "=", "misplaced": "↔", "foreign": "×"}
WIDE = 20  # the longest distance of two steps in terms of the shortest, for a linear axis


@figure(
    "trajectory",
    "Along the training",
    shows="The similarity of each checkpoint to the last one, to the first and to the one before "
    "it, by step, a panel per measure, with 95 % intervals over inputs and the floor; steps where "
    "the network changes fastest are shaded, and checkpoints that are not what their place says "
    "are marked.",
    needs=("trajectory",),
)
def trajectory(results: Results) -> matplotlib.figure.Figure:
    """A line over steps for each relation; a panel per measure."""
    assert results.trajectory is not None
    parts = list(results.trajectory.groupby("measure", sort=False))
    drawing, axes = panels(len(parts), most=2, height=2.6)
    for axis, (measure, rows) in zip(axes, parts, strict=True):
        for relation, colour in zip(RELATIONS, CYCLE, strict=False):
            line = rows[rows["relation"] == relation].sort_values("step")
            axis.plot(line["step"], line["score"], "o-", color=colour, markersize=3,
                      label=RELATIONS[relation])  # fmt: skip
            if line["lower"].notna().any():
                axis.fill_between(
                    line["step"], line["lower"], line["upper"], color=colour, alpha=0.2, lw=0
                )
        if rows["floor"].notna().any():
            axis.axhline(rows["floor"].mean(), color=COLOUR["floor"], linestyle=":", label="floor")
        _mark(axis, results, str(measure))
        _scale(axis, sorted(rows["step"].unique()))
        axis.set_title(measure_label(str(measure)))
        axis.set_xlabel("step")
    letter(axes)
    legend_below(drawing, axes[0].get_legend_handles_labels()[0])
    return drawing


def _mark(axis: Axes, results: Results, measure: str) -> None:
    phases = [] if results.phases is None else results.phases.to_dict("records")
    for phase in phases:
        if phase["measure"] == measure:
            axis.axvspan(phase["first_step"], phase["last_step"], color=COLOUR["floor"], alpha=0.2)
    wrong: list[Any] = [] if results.integrity is None else results.integrity.to_dict("records")
    for one in wrong:
        axis.axvline(one["step"], color=COLOUR["ink"], linewidth=0.6, linestyle="--")
        axis.annotate(MARKS[one["kind"]], (one["step"], 1), xycoords=("data", "axes fraction"),
                      ha="center", va="bottom", fontsize=SMALL)  # fmt: skip


def _scale(axis: Axes, steps: list[float]) -> None:
    """A logarithmic axis where steps lie ever farther apart, with room for step 0."""
    apart = np.diff(steps)
    if steps[0] >= 0 and apart.max() > WIDE * apart.min():
        axis.set_xscale("symlog", linthresh=next(s for s in steps if s > 0))
        axis.set_xlim(left=steps[0])
