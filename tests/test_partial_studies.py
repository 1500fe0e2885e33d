"""A report of whatever there is: half the models, one ε, undefined scores; never a traceback."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from samemind.figures.base import FIGURES
from samemind.reporting.page import page_of
from samemind.reporting.report import Undrawn, drawing_plan
from samemind.reporting.tables import latex, tables_of
from samemind.reporting.together import together
from simulated_results import simulated

MEASURES = ("agreement", "jensen_shannon_similarity", "linear_cka", "knn_jaccard")
THREE = ("residual", "dense", "vgg")


def study(architectures=THREE, **options):
    return simulated(architectures=architectures, measures=MEASURES, has_extras=True, **options)


FULL = study()


def undefined(where):
    """The full study with those of its scores undefined."""
    scores = FULL.scores.copy()
    rows = where(scores)
    scores.loc[rows, ["score", "standard_error", "floor", "floor_p95"]] = np.nan
    scores.loc[rows, "reason"] = "The representation is constant."
    return replace(FULL, scores=scores)


def without_numbers(**columns):
    """The full study with empty columns in its optional tables."""
    tables = {name: getattr(FULL, name).assign(score=np.nan) for name in columns["tables"]}
    return replace(FULL, **tables)


STUDIES = {
    "no ε has all models": study(
        absent=[("dense", 0.0), ("vgg", 0.25), ("dense", 0.5), ("residual", 1.0)]
    ),
    "one ε": study(epsilons=(1.0,)),
    "natural inputs": FULL.only(inputs="natural"),
    "inverted inputs": FULL.only(inputs="inverted"),
    "one pair": study(("residual", "dense"), epsilons=(0.0,)),
    "no scores": replace(FULL, scores=FULL.scores[:0]),
    "no score is defined": undefined(lambda rows: rows["measure"] != ""),
    "a measure is undefined": undefined(lambda rows: rows["measure"] == "linear_cka"),
    "an ε is undefined": undefined(lambda rows: rows["epsilon"] == 1),
    "predictions of inverted inputs are undefined": undefined(
        lambda rows: (rows["inputs"] == "inverted") & (rows["layer"] == "logits")
    ),
    "representations of inverted inputs are undefined": undefined(
        lambda rows: (rows["inputs"] == "inverted") & (rows["layer"] != "logits")
    ),
    "no floors": replace(FULL, scores=FULL.scores.assign(floor=np.nan, floor_p95=np.nan)),
    "no standard errors": replace(FULL, scores=FULL.scores.assign(standard_error=np.nan)),
    "no evaluations": replace(FULL, models=FULL.models[:0]),
    "no accuracies": replace(FULL, models=FULL.models.assign(clean_accuracy=np.nan)),
    "models that nothing compares": replace(
        FULL, models=pd.concat([FULL.models, FULL.models[:1].assign(model="x", epsilon=9.0)])
    ),
    "random seeds of one network": study(("residual",), random_seeds=(0, 1, 2)),
    "other measures of predictions": replace(
        FULL, scores=FULL.scores.replace({"measure": {MEASURES[0]: "churn", MEASURES[1]: "kappa"}})
    ),
    "scores that are all alike": replace(FULL, scores=FULL.scores.assign(score=1.0)),
    "undefined probes and subgroups": without_numbers(tables=["probes", "subgroups", "layers"]),
    "a foreign dataset": study(inputs_dataset="sat6"),
    "an ε for each of two datasets": together([
        study(dataset="a", epsilons=(0.0,)), study(dataset="b", epsilons=(1.0,), name="other"),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
def test_the_page_and_the_tables_say_what_there_is_and_name_what_is_missing(name, tmp_path):
    results = STUDIES[name]
    tables = tables_of(results)
    assert all(latex(table).count(r"\toprule") == 1 for table in tables)
    undrawn = [
        Undrawn(member.name, member.title, tuple(missing))
        for member in FIGURES.values()
        if (missing := member.missing(results))
    ]
    page = page_of(results, tables, [], undrawn, tmp_path)
    assert all(text in page for entry in undrawn for text in entry.missing)
    planned = {member.name for member, _, _ in drawing_plan(results)}
    assert planned == set(FIGURES) - {entry.name for entry in undrawn}


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_every_figure_that_is_promised_can_be_drawn(name):
    for member, results, _ in drawing_plan(STUDIES[name]):
        member(results).canvas.draw()


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("scores that are all alike", "model_map"),
        ("a foreign dataset", "predictions_natural"),
        ("no ε has all models", "similarity_by_epsilon"),
        ("no evaluations", "predictions_natural"),
    ],
)
def test_figures_that_partial_studies_once_broke(name, figure):
    results = STUDIES[name]
    if FIGURES[figure].per_measure == "only":
        results = results.only(measure="linear_cka")
    assert FIGURES[figure](results).axes
