"""`samemind.trajectory`: checkpoints along one training. First look, then compare."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from samemind.arrays import Array
from samemind.comparison.given import options_of_compare, refuse_columns
from samemind.comparison.trajectory import (
    checked_steps,
    curves,
    integrity,
    pairs_along,
    phases_of,
    steps_of,
)
from samemind.comparison.work import OF_IMAGES, OF_TEXTS, Asked, Work, refuse_options
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.execution.unchanged import process_kept
from samemind.files.reading import is_file, split_name
from samemind.lazy import pd
from samemind.measures.choosing import check_kinds, chosen_measures
from samemind.own_models import Seen, look_in_turn
from samemind.reporting.comparison import Comparison

#: What is computed unless it is said: one measure of what is represented, one of what is predicted.
USUAL = ("debiased_linear_cka", "agreement")
FEWEST = 3
NOT_HERE = (*OF_IMAGES, *OF_TEXTS, "layers", "probe")


def trajectory(
    checkpoints: Mapping[Any, Any] | Sequence[Any] | str,
    inputs: Array | str | None = None,
    *,
    steps: Sequence[float] | None = None,
    measures: Sequence[str] | str | None = None,
    labels: Array | str | None = None,
    count: int | None = None,
    errors: bool = True,
    permutations: int = 20,
    batch_size: int = 256,
    device: str = "auto",
    progress: bool | None = None,
    **further: Any,
) -> Comparison:
    """How one network changes as it is trained, and which checkpoints are not what they seem.

    **Arguments:**

    - `checkpoints`: references as those of `samemind.compare`; patterns such as
      'run/step*.safetensors'; arrays (N, …), networks or sides; or a mapping from step to any of
      these.
    - `inputs`: what networks look at; arrays need none.
    - `steps`: of each checkpoint; unless given, the one number in which the references differ.
    - `measures`: of pairs; unless given, debiased linear CKA and agreement, as far as what was
      given allows.
    - `labels`, `count`, `errors`, `permutations`, `batch_size`, `device`, `progress` and the
      further options: as `samemind.compare` has them.

    **Returns:** a `Comparison`. `.trajectory` has a row per checkpoint, relation and measure: how
    like the last, the first and the one before it is; `.phases` where the network changes at least
    twice as fast as before and after; `.integrity` a row per checkpoint that is a duplicate,
    misplaced or foreign (see `samemind.comparison.trajectory.integrity`).

    **Raises:** `InvalidInput` for fewer than three checkpoints, steps that cannot be told, and as
    `samemind.compare`.

    **Cost:** one network in memory at a time, and what it says of the inputs of every one; three
    scores per checkpoint and measure, 21 more for the phases.
    """
    options = options_of_compare(further)
    asked = Asked(
        measures=[measures] if isinstance(measures, str) else measures,
        errors=errors,
        permutations=permutations,
        **options["asked"],
    )
    refuse_options(asked, NOT_HERE, "trajectory has no option '{}', which is of comparing two.")
    refuse_columns(options["texts"])
    no_pair = "a trajectory compares pairs of checkpoints. Leave it out."
    check_kinds(asked.measures, {"mechanism": no_pair, "set": no_pair})
    at_step = in_order(checkpoints, steps)
    execution = Execution(device=device, batch_size=batch_size)
    from samemind.reporting.terminal import progress_bars

    with process_kept(), progress_bars(is_shown=progress) as watch:
        seen = look_in_turn(
            {name_of(step): one for step, one in at_step.items()}, inputs, asked,
            labels=labels, count=count, options=options["loading"], execution=execution,
            watch=watch,
        )  # fmt: skip
        return _compared(seen, {name_of(step): step for step in at_step}, asked)


def name_of(step: float) -> str:
    """What a checkpoint is called."""
    return f"step {step:,.10g}".replace(",", "")


def in_order(
    checkpoints: Mapping[Any, Any] | Sequence[Any] | str, steps: Sequence[float] | None
) -> dict[float, Any]:
    """The checkpoints by their steps, ascending.

    **Raises:** `InvalidInput` for a pattern that no file fits, fewer than three checkpoints, or
    steps that cannot be told.
    """
    if isinstance(checkpoints, Mapping):
        try:
            given, told = list(checkpoints.values()), [float(step) for step in checkpoints]
        except (TypeError, ValueError):
            raise InvalidInput(
                "A mapping of checkpoints has the step of each as its key, a number."
            ) from None
    else:
        given = [checkpoints] if isinstance(checkpoints, str) else list(checkpoints)
        given, told = _without_patterns(given)
    if len(given) < FEWEST:
        raise InvalidInput(
            f"A trajectory has {FEWEST} checkpoints or more, but {len(given)} was given. Name "
            f"more, or a pattern such as 'run/step*.safetensors'."
        )
    if steps is not None:
        told = list(steps)
        if len(told) != len(given):
            raise InvalidInput(
                f"{len(told)} steps were given for {len(given)} checkpoints. Give one for each."
            )
    if told is None:
        if not all(isinstance(one, str) for one in given):
            raise InvalidInput("Of networks and arrays the steps must be said: steps=[0, 100, …].")
        told = steps_of(given)
    by_step = dict(zip(checked_steps(told), given, strict=True))
    return dict(sorted(by_step.items()))


def _without_patterns(given: Sequence[Any]) -> tuple[list[Any], list[float] | None]:
    """Files in the place of patterns; the steps, where each reference is written STEP=FILE."""
    found: list[Any] = []
    for one in (str(m) if isinstance(m, Path) else m for m in given):
        if not isinstance(one, str) or is_file(one) or not glob.has_magic(one):
            found.append(one)
            continue
        files = sorted(glob.glob(one))  # noqa: PTH207 -- as a shell would
        if not files:
            raise InvalidInput(f"No file fits '{one}'. Check the folder and the pattern.")
        found += files
    parts = [split_name(one) if isinstance(one, str) else ("", one) for one in found]
    try:
        return [rest for _, rest in parts], [float(step) for step, _ in parts]
    except ValueError:
        return found, None


def _said_once(notes: Sequence[str]) -> list[str]:
    """Notes of checkpoints, with those that say the same together."""
    by_text: dict[str, list[str]] = {}
    for note in notes:
        name, _, text = note.partition(": ")
        by_text.setdefault(text, []).append(name)
    return [
        f"{names[0] if len(names) == 1 else f'{names[0]} and {len(names) - 1} more'}: {text}"
        for text, names in by_text.items()
    ]


def _compared(seen: Seen, steps: Mapping[str, float], asked: Asked) -> Comparison:
    notes: list[str] = []
    measures = chosen_measures(asked.measures, seen.sides, usual=USUAL, notes=notes)
    asked = replace(asked, measures=measures)
    sides = {name: seen.sides[name] for name in steps}
    work = Work(asked=asked, sides=sides, name=seen.name, pairs=pairs_along(list(steps)))
    work.notes += [*_said_once(seen.notes), *notes]
    if seen.known:
        work.known |= seen.known
    work.score()
    phases = [phases_of(sides, steps, name, random_seed=asked.random_seed) for name in measures]
    has_units = all(side.has_representation for side in sides.values())
    if not has_units:
        work.notes.append("Integrity is told by representations, which were not given.")
    found = work.finished(pd.DataFrame(seen.readings) if seen.readings else None)
    return replace(
        found,
        models=found.models.assign(step=list(steps.values())),
        name=f"trajectory on {seen.name}",
        trajectory=curves(found.scores, steps),
        phases=pd.concat(phases, ignore_index=True),
        integrity=integrity(sides, steps) if has_units else None,
    )
