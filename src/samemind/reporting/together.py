"""Several studies as one: their tables under each other, told apart where they would collide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from samemind.errors import InvalidInput
from samemind.lazy import pd
from samemind.results import PAIR_COLUMNS, PARTS, Contributions, Results


def together(studies: Sequence[Results]) -> Results:
    """One `Results` that holds all the studies; a single one is returned as it is.

    Rows that two studies share word for word (an out-of-distribution study has the models of the
    in-distribution one) are kept once. Where two studies have other models under the same
    dataset and name, the dataset is renamed to `dataset (study)` so that no box mixes them.

    **Raises:** `InvalidInput` when there is nothing to draw, or the studies have different
    conventions or axes.
    """
    if not studies:
        raise InvalidInput("A report needs the results of one study or more; none were given.")
    if len(studies) == 1:
        return studies[0]
    conventions = {study.convention: study.name for study in studies}
    if len(conventions) > 1:
        told = " and ".join(f"'{name}' as '{key}'" for key, name in conventions.items())
        raise InvalidInput(
            f"These studies read CKA, Procrustes and JSD differently: {told}. Drawn together they "
            f"need one reading: give all of them the same [comparison] convention."
        )
    axes = {study.axis: study.name for study in studies}
    if len(axes) > 1:
        told = " and ".join(f"'{name}' along {axis.text}" for axis, name in axes.items())
        raise InvalidInput(
            f"These studies compare models along different axes: {told}. Draw each by itself, or "
            f"compare them at equal accuracy: `samemind arms`."
        )
    studies = _told_apart(studies)
    models = pd.concat([study.models for study in studies], ignore_index=True)
    scores = pd.concat([study.scores for study in studies], ignore_index=True)
    parts: dict[str, Any] = {
        part.name: _stacked([part.of(study) for study in studies], part.keys)
        for part in PARTS
        if part.name != "contributions"
    }
    return Results(
        name=" + ".join(study.name for study in studies),
        scores=scores.drop_duplicates([*PAIR_COLUMNS, "layer"], ignore_index=True),
        models=models.drop_duplicates(["dataset", "model"], ignore_index=True),
        gallery=[item for study in studies for item in study.gallery],
        study_text="\n".join(f"# study: {s.name}\n{s.study_text.rstrip()}\n" for s in studies),
        environment={study.name: dict(study.environment) for study in studies},
        classes={name: count for study in studies for name, count in study.classes.items()},
        contributions=_contributions(studies),
        **parts,
        recipes={study.name: dict(study.recipes) for study in studies},
        notes=[note for study in studies for note in study.notes],
        is_joint=True,
        convention=studies[0].convention,
        axis=studies[0].axis,
    )


def _stacked(tables: Sequence[pd.DataFrame | None], keys: Sequence[str]) -> pd.DataFrame | None:
    held = [table for table in tables if table is not None]
    if not held:
        return None
    stacked = pd.concat(held, ignore_index=True)
    # The layers of a comparison of one's own models do not say which inputs: there is one set.
    return stacked.drop_duplicates([k for k in keys if k in stacked], ignore_index=True)


def _contributions(studies: Sequence[Results]) -> Contributions | None:
    held = [study.contributions for study in studies if study.contributions is not None]
    table = _stacked([one.table for one in held], [*PAIR_COLUMNS, "input"])
    if table is None:
        return None
    images = {}
    for one in held:
        # The same number of an input is another image in another dataset.
        for place in one.table[["dataset", "inputs_dataset"]].drop_duplicates().itertuples():
            names = (str(place.dataset), str(place.inputs_dataset))
            images |= {(*key[:3], *names): image for key, image in one.images.items()}
    return Contributions(table, images)


def _told_apart(studies: Sequence[Results]) -> list[Results]:
    columns = ["dataset", "model", "parameters", "clean_accuracy", "adversarial_accuracy"]
    seen: dict[tuple[str, str], tuple[Any, ...]] = {}
    found = []
    for study in studies:
        mine = {
            row[:2]: row[2:] for row in study.models[columns].itertuples(index=False, name=None)
        }
        clash = {key[0] for key, facts in mine.items() if seen.get(key, facts) != facts}
        if clash:
            study = _renamed(study, {name: f"{name} ({study.name})" for name in clash})
        seen |= mine
        found.append(study)
    return found


def _renamed(study: Results, names: dict[str, str]) -> Results:
    def rename(table: pd.DataFrame) -> pd.DataFrame:
        new = table.copy()
        for column in {"dataset", "inputs_dataset"} & set(table.columns):
            new[column] = table[column].replace(names)
        return new

    return replace(
        study.with_parts(rename),
        scores=rename(study.scores),
        models=rename(study.models),
        classes={names.get(name, name): count for name, count in study.classes.items()},
        gallery=[
            replace(
                item,
                dataset=names.get(item.dataset, item.dataset),
                inputs_dataset=names.get(item.inputs_dataset, item.inputs_dataset),
            )
            for item in study.gallery
        ],
    )
