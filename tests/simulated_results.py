"""Results of studies whose true similarities are known, for the tests of the report.

Every model i at level ε has a loading z in (0, 1): how much of it is the signal that all models
share. Two models are alike by z_a z_b of the way from the floor to 1, so pairs that share a model
are dependent, as they are in a study.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from samemind.figures.base import SET_COLUMNS, Contributions, GalleryItem, Results

FLOORS = {
    "agreement": 0.1,
    "jensen_shannon_similarity": 0.15,
    "linear_cka": 0.08,
    "debiased_linear_cka": 0.0,
    "procrustes_similarity": 0.3,
    "knn_jaccard": 0.01,
}
PREDICTIONS = ("agreement", "jensen_shannon_similarity", "jeffreys_similarity")
ARCHITECTURES = ("residual", "deep_residual", "wide_residual", "aggregated", "dense", "vgg", "vit")


def simulated(
    *,
    name: str = "simulated",
    dataset: str = "digits",
    inputs_dataset: str | None = None,
    architectures: Sequence[str] = ARCHITECTURES,
    epsilons: Sequence[float] = (0.0, 0.25, 0.5, 1.0),
    random_seeds: Sequence[int] = (0,),
    measures: Sequence[str] = tuple(FLOORS),
    rise: float = 0.4,
    absent: Sequence[tuple[str, float]] = (),
    random_seed: int = 0,
    has_extras: bool = False,
) -> Results:
    """A study in which similarity rises by about `rise` of the way from the floor to 1."""
    draws = np.random.default_rng(random_seed)
    levels = {epsilon: place for place, epsilon in enumerate(epsilons)}
    models = pd.DataFrame(
        [
            {
                "model": f"{architecture}-eps{epsilon:g}-seed{number}",
                "dataset": dataset,
                "architecture": architecture,
                "epsilon": float(epsilon),
                "random_seed": number,
                "parameters": 10_000 * (1 + list(architectures).index(architecture)),
                "representation_size": 64,
                "clean_accuracy": 0.98 - 0.02 * levels[epsilon] - 0.01 * draws.random(),
                "adversarial_accuracy": 0.2 + 0.6 * (epsilon > 0) - 0.1 * draws.random(),
                "attack_epsilon": float(epsilon or 0.25),
                "attack": "PGD, L2, 3 steps of ⅔ε",
                "n_test": 500,
                "is_weak": False,
            }
            for architecture in architectures
            for epsilon in epsilons
            for number in random_seeds
            if (architecture, epsilon) not in absent
        ]
    )
    share = np.arange(len(epsilons)) / max(1, len(epsilons) - 1)
    base = {epsilon: np.sqrt(0.3 + rise * share[levels[epsilon]]) for epsilon in epsilons}
    own = {a: draws.normal(0, 0.04) for a in architectures}
    loading = {
        row.model: np.clip(base[row.epsilon] + own[row.architecture] + draws.normal(0, 0.02), 0, 1)
        for row in models.itertuples()
    }
    rows = []
    for _, cell in models.groupby("epsilon"):
        records = cell.to_dict("records")
        for a in range(len(records)):
            for b in range(len(records)):
                for inputs in ("natural", "inverted"):
                    if a == b or (inputs == "natural" and b < a):
                        continue
                    rows += pair_rows(
                        records[a], records[b], inputs, inputs_dataset or dataset, measures,
                        loading, draws,
                    )  # fmt: skip
    results = Results(
        name=name,
        scores=pd.DataFrame(rows),
        models=models,
        gallery=gallery_of(models, draws),
        study_text=f'[study]\nname = "{name}"\n',
        environment={"python": "3.11", "samemind": "0.1.0", "commit": "abc"},
        classes={dataset: 10},
    )
    return with_extras(results, draws) if has_extras else results


def pair_rows(a, b, inputs, inputs_dataset, measures, loading, draws):
    is_same = a["architecture"] == b["architecture"]
    shared = 0.95 if is_same else loading[a["model"]] * loading[b["model"]]
    shared *= 0.9 if inputs == "inverted" else 1.0
    does_apply = inputs == "natural" and inputs_dataset == a["dataset"]
    for measure in measures:
        floor = FLOORS.get(measure, 0.05)
        yield {
            "dataset": a["dataset"],
            "epsilon": a["epsilon"],
            "model_a": a["model"],
            "model_b": b["model"],
            "architecture_a": a["architecture"],
            "architecture_b": b["architecture"],
            "random_seed_a": a["random_seed"],
            "random_seed_b": b["random_seed"],
            "inputs": inputs,
            "inputs_dataset": inputs_dataset,
            "inverted_by": a["model"] if inputs == "inverted" else None,
            "layer": "logits" if measure in PREDICTIONS else "penultimate",
            "measure": measure,
            "score": floor + (1 - floor) * shared + draws.normal(0, 0.005),
            "standard_error": 0.01,
            "floor": floor,
            "floor_p95": floor + 0.01,
            "n_inputs": 500,
            "accuracy_a": a["clean_accuracy"] if does_apply else float("nan"),
            "accuracy_b": b["clean_accuracy"] if does_apply else float("nan"),
            "reason": None,
        }


def gallery_of(models, draws):
    size = (8, 8)
    chosen = models[models["architecture"].isin(models["architecture"].unique()[:2])]
    return [
        GalleryItem(
            row.model, row.epsilon, row.architecture,
            draws.random(size), draws.random(size), draws.random(size), "3", "7", 0.1,
        )
        for row in chosen.itertuples()
        if row.epsilon in (0.0, chosen["epsilon"].max())
        for _ in range(3)
    ]  # fmt: skip


def with_extras(results: Results, draws) -> Results:
    """The same with contributions, probes, subgroups and layers."""
    from dataclasses import replace

    top = results.scores[results.scores["epsilon"] == results.scores["epsilon"].max()]
    pair = top[(top["inputs"] == "natural") & (top["measure"] == "linear_cka")].iloc[0]
    keys = ["dataset", "epsilon", "model_a", "model_b", "inputs", "inputs_dataset", "inverted_by"]
    table = pd.DataFrame(
        [
            {key: pair[key] for key in [*keys, "measure"]}
            | {
                "input": number,
                "contribution": pair["score"] + draws.normal(0, 0.2),
                "label": str(number % 10),
                "prediction_a": str(number % 10),
                "prediction_b": str(number * 7 % 10),
                "neighbours_a": [(number + 1) % 40, (number + 2) % 40],
                "neighbours_b": [(number + 1) % 40, (number + 3) % 40],
            }
            for number in range(40)
        ]
    )
    images = {("natural", None, number): draws.random((8, 8)) for number in range(40)}
    heads = top[top["measure"] == "agreement"][[*keys, "measure", "score"]]
    probes = pd.concat(
        [heads.assign(heads="original"), heads.assign(heads="probe", score=heads["score"] + 0.03)]
    )
    parts = results.scores[results.scores["measure"].isin(["linear_cka", "knn_jaccard"])]
    parts = parts[[*keys, "measure", "score"]]
    subgroups = pd.concat(
        [
            parts.assign(group="agree", score=parts["score"] + 0.02, n_inputs=400),
            parts.assign(group="disagree", score=parts["score"] - 0.1, n_inputs=100),
        ]
    )
    first = results.scores[["model_a", "model_b"]].drop_duplicates().head(2)
    stages = pd.DataFrame({"layer": ["stem", "middle", "head"]})
    layers = first.merge(stages.rename(columns={"layer": "layer_a"}), how="cross")
    layers = layers.merge(stages.rename(columns={"layer": "layer_b"}), how="cross")
    layers = layers.assign(measure="debiased_linear_cka", score=draws.random(len(layers)))
    cells = results.scores[list(SET_COLUMNS[:5])].drop_duplicates()
    sets = cells.assign(measure="multi_way_agreement", n_models=3, score=draws.random(len(cells)))
    return replace(
        results,
        sets=sets,
        contributions=Contributions(table, images),
        probes=probes,
        subgroups=subgroups,
        layers=layers,
    )


def with_driving_inputs(
    results: Results, photographs: np.ndarray, labels: Sequence[str], carriers: Sequence[str]
) -> Results:
    """The same with six driving inputs, drawn at random, for every score of the measures given.

    - `photographs`: (N, C, H, W) in [0, 1]; inverted images are a mixture of two and some noise.
    """
    from dataclasses import replace

    draws = np.random.default_rng(0)
    keys = ["dataset", "epsilon", "model_a", "model_b", "inputs", "inputs_dataset", "inverted_by"]
    rows = results.scores[results.scores["measure"].isin(list(carriers))][[*keys, "measure"]]
    classes = sorted(set(labels))
    table, images = [], {}
    for record in rows.to_dict("records"):
        owner = record["inverted_by"] if record["inputs"] == "inverted" else None
        for i in draws.choice(len(photographs), 6, replace=False).tolist():
            said = draws.integers(len(classes), size=2)
            near = draws.integers(len(photographs), size=(2, 5)).tolist()
            table.append(
                record
                | {"input": i, "contribution": draws.normal(), "label": labels[i]}
                | {"prediction_a": classes[said[0]], "prediction_b": classes[said[1]]}
                | {"neighbours_a": near[0], "neighbours_b": near[1]}
            )
            image = photographs[i]
            if owner:
                image = (image + photographs[-i]) / 2 + draws.normal(0, 0.03, image.shape)
            images[record["inputs"], owner, i] = image
    gallery = [
        replace(item, seed=photographs[n], target=photographs[n + 1], inverted=photographs[n + 2])
        for n, item in enumerate(results.gallery)
    ]
    contributions = Contributions(pd.DataFrame(table), images)
    return replace(results, contributions=contributions, gallery=gallery)


def along_a_training(results: Results) -> Results:
    """The same with what checkpoints along one training have: four of one made-up training."""
    rows = [
        {"step": step, "model": f"step {step}", "relation": relation, "other": f"step {other}",
         "measure": measure, "score": 1 - abs(step - other) / 400, "standard_error": 0.02,
         "lower": 0.96 - abs(step - other) / 400, "upper": 1.0, "floor": 0.01}
        for measure in ("agreement", "linear_cka")
        for step in (0, 10, 100, 300)
        for relation, other in (("end", 300), ("start", 0), ("neighbour", max(0, step // 3)))
        if step != other
    ]  # fmt: skip
    phases = [{"measure": "agreement", "first_step": 10, "last_step": 100,
               "ratio": 3.0, "lower": 2.1, "upper": 4.2}]  # fmt: skip
    wrong = [{"step": 100, "model": "step 100", "kind": "duplicate", "reason": "a copy"}]
    return replace(
        results,
        trajectory=pd.DataFrame(rows),
        phases=pd.DataFrame(phases),
        integrity=pd.DataFrame(wrong),
    )
