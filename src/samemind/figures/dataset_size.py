"""The paper's Figure 5: the same on subsets of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._representations import draw_representations
from samemind.figures.base import Results, figure
from samemind.figures.boxes import Group, groups_of
from samemind.figures.needs import families_of, on_inverted

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd


def _of_families(results: Results) -> set[str]:
    families = families_of(on_inverted(results.defined)["dataset"].unique())
    return {name for names in families.values() for name in names}


@figure(
    "dataset_size",
    "Effect of dataset size",
    shows="Linear CKA, Procrustes similarity and k-NN Jaccard on inverted inputs, by ε, for "
    "datasets of one family (such as ImageNet with 1000, 100 and 50 classes), largest first.",
    needs=("dataset_family",),
    paper="Figure 5",
    studies="imagenet1k imagenet100 imagenet50",
    is_by_epsilon=True,
    is_of_study=True,
    quantities=("cka", "procrustes"),
    datasets=_of_families,
)
def dataset_size(results: Results) -> matplotlib.figure.Figure:
    """Three measures on inverted inputs, datasets in the order of their number of classes."""
    rows = on_inverted(results.defined)

    def largest_first(part: pd.DataFrame) -> list[Group]:
        return sorted(
            groups_of(part, is_named=True),
            key=lambda group: -results.classes.get(str(group.rows["dataset"].iloc[0]), 0),
        )

    return draw_representations(
        rows[rows["dataset"].isin(_of_families(results))], largest_first, results.convention
    )
