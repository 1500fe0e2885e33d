"""Box plots over ε: the drawing that most figures share.

Each box holds one score per pair of models; every pair is drawn as a point, because boxes of
twelve points hide that they are twelve, and crossed out where one of its models is weak. Pairs of
one architecture with other random seeds are kept out of the boxes and give the ceiling instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samemind.figures._naming import MOST_NAMED, name_beside
from samemind.figures.matrices import has_several_seeds, short_names
from samemind.figures.style import (
    COLOUR,
    INPUT_KINDS,
    SMALL,
    SMALLEST,
    epsilon_text,
    panels,
    place_label,
)
from samemind.figures.widths import TWO_COLUMNS, columns_within, width_or
from samemind.lazy import np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY_POINTS = 150
HATCH = "////"  # inputs of another dataset than the models'
FEW_TICKS = 7
# How many boxes a panel has room for, by how many panels stand in a row; more have upright numbers.
MOST_BOXES = {3: 10, 2: 16, 1: 34}


@dataclass(frozen=True, eq=False)
class Group:
    """Boxes that stand together: one dataset and kind of input, ε rising from left to right."""

    label: str
    inputs: str
    rows: pd.DataFrame
    is_out_of_distribution: bool = False
    is_named: bool = False  # its label is the dataset's name


def across_architectures(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of pairs whose architectures differ; all rows where no pair has that."""
    across = rows[rows["architecture_a"] != rows["architecture_b"]]
    return across if len(across) else rows


def across_random_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of pairs of one architecture with different random seeds, beside others."""
    same = rows["architecture_a"] == rows["architecture_b"]
    if same.all():
        return rows[:0]
    return rows[same & (rows["random_seed_a"] != rows["random_seed_b"])]


def groups_of(rows: pd.DataFrame, *, is_named: bool = False) -> list[Group]:
    """One group per (dataset, inputs, dataset of the inputs), natural inputs first.

    - `is_named`: groups carry the dataset's name even where `rows` have one only.
    """
    keys = ["dataset", "inputs_dataset", "inputs"]
    found = []
    places = rows[["dataset", "inputs_dataset"]].drop_duplicates()
    several = is_named or len(places) > 1
    kinds = rows["inputs"].unique()
    order = rows.assign(_late=rows["inputs"] != "natural").groupby(keys, sort=False)
    for (dataset, inputs_dataset, inputs), part in order:
        away = inputs_dataset != dataset
        label = place_label(str(dataset), str(inputs_dataset)).replace(" on ", "\non ")
        if several and len(kinds) > 1:
            label += f"\n{inputs}"
        if not several:
            label = f"{inputs} inputs"
        found.append(Group(label, str(inputs), part, away, several))
    return sorted(found, key=lambda g: (g.is_out_of_distribution, g.inputs != "natural"))


def box_panels(
    rows: pd.DataFrame, *, most: int = 3, height: float = 2.1
) -> tuple[Figure, Sequence[Axes]]:
    """A panel for each measure of the rows, wide enough for the boxes of its groups."""
    cells = rows[["measure", "dataset", "inputs_dataset", "inputs", "epsilon"]].drop_duplicates()
    counts = cells["measure"].value_counts()
    boxes = int(counts.max())
    share = width_or(TWO_COLUMNS) / TWO_COLUMNS
    fitting = [columns for columns, room in MOST_BOXES.items() if boxes <= room * share]
    columns = columns_within(min(most, fitting[0] if fitting else 1))
    return panels(len(counts), most=columns, height=height)


def draw_groups(axis: Axes, groups: Sequence[Group]) -> None:
    """Draws the boxes of all groups on one axis, with floors, ceilings and a label per group."""
    position, ticks, labels, centres = 0.0, [], [], []
    share = width_or(TWO_COLUMNS) / TWO_COLUMNS
    for group in groups:
        first = position
        for epsilon, rows in _levels(group.rows):
            _draw_level(axis, position, group, rows)
            ticks.append(position)
            labels.append(epsilon_text(epsilon))
            position += 1
        centres.append(((first + position - 1) / 2, group.label))
        position += 0.7
    axis.set_xticks(ticks, labels)
    is_crowded = len(ticks) > MOST_BOXES[1] * share
    if is_crowded:
        axis.tick_params(axis="x", rotation=90)
    if len(ticks) > FEW_TICKS * share:
        axis.tick_params(axis="x", labelsize=SMALLEST)
    axis.set_xlim(-0.7, position - 1)
    axis.grid(axis="y")
    is_labelled = len(groups) > 1 or any(group.is_named for group in groups)
    axis.set_xlabel("" if is_labelled else "ε")
    if is_labelled:
        # Beside the numbers, because the line below them names the groups.
        axis.annotate(
            "ε", (0, 0), xycoords="axes fraction", xytext=(-3, -5), textcoords="offset points",
            ha="right", va="top", fontsize=SMALL, annotation_clip=False,
        )  # fmt: skip
        _label_groups(
            axis, centres, first=26 if is_crowded else 16, size=SMALLEST if is_crowded else SMALL
        )


def name_few(axis: Axes, groups: Sequence[Group]) -> None:
    """Names the pairs of the only box of an axis, where they are few; its limits must stand."""
    if len(groups) != 1 or groups[0].rows["epsilon"].nunique() != 1:
        return
    rows = across_architectures(groups[0].rows)
    if len(rows) > MOST_NAMED:
        return
    has_seeds = has_several_seeds(rows)
    sides = (short_names(rows, side, has_seeds=has_seeds) for side in "ab")
    names = [f"{a} – {b}" for a, b in zip(*sides, strict=True)]
    scores = rows["score"].to_numpy(dtype=float)
    points = list(zip(places_in_box(0.0, len(rows)), scores, strict=True))
    name_beside(axis, 0.0, points, names)


def _label_groups(
    axis: Axes, centres: Sequence[tuple[float, str]], *, first: int, size: float
) -> None:
    """Names the groups below the numbers, in as many lines as keep neighbours apart.

    - `first`: points from the axis to the first line. `size`: of the letters, in points.
    """
    lines = _lines_needed(axis, centres, size)
    rows = [[label.count("\n") + 1 for _, label in centres[i::lines]] for i in range(lines)]
    above = [1.3 * size * sum(map(max, rows[:i])) for i in range(lines)]
    for number, (centre, label) in enumerate(centres):
        axis.annotate(
            label,
            (centre, 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, -first - above[number % lines]),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=size,
            annotation_clip=False,
        )


def _lines_needed(axis: Axes, centres: Sequence[tuple[float, str]], size: float) -> int:
    """The fewest lines over which the labels of groups can be dealt without touching."""
    figure = axis.figure
    grid = axis.get_gridspec()
    columns = grid.ncols if grid is not None else 1
    left, right = axis.get_xlim()
    # Points for one box; numbers and margins beside a panel take about 40.
    step = (72 * figure.get_figwidth() / columns - 40) / (right - left)  # pyright: ignore
    widths = [0.6 * size * max(map(len, label.split("\n"))) for _, label in centres]
    for lines in range(1, len(centres)):
        gaps = (
            (centres[i + lines][0] - centres[i][0]) * step - (widths[i] + widths[i + lines]) / 2
            for i in range(len(centres) - lines)
        )
        if min(gaps) > size / 2:
            return lines
    return max(1, len(centres))


def _levels(rows: pd.DataFrame) -> Iterator[tuple[float, pd.DataFrame]]:
    for epsilon, part in rows.groupby("epsilon", sort=True):
        yield float(epsilon), part  # pyright: ignore[reportArgumentType]


def _draw_level(axis: Axes, position: float, group: Group, rows: pd.DataFrame) -> None:
    shown = across_architectures(rows)
    scores = shown["score"].to_numpy(dtype=float)
    hatch = HATCH if group.is_out_of_distribution else ""
    draw_box(axis, position, scores, COLOUR[group.inputs], hatch, weak=shown["is_weak"].to_numpy())
    _mark_level(axis, position, rows["floor"].to_numpy(dtype=float), "floor", (0, (2, 1.5)))
    ceiling = across_random_seeds(rows)["score"].to_numpy(dtype=float)
    _mark_level(axis, position, ceiling, "ceiling", "solid")


def draw_box(
    axis: Axes,
    position: float,
    scores: np.ndarray,
    colour: str,
    hatch: str = "",
    *,
    weak: np.ndarray,
) -> None:
    """Draws one box with all its points; those of pairs with a weak model are crosses."""
    box = axis.boxplot(
        scores,
        positions=[position],
        widths=0.62,
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        medianprops={"color": COLOUR["ink"], "linewidth": 1.3},
        whiskerprops={"color": colour, "linewidth": 0.8},
        capprops={"color": colour, "linewidth": 0.8},
        boxprops={"edgecolor": colour, "facecolor": colour + "40", "linewidth": 0.8},
    )
    box["boxes"][0].set_hatch(hatch)
    size = 5 if len(scores) < MANY_POINTS else 1.5
    x = places_in_box(position, len(scores))
    axis.scatter(x[~weak], scores[~weak], s=size, color=colour, alpha=0.6, linewidths=0, zorder=3)
    if weak.any():
        axis.scatter(
            x[weak], scores[weak], s=2.5 * size, color=COLOUR["ink"], marker="x", linewidths=0.7,
            zorder=3.5,
        )  # fmt: skip


def places_in_box(position: float, n: int) -> np.ndarray:
    """Where the points of a box stand, from left to right as their rows follow one another.

    A fixed pattern instead of a random one: the same results give the same figure.
    """
    return position + ((np.arange(n) * 0.618034) % 1 - 0.5) * 0.42


def _mark_level(
    axis: Axes, position: float, values: np.ndarray, kind: str, linestyle: object
) -> None:
    if values.size and np.isfinite(values).any():
        axis.hlines(
            float(np.nanmedian(values)),
            position - 0.42,
            position + 0.42,
            colors=COLOUR[kind],
            linestyles=linestyle,  # pyright: ignore[reportArgumentType]
            linewidths=1.4,
            zorder=4,
        )


def legend_handles(rows: pd.DataFrame) -> list[Any]:
    """The legend of the colours and lines that `rows` bring into a box plot."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(edgecolor=COLOUR[kind], facecolor=COLOUR[kind] + "40", label=f"{kind} inputs")
        for kind in INPUT_KINDS
        if (rows["inputs"] == kind).any()
    ]
    if (rows["inputs_dataset"] != rows["dataset"]).any():
        handles.append(
            Patch(edgecolor=COLOUR["ink"], facecolor="none", hatch=HATCH, label="another dataset")
        )
    if rows["floor"].notna().any():
        handles.append(
            Line2D([], [], color=COLOUR["floor"], linestyle=(0, (2, 1.5)), label="floor")
        )
    if len(across_random_seeds(rows)):
        handles.append(Line2D([], [], color=COLOUR["ceiling"], label="ceiling (other random seed)"))
    return handles + weak_handles(rows)


def weak_handles(rows: pd.DataFrame) -> list[Any]:
    """The legend of the crosses, where `rows` bring some."""
    from matplotlib.lines import Line2D

    if not rows["is_weak"].any():
        return []
    return [
        Line2D([], [], linestyle="", marker="x", markersize=4, color=COLOUR["ink"],
               label="pair with a weak model")
    ]  # fmt: skip


def measures_in(rows: pd.DataFrame, wanted: Callable[[str], bool] = bool) -> list[str]:
    """The measures of the rows in their order of appearance, as far as wanted."""
    return [str(name) for name in rows["measure"].unique() if wanted(str(name))]
