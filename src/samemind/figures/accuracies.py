"""Clean and adversarial accuracy by ε: the models that the scores are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures.base import Results, figure
from samemind.figures.style import dataset_label, legend_below, letter, looks_of, panels

if TYPE_CHECKING:
    import matplotlib.figure

KINDS = {"clean_accuracy": "Clean accuracy", "adversarial_accuracy": "Adversarial accuracy"}


@figure(
    "accuracies",
    "Accuracies",
    shows="Clean and adversarial accuracy of every model by the ε it was trained at, a line for "
    "each architecture (mean over random seeds). Each model is attacked at its own ε (standard "
    "ones at the ε that the table names), so adversarial accuracies at two ε are of two attacks; "
    "weak models are crossed out.",
    needs=("models",),
    is_by_epsilon=True,
    is_of_study=True,
    shows_along="Clean and adversarial accuracy of every model by its ε, a line for each "
    "architecture (mean over random seeds). All are attacked at one radius, which the table names; "
    "weak models are crossed out.",
)
def accuracies(results: Results) -> matplotlib.figure.Figure:
    """Lines of accuracy over ε, a panel for each dataset and kind of accuracy."""
    from matplotlib.lines import Line2D

    datasets = [str(name) for name in results.models["dataset"].unique()]
    looks = looks_of(results.models["architecture"])
    drawing, axes = panels(2 * len(datasets), most=2, height=2.2)
    for place, dataset in enumerate(datasets):
        models = results.models[results.models["dataset"] == dataset]
        levels = sorted(models["epsilon"].unique())
        at = {level: i for i, level in enumerate(levels)}
        for axis, (column, title) in zip(axes[2 * place :], KINDS.items(), strict=False):
            for architecture, part in models.groupby("architecture", sort=False):
                means = part.groupby("epsilon")[column].mean()
                axis.plot(
                    [at[level] for level in means.index], 100 * means.to_numpy(),
                    **looks[str(architecture)], markersize=3.5, linewidth=1,
                )  # fmt: skip
            weak = models[models["is_weak"].astype(bool)]
            axis.scatter(
                [at[level] for level in weak["epsilon"]], 100 * weak[column], marker="x", s=40,
                color="black", zorder=5,
            )  # fmt: skip
            axis.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
            axis.set_xlabel("ε")
            axis.grid(axis="y")
            is_plain = len(datasets) == 1 and not results.is_joint
            axis.set_title(title if is_plain else f"{title}: {dataset_label(dataset)}")
        axes[2 * place].set_ylabel("per cent")
    imported = _imported(results)
    handles = [
        Line2D([], [], **look, markersize=3.5, label=name + "†" * (name in imported))
        for name, look in looks.items()
    ]
    letter(axes)
    legend_below(drawing, handles)
    return drawing


def _imported(results: Results) -> set[str]:
    """Architectures with imported models, where not all models are that."""
    if len(results.imported_models) == len(results.models):
        return set()
    models = results.models
    own = zip(models["dataset"], models["model"], strict=True)
    is_imported = [model in results.imported_models for model in own]
    return set(models["architecture"][is_imported].astype(str))
