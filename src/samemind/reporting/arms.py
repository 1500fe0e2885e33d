"""Arms by accuracy: rows of several studies as arms, their table, and their drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from samemind.errors import InvalidInput
from samemind.figures.evidence import SETTING, unit_names
from samemind.figures.style import (
    CYCLE,
    MARKERS,
    house_style,
    legend_below,
    letter,
    measure_label,
    panels,
)
from samemind.lazy import np, pd

if TYPE_CHECKING:
    import matplotlib.figure

    from samemind.results import Results
    from samemind.statistics.arms import Arm


def arms_of(studies: Sequence[Results], setting: dict[str, str]) -> dict[str, Arm]:
    """The arms that have scores in a setting, by the names of their studies.

    Units are architectures, or single models where all arms together have fewer than three.
    """
    from samemind.statistics import pair_scores
    from samemind.statistics.arms import Arm

    parts = [study.defined.assign(_arm=i) for i, study in enumerate(studies)]
    rows = pd.concat(parts, ignore_index=True)
    for column, value in setting.items():
        rows = rows[rows[column] == value]
    first, second = unit_names(rows, "a"), unit_names(rows, "b")
    rows = rows.assign(_a=first, _b=second)
    by_seed = len({*rows["architecture_a"], *rows["architecture_b"]}) < 3
    found = {}
    for i, study in enumerate(studies):
        here = rows[rows["_arm"] == i]
        if not len(here):
            continue
        pairs = pair_scores(
            here["epsilon"].tolist(), here["_a"].tolist(), here["_b"].tolist(),
            here["score"].tolist(),
        )  # fmt: skip
        models = study.models[study.models["dataset"] == setting["dataset"]]
        names = models["architecture"].astype(str)
        if by_seed:
            names = names + " " + models["random_seed"].astype(str)
        means = models.assign(_unit=names).groupby(["epsilon", "_unit"])["clean_accuracy"].mean()
        index = pd.MultiIndex.from_product([pairs.levels, pairs.units])
        accuracies = means.reindex(index).to_numpy(float)
        found[study.name] = Arm(pairs, accuracies.reshape(len(pairs.levels), len(pairs.units)))
    return found


def settings_in(studies: Sequence[Results], measures: Sequence[str] = ()) -> list[dict[str, str]]:
    """(dataset, dataset of inputs, inputs, measure) that the first arm shares with another.

    **Raises:** `InvalidInput` for fewer than two studies, two of one name, or none shared.
    """
    names = [study.name for study in studies]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InvalidInput(
            f"Arms are two studies or more, each of its own name; there are: {', '.join(names)}."
        )
    held = [study.defined[SETTING].drop_duplicates() for study in studies]
    keys = [{tuple(row) for row in table.itertuples(index=False, name=None)} for table in held]
    shared = [
        dict(zip(SETTING, map(str, row), strict=True))
        for row in held[0].itertuples(index=False, name=None)
        if any(tuple(row) in others for others in keys[1:])
        and (not measures or row[-1] in measures)
    ]
    if not shared:
        raise InvalidInput(
            f"{names[0]} shares no measure on inputs of one dataset and kind with "
            f"{', '.join(names[1:])}. Arms have models of one dataset, compared on the same inputs."
        )
    return shared


def arms_table(studies: Sequence[Results], measures: Sequence[str] = ()) -> pd.DataFrame:
    """A row for each level of each arm but the first, beside the first at the same accuracy.

    Columns: the setting; `arm` and `reference`, `place` (the level, in words of the arm's axis),
    `accuracy`, `score`, `reference_score`, `difference` with its 95 % interval (`lower`, `upper`),
    `p_value`, `p_holm` (corrected for all rows), `n_models` and `reason`.
    """
    from samemind.statistics import holm
    from samemind.statistics.arms import matched

    axes = {study.name: study.axis for study in studies}
    rows = []
    for setting in settings_in(studies, measures):
        arms = arms_of(studies, setting)
        reference = studies[0].name
        for name, arm in arms.items():
            if name == reference:
                continue
            for found in matched(arms[reference], arm):
                interval = found.difference.interval()
                rows.append(
                    setting
                    | {
                        "arm": name,
                        "reference": reference,
                        "place": f"{axes[name].symbol} = {found.level:g}",
                        "accuracy": found.accuracy,
                        "score": found.score,
                        "reference_score": found.reference,
                        "difference": interval.value,
                        "lower": interval.lower,
                        "upper": interval.upper,
                        "p_value": found.difference.p_value(),
                        "n_models": found.difference.n,
                        "reason": found.reason or None,
                    }
                )
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p_value"].tolist()))


def draw_arms(studies: Sequence[Results], measures: Sequence[str] = ()) -> matplotlib.figure.Figure:
    """A panel for each setting: mean scores of each arm by the mean accuracy of its models."""
    from matplotlib.lines import Line2D

    settings = settings_in(studies, measures)
    several = len({(s["dataset"], s["inputs_dataset"]) for s in settings}) > 1
    with house_style():
        drawing, axes = panels(len(settings))
        for axis, setting in zip(axes, settings, strict=True):
            for name, arm in arms_of(studies, setting).items():
                number = [study.name for study in studies].index(name)
                accuracies, scores = arm.curve(np.arange(len(arm.pairs.units)))
                order = np.argsort(accuracies)
                axis.plot(
                    100 * accuracies[order], scores[order],
                    color=CYCLE[number % len(CYCLE)], marker=MARKERS[number % len(MARKERS)],
                    markersize=3.5, linewidth=1,
                )  # fmt: skip
            axis.set_title(measure_label(setting["measure"]))
            where = f"\n{setting['dataset']} on {setting['inputs_dataset']}" if several else ""
            axis.set_xlabel(f"clean accuracy (%), {setting['inputs']} inputs{where}")
            axis.grid(axis="y")
        letter(axes)
        legend_below(
            drawing,
            [
                Line2D([], [], color=CYCLE[i % len(CYCLE)], marker=MARKERS[i % len(MARKERS)],
                       markersize=3.5, label=f"{study.name}, along {study.axis.text}")
                for i, study in enumerate(studies)
            ],
        )  # fmt: skip
    return drawing
