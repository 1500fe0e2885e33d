"""What figures can need of results, and the rows that they choose: one place for both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from samemind.figures.style import dataset_label
from samemind.lazy import pd
from samemind.measures.base import MEASURES
from samemind.measures.choosing import usual_measures
from samemind.measures.conventions import QUANTITIES, RECOMMENDED, reading_of
from samemind.results import PARTS

if TYPE_CHECKING:
    from samemind.results import Results

# What a figure can need, as a test on the results and as the words for its absence.
NEEDS: dict[str, tuple[Callable[[Results], bool], str]] = {
    "scores": (lambda r: len(r.defined) > 0, "no pair has a score"),
    "natural_predictions": (
        lambda r: len(on_predictions(r, "natural")) > 0,
        "no agreement or JSDSim on natural inputs",
    ),
    "inverted_predictions": (
        lambda r: len(on_predictions(r, "inverted")) > 0,
        "no agreement or JSDSim on inverted inputs",
    ),
    "inverted_representations": (
        lambda r: len(on_inverted(r.defined)) > 0,
        "no measure on representations of inverted inputs",
    ),
    "predictions": (
        lambda r: bool((r.defined["layer"] == "logits").any()),
        "no measure on predictions",
    ),
    "representations": (
        lambda r: bool((r.defined["layer"] != "logits").any()),
        "no measure on representations",
    ),
    "several_epsilons": (lambda r: has_several_epsilons(r.defined), "only one ε"),
    "several_measures": (lambda r: r.defined["measure"].nunique() > 1, "only one measure"),
    "parts": (
        lambda r: any(part_of(str(name)) for name in r.defined["measure"].unique()),
        "no score taken apart between and within classes",
    ),
    "several_models": (
        lambda r: pd.concat([r.defined["model_a"], r.defined["model_b"]]).nunique() > 2,
        "fewer than three models",
    ),
    "dataset_family": (
        lambda r: bool(families_of(on_inverted(r.defined)["dataset"].unique())),
        "no two datasets of one family, such as imagenet1k and imagenet100",
    ),
    "neighbourhood_sizes": (
        lambda r: on_neighbours(on_inverted(r.defined))["measure"].nunique() > 1,
        "k-NN Jaccard at one k only",
    ),
    "out_of_distribution": (
        lambda r: len(on_inverted(r.defined, is_foreign=True)) > 0,
        "no inputs from another dataset than the models were trained on",
    ),
    "floors": (lambda r: bool(r.defined["floor"].notna().any()), "no floors"),
    "gallery": (lambda r: len(r.gallery) > 0, "no gallery of inverted images"),
    "models": (lambda r: len(r.models) > 0, "no table of models"),
    **{part.name: (part.has_rows, part.absent) for part in PARTS if part.absent},
}


#: How the names of measures of parts end, before their setting.
PARTS_OF_SCORES = ("between_classes", "within_classes")


def part_of(name: str) -> str:
    """Which part of a representation a measure is of, by its name; nothing for the whole."""
    plain = name.partition("@")[0]
    return next((part for part in PARTS_OF_SCORES if plain.endswith(f"_{part}")), "")


# What one study alone seldom or never has.
NEEDS_ANOTHER_STUDY = ("dataset_family", "out_of_distribution")


def on_predictions(results: Results, inputs: str) -> pd.DataFrame:
    """Agreement and JSDSim on one kind of input; on the models' own dataset where that is there."""
    rows = results.defined
    wanted = prediction_measures(rows["measure"].unique(), results.convention)
    rows = rows[rows["measure"].isin(wanted) & (rows["inputs"] == inputs)]
    own = rows[rows["inputs_dataset"] == rows["dataset"]]
    return own if len(own) else rows


def on_inverted(rows: pd.DataFrame, *, is_foreign: bool | None = None) -> pd.DataFrame:
    """Measures on representations of inverted inputs: made of a foreign dataset, or of their own.

    Where neither is asked for, those of their own where there are any.
    """
    rows = rows[(rows["layer"] != "logits") & (rows["inputs"] == "inverted")]
    is_own = rows["inputs_dataset"] == rows["dataset"]
    if is_foreign is None:
        return rows[is_own] if is_own.any() else rows
    return rows[~is_own if is_foreign else is_own]


def representation_measures(measures: Sequence[str], convention: str = RECOMMENDED) -> list[str]:
    """The paper's three measures on representations, as far as they are among `measures`.

    `convention` picks the reading of CKA and of Procrustes, see `samemind.measures.conventions`.
    """
    return _read("representation", measures, convention)


def prediction_measures(measures: Sequence[str], convention: str = RECOMMENDED) -> list[str]:
    """The paper's two measures on predictions, as far as they are among `measures`."""
    return _read("logits", measures, convention)


def _read(reads: str, measures: Sequence[str], convention: str) -> list[str]:
    found: dict[str, str] = {}
    for name in usual_measures():
        member = MEASURES[name]
        if member.reads != reads:
            continue
        quantity = next((q for q, readings in QUANTITIES.items() if name in readings), None)
        if quantity is not None:
            here = reading_of(quantity, measures, convention)
        else:
            # At the setting that there is.
            settings = [m for m in measures if member.parameter and m.startswith(name)]
            here = name if name in measures else next(iter(settings), None)
        if here is not None:
            found[quantity or name] = here
    return list(found.values())


def on_neighbours(rows: pd.DataFrame) -> pd.DataFrame:
    """The k-NN Jaccard similarities, at any k."""
    return rows[rows["measure"].str.startswith("knn_jaccard")]


def has_scores(table: pd.DataFrame | None) -> bool:
    """Whether an optional table is there and has a score that is defined."""
    return table is not None and bool(table["score"].notna().any())


def has_several_epsilons(rows: pd.DataFrame) -> bool:
    """Whether anything was measured at more than one ε, so that it can have a trend."""
    levels = rows.groupby(["dataset", "inputs_dataset", "inputs", "measure"])["epsilon"].nunique()
    return bool((levels > 1).any())


def families_of(datasets: Iterable[str]) -> dict[str, list[str]]:
    """Datasets that differ by the number in their name only, by what they share of it.

    >>> families_of(["imagenet1k", "cifar10", "imagenet50"])
    {'imagenet': ['imagenet1k', 'imagenet50']}
    """
    found: dict[str, list[str]] = {}
    for name in datasets:
        stem = dataset_label(str(name)).rstrip("k").rstrip("0123456789")
        found.setdefault(stem, []).append(str(name))
    return {stem: names for stem, names in found.items() if len(names) > 1}
