"""Measures of a whole set of models at once: how much a choice among them decides.

They are functions of several `Side`s of the same inputs, with the same promises beside them as
those of pairs; `SET_MEASURES` finds them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import torch
from samemind.registry import Registry
from samemind.sides.pair import Pair, Side

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.arrays import Array


@dataclass(frozen=True, kw_only=True)
class SetMeasure:
    """A comparison of two or more models on the same inputs, by their logits."""

    name: str
    summary: str
    bounds: tuple[float, float]
    identical: float
    larger_is_more_similar: bool
    reference: str
    cost: str
    compute: Callable[[Sequence[Side]], Tensor] = field(repr=False)

    def __call__(self, models: Sequence[Array]) -> float:
        """The score of several arrays of logits `(N, C)` whose rows are the same inputs.

        **Raises:** `InvalidInput` if they cannot be compared; `UndefinedScore` if the measure has
        no value for them.
        """
        return self.score([Side(logits=logits) for logits in models])

    def score(self, sides: Sequence[Side]) -> float:
        """The score of prepared models, which their pairs can share."""
        if len(sides) < 2:
            raise InvalidInput(
                f"{self.name} compares two models or more, but was given {len(sides)}."
            )
        for other in sides[1:]:
            Pair(sides[0], other).check_classes()
        score = float(self.compute(sides))
        if not isfinite(score):
            raise UndefinedScore(f"{self.name} has no value for these {len(sides)} models.")
        return score

    def as_record(self) -> dict[str, Any]:
        """Every promise as plain data."""
        return {
            "name": self.name,
            "summary": self.summary,
            "bounds": list(self.bounds),
            "identical": self.identical,
            "larger_is_more_similar": self.larger_is_more_similar,
            "reference": self.reference,
            "cost": self.cost,
        }


SET_MEASURES: Registry[SetMeasure] = Registry("set measure", "samemind.measures")


def set_measure(
    *,
    bounds: tuple[float, float],
    identical: float,
    larger_is_more_similar: bool,
    reference: str,
    cost: str,
) -> Callable[[Callable[[Sequence[Side]], Tensor]], SetMeasure]:
    """Makes a function of several sides a member of `SET_MEASURES`, under its own name."""

    def register(compute: Callable[[Sequence[Side]], Tensor]) -> SetMeasure:
        member = SetMeasure(
            name=compute.__name__,
            summary=(compute.__doc__ or "").partition("\n")[0],
            bounds=bounds,
            identical=identical,
            larger_is_more_similar=larger_is_more_similar,
            reference=reference,
            cost=cost,
            compute=compute,
        )
        object.__setattr__(member, "__doc__", compute.__doc__)
        return SET_MEASURES.register(member.name, member)

    return register


_MARX = "Marx, Calmon and Ustun (2020), Predictive multiplicity in classification"


def _votes(sides: Sequence[Side]) -> Tensor:
    """The class that each model gives to each input, `(M, N)`."""
    return torch.stack([side.predictions for side in sides])


@set_measure(
    bounds=(0.0, 1.0),
    identical=0.0,
    larger_is_more_similar=False,
    reference=_MARX,
    cost="O(M N), after one arg-max per model",
)
def ambiguity(sides: Sequence[Side]) -> Tensor:
    r"""The share of inputs whose class depends on the choice of the model, in [0, 1].

    $$\frac1N \sum_i \mathbf 1[\exists\, m:\; \hat y_m(x_i) \ne \hat y_1(x_i)]$$

    Some pair disagrees on an input exactly if some model disagrees with the first, so the order
    of the models does not matter. For two models it is the disagreement.

    >>> ambiguity([[[1, 0], [1, 0]], [[1, 0], [0, 1]], [[1, 0], [1, 0]]])
    0.5
    """
    votes = _votes(sides)
    return (votes != votes[0]).any(0).double().mean()


@set_measure(
    bounds=(0.0, 1.0),
    identical=0.0,
    larger_is_more_similar=False,
    reference=_MARX,
    cost="O(M² N), after one arg-max per model",
)
def discrepancy(sides: Sequence[Side]) -> Tensor:
    r"""The largest disagreement between any two models of the set, in [0, 1].

    $$\max_{m, n} \frac1N \sum_i \mathbf 1[\hat y_m(x_i) \ne \hat y_n(x_i)]$$

    Marx et al. take the largest over the models that compete with a given baseline; without a
    baseline, every model takes that part in turn. It is at most the ambiguity.

    >>> discrepancy([[[1, 0], [1, 0]], [[1, 0], [0, 1]], [[1, 0], [1, 0]]])
    0.5
    """
    votes = _votes(sides)
    return torch.stack([(votes != own).double().mean(1).max() for own in votes]).max()


@set_measure(
    bounds=(-1.0, 1.0),
    identical=1.0,
    larger_is_more_similar=True,
    reference="Fleiss (1971), doi:10.1037/h0031619",
    cost="O(M N + N C), after one arg-max per model",
)
def fleiss_kappa(sides: Sequence[Side]) -> Tensor:
    r"""Mean pairwise agreement of all models beyond chance, in [-1, 1].

    With $n_{ic}$ the number of the M models that give class c to input i,

    $$\frac{\bar P - P_e}{1 - P_e}, \quad
    \bar P = \frac1N \sum_i \frac{\sum_c n_{ic}^2 - M}{M (M - 1)}, \quad
    P_e = \sum_c \Big(\frac{\sum_i n_{ic}}{N M}\Big)^2$$

    Undefined if all models give one and the same class to all inputs.

    >>> fleiss_kappa([[[1, 0], [0, 1]], [[1, 0], [0, 1]]])
    1.0
    """
    votes = _votes(sides)
    n_models, n_inputs = votes.shape
    counts = torch.zeros(
        n_inputs, sides[0].n_classes, dtype=torch.float64, device=votes.device
    ).scatter_add_(1, votes.T, torch.ones_like(votes.T, dtype=torch.float64))
    agreed = ((counts.square().sum(1) - n_models) / (n_models * (n_models - 1))).mean()
    by_chance = (counts.sum(0) / (n_inputs * n_models)).square().sum()
    if float(by_chance) > 1 - 1e-12:
        raise UndefinedScore(
            "All models give the same one class to all inputs, so nothing is left to be beyond "
            "chance. Use inputs on which the models vary."
        )
    return (agreed - by_chance) / (1 - by_chance)
