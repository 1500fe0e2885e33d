"""All models of one ε together: how much the choice among them decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures.base import Results, figure
from samemind.figures.style import (
    COLOUR,
    INPUT_KINDS,
    epsilon_text,
    letter,
    measure_label,
    panels,
    place_label,
)

if TYPE_CHECKING:
    import matplotlib.figure


@figure(
    "sets_of_models",
    "Sets of models",
    shows="Measures of all models of one ε together, a panel each, by ε: on natural inputs, and on "
    "inverted ones (the mean over the models whose inverted images they are, and the range).",
    needs=("sets",),
)
def sets_of_models(results: Results) -> matplotlib.figure.Figure:
    """A line over ε for natural and for inverted inputs, for each measure."""
    assert results.sets is not None
    rows = results.sets[results.sets["score"].notna()]
    parts = list(rows.groupby(["dataset", "inputs_dataset", "measure"], sort=False))
    drawing, axes = panels(len(parts))
    for axis, (key, part) in zip(axes, parts, strict=True):
        dataset, away, measure = map(str, key)  # pyright: ignore[reportArgumentType]
        levels = sorted(part["epsilon"].unique())
        for inputs in INPUT_KINDS:
            by_level = part[part["inputs"] == inputs].groupby("epsilon")["score"]
            if not len(by_level):
                continue
            places = [levels.index(level) for level in by_level.mean().index]
            axis.plot(places, by_level.mean(), "o-", color=COLOUR[inputs], label=inputs)
            axis.vlines(places, by_level.min(), by_level.max(), color=COLOUR[inputs])
        axis.set_xticks(range(len(levels)), [epsilon_text(level) for level in levels])
        place = f"\n{place_label(dataset, away)}" if results.has_named_places else ""
        axis.set_xlabel(f"ε{place}")
        axis.set_title(measure_label(measure))
    letter(axes)
    handles, labels = axes[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=2)
    return drawing
