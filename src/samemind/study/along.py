"""The axis of a study file: what models are compared along, where that is not ε."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import field_validator

from samemind.architectures.base import of_width
from samemind.axis import Axis
from samemind.comparison.table import COLUMNS
from samemind.datasets.base import DATASETS
from samemind.errors import InvalidInput
from samemind.results import MODEL_COLUMNS, SCORE_COLUMNS
from samemind.study.sections import Finite, Section

if TYPE_CHECKING:
    from samemind.study.grid import Study

#: What can be read of a model, and the words for it unless a study has its own.
AXES = {
    "label": Axis("", "", ""),
    "noise": Axis("noise", "noise σ", "σ"),
    "share": Axis("share", "share of the training data", "share"),
    "step": Axis("step", "training step", "step"),
    "stop_at_accuracy": Axis("stop_at_accuracy", "accuracy that training stops at", "accuracy"),
    "width": Axis("width", "width", "width"),
}
TAKEN = frozenset({*COLUMNS, *MODEL_COLUMNS, *SCORE_COLUMNS, "trained_epsilon", "n_models"})


class AxisSection(Section):
    """What models are compared along in the place of ε; pairs are formed within one value of it.

    - `of`: what of a model it is: a field of its training ("noise", "share", "stop_at_accuracy"),
      the "step" of its training at which it is kept, the "width" of its architecture, or the
      "label" that an imported checkpoint has as `at`.
    - `values`: of what is trained, a model for each. Unless said, those that imported ones have.
    - `name`: of the column in tables. `text`: a noun for sentences and figures, such as "training
      step". `symbol`: what stands before a value, as in "step = 100".
    """

    of: Literal["label", "noise", "share", "step", "stop_at_accuracy", "width"]
    values: tuple[Finite, ...] = ()
    name: str = ""
    text: str = ""
    symbol: str = ""

    @field_validator("name")
    @classmethod
    def _is_a_column(cls, name: str) -> str:
        if name and not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
            raise ValueError("A name has small letters, digits and _, such as 'step'")
        if name in TAKEN:
            raise ValueError(f"The tables have a column '{name}' already; name the axis otherwise")
        return name

    @field_validator("values")
    @classmethod
    def _once(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) < len(values):
            raise ValueError("Each value may be listed once; remove the repeated ones")
        return tuple(sorted(values))

    @property
    def axis(self) -> Axis:
        """The axis with its words, its own or the usual ones."""
        usual = AXES[self.of]
        name = self.name or usual.name
        text = self.text or usual.text or name
        return Axis(name, text, self.symbol or usual.symbol or name)


class Place(NamedTuple):
    """A number in the path of a checkpoint, and the path without it."""

    value: float
    rest: str


def place_in(path: Path, word: str) -> Place | None:
    """The number that follows a word in a path, the last one where there are several.

    >>> place_in(Path("run-1/step0100.pt"), "step")
    Place(value=100.0, rest='run-1/step*.pt')
    """
    text = path.as_posix()
    number = rf"(?<![a-z]){re.escape(word)}[^0-9a-z/.]*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
    found = list(re.finditer(number, text, re.IGNORECASE))
    if not found:
        return None
    start, end = found[-1].span(1)
    return Place(float(text[start:end]), f"{text[:start]}*{text[end:]}")


def levels_along(study: Study) -> tuple[float, ...]:
    """The places along another axis than ε at which a study has models, rising."""
    assert study.axis is not None
    return study.axis.values or tuple(sorted({m.at for m in study.imported if m.at is not None}))


def check_axis(study: Study) -> None:
    """Raises `ValueError` where the axis of a study and the rest of it do not fit."""
    parts = study.training.parts if study.training is not None else ()
    is_of_steps = study.axis is not None and study.axis.of == "step"
    if not is_of_steps and any(part.keep_every is not None for part in parts):
        raise ValueError('keep_every needs [axis] of = "step"; add it, or remove keep_every')
    if study.axis is None:
        for model in study.imported:
            if model.at is not None:
                raise ValueError(
                    f"The imported {model.source} has at = {model.at:g}, a place along an axis "
                    f'that the study does not declare; add [axis] of = "label", name = …'
                )
        return
    of, axis = study.axis.of, study.axis.axis
    if not axis.name:
        raise ValueError('[axis] of = "label" needs a name, such as name = "step"')
    if len(study.epsilons) > 1:
        raise ValueError(
            f"A study along '{axis.name}' has models of one ε, but epsilons lists "
            f"{len(study.epsilons)}; leave one, such as epsilons = [0]"
        )
    if study.architectures:
        _check_trained(study, of)
    _check_imported(study, levels_along(study), axis)


def _check_trained(study: Study, of: str) -> None:
    assert study.axis is not None
    values = study.axis.values
    if of == "label":
        raise ValueError(
            '[axis] of = "label" is of imported checkpoints, and `architectures` are trained; '
            "leave them out, or name what of their training the axis is"
        )
    if not values:
        raise ValueError(f'[axis] of = "{of}" needs the values to train at, as values = […]')
    if of == "width":
        for name in study.architectures:
            for value in values:
                _check_width(name, value)
    if of == "width" and study.width != 1:
        raise ValueError("Both `width` and [axis] say the width; leave one out")
    if of == "step":
        _check_steps(study)
        return
    parts = study.training.parts
    if of != "width" and any(getattr(part, of) is not None for part in parts):
        raise ValueError(f"Both [training] {of} and [axis] say {of}; leave one out")
    if of == "share" and any(part.count is not None for part in parts):
        raise ValueError("[training] count and the share that [axis] says exclude one another")
    least, most = {"noise": (0, 1e6), "width": (1e-6, 1e6)}.get(of, (1e-6, 1))
    for value in values:
        if not least <= value <= most:
            what = "0 or more" if of == "noise" else f"above 0{' and at most 1' * (most == 1)}"
            raise ValueError(f"[axis] values of {of} are {what}, and {value:g} is not")


def _check_steps(study: Study) -> None:
    from samemind.training.progress import steps_in_epoch

    assert study.axis is not None
    training, parts = study.training, study.training.parts
    every = training.keep_every
    if every is None:
        raise ValueError('[axis] of = "step" needs [training] keep_every, such as keep_every = 100')
    if any(part.stop_at_accuracy is not None for part in parts):
        raise ValueError("stop_at_accuracy ends a training before its steps; leave it out")
    if any(part.fallback_learning_rates or part.keep_every not in (None, every) for part in parts):
        raise ValueError(
            "Along the steps of a training neither fallback_learning_rates nor a keep_every of "
            "some models can be: checkpoints of one training would be of several"
        )
    for value in study.axis.values:
        if value <= 0 or value % every:
            raise ValueError(
                f"[axis] values of step are multiples of keep_every = {every}, and {value:g} is not"
            )
    data = DATASETS[study.dataset]
    images = next(iter(data.splits.values()))
    for name in study.architectures:
        schedule = training.schedule(name, study.epsilons[0], data.image_size)
        used = schedule.count or round((schedule.share or 1) * images)
        total = schedule.epochs * steps_in_epoch(used, schedule.batch_size)
        if study.axis.values[-1] > total:
            raise ValueError(
                f"[axis] values go up to step {study.axis.values[-1]:g}, but the training of "
                f"{name} has {total} steps; give it more epochs, or leave out later steps"
            )


def _check_width(architecture: str, width: float) -> None:
    try:
        of_width(architecture, width)
    except InvalidInput as error:
        raise ValueError(str(error)) from None


def _check_imported(study: Study, levels: Sequence[float], axis: Axis) -> None:
    places: dict[str, float] = {}
    for model in study.imported:
        if model.at is None:
            raise ValueError(
                f"The imported {model.source} lacks its place along '{axis.name}'; add at = …"
            )
        if model.at not in levels:
            raise ValueError(
                f"The imported {model.source} has at = {model.at:g}, which is not among the "
                f"values of [axis]; add it there"
            )
        other = places.setdefault(model.sha256, model.at)
        if other != model.at:
            raise ValueError(
                f"The imported {model.source} stands at {other:g} and at {model.at:g}; one file "
                f"has one place along '{axis.name}'"
            )
