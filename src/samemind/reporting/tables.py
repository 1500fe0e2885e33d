"""The tables of a report: every one that the results carry."""

from __future__ import annotations

from dataclasses import replace

from samemind.figures.base import Results, weak_note
from samemind.figures.evidence import trend_table
from samemind.lazy import pd
from samemind.reporting.layer_maps import summary_of
from samemind.reporting.model_tables import OF_MODELS
from samemind.reporting.model_tables import TABLES as TABLES
from samemind.reporting.model_tables import accuracies as accuracies
from samemind.reporting.model_tables import parameters as parameters
from samemind.reporting.model_tables import table_of_the_paper as table_of_the_paper
from samemind.reporting.ranking import ranking
from samemind.reporting.table import Table as Table
from samemind.reporting.table import escape_latex as escape_latex
from samemind.reporting.table import latex as latex
from samemind.reporting.table import write_table as write_table


def tables_of(results: Results) -> list[Table]:
    """Every table that the results carry."""
    found = [
        trends(results),
        summary(results),
        parameters(results),
        sets(results),
        layers(results),
        fidelity(results),
        fidelity_layers(results),
        readings(results),
        *differences(results),
        layer_maps(results),
    ]
    found += flips(results)
    found += along_a_training(results)
    found += of_texts(results)
    note = weak_note(results)
    if note:
        found = [replace(table, caption=f"{table.caption} {note}") for table in found]
    of_datasets = [accuracies(results, str(name)) for name in results.models["dataset"].unique()]
    return [along(results, table) for table in (*of_datasets, *found) if len(table.frame)]


def along(results: Results, table: Table) -> Table:
    """A table in words of the axis that the study declares.

    Tables of models have them already: they speak of the ε of attacks as well.
    """
    told = results.axis.told
    if results.axis.is_epsilon or table.name == OF_MODELS or table.name.startswith("accuracies-"):
        return table
    names = {"epsilon": results.axis.name} | {c: told(c) for c in map(str, table.frame) if "ε" in c}
    return replace(
        table,
        title=told(table.title),
        caption=told(table.caption),
        frame=table.frame.rename(columns=names),
        formats={names.get(column, column): form for column, form in table.formats.items()},
    )


def summary(results: Results) -> Table:
    """The distribution of each measure over pairs: a row per (dataset, ε, inputs, measure)."""
    keys = ["dataset", "inputs_dataset", "inputs", "measure", "epsilon"]
    rows = []
    has_weak = bool(results.weak_models)
    for key, part in results.main.groupby(keys, sort=True):
        scores = part["score"]
        rows.append(
            dict(zip(keys, key, strict=True))  # pyright: ignore[reportArgumentType, reportCallIssue]
            | {
                "pairs": int(scores.notna().sum()),
                "undefined": int(scores.isna().sum()),
                **({"with a weak model": int(part["is_weak"].sum())} if has_weak else {}),
                "mean": scores.mean(),
                "lower quartile": scores.quantile(0.25),
                "median": scores.median(),
                "upper quartile": scores.quantile(0.75),
                "floor": part["floor"].mean(),
            }
        )
    digits = dict.fromkeys(["mean", "lower quartile", "median", "upper quartile", "floor"], ".4f")
    inverted = ""
    if (results.main["inputs"] == "inverted").any():
        inverted = (
            " Inverted inputs: ordered pairs, both models on the inverted images of the first."
        )
    return Table(
        "scores-summary",
        "Scores by ε",
        f"The distribution of each measure over the pairs of models.{inverted}",
        pd.DataFrame(rows),
        {"epsilon": "g"} | digits,
    )


def flips(results: Results) -> list[Table]:
    """What turns from right to wrong and back where a model is replaced: inputs, and classes."""
    if results.flips is None or results.flips_by_class is None:
        return []
    return [
        Table(
            "flips-by-class",
            "Flips by class",
            "Classes with inputs that turn from right to wrong, or from wrong to right, where "
            "model b takes the place of model a.",
            results.flips_by_class,
            {},
        ),
        Table(
            "flips",
            "Flips",
            "Every input that turns from right to wrong, or from wrong to right, where model b "
            "takes the place of model a: its true class and both predictions.",
            results.flips,
            {},
        ),
    ]


def sets(results: Results) -> Table:
    """All models of a cell together: a row per measure, kind of inputs and ε."""
    keys = ["dataset", "inputs_dataset", "inputs", "measure", "epsilon"]
    groups = [] if results.sets is None else results.sets.groupby(keys, sort=True)
    rows = [
        dict(zip(keys, key, strict=True))  # pyright: ignore[reportArgumentType, reportCallIssue]
        | {
            "models": int(part["n_models"].max()),
            "input sets": int(part["score"].notna().sum()),
            "undefined": int(part["score"].isna().sum()),
            "mean": part["score"].mean(),
            "lowest": part["score"].min(),
            "highest": part["score"].max(),
        }
        for key, part in groups
    ]
    return Table(
        "sets",
        "Sets of models",
        "Each measure of all models of one ε together. Inverted inputs: one input set for each "
        "model whose inverted images they are, all models on each.",
        pd.DataFrame(rows),
        {"epsilon": "g"} | dict.fromkeys(["mean", "lowest", "highest"], ".4f"),
    )


def layers(results: Results) -> Table:
    """The mean over pairs at each layer that was asked for: a row per layer and measure."""
    keys = ["dataset", "inputs_dataset", "inputs", "measure", "layer", "epsilon"]
    rows = [
        dict(zip(keys, key, strict=True))  # pyright: ignore[reportArgumentType, reportCallIssue]
        | {
            "pairs": int(part["score"].notna().sum()),
            "undefined": int(part["score"].isna().sum()),
            "mean": part["score"].mean(),
            "floor": part["floor"].mean(),
        }
        for key, part in results.inner.groupby(keys, sort=False)
    ]
    return Table(
        "layers",
        "Inner layers",
        "The mean of each measure over the pairs of models at layers inside them: those of one "
        "name or relative depth, or of one place in the lists of two architectures.",
        pd.DataFrame(rows),
        {"epsilon": "g", "mean": ".4f", "floor": ".4f"},
    )


def differences(results: Results) -> list[Table]:
    """Which pairs are more alike than others: a ranking with groups, and every difference."""
    if results.differences is None or not len(results.differences):
        return []
    digits = dict.fromkeys(["difference", "standard_error", "lower", "upper"], ".4f")
    return [
        Table(
            "ranking",
            "Ranking of pairs",
            "Pairs of models by score, the most alike first. Pairs that share a letter are not "
            "told apart: paired differences on the same inputs, all of one measure together at 5 % "
            "(Holm).",
            ranking(results.scores, results.differences),
            {"score": ".4f", "standard_error": ".4f"},
        ),
        Table(
            "differences",
            "Differences of pairs",
            "The score of a pair less that of another one on the same inputs, with its paired "
            "standard error, 95 % interval and p-value; p (Holm) is corrected for the number of "
            "differences of the measure.",
            results.differences,
            digits | {"p_value": "p", "p_holm": "p"},
        ),
    ]


def layer_maps(results: Results) -> Table:
    """Every map of layers in a row: what is most alike, and whether that is beyond chance."""
    digits = dict.fromkeys(["score", "standard error", "floor 95 %", "path"], ".4f")
    return Table(
        "layer-maps",
        "Layer by layer",
        "The most alike layers of each pair of models. p in map: the chance of a score as good "
        "anywhere in the map, under one order of the inputs that all cells share. Rows with a "
        "known best: beyond chance in their row, and told apart from every other cell of it. "
        "Path: the mean score along the best path from the first layers to the last ones, and "
        "its chance.",
        pd.DataFrame()
        if results.layers is None or results.layers.empty
        else summary_of(results.layers),
        digits | {"p in map": "p", "p of path": "p"},
    )


def readings(results: Results) -> Table:
    """What was read of each model: two scores under different readings are different scores."""
    return Table(
        "readings",
        "Readings",
        "What was read of each model, and how its inputs were prepared.",
        pd.DataFrame() if results.readings is None else results.readings,
        {},
    )


def fidelity(results: Results) -> Table:
    """Whether the first model and each other one are still the same network."""
    columns = ["model_a", "model_b", "level", "kept", "n_inputs", "changed", "lower", "upper",
               "typical", "largest", "floor_typical", "departs_at", "why", "hint"]  # fmt: skip
    return Table(
        "fidelity",
        "Fidelity",
        "Whether model b is still model a: how far their outputs are apart (typically and at most, "
        "beside what rounding makes of them), how many answers change with the 95 % interval of "
        "their share, and the first layer that differs by more than rounding.",
        pd.DataFrame() if results.fidelity is None else results.fidelity[columns],
        {"lower": ".4f", "upper": ".4f"} | dict.fromkeys(["typical", "largest", "floor_typical"],
                                                         ".2g"),
    )  # fmt: skip


def fidelity_layers(results: Results) -> Table:
    """How far the layers of two networks are apart, in their order."""
    return Table(
        "fidelity-layers",
        "Fidelity layer by layer",
        "What matched layers give: the typical and the largest difference, and what rounding "
        "makes of them.",
        pd.DataFrame() if results.fidelity_layers is None else results.fidelity_layers,
        {"typical": ".2g", "largest": ".2g", "floor": ".2g"},
    )


_DIGITS = dict.fromkeys(["score", "standard_error", "lower", "upper", "floor"], ".4f")
_ALONG = {
    "trajectory": (
        "Along the training",
        "How like the last, the first and the one before it each checkpoint is.",
        {"step": "g"} | _DIGITS,
    ),
    "phases": (
        "Changes of phase",
        "Where the network changes at least twice as fast as before and after: its speed in terms "
        "of the faster side's, with a 95 % interval over inputs.",
        {"first_step": "g", "last_step": "g"}
        | dict.fromkeys(["ratio", "lower", "upper"], ".2f"),
    ),
    "integrity": (
        "Integrity",
        "Checkpoints that are not what their place says: copies of another, those that lie between "
        "others than those they stand between, and those of another training.",
        {"step": "g"},
    ),
}  # fmt: skip


def along_a_training(results: Results) -> list[Table]:
    """The tables of checkpoints along one training."""
    held = {name: getattr(results, name) for name in _ALONG}
    return [
        Table(name, title, caption, held[name], formats)
        for name, (title, caption, formats) in _ALONG.items()
        if held[name] is not None
    ]


def of_texts(results: Results) -> list[Table]:
    """Of language models: what they say comes next, and the texts that drive a score."""
    found = []
    if results.next_tokens is not None:
        found.append(
            Table(
                "next-tokens",
                "Next tokens",
                "For models of one vocabulary, the Kullback-Leibler divergence of what they say "
                "comes next, of b from a (kl_ab) and of a from b, in nats per token with its "
                "standard error over texts; and the perplexity of each on these texts.",
                results.next_tokens,
                {"tokens": ","}
                | dict.fromkeys(("kl_ab", "kl_ab_error", "kl_ba", "kl_ba_error"), ".4f")
                | dict.fromkeys(("perplexity_a", "perplexity_b"), ".2f"),
            )
        )
    if results.driving_texts is not None:
        found.append(
            Table(
                "driving-texts",
                "Texts that drive the scores",
                "For each pair and measure, the texts that add most and least to the score under "
                "the first reading (the mean over all rows is the score), or whose nearest "
                "neighbours differ, with those that either model finds nearest. Texts are cut.",
                results.driving_texts,
                {"contribution": ".3f"},
            )
        )
    return found


def trends(results: Results) -> Table:
    """The trend of each measure over ε, with interval, p-value, effect size, floor and ceiling."""
    table = trend_table(results)
    if not len(table):
        return Table("trends", "Trends over ε", "", table, {})
    table = table[table["n_levels"] > 1]
    columns = {
        "dataset": "Dataset", "inputs_dataset": "Inputs of", "inputs": "Inputs",
        "measure": "Measure", "models": "Models", "first_epsilon": "from ε", "last_epsilon": "to ε",
        "first": "First", "last": "Last", "difference": "Last − first", "change": "Change",
        "lower": "CI lower",
        "upper": "CI upper", "p_value": "p", "effect": "Effect (SD)",
        "beside_accuracy": "Beside accuracy", "beside_lower": "Beside, lower",
        "beside_upper": "Beside, upper",
        "share_rising": "Pairs rising", "floor": "Floor", "ceiling": "Ceiling",
        "is_ceiling_measured": "Ceiling is", "n_models": "n models", "n_pairs": "n pairs",
    }  # fmt: skip
    frame = table[list(columns)].rename(columns=columns)
    frame["Ceiling is"] = [
        "other random seed" if measured else "identical models" for measured in frame["Ceiling is"]
    ]
    frame["Models"] = frame["Models"].map(results.axis.told)
    # What every row says alike is said by the report's title.
    frame = frame.drop(columns=[c for c in ("Dataset", "Inputs of", "Models")
                                if frame[c].nunique() == 1 and len(frame) > 1])  # fmt: skip
    digits = ("First", "Last", "Last − first", "Change", "CI lower", "CI upper", "Floor", "Ceiling",
              "Beside accuracy", "Beside, lower", "Beside, upper")  # fmt: skip
    formats = dict.fromkeys(digits, ".3f") | {"from ε": "g", "to ε": "g"}
    return Table(
        "trends",
        "Trends over ε",
        "First and last: the mean scores at the lowest and the highest ε. Change: along the "
        "straight line through the means of all ε, equally spaced, which with more than two ε is "
        "not last minus first. The 95 % confidence interval and p are those of the change, from a "
        "jackknife over models; p is not corrected for the number of measures (the verdict's is). "
        "Effect: the change in standard deviations of the scores of one ε. Beside accuracy: the "
        "change at equal differences of clean accuracy within pairs (analysis of covariance), with "
        "its 95 % interval. Pairs rising: the share "
        "of pairs that score higher at the highest ε than at the lowest. n models: the models, or "
        "architectures, that the interval goes by; n pairs: the scores used, over all ε.",
        frame,
        formats | {"Effect (SD)": ".2f", "Pairs rising": ".0%", "p": "p"},
    )
