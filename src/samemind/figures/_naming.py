"""Names beside points, where there are few enough to be named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from samemind.figures.style import SMALLEST
from samemind.lazy import np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

MOST_NAMED = 8  # points of a panel; more names than that hide the points
GAP = 4.0  # points, from a mark to its name
LEADER = "#9A9A9A"
LETTER = 0.58  # width of a letter in terms of its size
# Where a name may stand, the best place first: steps from its point, and how it is aligned.
PLACES = (
    (1, 0, "left", "center"), (-1, 0, "right", "center"), (0, 1, "center", "bottom"),
    (0, -1, "center", "top"), (0.7, 0.7, "left", "bottom"), (0.7, -0.7, "left", "top"),
    (-0.7, 0.7, "right", "bottom"), (-0.7, -0.7, "right", "top"), (1.5, 1.8, "left", "bottom"),
    (1.5, -1.8, "left", "top"), (-1.5, 1.8, "right", "bottom"), (-1.5, -1.8, "right", "top"),
)  # fmt: skip


def name_points(axis: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Puts each name where it covers least: the figure is laid out once, to know what is where."""
    figure: Any = axis.figure
    figure.draw_without_rendering()
    marks = axis.transData.transform(np.asarray(points, dtype=float))
    half = 3 * figure.dpi / 72
    taken = [_square(x, y, half) for x, y in marks]
    for place, (point, name) in enumerate(zip(points, names, strict=True)):
        tried = [_at(axis, point, name, where) for where in PLACES]
        others = taken[:place] + taken[place + 1 :]
        costs = [_hidden(text, axis, others) for text in tried]
        best = int(np.argmin(costs))
        for number, text in enumerate(tried):
            if number != best:
                text.remove()
        taken.append(tried[best].get_window_extent())


def _square(x: float, y: float, half: float) -> Bbox:
    from matplotlib.transforms import Bbox

    return Bbox([[x - half, y - half], [x + half, y + half]])


def _at(
    axis: Axes, point: tuple[float, float], name: str, where: tuple[float, float, str, str]
) -> Annotation:
    x, y, ha, va = where
    return axis.annotate(
        name, point, xytext=(GAP * x, GAP * y), textcoords="offset points", ha=ha, va=va,
        fontsize=SMALLEST, in_layout=False, annotation_clip=False,
    )  # fmt: skip


def _hidden(text: Annotation, axis: Axes, others: Sequence[Bbox]) -> float:
    """The area that would lie over other marks and names, or outside the panel."""
    from matplotlib.transforms import Bbox

    box = text.get_window_extent()
    covered = sum(
        shared.width * shared.height
        for other in others
        if (shared := Bbox.intersection(box, other)) is not None
    )
    inside = Bbox.intersection(box, axis.get_window_extent())
    outside = box.width * box.height - (inside.width * inside.height if inside else 0)
    return covered + 3 * outside


def name_beside(axis: Axes, position: float, points: Sequence[Any], names: Sequence[str]) -> None:
    """Names the points of the one box of an axis at its right, a thin line leading to each.

    - `points`: (x, y) of each. Nothing is named where a name would take most of the panel.
    """
    from matplotlib.lines import Line2D

    figure: Any = axis.figure
    grid = axis.get_gridspec()
    rows, columns = (grid.nrows, grid.ncols) if grid is not None else (1, 1)
    wide = 72 * figure.get_figwidth() / columns - 40
    high = 72 * figure.get_figheight() / rows - 90  # a title, numbers, a legend
    share = (LETTER * SMALLEST * max(map(len, names)) + 14) / wide
    if share > 0.8:
        return
    left, start = position - 0.7, position + 0.5
    axis.set_xlim(left, (start - share * left) / (1 - share))
    low, high_value = axis.get_ylim()
    step = 1.25 * SMALLEST / high * (high_value - low)
    order = np.argsort([y for _, y in points], kind="stable")
    heights = spread_apart(np.array([points[i][1] for i in order], dtype=float), step)
    for height, i in zip(heights, order, strict=True):
        x, y = points[i]
        axis.add_line(Line2D([x, start - 0.03], [y, height], linewidth=0.4, color=LEADER))
        axis.text(start, height, str(names[i]), va="center", fontsize=SMALLEST, in_layout=False)
    if len(heights):
        pad = step / 2
        axis.set_ylim(min(low, heights[0] - pad), max(high_value, heights[-1] + pad))


def spread_apart(values: np.ndarray, step: float) -> np.ndarray:
    """Rising values `(N,)` moved as little as can be until neighbours lie `step` apart.

    >>> spread_apart(np.array([0.0, 0.0, 5.0]), 1.0).tolist()
    [-0.5, 0.5, 5.0]
    """
    # The nearest rising values to those less their step are those of an isotonic regression.
    shift = step * np.arange(len(values))
    groups: list[list[float]] = []  # [mean, count] of values that stand together
    for value in values - shift:
        groups.append([float(value), 1])
        while len(groups) > 1 and groups[-2][0] > groups[-1][0]:
            mean, count = groups.pop()
            before = groups[-1]
            before[0] = (before[0] * before[1] + mean * count) / (before[1] + count)
            before[1] += count
    return np.repeat([mean for mean, _ in groups], [int(n) for _, n in groups]) + shift
