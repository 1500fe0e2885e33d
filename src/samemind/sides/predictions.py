"""What predictions are: logits, one logit, probabilities, or classes that were decided on.

Nothing is guessed in silence: a row that could be taken for something else is refused, or read
by a rule that the side's `note` states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from samemind.errors import InvalidInput
from samemind.lazy import torch
from samemind.sides import preprocessing
from samemind.sides.held import as_tensor

if TYPE_CHECKING:
    from torch import Tensor

KINDS = ("logits", "probabilities", "decisions")
#: How far the rows of probabilities may be from adding to 1: what half precision leaves.
SUM = 2e-3
#: The same where nobody said that they are probabilities, and they are not in half precision.
SUM_UNSAID = 1e-4

#: How far rounding to two digits takes the sums of probabilities from 1.
ROUNDED = 0.05
#: Of fewer inputs, the rows of logits may add up to the same by accident.
LEAST_SHARES = 4
#: Of fewer inputs, logits of a binary classifier may all lie in [0, 1] or be whole.
LEAST_NUMBERS = 16

ONE_LOGIT = "one logit per input: a binary classifier, decided at 0, taken as two classes"
ONE_PROBABILITY = "one probability per input: a binary classifier, decided at 0.5, as two classes"
SEEN_TO_BE_PROBABILITIES = (
    "rows in [0, 1] that add to 1 are taken as probabilities, not as logits (kind='logits' does)"
)
SIGMOIDS = (
    "rows in [0, 1] that do not add to 1 are taken as logits, all of one softmax; of labels of "
    "their own compare each column as (N, 1), kind='probabilities'"
)
ONE_HOT = "rows of zeros and ones are taken as logits (kind='probabilities' takes them as such)"
ONLY_DECISIONS = "class numbers: decisions, with no probabilities"


class Predictions(NamedTuple):
    """`logits (N, C)`, or `decisions (N,)` where only those are known; `note` says so."""

    logits: Tensor | None
    decisions: Tensor | None
    note: str = ""


def read_predictions(values: Any, kind: str | None) -> Predictions:
    """What was given as predictions, by its shape and by the kind that was named.

    **Arguments:**

    - `values`: logits `(N, C)`; `(N, 1)` of a binary classifier; probabilities of either shape; or
      class numbers `(N,)`.
    - `kind`: one of `KINDS`, or None: then rows that all lie in [0, 1] and add to 1 are
      probabilities, and are not softmaxed again; zeros and ones alone are logits.

    **Raises:** `InvalidInput` for what is none of these.
    """
    if kind is not None and kind not in KINDS:
        raise InvalidInput(f"No kind of predictions is called '{kind}'. Known: {', '.join(KINDS)}.")
    tensor = as_tensor(values, "logits")
    if kind == "decisions" or (kind is None and tensor.ndim == 1):
        return Predictions(None, _decisions(tensor), ONLY_DECISIONS)
    logits = preprocessing.as_matrix(tensor, "logits")
    if kind is None and logits.shape[1] == 1:
        _refuse_one_that_is_none(logits)
    if kind == "probabilities":
        return _of_probabilities(logits)
    within = SUM if tensor.dtype.itemsize == 2 else SUM_UNSAID
    if kind is None and are_probabilities(logits, within):
        if bool(((logits == 0) | (logits == 1)).all()):
            return Predictions(logits, None, ONE_HOT)
        return Predictions(logits.log(), None, SEEN_TO_BE_PROBABILITIES)
    if kind is None:
        _refuse_shares(logits)
    if logits.shape[1] == 1:
        return Predictions(torch.cat([torch.zeros_like(logits), logits], dim=1), None, ONE_LOGIT)
    if kind is None and bool(((logits >= 0) & (logits <= 1)).all()):
        return Predictions(logits, None, SIGMOIDS)
    return Predictions(logits, None)


def are_probabilities(rows: Tensor, within: float = SUM) -> bool:
    """Whether every row lies in [0, 1] and adds up to 1, to `within`."""
    if rows.shape[1] < 2 or not bool(((rows >= 0) & (rows <= 1)).all()):
        return False
    return bool(((rows.double().sum(1) - 1).abs() <= within).all())


def _refuse_shares(rows: Tensor) -> None:
    """Raises `InvalidInput` for rows that are shares of a whole by the look of them.

    Probabilities that were rounded, percentages and counts of votes: not negative, and every row
    adds up to the same number. Logits do not, but by an accident that grows rare with N.
    """
    if rows.shape[1] < 2 or len(rows) < LEAST_SHARES or not bool((rows >= 0).all()):
        return
    if bool((rows == rows[:, :1]).all()):
        return  # no class above another: shares and logits of this say the same
    sums = rows.double().sum(1)
    low, high = float(sums.min()), float(sums.max())
    is_rounded = abs(low - 1) <= ROUNDED and abs(high - 1) <= ROUNDED and bool((rows <= 1).all())
    if not is_rounded and not (low > 1.5 and high - low <= SUM_UNSAID * high):
        return
    one = float(sums.mean())
    what = "1, nearly: probabilities that were rounded" if is_rounded else f"{one:g}: shares of it"
    raise InvalidInput(
        f"The logits are not negative and every row adds up to {what}, by the look of them. Divide "
        f"each row by its sum and say kind='probabilities'; if they are logits, kind='logits'."
    )


def _refuse_one_that_is_none(values: Tensor) -> None:
    """Raises `InvalidInput` for one number per input that is no logit, by the look of it.

    Decided at 0, all probabilities are one class, and of class numbers all but 0 are.
    """
    if len(values) < LEAST_NUMBERS or not bool((values >= 0).all()):
        return
    if bool((values == values.round()).all()):
        if bool((values == values[0]).all()):
            return  # one class whichever way
        raise InvalidInput(
            "One whole number per input, none below 0, was given as logits (N, 1): class numbers, "
            "by the look of them. Give them as (N,), values[:, 0]; if they are logits of binary "
            "classifiers, say kind='logits'."
        )
    if bool((values <= 1).all()):
        raise InvalidInput(
            "One number in [0, 1] per input was given as logits (N, 1): probabilities, by the look "
            "of them. Say kind='probabilities', which decides at 0.5; if they are logits, which "
            "are decided at 0, kind='logits'."
        )


def _of_probabilities(rows: Tensor) -> Predictions:
    if rows.shape[1] == 1 and bool(((rows >= 0) & (rows <= 1)).all()):
        return Predictions(torch.cat([1 - rows, rows], dim=1).log(), None, ONE_PROBABILITY)
    if not are_probabilities(rows):
        low, high = (float(v) for v in torch.aminmax(rows))
        sums = rows.double().sum(1)
        raise InvalidInput(
            f"Probabilities lie in [0, 1] and each row adds up to 1, but these go from {low:.4g} "
            f"to {high:.4g}, with sums from {float(sums.min()):.4g} to {float(sums.max()):.4g}. "
            f"Give the logits instead, or divide each row by its sum; of several labels per input, "
            f"compare each as (N, 1)."
        )
    return Predictions(rows.log(), None, "probabilities, as given")


def _decisions(tensor: Tensor) -> Tensor:
    if tensor.ndim != 1 or not len(tensor):
        how = "values[:, 0]" if tensor.ndim == 2 and tensor.shape[1] == 1 else "values.argmax(1)"
        how = f", such as {how}" if tensor.ndim == 2 and len(tensor) else ""
        raise InvalidInput(
            f"Class numbers have the shape (N,), but {tuple(tensor.shape)} was found. Give one "
            f"number per input{how}."
        )
    return whole_numbers(
        tensor,
        "Predictions of shape (N,) are class numbers",
        "One logit per input has the shape (N, 1); a regression output is no class",
    )


def checked_labels(values: Any, n_classes: int | None) -> Tensor:
    """Labels as `(N,)` class numbers in [0, C).

    **Raises:** `InvalidInput` for another shape, other numbers, or classes that there are not.
    """
    labels = as_tensor(values, "labels")
    if labels.ndim != 1:
        how = "Give one number per input"
        if labels.ndim == 2:
            how = "Take the arg-max of one-hot labels"
        if labels.ndim == 2 and labels.shape[1] == 1:
            how = "Leave the second axis out: labels[:, 0]"
        elif labels.ndim == 2 and bool((labels.double().sum(1) != 1).any()):
            how = (
                "With several labels per input, compare one label at a time: "
                "Side(logits=logits[:, [j]], labels=labels[:, j])"
            )
        raise InvalidInput(
            f"Labels are one class per input, of shape (N,), but their shape is "
            f"{tuple(labels.shape)}. {how}."
        )
    labels = whole_numbers(labels, "Labels are class numbers", "A regression target is no class")
    if n_classes is not None and len(labels) and int(labels.max()) >= n_classes:
        raise InvalidInput(
            f"Labels are classes from 0 to {n_classes - 1}, but they range from "
            f"{int(labels.min())} to {int(labels.max())}. Number them as the logits are numbered."
        )
    return labels


def whole_numbers(tensor: Tensor, what: str, otherwise: str) -> Tensor:
    """Whole numbers from 0 up, as int64.

    **Raises:** `InvalidInput` for others.
    """
    numbers = tensor.double() if tensor.is_floating_point() else tensor.long()
    is_whole = torch.isfinite(numbers).all() and (numbers == numbers.round()).all()
    if not bool(is_whole) or (len(numbers) and float(numbers.min()) < 0):
        bad = numbers[~torch.isfinite(numbers) | (numbers != numbers.round()) | (numbers < 0)]
        raise InvalidInput(f"{what} from 0 up, but {float(bad[0]):g} was found. {otherwise}.")
    return numbers.long()
