"""The results that figures are drawn from: tables of pairs and models, and images.

Nothing here imports pandas before a table is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from samemind.axis import EPSILON, Axis
from samemind.errors import InvalidInput
from samemind.lazy import np, pd

# fmt: off
PAIR_COLUMNS = (
    "dataset", "epsilon", "model_a", "model_b", "inputs", "inputs_dataset", "inverted_by",
    "measure",
)
SCORE_COLUMNS = (
    *PAIR_COLUMNS, "architecture_a", "architecture_b", "random_seed_a", "random_seed_b", "layer",
    "score", "standard_error", "floor", "floor_p95", "n_inputs", "reason",
)
MODEL_COLUMNS = (
    "model", "dataset", "architecture", "epsilon", "random_seed", "parameters",
    "representation_size", "clean_accuracy", "adversarial_accuracy", "attack_epsilon", "attack",
    "n_test", "is_weak",
)
SET_COLUMNS = (
    "dataset", "epsilon", "inputs", "inputs_dataset", "inverted_by", "measure", "n_models", "score",
)
# fmt: on


@dataclass(frozen=True, kw_only=True)
class Part:
    """An optional table of results: everything that is the same wherever one is handled.

    - `name`: of the field of `Results`, and of its file in a report.
    - `columns`: those that it must have; `keys`: those that tell its rows apart.
    - `absent`: the words for its absence, where a figure needs it.
    """

    name: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    absent: str = ""

    @property
    def file(self) -> str:
        return f"{self.name}.parquet"

    def of(self, results: Results) -> pd.DataFrame | None:
        """The table, or None."""
        held = getattr(results, self.name)
        return held.table if isinstance(held, Contributions) else held

    def has_rows(self, results: Results) -> bool:
        """Whether the table is there and has a row with a value."""
        table = self.of(results)
        if table is None or not len(table):
            return False
        return "score" not in table or bool(table["score"].notna().any())


# What results may hold besides scores and models: collecting, figures, tables, pages and writers
# walk this list.
PARTS = (
    Part(
        name="contributions",
        columns=(*PAIR_COLUMNS, "input", "contribution"),
        keys=(*PAIR_COLUMNS, "input"),
        absent="no contributions of single inputs",
    ),
    Part(
        name="probes",
        columns=(*PAIR_COLUMNS, "heads", "score"),
        keys=(*PAIR_COLUMNS, "heads"),
        absent="no linear probes",
    ),
    Part(
        name="subgroups",
        columns=(*PAIR_COLUMNS, "group", "score", "n_inputs"),
        keys=(*PAIR_COLUMNS, "group"),
        absent="no comparison by agreement",
    ),
    Part(
        name="layers",
        columns=("model_a", "model_b", "layer_a", "layer_b", "measure", "score"),
        keys=(*PAIR_COLUMNS, "layer_a", "layer_b"),
        absent="no comparison layer by layer",
    ),
    Part(
        name="sets",
        columns=SET_COLUMNS,
        keys=SET_COLUMNS[:-1],
        absent="no measure of sets of models",
    ),
    Part(
        name="flips",
        columns=("model_a", "model_b", "direction", "input", "name", "label", "prediction_a",
                 "prediction_b"),
        keys=("model_a", "model_b", "input"),
    ),
    Part(
        name="flips_by_class",
        columns=("model_a", "model_b", "class", "inputs"),
        keys=("model_a", "model_b", "class"),
    ),
    Part(
        name="fidelity",
        columns=("model_a", "model_b", "level", "verdict"),
        keys=("model_a", "model_b"),
    ),
    Part(
        name="fidelity_layers",
        columns=("model_a", "model_b", "layer_a", "layer_b", "typical", "floor", "departs"),
        keys=("model_a", "model_b", "layer_a"),
    ),
    Part(
        name="differences",
        columns=("model_a", "model_b", "other_a", "other_b", "measure", "difference", "p_holm"),
        keys=("model_a", "model_b", "other_a", "other_b", "measure"),
    ),
    Part(name="readings", columns=("model", "representation"), keys=("model",)),
    Part(
        name="trajectory",
        columns=("step", "model", "relation", "other", "measure", "score", "standard_error",
                 "lower", "upper", "floor"),
        keys=("model", "relation", "measure"),
        absent="no checkpoints along one training",
    ),
    Part(
        name="phases",
        columns=("measure", "first_step", "last_step", "ratio", "lower", "upper"),
        keys=("measure", "first_step"),
    ),
    Part(name="integrity", columns=("step", "model", "kind", "reason"), keys=("model",)),
    Part(
        name="next_tokens",
        columns=("model_a", "model_b", "tokens", "kl_ab", "kl_ba", "perplexity_a", "perplexity_b"),
        keys=("model_a", "model_b"),
    ),
    Part(
        name="driving_texts",
        columns=("model_a", "model_b", "measure", "which", "input", "name", "text", "contribution"),
        keys=("model_a", "model_b", "measure", "which", "input"),
    ),
)  # fmt: skip


def pair_keys(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Which pair, inputs and measure each row is about; a missing value is None, not NaN."""
    rows = table[list(PAIR_COLUMNS)].itertuples(index=False, name=None)
    return [tuple(None if value != value else value for value in row) for row in rows]


@dataclass(frozen=True, eq=False)
class GalleryItem:
    """One inversion to show: three images of shape (H, W) or (C, H, W) in [0, 1]."""

    model: str
    epsilon: float
    architecture: str
    seed: np.ndarray
    target: np.ndarray
    inverted: np.ndarray
    seed_label: str = ""
    target_label: str = ""
    relative_loss: float | None = None
    dataset: str = ""
    inputs_dataset: str = ""  # of the images, where it is another one


@dataclass(frozen=True, eq=False)
class Contributions:
    """What single inputs add to the score of a pair, and the images to show them with.

    - `table`: a row per (pair, inputs, measure, input) with the columns of its part, for all inputs
      or for those that contribute most and least; `input` is the row number within the inputs, and
      the mean of `contribution` over all inputs is the score.
      Optional columns: `label`, `prediction_a`, `prediction_b` (class names or numbers) and
      `neighbours_a`, `neighbours_b` (lists of input numbers, nearest first).
    - `images`: what to show for `(inputs, inverted_by, input)`, with `inverted_by` None for
      natural inputs; (H, W) or (C, H, W) in [0, 1]. Where several datasets meet in one report the
      key goes on with the dataset and the dataset of the inputs. Images of inputs that are not
      among the most or least contributing may be left out.
    """

    table: pd.DataFrame
    images: Mapping[tuple[Any, ...], np.ndarray] = field(default_factory=dict)

    def image_key(self, record: Mapping[Any, Any]) -> tuple[Any, ...]:
        """Where `images` has the image of the input that a row of the table is about."""
        by = record["inverted_by"]
        by = None if by is None or by != by else str(by)
        plain = (str(record["inputs"]), by, int(record["input"]))
        placed = (*plain, str(record["dataset"]), str(record["inputs_dataset"]))
        return placed if placed in self.images else plain


FLIPS_SHOWN = 24  # inputs per pair and direction


def shown_flips(flips: pd.DataFrame) -> pd.DataFrame:
    """The first rows of each pair and direction, which a page shows with their images."""
    return flips.groupby(["model_a", "model_b", "direction"], sort=False).head(FLIPS_SHOWN)


@dataclass(frozen=True, eq=False)
class Results:
    """Everything a report is made from: the tables of one study, and what is optional.

    - `scores`: a row per (pair, inputs, measure), with `SCORE_COLUMNS`.
    - `models`: a row per model, with `MODEL_COLUMNS`; an optional column `robustness_curve` holds
      a list of (attack epsilon, adversarial accuracy).
    - `gallery`: inversions to show, a standard and a robust model of the same targets.
    - `study_text`: the study file as run. `environment`: versions, host, commit.
    - `classes`: how many classes each dataset has, for the bounds that accuracies impose.
    - `recipes`: which recipes (names in the store) a number rests on, by what they made.
    - `is_joint`: several studies are drawn together, so every panel names its dataset.
    - `convention`: which reading of CKA, Procrustes and JSD figures and the verdict use, a name of
      `samemind.measures.conventions`.
    - `axis`: what models are compared along. Every table has the place along it in `epsilon`,
      whatever it is; `Axis.named` gives the column its own name.
    - `notes`: what a reader must know: labels not used, measures left out, random weights.

    The optional tables are declared in `PARTS`:

    - `contributions`: which inputs drive a pair's score.
    - `probes`: scores of the original and the retrained heads, with errors and floors; `heads` is
      "original", "probe", "normalised probe", or of one model with itself "same representation"
      (two probes) or "own head" (a probe and the head that it came with).
    - `subgroups`: scores on the inputs where a pair agrees and where it disagrees; `group` is
      "agree" or "disagree". Errors, intervals and floors; with shuffles also `difference`,
      `expected` and `p_value`.
    - `layers`: scores of the layers of one model with those of another.
    - `sets`: scores of all models of a cell together.
    - `flips`: single inputs that turn from right to wrong, or back, where a model replaces
      another; `flips_by_class` how many of each class; `flip_images` small images
      (C, H, W) in [0, 1] of some, by `input`.
    - `fidelity`: whether the first model and each other one are still the same network;
      `fidelity_layers` how far their layers are apart, beside what rounding makes of them.
    - `differences`: the score of a pair less that of another one, on the same inputs.
    - `readings`: a row per model: what was read of it, and how its inputs were prepared.
    - `trajectory`: of checkpoints along one training, how like the last, the first and the one
      before each is; `phases` where it changes fastest; `integrity` which checkpoints are not what
      their place says.
    - `readings`: a row per model: what was read of it, and how its inputs were prepared; of
      language models a row per model and reading.
    - `next_tokens`: of language models of one vocabulary, divergences per token in nats and the
      perplexity of each. `driving_texts`: the texts that add most and least to a score.

    **Raises:** `InvalidInput` when a table lacks a column.
    """

    name: str
    scores: pd.DataFrame
    models: pd.DataFrame
    gallery: Sequence[GalleryItem] = ()
    study_text: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    recipes: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    contributions: Contributions | None = None
    probes: pd.DataFrame | None = None
    subgroups: pd.DataFrame | None = None
    layers: pd.DataFrame | None = None
    sets: pd.DataFrame | None = None
    flips: pd.DataFrame | None = None
    flips_by_class: pd.DataFrame | None = None
    fidelity: pd.DataFrame | None = None
    fidelity_layers: pd.DataFrame | None = None
    differences: pd.DataFrame | None = None
    readings: pd.DataFrame | None = None
    trajectory: pd.DataFrame | None = None
    phases: pd.DataFrame | None = None
    integrity: pd.DataFrame | None = None
    next_tokens: pd.DataFrame | None = None
    driving_texts: pd.DataFrame | None = None
    flip_images: Mapping[int, np.ndarray] = field(default_factory=dict)
    is_joint: bool = False
    convention: str = "recommended"
    axis: Axis = EPSILON

    def __post_init__(self) -> None:
        tables = [("scores", self.scores, SCORE_COLUMNS), ("models", self.models, MODEL_COLUMNS)]
        tables += [(part.name, table, part.columns) for part, table in self.parts()]
        for kind, table, columns in tables:
            missing = [column for column in columns if column not in table.columns]
            if missing:
                raise InvalidInput(
                    f"The table of {kind} of '{self.name}' lacks {', '.join(missing)}. "
                    f"Found: {', '.join(map(str, table.columns))}. Make it with a run of the study."
                )

    def parts(self) -> Iterator[tuple[Part, pd.DataFrame]]:
        """The optional tables that are there, each with its declaration."""
        for part in PARTS:
            table = part.of(self)
            if table is not None:
                yield part, table

    def with_parts(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Results:
        """The same results with every optional table changed."""
        changed: dict[str, Any] = {part.name: change(table) for part, table in self.parts()}
        if self.contributions is not None:
            table = changed["contributions"]
            changed["contributions"] = replace(self.contributions, table=table)
        return replace(self, **changed)

    @cached_property
    def main(self) -> pd.DataFrame:
        """The rows of `scores` of the penultimate layer and the logits.

        Rows of other layers count only where a study has no others: a box that mixed layers
        would say nothing about models. `is_weak` tells pairs of which a model is weak.
        """
        main = self.scores[self.scores["layer"].isin(["penultimate", "logits"])]
        return self.with_weak(main if len(main) else self.scores)

    @cached_property
    def defined(self) -> pd.DataFrame:
        """The rows of `main` that have a score."""
        return self.main[self.main["score"].notna()]

    @cached_property
    def inner(self) -> pd.DataFrame:
        """The rows of `scores` of other layers, where `main` has none of them."""
        rows = self.scores[~self.scores["layer"].isin(["penultimate", "logits"])]
        return self.with_weak(rows.iloc[: None if len(self.main) < len(self.scores) else 0])

    @cached_property
    def has_named_places(self) -> bool:
        """Whether panels name datasets: of several studies, datasets or foreign inputs."""
        own = self.models[["dataset"]].assign(inputs_dataset=self.models["dataset"])
        held = pd.concat([self.scores[["dataset", "inputs_dataset"]], own])
        return self.is_joint or len(held.drop_duplicates()) > 1

    def with_weak(self, pairs: pd.DataFrame) -> pd.DataFrame:
        """The table of pairs with a column `is_weak`: whether one of the two models is weak."""
        weak = [
            (dataset, a) in self.weak_models or (dataset, b) in self.weak_models
            for dataset, a, b in zip(
                pairs["dataset"], pairs["model_a"], pairs["model_b"], strict=True
            )
        ]
        return pairs.assign(is_weak=np.array(weak, dtype=bool))

    @cached_property
    def weak_below(self) -> dict[str, float]:
        """The clean accuracy that each dataset's models should have, where a study states one."""
        if "weak_below" not in self.models.columns:
            return {}
        stated = self.models.dropna(subset="weak_below").groupby("dataset", sort=False)
        return {str(name): float(part["weak_below"].max()) for name, part in stated}

    @cached_property
    def weak_models(self) -> frozenset[tuple[str, str]]:
        """(dataset, model) of the models below the accuracy that their study states."""
        weak = self.models[self.models["is_weak"].astype(bool)]
        return frozenset(zip(weak["dataset"], weak["model"], strict=True))

    @cached_property
    def imported_models(self) -> frozenset[tuple[str, str]]:
        """(dataset, model) of the models that were imported, not trained by the study."""
        if "is_imported" not in self.models.columns:
            return frozenset()
        imported = self.models[self.models["is_imported"].fillna(False).astype(bool)]
        return frozenset(zip(imported["dataset"], imported["model"], strict=True))

    def only(self, **conditions: Any) -> Results:
        """The same results with those rows of `scores` only; a condition is a value or a list."""
        rows = self.scores
        for column, wanted in conditions.items():
            values = wanted if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted]
            rows = rows[rows[column].isin(list(values))]
        return replace(self, scores=rows)

    def only_common_models(self) -> Results:
        """The same results with the models that every ε of their dataset has.

        A changing set of models can look like an effect of ε: the paper's own ImageNet study
        compares eight models at ε = 0 and 3 and six in between.
        """
        common = set()
        for dataset, models in self.models.groupby("dataset"):
            levels = models["epsilon"].nunique()
            counts = models.groupby(["architecture", "random_seed"])["epsilon"].nunique()
            common |= {(dataset, *key) for key in counts[counts == levels].index}

        facts = self.models[["dataset", "architecture", "random_seed"]]
        keys = facts.itertuples(index=False, name=None)
        models = self.models[np.array([key in common for key in keys], dtype=bool)]
        names = set(zip(models["dataset"], models["model"], strict=True))

        def among(table: pd.DataFrame) -> pd.DataFrame:
            pairs = table[["dataset", "model_a", "model_b"]].itertuples(index=False, name=None)
            both = [(d, a) in names and (d, b) in names for d, a, b in pairs]
            return table[np.array(both, dtype=bool)]

        return replace(
            self,
            scores=among(self.scores),
            models=models,
            probes=None if self.probes is None else among(self.probes),
            subgroups=None if self.subgroups is None else among(self.subgroups),
        )
