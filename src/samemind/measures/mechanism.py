"""Shared invariance (STIR): does one model see what another finds the same?

A mechanism measure compares models on inputs made for one of them. The study compares two models
on the inverted images of one; here the *same* model is compared with itself, on images and on
what the other model cannot tell from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from samemind.arrays import Array
from samemind.errors import InvalidInput
from samemind.measures.base import MEASURES, Measure
from samemind.registry import Registry
from samemind.sides.pair import Pair, Side


@dataclass(frozen=True, kw_only=True)
class SharedInvariance:
    """How far a model shares the invariances of the model that inverted the images.

    - `score`: the mean over the sets of inverted images; `scores` has that of each.
    - `measure`: the measure that was applied to the model's two answers.
    """

    score: float
    scores: tuple[float, ...]
    measure: str

    @property
    def spread(self) -> float | None:
        """The standard deviation over the sets of inverted images; None if there is one only."""
        n = len(self.scores)
        if n < 2:
            return None
        return (sum((score - self.score) ** 2 for score in self.scores) / (n - 1)) ** 0.5


def stir(
    on_targets: Array | Side,
    on_inverted: Array | Side | Sequence[Array | Side],
    *,
    measure: str = "linear_cka",
) -> SharedInvariance:
    r"""How far a model shares the invariances of another (STIR, Nanda et al. 2022).

    Let $X$ be images and $X'$ images that model 1 cannot tell from them, $m_1(X') \approx
    m_1(X)$. Then

    $$\mathrm{STIR}(m_2 \mid m_1) = S\big(m_2(X),\, m_2(X')\big)$$

    with linear CKA for S: what model 2 says of the images against what model 2 says of model 1's
    inverted images. It is 1 if model 2 is blind to whatever model 1 is blind to. It is not
    symmetric: STIR(m1 | m2) needs the images that model 2 inverted.

    **Arguments:**

    - `on_targets`: model 2 on the images that were inverted; its representation `(N, D)`, or a
        `Side`.
    - `on_inverted`: model 2 on model 1's inverted images of them, row by row; or a list of such,
        from several runs of the inversion, over which the score is averaged.
    - `measure`: any measure by name; those of predictions need sides with logits.

    **Returns:** the score, the score of each run, and their spread.

    **Raises:** `InvalidInput` if there is no set of inverted images or the rows do not match;
    `UndefinedScore` if the measure has no value.

    Reference: Nanda et al. (2022), Measuring representational robustness of neural networks
    through shared invariances, arXiv:2206.11939.

    >>> seen = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> stir(seen, [[[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]]).score
    1.0
    """
    chosen = MEASURES[measure]
    runs = _runs(on_inverted)
    if not runs:
        raise InvalidInput("STIR was given no inverted images. Give those of one run or more.")

    def side(given: Array | Side) -> Side:
        if isinstance(given, Side):
            return given
        return Side(logits=given) if chosen.reads == "logits" else Side(representation=given)

    targets = side(on_targets)
    scores = tuple(chosen.score(Pair(targets, side(run))) for run in runs)
    return SharedInvariance(score=sum(scores) / len(scores), scores=scores, measure=chosen.name)


def _runs(given: Array | Side | Sequence[Array | Side]) -> list[Array | Side]:
    if isinstance(given, Side) or getattr(given, "ndim", None) == 2:
        return [given]  # pyright: ignore[reportReturnType]
    return list(given)


PROMISES = ("reads", "bounds", "identical", "larger_is_more_similar", "needs_labels")


@dataclass(frozen=True, kw_only=True)
class MechanismMeasure:
    """A comparison of what one model says of images with what it says of images made for another.

    - `made`: which images those are, "inverted" or "adversarial".
    - `inner`: the measure that compares the two answers; the part after the @ of a name sets it.
    - `promises`: of one that applies no measure, what the record of a measure says.
    """

    name: str
    summary: str
    reference: str
    cost: str
    made: str = "inverted"
    inner: str = ""
    promises: Mapping[str, Any] = field(default_factory=dict)

    @property
    def applied(self) -> Measure:
        """The measure of two answers."""
        return MEASURES[self.inner]

    @property
    def needs_labels(self) -> bool:
        return bool(self.as_record()["needs_labels"])

    def as_record(self) -> dict[str, Any]:
        """Every promise as plain data: those of the measure that is applied, in one direction."""
        held = self.promises or self.applied.as_record()
        return {
            "name": self.name,
            "summary": self.summary,
            **{key: held[key] for key in PROMISES},
            "is_symmetric": False,
            "parameter": "inner" if self.inner else None,
            "settings": {"inner": self.inner} if self.inner else {},
            "reference": self.reference,
            "cost": self.cost,
        }


class MechanismMeasures(Registry[MechanismMeasure]):
    """The mechanism measures by name; `stir@procrustes_similarity` applies another measure."""

    def __getitem__(self, name: str) -> MechanismMeasure:
        plain, at, inner = name.partition("@")
        member = super().__getitem__(plain)
        if at and not member.inner:
            raise InvalidInput(
                f"{plain} applies no other measure, but '{name}' names one. Write '{plain}'."
            )
        return replace(member, name=name, inner=MEASURES[inner].name) if at else member


MECHANISM_MEASURES = MechanismMeasures("mechanism measure", "samemind.measures")

MECHANISM_MEASURES.register(
    "stir",
    MechanismMeasure(
        name="stir",
        summary="How far the second model shares the invariances of the first (STIR).",
        reference="Nanda et al. (2022), arXiv:2206.11939",
        cost="that of the measure applied, for each ordered pair",
        inner="linear_cka",
    ),
)
