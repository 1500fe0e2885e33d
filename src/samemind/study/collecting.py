"""What a study has so far, gathered from the store for its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from samemind.arrays import as_pixels
from samemind.checkpoints.importing import stated_by
from samemind.checkpoints.metadata import contradictions
from samemind.comparison.layers import LAYER_MAP_FILE
from samemind.comparison.mechanisms import MechanismScores
from samemind.comparison.pairs import DRIVING_FILE, SCORES_FILE, SUBGROUPS_FILE, Scores
from samemind.comparison.probes import PROBE_SCORES_FILE
from samemind.comparison.sets import SET_SCORES_FILE
from samemind.comparison.table import Cell
from samemind.datasets.base import DATASETS
from samemind.errors import InvalidInput
from samemind.figures.base import Contributions, GalleryItem, Results
from samemind.inversion import INPUTS_FILE, Inputs, Inverted
from samemind.lazy import np, pd
from samemind.store import environment
from samemind.store.artifacts import Store
from samemind.study import Study
from samemind.training import Imported

GALLERY_TARGETS = 6


def collect(study: Study, store: Store) -> Results:
    """The results of a study as far as they are in the store.

    **Raises:** `InvalidInput` when no comparison is finished yet.
    """
    finished = [s for s in study.scores if store.has(s)]
    if not finished:
        raise InvalidInput(
            f"The study '{study.name}' has no finished comparison in {store.root} yet. Run it "
            f"first: `samemind run {study.name}`."
        )
    layerwise = [s for s in study.layer_scores if store.has(s)]
    mechanisms = [s for s in study.mechanism_scores if store.has(s)]
    sets = [s for s in study.set_scores if store.has(s)]
    # By the names of `samemind.results.PARTS`.
    parts: dict[str, Any] = {
        name: _together([store.open(r).table(file) for r in recipes if store.has(r)])
        for name, recipes, file in (
            ("probes", study.probe_scores, PROBE_SCORES_FILE),
            ("sets", sets, SET_SCORES_FILE),
            ("layers", layerwise, LAYER_MAP_FILE),
            ("subgroups", finished, SUBGROUPS_FILE),
        )
    }
    models = table_of_models(study, store)
    scores = [store.open(s).table(SCORES_FILE) for s in (*finished, *mechanisms, *layerwise)]
    found = Results(
        name=study.name,
        axis=study.along,
        convention=study.comparison.convention,
        scores=along(study, pd.concat(scores, ignore_index=True)),
        models=models_along(study, models),
        notes=notes_on(models),
        gallery=gallery(study, store),
        study_text=study.text,
        environment=environment.described(),
        classes={study.dataset: len(DATASETS[study.dataset].classes)},
        contributions=contributions(study, finished, store),
        **parts,
        recipes={f"{_cell(study, s)} {s.inputs}": s.name for s in finished}
        | {f"{_cell(study, s)} {s.inputs}, layers": s.name for s in layerwise}
        | {f"{_cell(study, s)}, {_mechanisms_of(s)}": s.name for s in mechanisms}
        | {f"{_cell(study, s)}, sets of models": s.name for s in sets},
    )
    return found.with_parts(lambda table: along(study, table))


def _cell(study: Study, cell: Cell) -> str:
    value = cell.epsilon if cell.at is None else cell.at.value
    return f"{cell.dataset} {study.along.symbol}={value:g}"


def along(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """A table of scores with the place along the study's axis, and families as architectures."""
    table = study.along.placed(table)
    families = study.families
    for side in "ab":
        of, model = f"architecture_{side}", f"model_{side}"
        if of in table and model in table:
            table = table.assign(**{of: table[model].map(families).fillna(table[of])})
    return table


def models_along(study: Study, models: pd.DataFrame) -> pd.DataFrame:
    """The table of models in the same way; the radius of the training stays beside the place."""
    models = models.assign(architecture=models["model"].map(study.families))
    if study.along.is_epsilon:
        return models
    places = models["model"].map(study.places).astype(float)
    return models.assign(trained_epsilon=models["epsilon"], epsilon=places)


def _together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame | None:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else None


def _mechanisms_of(recipe: MechanismScores) -> str:
    form = recipe.on_inverted[0].inputs.form
    return "mechanisms" if form == "inverted" else f"mechanisms on {form} inputs"


def contributions(study: Study, finished: Sequence[Scores], store: Store) -> Contributions | None:
    """The inputs that drive the scores, with class names and the images to show them with."""
    table = _together([store.open(s).table(DRIVING_FILE) for s in finished])
    if table is None:
        return None
    classes = np.array(DATASETS[study.natural.dataset].classes)
    predicted = np.array(DATASETS[study.dataset].classes)
    table["label"] = classes[table["label"]]
    for column in ("prediction_a", "prediction_b"):
        table[column] = predicted[table[column]]
    images: dict[tuple[str, str | None, int], np.ndarray] = {}
    made = (*study.inverted, *study.attacked)
    sets: dict[tuple[str, str | None], Inputs] = {(i.form, i.checkpoint.model): i for i in made}
    sets["natural", None] = study.natural
    for (kind, owner), rows in table.groupby(["inputs", "inverted_by"], dropna=False, sort=False):
        place = str(kind), None if kind == "natural" else str(owner)
        held = store.open(sets[place]).arrays(INPUTS_FILE)["images"]
        for i in rows["input"].unique():
            images[*place, int(i)] = as_pixels(held[i : i + 1])[0].numpy()
    return Contributions(table=table, images=images)


def table_of_models(study: Study, store: Store) -> pd.DataFrame:
    """A row per evaluated model: what it is and how accurate it is."""
    rows: list[dict[str, Any]] = []
    weak_below = study.evaluation.weak_below_of(len(DATASETS[study.dataset].classes))
    for evaluation in study.evaluations:
        if not store.has(evaluation):
            continue
        checkpoint = evaluation.checkpoint
        found = store.open(evaluation).json("evaluation.json")
        rows.append(
            {
                "model": checkpoint.model,
                "dataset": checkpoint.dataset,
                "architecture": checkpoint.architecture,
                "epsilon": checkpoint.epsilon,
                "random_seed": checkpoint.random_seed,
                **found,
                "attack_epsilon": evaluation.ball.epsilon,
                "attack": f"{evaluation.ball.norm} {evaluation.attack.summary}",
                "is_weak": found["clean_accuracy"] < weak_below,
                "weak_below": weak_below,
                "is_imported": isinstance(checkpoint, Imported),
            }
        )
        if isinstance(checkpoint, Imported):
            stated = stated_by(checkpoint, store)
            rows[-1] |= {f"stated_{fact}": value for fact, value in stated.items()}
    return pd.DataFrame(rows)


def notes_on(models: pd.DataFrame) -> list[str]:
    """What the files of imported models say and what is otherwise."""
    stated = [c for c in models.columns if str(c).startswith("stated_")]
    found = []
    for row in models.to_dict("records"):
        said = {c.removeprefix("stated_"): row[c] for c in stated if row[c] == row[c]}
        found += contradictions(str(row["model"]), said, row["epsilon"], row)
    return found


def gallery(study: Study, store: Store) -> list[GalleryItem]:
    """Seeds, targets and inverted images of two architectures, standard and most robust.

    The rule: the first two architectures of the study that were inverted at their lowest and
    their highest ε, and the first target of each of the first classes.
    """
    finished = [i for i in study.inverted if store.has(i)]
    by_architecture: dict[str, list[Inverted]] = {}
    for inverted in finished:
        family = study.families[inverted.checkpoint.model]
        by_architecture.setdefault(family, []).append(inverted)
    shown: list[Inverted] = []
    place = study.places
    for found in by_architecture.values():
        found.sort(key=lambda i: place[i.checkpoint.model])
        ends = [place[found[i].checkpoint.model] for i in (0, -1)]
        if ends[0] < ends[1] and len(shown) < 4:
            shown += [found[0], found[-1]]
    return _items(study, store, shown or finished[:1])


def _items(study: Study, store: Store, shown: Sequence[Inverted]) -> list[GalleryItem]:
    if not shown:
        return []
    targets = store.open(study.natural).arrays(INPUTS_FILE)
    seeds = store.open(study.seeds).arrays(INPUTS_FILE)
    _, first_of_class = np.unique(targets["labels"], return_index=True)
    classes = DATASETS[study.natural.dataset].classes
    items = []
    for recipe in shown:
        inverted = store.open(recipe).arrays(INPUTS_FILE)
        for i in first_of_class[:GALLERY_TARGETS]:
            seed, target, image = (
                as_pixels(a["images"][i : i + 1])[0].numpy() for a in (seeds, targets, inverted)
            )
            items.append(
                GalleryItem(
                    model=recipe.checkpoint.model,
                    epsilon=study.places[recipe.checkpoint.model],
                    architecture=study.families[recipe.checkpoint.model],
                    seed=seed,
                    target=target,
                    inverted=image,
                    seed_label=classes[seeds["labels"][i]],
                    target_label=classes[targets["labels"][i]],
                    dataset=study.dataset,
                    inputs_dataset=study.natural.dataset,
                    relative_loss=float(inverted["stored_relative_loss"][i]),
                )
            )
    return items
