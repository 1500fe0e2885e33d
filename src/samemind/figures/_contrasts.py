"""Sentences on what the data do: inputs of another dataset, and training sets of another size.

The paper's section 3.3 asks both. Models, or architectures, are resampled, not pairs: the same
ones stand on both sides, and their differences are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from samemind.figures._trend_table import levels_of, pairs_of
from samemind.figures.needs import families_of, representation_measures
from samemind.figures.style import dataset_label, measure_label
from samemind.lazy import pd

if TYPE_CHECKING:
    from samemind.results import Results
    from samemind.statistics.contrasts import Contrast
    from samemind.statistics.verdict import Evidence, Verdict

Place = tuple[str, str, str]  # dataset, dataset of the inputs, kind of inputs


def beside_own_inputs(
    results: Results, evidence: Sequence[Evidence], dataset: str, inputs_dataset: str, inputs: str
) -> tuple[str, tuple[Contrast, ...]]:
    """How similarity on foreign inputs compares with that on the models' own, as a sentence.

    Says so where the results hold none of their own: then nothing can be compared.
    """
    own, away = (dataset, dataset, inputs), (dataset, inputs_dataset, inputs)
    measures = [item.measure for item in evidence]
    contrasts = _between(results, own, away, measures)
    where = dataset_label(dataset)
    if not contrasts:
        return (
            f"How that compares with inputs of {where} itself is not known here: draw this study "
            f"together with one that has them."
        ), ()
    return f"Beside inputs of {where} itself, {_words(contrasts)}.", contrasts


def by_training_set(results: Results) -> list[tuple[str, Verdict]]:
    """For datasets of one family, what training on a smaller one does: a verdict for each.

    Mechanisms are compared, as in the paper's Figure 5; representations on natural inputs where
    no inverted ones are there.
    """
    rows = results.defined
    own = rows[rows["dataset"] == rows["inputs_dataset"]]
    found = []
    for names in families_of(results.models["dataset"].unique()).values():
        names = sorted(names, key=lambda name: (-results.classes.get(name, 0), name))
        largest, *others = names
        inputs = "inverted" if _has(own, names, "inverted") else "natural"
        found += [
            (f"{dataset_label(largest)} and subsets", _of_size(results, largest, other, inputs))
            for other in others
        ]
    return found


def _has(rows: pd.DataFrame, datasets: Sequence[str], inputs: str) -> bool:
    """Whether every one of the datasets has scores on this kind of input."""
    return set(datasets) <= set(rows[rows["inputs"] == inputs]["dataset"])


def _of_size(results: Results, largest: str, other: str, inputs: str) -> Verdict:
    """What training on a subset does to the likeness of models, architecture by architecture."""
    from samemind.statistics.contrasts import contrast_answer
    from samemind.statistics.trends import FEWEST_UNITS
    from samemind.statistics.verdict import Verdict, too_few

    aspect = f"Training on {dataset_label(other)} instead of {dataset_label(largest)}"
    rows = results.defined
    rows = rows[(rows["dataset"] == other) & (rows["inputs"] == inputs)]
    wanted = representation_measures(list(dict.fromkeys(rows["measure"])), results.convention)
    contrasts = _between(results, (largest, largest, inputs), (other, other, inputs), wanted)
    missing = []
    if not contrasts:
        missing = [f"scores of both on {inputs} inputs, at an ε that both have"]
    elif len(contrasts[0].units) < FEWEST_UNITS:
        missing = [too_few(len(contrasts[0].units)) + " and were trained on both"]
    if missing:
        words = f"{aspect}: no verdict. The studies would need {missing[0]}"
        return Verdict(aspect, "none", words, missing=tuple(missing))
    what = "representation mechanisms" if inputs == "inverted" else "representations"
    words = f"{aspect}: of {what}, {_words(contrasts)}"
    return Verdict(aspect, contrast_answer(contrasts), words, contrasts=contrasts)


def _words(contrasts: Sequence[Contrast]) -> str:
    from samemind.statistics.contrasts import contrast_words

    return contrast_words(contrasts, [measure_label(item.measure) for item in contrasts])


def _between(
    results: Results, first: Place, second: Place, measures: Sequence[str]
) -> tuple[Contrast, ...]:
    """Second minus first, for the measures that both have; none where they share no ε."""
    from samemind.statistics.contrasts import contrast

    settings = []
    for measure in measures:
        here, there = (_rows(results, place, measure) for place in (first, second))
        if not set(here["epsilon"]) & set(there["epsilon"]):
            continue
        ends = levels_of(here[here["epsilon"] == here["epsilon"].max()])
        settings.append((measure, pairs_of(here), pairs_of(there), ends["ceiling"] - ends["floor"]))
    return tuple(contrast(settings)) if settings else ()


def _rows(results: Results, place: Place, measure: str) -> pd.DataFrame:
    rows = results.defined
    for column, value in zip(("dataset", "inputs_dataset", "inputs"), place, strict=True):
        rows = rows[rows[column] == value]
    return rows[rows["measure"] == measure]
