"""What a gate demands: models, inputs and rules, from a TOML file or from Python."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from samemind.errors import InvalidInput, UnreadableFile, reason
from samemind.files.reading import is_file, is_folder, read_text
from samemind.registry import did_you_mean

MOST_OF_POLICY = 2**20  # bytes
SHOWN = 20  # errors of one file

# A share of 0 cannot be shown by any number of inputs; one of 1 forbids nothing.
SomeShare = Annotated[float, Field(gt=0, lt=1)]
Level = Literal["identical bits", "equal up to rounding", "the same answers", "same answers"]


class Strict(BaseModel):
    """No key too many, no text for a number, nothing infinite."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class MinSimilarity(Strict):
    """A layer of both models is at least so much more alike than its floor.

    - `layer`: its name in both; `layer_new` where it has another one in the new model;
      "representation" is what the last linear layer reads.
    - `measure`: one with a standard error. `above_floor`: how far its score lies above what it
      gives when inputs are shuffled, at least.
    """

    layer: str
    above_floor: Annotated[float, Field(gt=-1, lt=1)]
    layer_new: str | None = None
    measure: str = "debiased_linear_cka"


class Rules(Strict):
    """What a gate demands of the new model; what is None is not asked.

    - `max_negative_flips`: the share of inputs that may turn from right to wrong;
      `max_negative_flips_per_class` the same within every class.
    - `max_accuracy_loss`: how much less accurate the new model may be.
    - `min_fidelity`: what each input must keep, but for a share `fidelity_tolerance` of them.
    - `min_similarity`: of layers.
    """

    max_negative_flips: SomeShare | None = None
    max_negative_flips_per_class: SomeShare | None = None
    max_accuracy_loss: Annotated[float, Field(ge=0, lt=1)] | None = None
    min_fidelity: Level | None = None
    fidelity_tolerance: SomeShare = 0.01
    min_similarity: Annotated[tuple[MinSimilarity, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _has_one(self) -> Rules:
        asked = [getattr(self, name) for name in type(self).model_fields if name not in _SETTINGS]
        if not any(one not in (None, ()) for one in asked):
            known = [name for name in type(self).model_fields if name not in _SETTINGS]
            raise ValueError(
                f"a gate without rules passes nothing; state one of {', '.join(known)}"
            )
        if self.min_fidelity is None and "fidelity_tolerance" in self.model_fields_set:
            raise ValueError("fidelity_tolerance goes with min_fidelity, which is not there")
        return self

    @property
    def needs_labels(self) -> list[str]:
        """The rules that need to know the correct classes."""
        names = ("max_negative_flips", "max_negative_flips_per_class", "max_accuracy_loss")
        return [name for name in names if getattr(self, name) is not None]

    @property
    def level(self) -> str | None:
        """The fidelity asked for, under its full name."""
        return "the same answers" if self.min_fidelity == "same answers" else self.min_fidelity


_SETTINGS = ("fidelity_tolerance",)


class Policy(Strict):
    """A gate as a file: which models on which inputs, and the rules.

    - `old`, `new`: references as `samemind compare` takes them; files are looked for beside the
      policy first. `inputs`, `labels`, `count`: as `samemind compare` takes them.
    - `sequential`: look at inputs in random order and stop once the answer is certain.
    - `loading`: further options of models: architecture, normalise, image_size, …
    """

    old: str
    new: str
    inputs: str
    rules: Rules
    labels: str | None = None
    count: Annotated[int, Field(ge=1)] | None = None
    sequential: bool = False
    random_seed: int = 0
    loading: Mapping[str, Any] = Field(default_factory=dict)


def rules_of(asked: Mapping[str, Any]) -> Rules:
    """The rules of keyword arguments.

    **Raises:** `InvalidInput` that names what is wrong, and for no rule at all.
    """
    given = {name: value for name, value in asked.items() if value not in (None, (), [])}
    try:
        return Rules.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(explained("The gate", error)) from None


def read_policy(path: str | Path) -> Policy:
    """The policy of a TOML file, with its files by their full paths.

    **Raises:** `InvalidInput`, naming the key, what it holds and what would be right.
    """
    path = Path(path)
    try:
        content = tomllib.loads(read_text(path, most=MOST_OF_POLICY))
    except UnreadableFile as error:
        raise InvalidInput(f"The policy {path} cannot be read: {error.reason}.") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not valid TOML: {reason(error)}. Mend that line.") from None
    try:
        policy = Policy.model_validate(content)
    except ValidationError as error:
        raise InvalidInput(explained(f"The policy {path}", error)) from None
    found = {
        name: beside(path.parent, held)
        for name in ("old", "new", "inputs", "labels")
        if (held := getattr(policy, name)) is not None
    }
    return policy.model_copy(update=found)


def beside(folder: Path, reference: str) -> str:
    """A reference with its file or folder as it lies beside the policy, if it is there."""
    name, equals, given = reference.rpartition("=")
    file, colons, part = given.partition("::")
    try:
        there = folder / file
        if file and (is_file(there) or is_folder(there)):
            return f"{name}{equals}{there}{colons}{part}"
    except (OSError, ValueError):  # no name of a file at all
        pass
    return reference


def explained(what: str, error: ValidationError) -> str:
    """What is wrong, key by key."""
    lines = []
    for found in error.errors()[:SHOWN]:
        key = ".".join(str(part) for part in found["loc"])
        message = found["msg"].removeprefix("Value error, ").rstrip(".")
        if found["type"] == "extra_forbidden":
            known = _known(found["loc"][:-1])
            near = did_you_mean(str(found["loc"][-1]), known)
            message = f"there is no such key. {near}Known: {', '.join(known)}"
        elif found["type"] == "missing":
            message = "this key is needed and is missing"
        elif found["loc"]:
            message += f" (found: {repr(found['input'])[:200]})"
        lines.append(f"{key}: {message}" if key else message)
    return f"{what} cannot be run: {'; '.join(lines)}."


def _known(location: tuple[int | str, ...]) -> list[str]:
    if "min_similarity" in location:
        return list(MinSimilarity.model_fields)
    return list((Rules if "rules" in location else Policy).model_fields | (
        Rules.model_fields if not location else {}
    ))  # fmt: skip
