"""Scores where two models agree and where they do not, and whether the difference is chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from samemind.comparison.pairs import UNDEFINED, score_pair
from samemind.errors import UndefinedScore
from samemind.lazy import np, torch
from samemind.measures import measure
from samemind.measures.base import Pair
from samemind.randomness import torch_generator

if TYPE_CHECKING:
    from torch import Tensor

AGREE, DISAGREE = "agree", "disagree"
#: Neighbours as a share of the group: groups differ in size, and k of few is not k of many.
SHARES = (0.1, 0.01, 0.005)

OfSize = Callable[[int], str]


def subgroup_scores(
    pair: Pair,
    measures: Sequence[str],
    *,
    errors: bool = False,
    permutations: int = 0,
    shuffles: int = 0,
    random_seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """Scores of representations on the inputs where two models agree, and where they do not.

    Each group is centred and scaled by itself, as if it were all there is. A group too small for
    a measure has an empty score and the reason. Measures of k neighbours come with k as a share of
    the group as well (10, 1 and 0.5 %), as `knn_jaccard@10%`.

    **Arguments:**

    - `errors`, `permutations`: for standard errors, intervals and floors, as of whole scores.
    - `shuffles`: random groups of the same sizes, with which the difference of the two groups'
      scores is compared; 0 leaves that out.

    **Returns:** rows with measure, group, score, its error, interval and floor, `n_inputs` and
    `reason`; with shuffles also `difference` (agree minus disagree), `expected` (its mean over
    random groups, which is not 0 where scores depend on the number of inputs) and `p_value`
    (two-sided, at least 2 / (shuffles + 1)), the same in both rows of a measure.

    **Cost:** two scores per measure, and two more per shuffle.
    """
    agree = pair.a.predictions == pair.b.predictions
    groups = {AGREE: agree.nonzero().flatten(), DISAGREE: (~agree).nonzero().flatten()}
    asked = _asked(measures)
    differences = _differences(pair, groups, asked, shuffles, random_seed) if shuffles else {}
    for name, of_size in asked.items():
        for group, rows in groups.items():
            found = _scored(pair, of_size, rows, errors, permutations, random_seed)
            said = {"measure": name, "group": group, "n_inputs": len(rows), **found}
            yield said | differences.get(name, {})


def _asked(measures: Sequence[str]) -> dict[str, OfSize]:
    """The measures by name, each with its name for a group of so many inputs."""
    found: dict[str, OfSize] = {}
    for name in measures:
        chosen = measure(name)
        if chosen.reads != "representation":
            continue
        found[name] = partial(_of_any_size, name)
        if chosen.family == "neighbours" and chosen.parameter == "k":
            plain = name.partition("@")[0]
            for share in SHARES:
                found[f"{plain}@{100 * share:g}%"] = partial(_of_share, plain, share)
    return found


def _of_any_size(name: str, n: int) -> str:
    del n
    return name


def _of_share(plain: str, share: float, n: int) -> str:
    k = round(share * n)
    if k < 1:
        raise UndefinedScore(f"{100 * share:g} % of {n} inputs are less than one neighbour.")
    return f"{plain}@{k}"


def _scored(
    pair: Pair, of_size: OfSize, rows: Tensor, errors: bool, permutations: int, random_seed: int
) -> dict[str, Any]:
    if len(rows) < 2:
        reason = f"{len(rows)} inputs: a comparison needs at least 2."
        return UNDEFINED._replace(reason=reason)._asdict()
    try:
        chosen = measure(of_size(len(rows)))
    except UndefinedScore as error:
        return UNDEFINED._replace(reason=str(error))._asdict()
    return score_pair(
        pair.restricted(rows), chosen, errors=errors, permutations=permutations,
        random_seed=random_seed,
    )._asdict()  # fmt: skip


def _differences(
    pair: Pair,
    groups: Mapping[str, Tensor],
    asked: Mapping[str, OfSize],
    shuffles: int,
    random_seed: int,
) -> dict[str, dict[str, float]]:
    """Agree minus disagree for each measure, beside random groups of the same sizes."""
    generator = torch_generator(random_seed, "groups of inputs")
    sizes = [len(rows) for rows in groups.values()]
    observed = _minus(pair, list(groups.values()), asked)
    shuffled = np.array([
        _minus(pair, torch.randperm(pair.n_inputs, generator=generator).split(sizes), asked)
        for _ in range(shuffles)
    ])  # fmt: skip
    found = {}
    for i, name in enumerate(asked):
        null, value = shuffled[:, i], observed[i]
        p_value = np.nan
        if np.isfinite(value) and np.isfinite(null).all():
            tail = 1 + min((null >= value).sum(), (null <= value).sum())
            p_value = min(1.0, 2 * tail / (shuffles + 1))
        found[name] = {"difference": value, "expected": null.mean(), "p_value": p_value}
    return found


def _minus(pair: Pair, groups: Sequence[Tensor], asked: Mapping[str, OfSize]) -> list[float]:
    """The score of the first group less that of the second, for each measure; NaN for neither."""
    parts = [pair.restricted(rows.sort().values) if len(rows) > 1 else None for rows in groups]
    found = []
    for of_size in asked.values():
        scores = []
        for part in parts:
            try:
                scores.append(
                    np.nan if part is None else measure(of_size(part.n_inputs)).score(part)
                )
            except UndefinedScore:
                scores.append(np.nan)
        found.append(float(scores[0] - scores[1]))
    return found
