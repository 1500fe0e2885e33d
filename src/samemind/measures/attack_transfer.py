"""Attack transfer: are two models fooled by the same images?"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import np
from samemind.measures.mechanism import MECHANISM_MEASURES, MechanismMeasure
from samemind.sides.pair import Side
from samemind.statistics.swaps import exact_interval

FEWEST = 2  # fooled images, from which a share has an error


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """How far the adversarial examples of one model fool another.

    - `score`: of the images that fool the attacked model, the share that fools the other.
    - `floor`: the share that fools the other among all images that both models decided rightly:
      what would be expected if it were fooled without regard to the attacked model.
    - `ceiling`: the most that the numbers of fooled images allow.
    - `n_inputs`: how many images fool the attacked model.
    """

    score: float
    standard_error: float
    lower: float
    upper: float
    floor: float
    ceiling: float
    n_inputs: int


def attack_transfer(
    attacked: tuple[Side, Side], other: tuple[Side, Side], *, has_labels: bool = True
) -> Transfer:
    r"""The share of the attacked model's adversarial examples that fool another model too.

    Let R be the images that both models decide rightly before the attack, and $F_m$ those of R that
    model m decides wrongly on the adversarial images made for the attacked model a. Then

    $$\mathrm{transfer}(b \mid a) = \frac{|F_a \cap F_b|}{|F_a|}$$

    It is 1 for a model with itself. It is not symmetric: transfer(a | b) needs the images made for
    b. Its floor is $|F_b| / |R|$, and the numbers of fooled images allow at most
    $\min(1, |F_b| / |F_a|)$.

    **Arguments:**

    - `attacked`, `other`: what a model says of the images, and of the adversarial images made for
      the attacked model, row by row; sides with logits and labels.
    - `has_labels`: False takes each model's own decision before the attack as right, for images
      of other classes than the models'.

    **Returns:** the share with the standard error of a share, and the 95 % interval of Clopper and
    Pearson, given the images that fool the attacked model.

    **Raises:** `InvalidInput` where sides have other numbers of inputs, or lack logits or labels;
    `UndefinedScore` where no image that both models decide rightly fools the attacked model.

    **Cost:** O(N).

    Reference: Szegedy et al. (2014), Intriguing properties of neural networks, arXiv:1312.6199.
    """
    sides = (*attacked, *other)
    if len({side.n_inputs for side in sides}) > 1:
        raise InvalidInput(
            f"Transfer compares the same images before and after an attack, but these sides have "
            f"{', '.join(str(side.n_inputs) for side in sides)} inputs. Give them row by row."
        )
    before_a, after_a, before_b, after_b = (side.predictions.cpu().numpy() for side in sides)
    right = np.ones(len(before_a), dtype=bool)
    truth_a, truth_b = before_a, before_b
    if has_labels:
        truth_a = truth_b = np.asarray(attacked[0].labels.cpu())
        right = (before_a == truth_a) & (before_b == truth_b)
    fools_a, fools_b = right & (after_a != truth_a), right & (after_b != truth_b)
    n, both = int(fools_a.sum()), int((fools_a & fools_b).sum())
    if not n:
        raise UndefinedScore(
            f"None of the {int(right.sum())} images that both models decide rightly fools the "
            f"attacked model, so there is nothing to transfer. Attack with a larger radius, or "
            f"give more images."
        )
    share = both / n
    lower, upper = exact_interval(both, n)
    return Transfer(
        score=share,
        standard_error=(share * (1 - share) / (n - 1)) ** 0.5 if n >= FEWEST else nan,
        lower=lower,
        upper=upper,
        floor=float(fools_b.sum() / right.sum()),
        ceiling=min(1.0, float(fools_b.sum()) / n),
        n_inputs=n,
    )


MECHANISM_MEASURES.register(
    "attack_transfer",
    MechanismMeasure(
        name="attack_transfer",
        summary="The share of the first model's adversarial examples that fool the second too.",
        reference="Szegedy et al. (2014), arXiv:1312.6199",
        cost="O(N), for each ordered pair",
        made="adversarial",
        promises={
            "reads": "logits",
            "bounds": [0.0, 1.0],
            "identical": 1.0,
            "larger_is_more_similar": True,
            "needs_labels": True,
        },
    ),
)
