"""What `samemind plan` says of what is missing: its cost, and the files that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from samemind.execution.devices import Execution
    from samemind.store.artifacts import Recipe, Store
    from samemind.study import Study
    from samemind.training import Imported


def costs_of(study: Study, store: Store, execution: Execution | None) -> dict[str, Any]:
    """Passes, bytes and, with a probe, seconds; and one sentence that says so.

    **Cost:** none without `execution`; with it, a few passes through each network, and back.
    """
    from samemind.costing import cost_of, duration, seconds_by_probe, size

    missing = _missing(study, store)
    cost = cost_of(missing)
    seconds = seconds_by_probe(cost, execution) if execution and missing else None
    if seconds is None:
        time = "`--probe` estimates how long that takes here."
    else:
        time = (
            f"One process that has this device (on a processor, a core) to itself takes about "
            f"{duration(seconds)} for that; reading images and comparing come on top."
        )
    return {
        "forward_passes": cost.forward_passes,
        "backward_passes": cost.backward_passes,
        "bytes": cost.bytes,
        "seconds": seconds,
        "sentence": f"What is missing takes about {cost.forward_passes:.3g} forward and "
        f"{cost.backward_passes:.3g} backward passes of one image, and {size(cost.bytes)} of "
        f"disk. {time}",
    }


def verdict_ahead(study: Study) -> list[str]:
    """What the verdict of a study of this size can say and what it cannot, in sentences.

    **Cost:** none: it looks at the grid alone.
    """
    from samemind.figures.needs import prediction_measures, representation_measures
    from samemind.statistics.trends import FEWEST_UNITS, findable_change
    from samemind.statistics.verdict import too_few

    levels = {level.value for level in study.levels if level.checkpoints}
    architectures = set(study.families.values())
    # As the report counts: architectures, or single models where there are fewer than three.
    at: dict[float, set[tuple[str, int]]] = {}
    for c in study.checkpoints:
        seed = 0 if len(architectures) >= 3 else c.random_seed
        at.setdefault(study.places[c.model], set()).add((study.families[c.model], seed))
    units = len(set.intersection(*at.values())) if at else 0
    lacks = ["a second ε to compare with"] if len(levels) < 2 else []
    lacks += [too_few(units).replace("it has", "every ε has")] if units < FEWEST_UNITS else []
    if lacks:
        told = study.along.told
        return [told(f"There will be no verdict: the study would need {' and '.join(lacks)}.")]
    measures = study.comparison.of_kind("pair")
    convention = study.comparison.convention
    chosen = len(representation_measures(measures, convention)) or len(
        prediction_measures(measures, convention)
    )
    values = "ε" if study.along.is_epsilon else f"values of the {study.along.text}"
    what = "architectures" if len(architectures) >= 3 else "models"
    found = [
        f"The verdict will rest on {units} {what} at {len(levels)} {values}: it finds a change in "
        f"80 % of cases if that is {findable_change(units, max(chosen, 1)):.1f} times the standard "
        f"deviation with which single models change."
    ]
    if len(study.random_seeds) < 2 and len({c.random_seed for c in study.checkpoints}) < 2:
        found.append(
            "With one random seed per model nothing will be called distinct, for how alike models "
            "can be is not known."
        )
    if not study.inverted:
        found.append("Without inverted images there is no verdict on representation mechanisms.")
    return found


def needs_of(study: Study, store: Store) -> list[dict[str, Any]]:
    """The files that what is missing needs: splits of data sets, and imported checkpoints.

    For each, `missing` says what is not there and where to put it, and is else empty.

    **Cost:** looks for names of files, not into them.
    """
    from samemind.checkpoints.importing import import_lacks
    from samemind.datasets.base import DATASETS
    from samemind.training import Imported

    missing = _missing(study, store)
    files = study.files
    needs = [
        {
            "needs": f"{dataset}, {split}",
            "missing": DATASETS[dataset].lacks(split, None),
            "check": f"samemind data check {dataset}",
        }
        for dataset, split in dict.fromkeys(_splits(missing))
    ]
    return needs + [
        {
            "needs": recipe.source,
            "missing": _file_lacks(recipe, files[recipe])
            if recipe in files
            else import_lacks(recipe),
            "check": "",
        }
        for recipe in missing
        if isinstance(recipe, Imported)
    ]


def _file_lacks(recipe: Imported, file: Path) -> str:
    """What must be done before a run can bring in the file that a study names; '' for nothing."""
    from samemind.checkpoints.importing import command_of
    from samemind.files.reading import is_file

    if is_file(file):
        return ""
    return (
        f"There is no file {file}, where the study says that it lies. Put it there, or import it "
        f"from where it is: {command_of(recipe)}"
    )


def _missing(study: Study, store: Store) -> list[Recipe]:
    return [r for stage in study.stages for r in stage.recipes if not store.has(r)]


def _splits(recipes: Sequence[Recipe]) -> Iterator[tuple[str, str]]:
    """(data set, split) of the images that builds of these recipes read."""
    from samemind.inversion import Natural, Seeds
    from samemind.training import Evaluated, Trained

    for recipe in recipes:
        if isinstance(recipe, Trained):
            yield recipe.dataset, "train"
        elif isinstance(recipe, Evaluated):
            yield recipe.checkpoint.dataset, recipe.split
        elif isinstance(recipe, (Natural, Seeds)):
            natural = recipe.targets if isinstance(recipe, Seeds) else recipe
            yield natural.dataset, natural.split
