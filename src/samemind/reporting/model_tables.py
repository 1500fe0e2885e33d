"""The tables of models: the paper's Tables 1–4, and a row per model."""

from __future__ import annotations

from importlib.resources import files

from samemind.figures.base import Results, weak_note
from samemind.figures.style import dataset_label, labels_of
from samemind.lazy import pd
from samemind.reporting.table import Table, text_of

IMPORTED = "†"
TABLES = {"imagenet1k": 1, "imagenet100": 2, "imagenet50": 3, "cifar10": 4}
OF_MODELS = "models"
LIKE_A_TABLE = "the like of Tables 1–4"


def accuracies(results: Results, dataset: str) -> Table:
    """The paper's Tables 1–4: parameters, and accuracies per ε, a row per architecture."""
    models = results.models[results.models["dataset"] == dataset]
    levels = sorted(models["epsilon"].unique())
    several = models.groupby(["architecture", "epsilon"]).size().max() > 1
    rows = []
    for architecture, part in models.groupby("architecture", sort=False):
        row: dict[str, object] = {
            "Architecture": architecture,
            "Parameters": _parameters(results, part),
        }
        for level in levels:
            cell = part[part["epsilon"] == level]
            mark = "*" if cell["is_weak"].astype(bool).any() else ""
            mark += IMPORTED if _is_imported(cell).any() else ""
            place = f"{results.axis.symbol} = {level:g}"
            row[f"Acc. ({place})"] = _percent(cell["clean_accuracy"], mark)
            row[f"Adv. Acc. ({place})"] = _percent(cell["adversarial_accuracy"], mark)
        rows.append(row)
    attacks = sorted({str(text) for text in models["attack"].dropna().unique()})
    trained_at = models["epsilon" if results.axis.is_epsilon else "trained_epsilon"]
    radius = models[trained_at == 0]["attack_epsilon"].dropna().unique()
    standard = f" Models with ε = 0 are attacked at ε = {radius[0]:g}." if len(radius) else ""
    mean = " Means over the random seeds." if several else ""
    weak = " * marks weak models." if _has_weak(models) else ""
    if _is_imported(models).any():
        weak += f" {IMPORTED} marks models that were imported, not trained here."
    said = [n for n in results.notes if n.partition(":")[0] in set(models["model"])]
    weak += "".join(f" {note}" for note in said)
    # One's own models have a reference, and nobody knows here what they were trained on.
    trained = "" if "reference" in models else "trained "
    label = dataset_label(dataset)
    return Table(
        f"accuracies-{labels_of(results.models['dataset'])[dataset]}",
        f"Accuracies: {label}",
        f"Parameters, clean accuracy (Acc.) and adversarial accuracy (Adv. Acc.) in per cent of "
        f"the models {trained}on {label}.{standard}{mean}{weak} "
        f"Attack: {'; '.join(attacks) or 'not stated'}. {weak_note(results, [dataset])}".rstrip(),
        pd.DataFrame(rows),
        {"Parameters": ","} if results.axis.is_epsilon else {},
        table_of_the_paper(results, dataset) if results.axis.is_epsilon else "",
    )


def _parameters(results: Results, models: pd.DataFrame) -> int | str:
    """How many parameters models of one kind have; along another axis they may differ in size."""
    if results.axis.is_epsilon:
        return int(models["parameters"].iloc[0])
    ends = (int(models["parameters"].min()), int(models["parameters"].max()))
    return " to ".join(f"{count:,}" for count in dict.fromkeys(ends))


def table_of_the_paper(results: Results, dataset: str) -> str:
    """The number of the paper's table, where the study is the paper's own; else what it is like."""
    if dataset not in TABLES:
        return LIKE_A_TABLE
    # The study out of distribution has the same models.
    for name in (dataset, f"{dataset}-sat6"):
        file = files("samemind.studies") / f"{name}.toml"
        if file.is_file() and file.read_text(encoding="utf-8").rstrip() in results.study_text:
            return f"Table {TABLES[dataset]}"
    return LIKE_A_TABLE


def _is_imported(models: pd.DataFrame) -> pd.Series:
    if "is_imported" not in models:
        return pd.Series(False, index=models.index)
    return models["is_imported"].fillna(False).astype(bool)


def _percent(values: pd.Series, mark: str) -> str:
    return text_of(100 * values.mean(), ".2f") + mark


def _has_weak(models: pd.DataFrame) -> bool:
    return bool(models["is_weak"].astype(bool).any())


# What the file of an imported model says of it.
STATED = {
    "stated_epoch": "File: epoch",
    "stated_architecture": "File: architecture",
    "stated_epsilon": "File: ε",
    "stated_clean_accuracy": "File: clean",
    "stated_adversarial_accuracy": "File: adversarial",
}


def parameters(results: Results) -> Table:
    """A row per model: parameters, width of the representation, accuracies, the attack."""
    along = results.axis.text
    columns = {
        "dataset": "Dataset",
        "model": "Model",
        "architecture": "Architecture",
        "epsilon": along,
        **({} if results.axis.is_epsilon else {"trained_epsilon": "ε"}),
        "random_seed": "Random seed",
        "parameters": "Parameters",
        "representation_size": "Representation",
        "clean_accuracy": "Clean accuracy",
        "adversarial_accuracy": "Adversarial accuracy",
        "attack_epsilon": "Attack ε",
        "n_test": "Test inputs",
        "is_weak": "Weak",
    }
    frame = results.models[list(columns)].rename(columns=columns)
    if _is_imported(results.models).any():
        frame["Imported"] = ["yes" if x else "no" for x in _is_imported(results.models)]
    stated = {c: STATED[c] for c in STATED if c in results.models}
    for column, title in stated.items():
        frame[title] = results.models[column]
    frame["Weak"] = ["yes" if weak else "no" for weak in frame["Weak"].astype(bool)]
    return Table(
        OF_MODELS,
        "Models",
        "Every model of the study. A weak model is below the clean accuracy that the study states, "
        "which is a fifth of the way from chance to certainty unless said."
        + "".join(f" {note}" for note in results.notes if stated),
        frame,
        {
            along: "g", "ε": "g", "Parameters": ",", "Representation": ",", "Attack ε": "g",
            "Clean accuracy": ".4f", "Adversarial accuracy": ".4f",
            "File: clean": ".4f", "File: adversarial": ".4f", "File: ε": "g", "File: epoch": "g",
        },
    )  # fmt: skip
