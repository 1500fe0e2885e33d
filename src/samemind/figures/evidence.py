"""What the report says in words: the verdict on each dataset and aspect, from the table of scores.

The rules themselves are in `samemind.statistics`, without tables; here the rows that belong
together are put into their hands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from samemind.figures._contrasts import beside_own_inputs, by_training_set
from samemind.figures._predictions import pair_bounds
from samemind.figures._trend_table import (
    ALL,
    COMMON,
    SETTING,
    levels_of,
    pairs_of,
    settings_of,
    trend_table,
    unit_names,
)
from samemind.figures.base import Results
from samemind.figures.boxes import across_architectures
from samemind.figures.needs import (
    PARTS_OF_SCORES,
    part_of,
    prediction_measures,
    representation_measures,
)
from samemind.figures.style import dataset_label, measure_label
from samemind.lazy import pd
from samemind.measures.conventions import QUANTITIES, reading_of, said

if TYPE_CHECKING:
    from samemind.statistics import Evidence, Verdict

__all__ = [
    "ALL",
    "COMMON",
    "SETTING",
    "levels_of",
    "pairs_of",
    "representation_measures",
    "settings_of",
    "trend_table",
    "unit_names",
    "verdicts",
]

ASPECTS = {
    "Predictions": ("natural", "predictions"),
    "Representations": ("natural", "representations"),
    "Representation mechanisms": ("inverted", "representations"),
}
#: Aspects of which there is a sentence only where there are scores of them.
PART_ASPECTS = {
    "Representations between classes": ("natural", "between_classes"),
    "Representations within classes": ("natural", "within_classes"),
    "Representation mechanisms between classes": ("inverted", "between_classes"),
    "Representation mechanisms within classes": ("inverted", "within_classes"),
    "Predictions under attack": ("adversarial", "predictions"),
    "Representations under attack": ("adversarial", "representations"),
    "Attack transfers": ("adversarial", "transfer"),
}


@lru_cache(maxsize=4)
def verdicts(results: Results) -> list[tuple[str, Verdict]]:
    """(dataset, verdict) for each dataset, aspect and dataset of the inputs.

    - On inputs of the models' own dataset, one for each aspect.
    - On inputs of another dataset, one for each aspect that has scores there, compared with those
      on the models' own where they are in the results too.
    - For datasets of one family, one on what the size of the training set does.

    Where the models change with ε, a verdict rests on those present at every ε, and names them.
    """
    table = trend_table(results)
    found = []
    for dataset in map(str, results.models["dataset"].unique()):
        places = _places(table, dataset)
        if dataset in places or not places:
            found += [(dataset, _verdict(results, dataset, dataset, a)) for a in ASPECTS]
            found += [
                (dataset, _verdict(results, dataset, dataset, aspect))
                for aspect, (inputs, part) in PART_ASPECTS.items()
                if len(rows := _chosen(table, dataset, dataset, inputs))
                and _measures(results, rows, part)
            ]
        for place in places:
            if place != dataset:
                found += [
                    (dataset, _verdict(results, dataset, place, aspect))
                    for aspect, (inputs, _) in ASPECTS.items()
                    if len(_chosen(table, dataset, place, inputs))
                ]
    found += by_training_set(results)
    return [(dataset, _along(results, verdict)) for dataset, verdict in found]


def _along(results: Results, verdict: Verdict) -> Verdict:
    """The verdict in words of the axis that the study declares."""
    told = results.axis.told
    return replace(
        verdict,
        words=told(verdict.words),
        note=told(verdict.note),
        missing=tuple(told(text) for text in verdict.missing),
    )


def readings_of_verdict(results: Results) -> str:
    """Which readings of CKA, Procrustes and JSD the verdict rests on, as a sentence."""
    held = results.defined["measure"].unique()
    return said([reading_of(q, held, results.convention) for q in QUANTITIES], results.convention)


def _places(table: pd.DataFrame, dataset: str) -> list[str]:
    """The datasets whose images, natural or inverted, models of `dataset` were compared on."""
    if not len(table):
        return []
    return [str(name) for name in table[table["dataset"] == dataset]["inputs_dataset"].unique()]


def _verdict(results: Results, dataset: str, inputs_dataset: str, aspect: str) -> Verdict:
    """The verdict on one aspect, on inputs of one dataset."""
    from samemind.statistics import judge

    inputs, kind = (ASPECTS | PART_ASPECTS)[aspect]
    rows = _chosen(trend_table(results), dataset, inputs_dataset, inputs)
    wanted = _measures(results, rows, kind)
    evidence = _evidence(results, rows, wanted, (dataset, inputs_dataset, inputs))
    missing = [] if len(rows) else [f"scores on {inputs} inputs"]
    labels = [measure_label(name) for name in wanted]
    notes = [_rests_on(rows, evidence)]
    contrasts = ()
    name = aspect
    if inputs_dataset != dataset:
        name = f"{aspect} on {dataset_label(inputs_dataset)}"
        note, contrasts = beside_own_inputs(results, evidence, dataset, inputs_dataset, inputs)
        notes.append(note)
    note = " ".join(filter(None, notes))
    return replace(judge(name, evidence, labels, missing, note), contrasts=contrasts)


def _measures(results: Results, rows: pd.DataFrame, kind: str) -> list[str]:
    """The measures that the verdict looks at, as far as the rows have them."""
    measures = rows["measure"].tolist() if len(rows) else []
    if kind in PARTS_OF_SCORES:
        return [name for name in measures if part_of(name) == kind]
    if kind == "transfer":
        return [name for name in measures if name == "attack_transfer"]
    choose = prediction_measures if kind == "predictions" else representation_measures
    return choose(measures, results.convention)


def _evidence(
    results: Results, rows: pd.DataFrame, wanted: Sequence[str], place: tuple[str, str, str]
) -> list[Evidence]:
    """What each measure says, with p-values corrected for their number."""
    from samemind.statistics import Evidence, holm

    records = [rows[rows["measure"] == name].iloc[0] for name in wanted]
    corrected = holm([record["p_value"] for record in records])
    found = [
        Evidence(
            measure=str(record["measure"]),
            trend=record["trend"],
            floor=record["floor"],
            ceiling=record["ceiling"],
            is_ceiling_measured=bool(record["is_ceiling_measured"]),
            p_value=p_value,
        )
        for record, p_value in zip(records, corrected, strict=True)
    ]
    return [_beyond_accuracy(results, item, place) for item in found]


def _rests_on(rows: pd.DataFrame, evidence: Sequence[Evidence]) -> str:
    """The models that a verdict rests on, where they are not all."""
    from samemind.statistics.wording import listed

    if not len(rows) or COMMON not in set(rows["models"]) or not evidence:
        return ""
    units = evidence[0].trend.units
    return f"It rests on the {len(units)} that every ε has: {listed(list(units))}."


def _beyond_accuracy(results: Results, item: Evidence, place: tuple[str, str, str]) -> Evidence:
    """The evidence on agreement, with the floor and the bound that accuracies impose.

    Two models that are right on 97 % of the inputs agree on at least 94 %, however little alike
    they are. So the floor is the agreement of independent predictions of these accuracies, and
    without other random seeds the ceiling is the most that accuracies allow. The accuracies are
    those on the very inputs; where their labels do not apply, the floor is that of shuffled rows.
    """
    if item.measure != "agreement":
        return item
    rows = results.defined
    for column, value in zip(("dataset", "inputs_dataset", "inputs"), place, strict=True):
        rows = rows[rows[column] == value]
    rows = rows[rows["measure"] == item.measure]
    top = rows[rows["epsilon"] == rows["epsilon"].max()]
    bounds = pair_bounds(results, across_architectures(top))
    floor, ceiling = float(bounds["fort_lower"].mean()), float(bounds["hard_upper"].mean())
    if floor != floor:
        return item
    return replace(
        item,
        floor=floor,
        ceiling=item.ceiling if item.is_ceiling_measured else ceiling,
        floor_is="independent predictions of these accuracies",
        ceiling_is="the most that accuracies allow",
    )


def _chosen(table: pd.DataFrame, dataset: str, inputs_dataset: str, inputs: str) -> pd.DataFrame:
    """The trends of one setting, of the models that every ε has where those are not all."""
    if not len(table):
        return table
    rows = table[
        (table["dataset"] == dataset)
        & (table["inputs_dataset"] == inputs_dataset)
        & (table["inputs"] == inputs)
    ]
    common = rows[rows["models"] == COMMON]
    return common if len(common) else rows
