"""The sections of a study file: what each key means, and what it may hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import STRONG_ATTACK, Attack
from samemind.datasets.base import normalisation
from samemind.errors import SamemindError, UnknownName
from samemind.inversion import Descent, Until
from samemind.measures import MEASURES
from samemind.measures.choosing import usual_measures
from samemind.measures.conventions import CONVENTIONS, RECOMMENDED, convention_of, lacking
from samemind.measures.kinds import Kind, of_kind
from samemind.training import Schedule, preset_of
from samemind.training.augmentation import augmentation_of

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Radius = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of a study file: unknown keys are errors, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Cluster(Section):
    """What one task may have on Ray or SLURM, and where. Changes no result; flags go before it."""

    partition: str | None = None
    minutes: Count | None = None
    gpus: Radius | None = None  # of one task; a fraction lets several share one (Ray)
    cpus: Count | None = None
    memory_gb: Positive | None = None
    at_most: Count | None = None  # jobs of an array at once
    address: str | None = None  # of a Ray cluster
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)  # more for sbatch


def known(registry: Any, name: str) -> str:
    """The name, if the registry has it; its message with a suggestion otherwise.

    Of the two ways to write an architecture of one's own, the long one.
    """
    try:
        found = registry[name]
    except UnknownName as error:
        raise ValueError(str(error)) from None
    return found.name if registry is ARCHITECTURES else name


class ScheduleFields(Section):
    """What can be said of a training; see `samemind.training.Schedule`."""

    epochs: Count | None = None
    batch_size: Count | None = None
    learning_rate: Positive | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    weight_decay: Radius | None = None
    policy: Literal["one_cycle", "step"] | None = None
    step_epochs: Count | None = None
    augmentation: str | None = None
    precision: Literal["bfloat16", "float32"] | None = None
    fallback_learning_rates: tuple[Positive, ...] | None = None
    chance_epochs: Annotated[int, Field(ge=0)] | None = None
    count: Count | None = None
    normalisation: str | None = None
    noise: Radius | None = None
    stop_at_accuracy: Annotated[float, Field(gt=0, lt=1)] | None = None
    stop_count: Count | None = None
    stop_every: Count | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    keep_every: Count | None = None

    @field_validator("normalisation")
    @classmethod
    def _known_normalisation(cls, name: str | None) -> str | None:
        if name not in (None, "dataset"):
            try:
                normalisation(name, channels=3)
            except UnknownName as error:
                raise ValueError(str(error)) from None
        return name

    @field_validator("augmentation")
    @classmethod
    def _known_augmentation(cls, name: str | None) -> str | None:
        if name is not None:
            augmentation_of(name)
        return name

    @property
    def fields_set(self) -> dict[str, Any]:
        """The fields of a schedule that are set here."""
        held = self.model_dump(include=set(ScheduleFields.model_fields), exclude_none=True)
        return {k: tuple(v) if isinstance(v, list) else v for k, v in held.items()}


class TrainingException(ScheduleFields):
    """Models that are trained differently, and in what."""

    architectures: Annotated[tuple[str, ...], Field(min_length=1)]
    epsilons: tuple[Radius, ...] | None = None  # None: at every ε

    @field_validator("architectures")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(known(ARCHITECTURES, name) for name in names)

    def holds_for(self, architecture: str, epsilon: float) -> bool:
        return architecture in self.architectures and (
            self.epsilons is None or epsilon in self.epsilons
        )


class Training(ScheduleFields):
    """How checkpoints are trained: a preset, what differs from it, and the exceptions.

    A preset is 'paper' or 'fast', see `samemind.training.preset_of`; without one, epochs, batch
    size and learning rate are needed. Of two exceptions for a model, the later one counts.
    """

    preset: Literal["fast", "paper"] | None = None
    exceptions: tuple[TrainingException, ...] = ()

    @model_validator(mode="wrap")
    @classmethod
    def _needed_without_a_preset(cls, content: Any, read: Any) -> Training:
        found: Training = read(content)
        needed = ("epochs", "batch_size", "learning_rate")
        missing = [n for n in needed if found.preset is None and getattr(found, n) is None]
        if missing:
            raise ValidationError.from_exception_data(
                cls.__name__,
                [InitErrorDetails(type="missing", loc=(n,), input=content) for n in missing],
            )
        return found

    @model_validator(mode="after")
    def _images_are_counted_once(self) -> Training:
        parts = (self, *self.exceptions)
        if any(p.count is not None for p in parts) and any(p.share is not None for p in parts):
            raise ValueError("count and share exclude one another; leave one out")
        return self

    @property
    def parts(self) -> tuple[ScheduleFields, ...]:
        """What holds for all models, and the exceptions."""
        return (self, *self.exceptions)

    def check_looks(self) -> None:
        """Raises `ValueError` for looks at images held out that would decide nothing."""
        parts = (self, *self.exceptions)
        if all(part.stop_at_accuracy is None for part in parts):
            for name in ("stop_count", "stop_every"):
                if any(getattr(part, name) is not None for part in parts):
                    raise ValueError(f"{name} needs stop_at_accuracy; add it, or remove {name}")

    def schedule(self, architecture: str, epsilon: float, image_size: int) -> Schedule:
        """The schedule of one model: preset, then what is set, then the exceptions."""
        fields: dict[str, Any] = {}
        if self.preset is not None:
            family = ARCHITECTURES[architecture].family
            fields |= preset_of(self.preset, image_size=image_size, family=family)
        fields |= self.fields_set
        for exception in self.exceptions:
            if exception.holds_for(architecture, epsilon):
                fields |= exception.fields_set
        return Schedule(**fields)


class AttackSection(Section):
    """Projected gradient descent of training and evaluation; see `samemind.attacks.Attack`."""

    steps: Count = 3
    relative_step: Positive = 2 / 3
    random_start: bool = False
    restarts: Count = 1
    keep_best: bool = True


WEAK_SHARE = 0.2


class Evaluation(Section):
    """What accuracies are measured on; standard models are attacked at `standard_epsilon`.

    - `count`: so many images of the split, at random, instead of all.
    - `epsilons`: of the robustness curve; every ε of the study unless said.
    - `strong_*`: the strong attack, on `strong_count` images drawn at random (0: no such attack).
    - `autoattack`: also AutoAttack, on the same images; needs `samemind[attacks]`.
    - `weak_below`: models below this clean accuracy are marked in every table and figure; a fifth
      of the way from chance to certainty unless said.
    """

    split: str = "test"
    count: Count | None = None
    standard_epsilon: Positive = 0.25
    epsilons: tuple[Positive, ...] | None = None
    strong_count: Annotated[int, Field(ge=0)] = 1000
    strong_steps: Count = STRONG_ATTACK.steps
    strong_relative_step: Positive = STRONG_ATTACK.relative_step
    strong_restarts: Count = STRONG_ATTACK.restarts
    autoattack: bool = False
    weak_below: Annotated[float, Field(ge=0, le=1)] | None = None

    def weak_below_of(self, classes: int) -> float:
        """The clean accuracy below which a model with so many classes is weak.

        Unless it is said: a fifth of the way from chance to certainty, which is 28 % for ten
        classes and 20 % for a thousand.
        """
        if self.weak_below is not None:
            return self.weak_below
        chance = 1 / classes
        return chance + WEAK_SHARE * (1 - chance)

    @property
    def strong_attack(self) -> Attack | None:
        if not self.strong_count:
            return None
        return Attack(
            steps=self.strong_steps,
            relative_step=self.strong_relative_step,
            restarts=self.strong_restarts,
            random_start=True,
        )


class ImportedModel(Section):
    """A checkpoint from elsewhere; `samemind import` and `init --models` write these lines.

    It is trained on the study's dataset, and its ε is in the study's norm. Where `file` says where
    it lies (from the folder of the study file), a run brings it into the store by itself.

    - `at`: its place along the axis of the study, where that is not ε.
    - `family`: what it is counted as among architectures, for sizes of one kind: its own unless
      said. Neither changes an artifact of the model.
    """

    source: str
    sha256: str
    architecture: str
    epsilon: Radius
    mean: tuple[float, ...]
    std: tuple[Positive, ...]
    random_seed: int = 0
    file: str | None = None
    head: str = ""
    at: Finite | None = None
    family: str = ""

    @field_validator("architecture")
    @classmethod
    def _known(cls, name: str) -> str:
        return known(ARCHITECTURES, name)


class InputsSection(Section):
    """The images that models are compared on: all of a split, or `count` at random."""

    dataset: str | None = None  # another one than the models': out of distribution
    split: str = "test"
    count: Count | None = None
    random_seed: int = 0


class UntilSection(Section):
    """When an image is done before its last step; see `samemind.inversion.Until`."""

    relative_loss: Positive
    patience: Count
    halvings: Annotated[int, Field(ge=0)] = 0


class Inversion(Section):
    """How seed images are moved; see `samemind.inversion.Descent`. `steps = 0` leaves it out."""

    steps: Annotated[int, Field(ge=0)] = 1000
    step_size: Positive = 0.125
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    precision: Literal["bfloat16", "float32"] = "float32"
    until: UntilSection | None = None
    storage: Literal["float16", "float32", "uint8"] = "float16"

    @property
    def descent(self) -> Descent:
        return Descent(
            steps=self.steps,
            step_size=self.step_size,
            momentum=self.momentum,
            precision=self.precision,
            until=Until(**self.until.model_dump()) if self.until else None,
        )


class AdversarialSection(Section):
    """Adversarial examples of every model, which all models of its ε are then compared on.

    - `epsilon`: how far an image is moved, in the norm of the study; 0 leaves them out.
    - `steps`, `relative_step`, `random_start`, `restarts`: of the attack; ten steps of a quarter of
      ε unless said. See `samemind.attacks.Attack`.
    """

    epsilon: Radius = 0
    steps: Count = 10
    relative_step: Positive = 0.25
    random_start: bool = False
    restarts: Count = 1
    random_seed: int = 0

    @property
    def attack(self) -> Attack:
        return Attack(**self.model_dump(exclude={"epsilon", "random_seed"}))


KindOfInputs = Literal["natural", "inverted", "adversarial"]
Layers = tuple[str | float, ...] | dict[str, tuple[str | float, ...]]


def _layer_list(given: Any) -> tuple[str | float, ...]:
    """Layers as recipes have them: names, depths as floats, or the one word "all"."""
    if given == "all":
        return ("all",)
    if not isinstance(given, (list, tuple)):
        raise ValueError(LAYERS_MAY_BE)
    found: list[str | float] = []
    for one in given:
        if isinstance(one, bool) or not isinstance(one, (str, int, float)):
            raise ValueError(LAYERS_MAY_BE)
        if not isinstance(one, str) and not 0 <= one <= 1:
            raise ValueError(
                f"A depth lies between 0 (the first layer) and 1, which {one} does not"
            )
        found.append(one if isinstance(one, str) else float(one))
    if len(set(found)) < len(found):
        raise ValueError("Each layer may be listed once; remove the repeated ones")
    return tuple(found)


LAYERS_MAY_BE = (
    'Layers are "all", or a list of names ("layer1") and relative depths from 0 to 1 (0.5), or a '
    "table with such a list for each architecture"
)


class Comparison(Section):
    """Which measures, and how many permutations for their floors.

    - `convention`: which reading of CKA, Procrustes and JSD figures and the verdict use:
      "recommended", "as_printed" or "authors_code". It changes no score, and no artifact.
    - `errors`: whether scores have standard errors and intervals; without them they cost a third.
    - `subgroup_shuffles`: random groups of inputs that the difference of the scores where two
      models agree and where they disagree is compared with, for a p-value.
    - `layers`: inside the networks, beside the penultimate one: "all", names, relative depths, or
      a list for each architecture. `pooling` is how each becomes one row per input.
    - `layer_measure`: of the map of all layers of two models; `layer_inputs`: on which inputs.
    """

    convention: str = RECOMMENDED
    measures: tuple[str, ...] = Field(default_factory=usual_measures)
    errors: bool = True
    permutations: Annotated[int, Field(ge=0)] = 20
    random_seed: int = 0
    driving_inputs: Annotated[int, Field(ge=0)] = 3
    subgroups: bool = True
    subgroup_shuffles: Annotated[int, Field(ge=0)] = 0
    layers: Layers = ()
    pooling: Literal["mean", "flatten"] = "mean"
    layer_measure: str = "debiased_linear_cka"
    layer_inputs: Annotated[tuple[KindOfInputs, ...], Field(min_length=1)] = ("natural",)

    @model_validator(mode="before")
    @classmethod
    def _measures_unless_said(cls, given: Any) -> Any:
        """Beside the usual measures those that the convention reads."""
        if not isinstance(given, dict) or "measures" in given:
            return given
        name = given.get("convention")
        own = CONVENTIONS[name].measures if isinstance(name, str) and name in CONVENTIONS else ()
        return given | {"measures": tuple(dict.fromkeys((*usual_measures(), *own)))}

    @field_validator("convention")
    @classmethod
    def _known_convention(cls, name: str) -> str:
        return convention_of(name).name

    @model_validator(mode="after")
    def _has_what_the_convention_reads(self) -> Comparison:
        missing = lacking(self.measures, self.convention)
        if missing:
            raise ValueError(
                f"convention = '{self.convention}' reads {', '.join(missing)}, which `measures` "
                f"does not list; add {'it' if len(missing) == 1 else 'them'} there"
            )
        return self

    @field_validator("layers", mode="before")
    @classmethod
    def _layers(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return {known(ARCHITECTURES, name): _layer_list(of) for name, of in given.items()}
        return _layer_list(given)

    @field_validator("layer_measure")
    @classmethod
    def _of_representations(cls, name: str) -> str:
        if MEASURES[known(MEASURES, name)].reads != "representation":
            raise ValueError(f"'{name}' compares predictions, and layers have none")
        return name

    def layers_of(self, architecture: str) -> tuple[str | float, ...]:
        """The layers asked of an architecture; none where a table leaves it out."""
        if isinstance(self.layers, dict):
            return self.layers.get(architecture, ())
        return self.layers

    @field_validator("measures")
    @classmethod
    def _known_measures(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            if not of_kind("pair", names):
                raise ValueError(
                    "At least one measure of pairs is needed, such as 'agreement'; those of sets "
                    "and of mechanisms come beside it"
                )
        except SamemindError as error:
            raise ValueError(str(error)) from None
        return names

    def of_kind(self, kind: Kind) -> tuple[str, ...]:
        """The measures that compare pairs ("pair"), sets of models or mechanisms."""
        return of_kind(kind, self.measures)


class Probes(Section):
    """Linear probes on the representations of training images. `epochs = 0` leaves them out.

    - `random_seed`: of the training images; and of the probes, unless `random_seeds` lists several:
      two probes on one representation then tell what probes can agree on at most.
    - `normalised`: probes on units of mean 0 and deviation 1 as well.
    """

    split: str = "train"
    count: Count | None = None
    epochs: Annotated[int, Field(ge=0)] = 0
    learning_rate: Positive = 5e-3
    batch_size: Count = 1024
    random_seed: int = 0
    random_seeds: tuple[int, ...] = ()
    normalised: bool = False

    @field_validator("random_seeds")
    @classmethod
    def _once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("Each value may be listed once; remove the repeated ones")
        return seeds

    @property
    def seeds(self) -> tuple[int, ...]:
        """The random seeds of the probes of each model."""
        return self.random_seeds or (self.random_seed,)


class Excluded(Section):
    """Models that a study leaves out."""

    architecture: str
    epsilons: tuple[Radius, ...] | None = None  # None: at every ε
    at: tuple[Finite, ...] | None = None  # along another axis; None: everywhere

    @field_validator("architecture")
    @classmethod
    def _known(cls, name: str) -> str:
        return known(ARCHITECTURES, name)
