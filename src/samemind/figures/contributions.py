"""Why two models differ: the inputs that add most and least to a pair's score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from samemind.figures.base import Contributions, Results, figure, pair_keys
from samemind.figures.needs import representation_measures
from samemind.figures.style import (
    PLAIN,
    SMALLEST,
    as_picture,
    measure_label,
    new_figure,
    place_label,
)
from samemind.figures.widths import TWO_COLUMNS, columns_within, width_or

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd

NARROWEST_IMAGE = 0.65  # inches
SHOWN = 8


@figure(
    "contributions",
    "Inputs that make two models differ",
    shows="For the least similar pair for which contributions were kept, the inputs that "
    "contribute least and most to its score, with the label and both models' predictions.",
    needs=("contributions",),
)
def contributions(results: Results) -> matplotlib.figure.Figure:
    """Two rows of images for one pair: least and most contributing inputs."""
    assert results.contributions is not None
    part = least_similar_pair(results)
    ranked = part.sort_values(["contribution", "input"])
    shown = columns_within(min(SHOWN, max(1, len(ranked) // 2)), NARROWEST_IMAGE)
    rows = {"least": ranked.head(shown), "most": ranked.tail(shown)[::-1]}
    width = width_or(min(TWO_COLUMNS, 1.0 + 1.1 * shown))
    drawing = new_figure(width, min(3.4, 1.5 + 2 * width / shown))
    axes = drawing.subplots(2, shown, squeeze=False)
    for line, (name, inputs) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axis, record in zip(line, inputs.to_dict("records"), strict=True):
            _show(axis, record, results.contributions)
    first = part.iloc[0]
    place = place_label(str(first["dataset"]), str(first["inputs_dataset"]))
    named = f"{place}: " if results.has_named_places else ""
    drawing.suptitle(
        f"{named}{first['model_a']}\n{first['model_b']}\n"
        f"{measure_label(str(first['measure']))}, {first['inputs']} inputs",
        fontsize=PLAIN,
    )
    return drawing


def least_similar_pair(results: Results) -> pd.DataFrame:
    """The rows of the pair with the lowest score that has contributions, at the highest ε.

    For the first of the paper's measures on representations, if it is there: what an input adds
    to agreement is 0 or 1 and tells little. The scores decide: contributions may be kept for the
    inputs at both ends only, and then their mean says nothing.
    """
    assert results.contributions is not None
    table = results.contributions.table
    measures = [str(name) for name in table["measure"].unique()]
    chosen = (representation_measures(measures, results.convention) or measures)[0]
    table = table[table["measure"] == chosen]
    table = table[table["epsilon"] == table["epsilon"].max()]
    scores = dict(zip(pair_keys(results.defined), results.defined["score"], strict=True))
    keys = pair_keys(table)
    lowest = min(dict.fromkeys(keys), key=lambda key: scores.get(key, float("inf")))
    return table[[key == lowest for key in keys]]


def _show(axis: object, record: dict[Any, Any], contributions: Contributions) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    image = contributions.images.get(contributions.image_key(record))
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    if image is not None:
        picture = as_picture(image)
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    lines = [f"{record['contribution']:.3f}".replace("-", "−")]
    if "label" in record:
        lines.append(f"label {record['label']}")
    if "prediction_a" in record:
        lines.append(f"said {record['prediction_a']} / {record['prediction_b']}")
    axis.set_title("\n".join(lines), loc="center", fontsize=SMALLEST)
