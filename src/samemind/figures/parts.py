"""Scores taken apart: do models share the classes, or what tells inputs of a class apart?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._compared import draw_compared
from samemind.figures.base import Results, figure
from samemind.figures.needs import part_of
from samemind.lazy import pd

if TYPE_CHECKING:
    import matplotlib.figure

COLOURS = {"whole": "#777777", "between classes": "#D55E00", "within classes": "#0072B2"}


@figure(
    "parts",
    "Between and within classes",
    shows="Every measure that is taken apart, by ε: of the whole representation, of the means of "
    "the classes, and of what is left within classes. Scores of parts do not add up to that of the "
    "whole, so they stand beside it.",
    needs=("parts",),
    is_by_epsilon=True,
)
def parts(results: Results) -> matplotlib.figure.Figure:
    """Boxes of the whole beside those of its parts, a panel per measure and kind of input."""
    rows = results.defined
    plain = rows["measure"].str.partition("@")
    part = rows["measure"].map(part_of)
    whole = [
        name.removesuffix(f"_{of}") + at + setting
        for name, of, at, setting in zip(plain[0], part, plain[1], plain[2], strict=True)
    ]
    named = rows.assign(measure=whole, part=part.str.replace("_", " ").replace("", "whole"))
    taken_apart = named.loc[part != "", "measure"].unique()
    table: pd.DataFrame = named[named["measure"].isin(list(taken_apart))]
    table = table.drop(columns="n_inputs")  # the same for all parts
    return draw_compared(table, "part", COLOURS, is_named=results.has_named_places)
