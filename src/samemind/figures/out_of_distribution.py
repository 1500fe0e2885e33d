"""The paper's Figure 6: inputs from another dataset than the models were trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._representations import draw_representations
from samemind.figures.base import Results, figure
from samemind.figures.boxes import Group, groups_of
from samemind.figures.needs import on_inverted
from samemind.lazy import pd

if TYPE_CHECKING:
    import matplotlib.figure


def _with_foreign_inputs(results: Results) -> set[str]:
    return set(on_inverted(results.defined, is_foreign=True)["dataset"])


@figure(
    "out_of_distribution",
    "Out of distribution",
    shows="Linear CKA, Procrustes similarity and k-NN Jaccard on inverted inputs made from "
    "another dataset (hatched), by ε, beside those of the models' own dataset where they exist.",
    needs=("out_of_distribution",),
    paper="Figure 6",
    studies="imagenet1k imagenet1k-sat6 cifar10 cifar10-sat6",
    is_by_epsilon=True,
    is_of_study=True,
    quantities=("cka", "procrustes"),
    datasets=_with_foreign_inputs,
)
def out_of_distribution(results: Results) -> matplotlib.figure.Figure:
    """Three measures on inverted inputs of a foreign dataset."""
    own, away = (on_inverted(results.defined, is_foreign=kind) for kind in (False, True))
    beside = own[own["dataset"].isin(_with_foreign_inputs(results))]
    return draw_representations(pd.concat([beside, away]), _by_dataset, results.convention)


def _by_dataset(rows: pd.DataFrame) -> list[Group]:
    """For each dataset of the models its own inputs, and the foreign ones beside them."""
    groups = groups_of(rows, is_named=True)
    names = [str(group.rows["dataset"].iloc[0]) for group in groups]
    return [groups[i] for i in sorted(range(len(groups)), key=lambda i: names.index(names[i]))]
