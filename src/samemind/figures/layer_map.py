"""Layer by layer: every layer of one model with every layer of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from samemind.figures.base import Results, figure
from samemind.figures.style import SMALLEST, measure_label, new_figure, place_label
from samemind.figures.widths import columns_within, width_or
from samemind.lazy import np, pd
from samemind.statistics.verdict import ALPHA

if TYPE_CHECKING:
    import matplotlib.figure
    from matplotlib.axes import Axes

MOST_TICKS = 30
WITHIN_FLOOR = (0.82, 0.82, 0.82, 0.9)
MOST_PAIRS = 6
NARROWEST_MAP = 2.6  # inches


@figure(
    "layer_map",
    "Similarity layer by layer",
    shows="Every layer of one model (rows) with every layer of another (columns), a panel per pair "
    "of models; inputs enter at the top left. Grey: not beyond what 5 % of shuffled inputs reach "
    "in that cell. A dot: known to be the best of its row, beyond chance and told apart from every "
    "other cell of it; a row without one has ties. In a study: natural inputs, three pairs each at "
    "the lowest and the highest ε.",
    needs=("layers",),
)
def layer_map(results: Results) -> matplotlib.figure.Figure:
    """A heat map of layers for each pair of models."""
    assert results.layers is not None
    shown = shown_pairs(results.layers)
    pairs = list(shown.groupby(_keys(shown), sort=False))
    columns = columns_within(min(len(pairs), 2), NARROWEST_MAP)
    rows = -(-len(pairs) // columns)
    width = width_or(3.4 * columns)
    drawing = new_figure(width, min(3.1, 0.91 * width / columns) * rows)
    axes = drawing.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(pairs) :]:
        axis.set_axis_off()
    picture, scores = None, results.layers["score"]
    for axis, (key, part) in zip(axes.flat, pairs, strict=False):
        *places, a, b = map(str, key)  # pyright: ignore[reportArgumentType]
        matrix, layers_a, layers_b = _matrix(part)
        picture = axis.imshow(
            matrix, vmin=min(0, scores.min()), vmax=max(1, scores.max()), cmap="cividis"
        )
        _mark(axis, part, layers_a, layers_b)
        if "epsilon" in part:
            place = f"{place_label(*places)}, " if places and results.has_named_places else ""
            axis.set_title(f"{place}ε = {part['epsilon'].iloc[0]:g}")
        elif "reading" in part:
            axis.set_title(f"read as {part['reading'].iloc[0]}")
        axis.set_ylabel(str(a))
        axis.set_xlabel(str(b))
        for ticks, names in ((axis.set_yticks, layers_a), (axis.set_xticks, layers_b)):
            shown = np.linspace(0, len(names) - 1, min(len(names), MOST_TICKS)).round().astype(int)
            ticks(shown, [names[i] for i in shown], fontsize=SMALLEST)
        axis.tick_params(axis="x", rotation=90)
    if picture is not None:
        bar = drawing.colorbar(picture, ax=axes, shrink=0.7)
        bar.set_label(measure_label(str(results.layers["measure"].iloc[0])))
    return drawing


def shown_pairs(layers: pd.DataFrame) -> pd.DataFrame:
    """The rows of the pairs that are drawn: on natural inputs, half of them at either end of ε."""
    if "inputs" in layers:
        is_natural = layers["inputs"] == "natural"
        layers = layers[is_natural if is_natural.any() else layers["inverted_by"].notna()]
    if "epsilon" not in layers or layers["epsilon"].nunique() < 2:
        return _first_pairs(layers, MOST_PAIRS)
    ends = layers["epsilon"].min(), layers["epsilon"].max()
    return pd.concat([_first_pairs(layers[layers["epsilon"] == e], MOST_PAIRS // 2) for e in ends])


def _first_pairs(layers: pd.DataFrame, count: int) -> pd.DataFrame:
    pairs = list(layers.groupby(_keys(layers), sort=False))[:count]
    return pd.concat([part for _, part in pairs])


def _keys(layers: pd.DataFrame) -> list[str]:
    """What tells pairs apart; a comparison of one's own models has one set of inputs."""
    places = [name for name in ("dataset", "inputs_dataset", "reading") if name in layers]
    return [*places, "model_a", "model_b"]


def _matrix(part: pd.DataFrame) -> tuple[np.ndarray, list[str], list[str]]:
    layers_a = list(dict.fromkeys(part["layer_a"]))
    layers_b = list(dict.fromkeys(part["layer_b"]))
    return _wide(part, "score", layers_a, layers_b), layers_a, layers_b


def _wide(
    part: pd.DataFrame, column: str, layers_a: Sequence[str], layers_b: Sequence[str]
) -> np.ndarray:
    wide = part.pivot(index="layer_a", columns="layer_b", values=column)
    return wide.loc[list(layers_a), list(layers_b)].to_numpy()


def _mark(axis: Axes, part: pd.DataFrame, layers_a: Sequence[str], layers_b: Sequence[str]) -> None:
    """Greys what is within the floor, and puts a dot on the best of a row where it is known.

    Results from before maps had floors have neither.
    """
    if "p_value" not in part:
        return
    grey = np.zeros((len(layers_a), len(layers_b), 4))
    grey[_wide(part, "p_value", layers_a, layers_b) >= ALPHA] = WITHIN_FLOOR
    axis.imshow(grey)
    best = np.argwhere(_wide(part, "is_best", layers_a, layers_b).astype(bool))
    if len(best):
        axis.scatter(
            best[:, 1], best[:, 0], s=9, facecolor="white", edgecolor="black", linewidth=0.4
        )
