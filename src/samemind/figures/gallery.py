"""The paper's Figure 2: what a model's representation keeps of an image."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from samemind.figures.base import GalleryItem, Results, figure
from samemind.figures.style import (
    SMALL,
    as_picture,
    epsilon_text,
    new_figure,
    place_label,
)
from samemind.figures.widths import TWO_COLUMNS, columns_within, width_or

if TYPE_CHECKING:
    import matplotlib.figure

KINDS = ("seed", "target", "inverted")
NARROWEST_TRIPLE = 2.0  # inches
MOST_PER_MODEL = 3
MOST_ARCHITECTURES = 2


@figure(
    "gallery",
    "Seed, target and inverted images",
    shows="For a standard and a robust model, the seed image the inversion starts from, the "
    "target image, and the inverted image that the model represents like the target. Chosen by "
    "rule: the study's first two architectures, at their lowest and highest ε, and the first "
    "target of each of the first classes.",
    needs=("gallery",),
    paper="Figure 2",
    studies="imagenet1k",
    shows_along="For two models, the seed image the inversion starts from, the target image, and "
    "the inverted image that the model represents like the target. Chosen by rule: the study's "
    "first two architectures, at their lowest and highest ε, and the first target of each of the "
    "first classes.",
)
def gallery(results: Results) -> matplotlib.figure.Figure:
    """A row per model, standard above robust, with triples of seed, target, inverted image."""
    by_model: dict[tuple[str, float], list[GalleryItem]] = defaultdict(list)
    for item in results.gallery:
        # The first model of an architecture and ε: its other random seeds would only repeat it.
        place = place_label(item.dataset, item.inputs_dataset or item.dataset)
        network = f"{item.architecture}\n{place}" if results.is_joint else item.architecture
        known = by_model[network, item.epsilon]
        if not known or known[0].model == item.model:
            known.append(item)
    architectures = list(dict.fromkeys(key[0] for key in by_model))[:MOST_ARCHITECTURES]
    chosen = sorted(
        (key for key in by_model if key[0] in architectures),
        key=lambda key: (architectures.index(key[0]), key[1]),
    )
    triples = min(MOST_PER_MODEL, max(len(by_model[key]) for key in chosen))
    triples = columns_within(triples, NARROWEST_TRIPLE)
    width = width_or(TWO_COLUMNS if triples > 1 else TWO_COLUMNS / 2)
    cell = (width - 1.0) / (3.12 * triples)
    drawing = new_figure(width, 0.35 + len(chosen) * (cell + 0.04))
    grid = drawing.add_gridspec(len(chosen), 3 * triples, wspace=0.02, hspace=0.02)
    for row, key in enumerate(chosen):
        for triple, item in enumerate(by_model[key][:triples]):
            for column, kind in enumerate(KINDS):
                axis = drawing.add_subplot(grid[row, 3 * triple + column])
                picture = as_picture(getattr(item, kind))
                axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set_visible(False)
                if row == 0:
                    axis.set_title(kind, loc="center", fontsize=SMALL)
                if triple == 0 and column == 0:
                    axis.set_ylabel(
                        f"{key[0]}\nε = {epsilon_text(key[1])}",
                        rotation=0,
                        ha="right",
                        va="center",
                        fontsize=SMALL,
                    )
    return drawing
