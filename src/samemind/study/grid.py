"""The grid of a study: what to compare, as recipes in the order of their stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from samemind.architectures.base import ARCHITECTURES, of_width
from samemind.attacks import Attack, ball_of
from samemind.axis import EPSILON, Axis
from samemind.comparison.layers import LayerScores
from samemind.comparison.mechanisms import MechanismScores
from samemind.comparison.pairs import Scores
from samemind.comparison.probes import Probe, ProbeScores
from samemind.comparison.sets import SetScores
from samemind.comparison.table import At
from samemind.datasets.base import DATASETS, Dataset
from samemind.errors import InvalidInput
from samemind.extraction.activations import Activations
from samemind.inversion import Adversarial, Inputs, Inverted, Natural, Seeds
from samemind.measures.mechanism import MECHANISM_MEASURES
from samemind.store.artifacts import Recipe
from samemind.study import further
from samemind.study.along import AxisSection, check_axis, levels_along
from samemind.study.sections import (
    AdversarialSection,
    AttackSection,
    Cluster,
    Comparison,
    Evaluation,
    Excluded,
    ImportedModel,
    InputsSection,
    Inversion,
    Positive,
    Probes,
    Radius,
    Section,
    Training,
    known,
)
from samemind.training import Evaluated, Imported, Schedule, Trained


@dataclass(frozen=True)
class Stage:
    """Recipes that do not need one another, and the verb for what is done to them."""

    name: str
    recipes: tuple[Recipe, ...]


def _at_place(schedule: Schedule, of: str, at: float) -> Schedule:
    """The schedule of a model at a place along an axis that is a field of its training."""
    return replace(schedule, steps=int(at)) if of == "step" else replace(schedule, **{of: at})


@dataclass(frozen=True)
class Level:
    """The models at one place along the axis of a study; `at` is None where that is ε."""

    value: float
    at: At | None
    checkpoints: tuple[Trained | Imported, ...]


class Study(Section):
    """The grid of a study. Its stages are recipes only: nothing runs before `advance`."""

    name: str
    title: str = ""
    dataset: str
    width: Positive = 1.0  # before the architectures, which it changes
    architectures: tuple[str, ...] = ()
    epsilons: Annotated[tuple[Radius, ...], Field(min_length=1)]
    random_seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    norm: str = "L2"
    axis: AxisSection | None = None
    exclude: tuple[Excluded, ...] = ()
    imported: tuple[ImportedModel, ...] = ()
    training: Training = None  # pyright: ignore[reportAssignmentType] -- needed to train
    attack: AttackSection = AttackSection()
    evaluation: Evaluation = Evaluation()
    inputs: InputsSection = InputsSection()
    inversion: Inversion = Inversion()
    adversarial: AdversarialSection = AdversarialSection()
    comparison: Comparison = Comparison()
    probes: Probes = Probes()
    cluster: Cluster = Cluster()
    _text: str = PrivateAttr(default="")  # the study file as it was read
    _folder: Path = PrivateAttr(default=Path())  # where it lies

    @field_validator("dataset")
    @classmethod
    def _dataset(cls, name: str) -> str:
        return known(DATASETS, name)

    @field_validator("architectures")
    @classmethod
    def _architectures(cls, names: tuple[str, ...], read: ValidationInfo) -> tuple[str, ...]:
        width = read.data.get("width", 1.0)
        found = tuple(known(ARCHITECTURES, name) for name in names)
        try:
            return tuple(of_width(name, width) if width != 1 else name for name in found)
        except InvalidInput as error:
            raise ValueError(str(error)) from None

    @field_validator("architectures", "epsilons", "random_seeds")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError("Each value may be listed once; remove the repeated ones")
        return values

    @model_validator(mode="after")
    def _radii_fit_the_norm(self) -> Study:
        for epsilon in (*self.epsilons, self.evaluation.standard_epsilon):
            ball_of(self.norm, epsilon)
        return self

    @model_validator(mode="after")
    def _mechanisms_have_inverted_images(self) -> Study:
        for name in self.comparison.of_kind("mechanism"):
            made = MECHANISM_MEASURES[name].made
            if made == "inverted" and not self.inversion.steps:
                raise ValueError(
                    f"'{name}' compares models on inverted images, which [inversion] steps = 0 "
                    f"leaves out; give steps, or leave the measure out"
                )
            if made == "adversarial" and not self.adversarial.epsilon:
                raise ValueError(
                    f"'{name}' compares models on adversarial images, and the study makes none; "
                    f"give [adversarial] epsilon, or leave the measure out"
                )
        return self

    @model_validator(mode="after")
    def _there_are_models(self) -> Study:
        if not self.architectures and not self.imported:
            raise ValueError("List at least one of `architectures`, or an [[imported]] checkpoint")
        if self.architectures and self.training is None:
            raise ValueError("The section [training] is needed and is missing")
        for model in self.imported:
            if model.epsilon not in self.epsilons:
                raise ValueError(
                    f"The imported {model.source} has ε = {model.epsilon:g}, which is not among "
                    f"the epsilons of the study; add it there"
                )
        if self.training is not None and (self.axis is None or self.axis.of != "stop_at_accuracy"):
            self.training.check_looks()
        check_axis(self)
        return self

    @property
    def text(self) -> str:
        """The study file as it was read; for a study built in Python, its fields as JSON."""
        return self._text or self.model_dump_json(indent=1)

    # -- the recipes

    @property
    def along(self) -> Axis:
        """What models are compared along."""
        return EPSILON if self.axis is None else self.axis.axis

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """For every place along the axis, what is trained and then what is imported."""
        if self.axis is None:
            return tuple(Level(e, None, tuple(self._checkpoints_at(e))) for e in self.epsilons)
        name = self.along.name
        return tuple(
            Level(value, At(name, value), tuple(self._checkpoints_at(self.epsilons[0], value)))
            for value in levels_along(self)
        )

    @cached_property
    def checkpoints(self) -> tuple[Trained | Imported, ...]:
        """Those of all levels, in their order."""
        return tuple(c for level in self.levels for c in level.checkpoints)

    @cached_property
    def kept(self) -> dict[Trained | Imported, None]:
        """Those that a longer training of the study leaves behind, if it is made first."""
        if self.axis is None or self.axis.of != "step":
            return {}
        last = max(self.axis.values, default=0)
        return {
            c: None for c in self.checkpoints if isinstance(c, Trained) and c.schedule.steps != last
        }

    @cached_property
    def places(self) -> dict[str, float]:
        """Where each model lies along the axis, by its name."""
        return {c.model: level.value for level in self.levels for c in level.checkpoints}

    @cached_property
    def families(self) -> dict[str, str]:
        """What each model is counted as among architectures, by its name.

        Widths of one network are one family, and so are imported models that say so.
        """
        found = {c.model: c.architecture for c in self.checkpoints}
        if self.axis is not None and self.axis.of == "width":
            found = {m: ARCHITECTURES[name].width_of or name for m, name in found.items()}
        return found | {self._imported(m).model: m.family for m in self.imported if m.family}

    def _checkpoints_at(
        self, epsilon: float, at: float | None = None
    ) -> Iterator[Trained | Imported]:
        for architecture in self.architectures:
            for random_seed in self.random_seeds:
                if not self._is_excluded(architecture, epsilon, at):
                    yield self._checkpoint(architecture, epsilon, random_seed, at)
        for model in self.imported:
            if model.epsilon == epsilon and model.at == at:
                yield self._imported(model)

    def _imported(self, model: ImportedModel) -> Imported:
        return Imported(
            dataset=self.dataset,
            ball=ball_of(self.norm, model.epsilon) if model.epsilon else None,
            **model.model_dump(exclude={"epsilon", "file", "at", "family"}),
        )

    @property
    def files(self) -> dict[Imported, Path]:
        """Where the imported checkpoints lie that say so, by their recipes."""
        return {self._imported(m): self._folder / m.file for m in self.imported if m.file}

    def _is_excluded(self, architecture: str, epsilon: float, at: float | None) -> bool:
        return any(
            e.architecture == architecture
            and (e.epsilons is None or epsilon in e.epsilons)
            and (e.at is None or at in e.at)
            for e in self.exclude
        )

    @cached_property
    def _data(self) -> Dataset:
        return DATASETS[self.dataset]

    def _checkpoint(
        self, architecture: str, epsilon: float, random_seed: int, at: float | None
    ) -> Trained:
        schedule = self.training.schedule(architecture, epsilon, self._data.image_size)
        if self.axis is not None and at is not None:
            if self.axis.of == "width":
                architecture = of_width(architecture, at)
            else:
                schedule = _at_place(schedule, self.axis.of, at)
        return Trained(
            dataset=self.dataset,
            architecture=architecture,
            ball=ball_of(self.norm, epsilon) if epsilon else None,
            attack=Attack(**self.attack.model_dump()) if epsilon else None,
            schedule=schedule,
            random_seed=random_seed,
            preprocessing=self._data.preprocessing,
            fingerprint=self._data.fingerprints.get("train", ""),
        )

    @cached_property
    def evaluations(self) -> tuple[Evaluated, ...]:
        return tuple(
            Evaluated(
                checkpoint=checkpoint,
                split=self.evaluation.split,
                count=self.evaluation.count,
                fingerprint=self._data.fingerprints.get(self.evaluation.split, ""),
                ball=checkpoint.ball or ball_of(self.norm, self.evaluation.standard_epsilon),
                attack=Attack(**self.attack.model_dump()),
                random_seed=0,
                strong_attack=self.evaluation.strong_attack,
                strong_count=self.evaluation.strong_count or None,
                epsilons=self._radii_of_the_curve,
                autoattack=self.evaluation.autoattack,
            )
            for checkpoint in self.checkpoints
        )

    @property
    def _radii_of_the_curve(self) -> tuple[float, ...]:
        radii = self.evaluation.epsilons or (*self.epsilons, self.evaluation.standard_epsilon)
        return tuple(sorted(float(r) for r in set(radii) if r))

    @cached_property
    def natural(self) -> Natural:
        data = DATASETS[self.inputs.dataset] if self.inputs.dataset else self._data
        return Natural(
            dataset=data.name,
            split=self.inputs.split,
            count=self.inputs.count,
            random_seed=self.inputs.random_seed,
            preprocessing=data.preprocessing,
            fingerprint=data.fingerprints.get(self.inputs.split, ""),
        )

    @cached_property
    def seeds(self) -> Seeds:
        return Seeds(targets=self.natural, random_seed=self.inputs.random_seed)

    @cached_property
    def inverted(self) -> tuple[Inverted, ...]:
        if not self.inversion.steps:
            return ()
        return tuple(
            Inverted(
                checkpoint=checkpoint,
                targets=self.natural,
                seeds=self.seeds,
                descent=self.inversion.descent,
                storage=self.inversion.storage,
            )
            for checkpoint in self.checkpoints
        )

    @cached_property
    def attacked(self) -> tuple[Adversarial, ...]:
        """The natural inputs under an attack on each model, where the study asks for them."""
        if not self.adversarial.epsilon:
            return ()
        return tuple(
            Adversarial(
                checkpoint=checkpoint,
                targets=self.natural,
                ball=ball_of(self.norm, self.adversarial.epsilon),
                attack=self.adversarial.attack,
                random_seed=self.adversarial.random_seed,
            )
            for checkpoint in self.checkpoints
        )

    @cached_property
    def scores(self) -> tuple[Scores, ...]:
        """For every level with at least two models: natural inputs, then those made for each."""
        found = []
        for level in self.levels:
            models = level.checkpoints
            if len(models) < 2:
                continue
            here = set(models)
            input_sets: list[tuple[Inputs, ...]] = [(self.natural,)]
            for made in (self.inverted, self.attacked):
                of_level = tuple(i for i in made if i.checkpoint in here)
                input_sets += [of_level] if of_level else []
            found += [
                Scores(
                    dataset=self.dataset,
                    epsilon=level.value if level.at is None else self.epsilons[0],
                    at=level.at,
                    activations=tuple(
                        Activations(checkpoint=m, inputs=i) for i in inputs for m in models
                    ),
                    measures=self.comparison.of_kind("pair"),
                    errors=self.comparison.errors,
                    permutations=self.comparison.permutations,
                    random_seed=self.comparison.random_seed,
                    driving_inputs=self.comparison.driving_inputs,
                    subgroups=self.comparison.subgroups,
                    subgroup_shuffles=self.comparison.subgroup_shuffles,
                )
                for inputs in input_sets
            ]
        return tuple(found)

    @cached_property
    def layer_scores(self) -> tuple[LayerScores, ...]:
        """Layer by layer, for the cells and kinds of inputs that the study asks it of."""
        return tuple(further.layer_scores(self.scores, self.comparison))

    @cached_property
    def mechanism_scores(self) -> tuple[MechanismScores, ...]:
        """Mechanism measures of every cell, where the study asks for some."""
        return tuple(further.mechanism_scores(self.scores, self.comparison))

    @cached_property
    def set_scores(self) -> tuple[SetScores, ...]:
        """Measures of all models of a cell together, where the study asks for some."""
        return tuple(further.set_scores(self.scores, self.comparison))

    @cached_property
    def probed(self) -> Natural:
        """The training images that probes are trained on."""
        return Natural(
            dataset=self.dataset,
            split=self.probes.split,
            count=self.probes.count,
            random_seed=self.probes.random_seed,
            preprocessing=self._data.preprocessing,
            fingerprint=self._data.fingerprints.get(self.probes.split, ""),
        )

    @cached_property
    def probe_scores(self) -> tuple[ProbeScores, ...]:
        """Heads and probes of every cell compared, where the study asks for probes."""
        if not self.probes.epochs:
            return ()
        return tuple(
            ProbeScores(
                dataset=self.dataset,
                epsilon=cell.epsilon,
                at=cell.at,
                probes=tuple(self._probe(a) for a in cell.activations),
                activations=cell.activations,
                others=tuple(p for a in cell.activations for p in self._further_probes(a)),
            )
            for cell in self.scores
            if cell.inputs == "natural"
        )

    def _probe(
        self, activations: Activations, random_seed: int | None = None, is_normalised: bool = False
    ) -> Probe:
        seed = self.probes.seeds[0] if random_seed is None else random_seed
        return Probe(
            activations=Activations(checkpoint=activations.checkpoint, inputs=self.probed),
            epochs=self.probes.epochs,
            learning_rate=self.probes.learning_rate,
            batch_size=self.probes.batch_size,
            random_seed=seed,
            is_normalised=is_normalised,
        )

    def _further_probes(self, activations: Activations) -> Iterator[Probe]:
        """Those of other random seeds, and normalised ones."""
        for seed in self.probes.seeds[1:]:
            yield self._probe(activations, seed)
        for seed in self.probes.seeds if self.probes.normalised else ():
            yield self._probe(activations, seed, is_normalised=True)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The whole study in order; a stage needs only the ones before it."""
        probes = [p for s in self.probe_scores for p in (*s.probes, *s.others)]
        beside = (*self.layer_scores, *self.mechanism_scores, *self.set_scores)
        layers = [a for s in self.layer_scores for a in s.activations]
        activations = dict.fromkeys(
            [
                *(a for s in self.scores for a in s.activations),
                *layers,
                *(p.activations for p in probes),
            ]
        )
        return (
            Stage("training", tuple(c for c in self.checkpoints if c not in self.kept)),
            *([Stage("keeping", tuple(self.kept))] if self.kept else []),
            Stage("evaluation", self.evaluations),
            Stage("inputs", (self.natural, self.probed) if probes else (self.natural,)),
            Stage("seeds", (self.seeds,) if self.inverted else ()),
            Stage("inversion", self.inverted),
            *([Stage("attack", self.attacked)] if self.attacked else []),
            Stage("extraction", tuple(activations)),
            Stage("probing", tuple(probes)),
            Stage("comparison", (*self.scores, *beside, *self.probe_scores)),
        )
