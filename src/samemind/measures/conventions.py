"""The conventions: which reading of CKA, Procrustes and JSD figures and the verdict use.

The text of the paper and its authors' code differ in these three. A convention picks one reading
of each; agreement and k-NN Jaccard are the same in all. Every reading is a measure of its own, so a
convention chooses among the scores that there are and changes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from samemind.registry import did_you_mean

WORDS = {
    "linear_cka": "CKA is the biased estimator",
    "debiased_linear_cka": "CKA is the debiased estimator",
    "procrustes_similarity": "ProcrustesSim comes from the squared distance",
    "procrustes_similarity_root": "ProcrustesSim comes from the distance itself",
    "jensen_shannon_similarity": "JSDSim goes through the mixture",
    "jeffreys_similarity": "JSDSim goes without the mixture",
}
"""What each reading is, in the words of a caption."""


@dataclass(frozen=True, kw_only=True)
class Convention:
    """One reading of each of the three quantities.

    - `title`: how a caption begins that states the readings. `why`: for docs and `list`.
    """

    name: str
    title: str
    why: str
    jsd: str
    cka: str
    procrustes: str

    @property
    def measures(self) -> tuple[str, str, str]:
        """The names of the three readings: of JSD, CKA and Procrustes."""
        return (self.jsd, self.cka, self.procrustes)


RECOMMENDED = "recommended"
CONVENTIONS = {
    c.name: c
    for c in (
        Convention(
            name="as_printed",
            title="As the paper prints its equations",
            why="equations 2, 4 and 5 to the letter",
            jsd="jeffreys_similarity",
            cka="linear_cka",
            procrustes="procrustes_similarity_root",
        ),
        Convention(
            name="authors_code",
            title="As the paper's authors compute it",
            why="what the authors' code computes, and so what the paper's figures show",
            jsd="jensen_shannon_similarity",
            cka="debiased_linear_cka",
            procrustes="procrustes_similarity",
        ),
        Convention(
            name=RECOMMENDED,
            title="As recommended",
            why="readings that lie in [0, 1], with a floor near 0 where one is to be had. Where a "
            "score of these is not there, the other reading stands in for it",
            jsd="jensen_shannon_similarity",
            cka="debiased_linear_cka",
            procrustes="procrustes_similarity",
        ),
    )
}
QUANTITIES = {
    quantity: tuple(dict.fromkeys(getattr(c, quantity) for c in reversed(CONVENTIONS.values())))
    for quantity in ("jsd", "cka", "procrustes")
}
"""The readings of each quantity, the recommended one first."""


def convention_of(name: str) -> Convention:
    """The convention of this name.

    **Raises:** `ValueError` for a name that is none, with the nearest.
    """
    if name not in CONVENTIONS:
        raise ValueError(
            f"No convention is called '{name}'. {did_you_mean(name, list(CONVENTIONS))}"
            f"Known: {', '.join(CONVENTIONS)}."
        )
    return CONVENTIONS[name]


def reading_of(quantity: str, measures: Iterable[str], convention: str) -> str | None:
    """The measure that reads "jsd", "cka" or "procrustes" among `measures`, if one may.

    The convention's own; where it is the recommended one and has no score, the other reading.
    """
    held = set(measures)
    own = getattr(convention_of(convention), quantity)
    may = QUANTITIES[quantity] if convention == RECOMMENDED else (own,)
    return next((name for name in may if name in held), None)


def lacking(measures: Sequence[str], convention: str) -> list[str]:
    """The convention's readings that are not among `measures` though other readings are.

    >>> lacking(["linear_cka"], "authors_code")
    ['debiased_linear_cka']
    """
    held = set(measures)
    return [
        getattr(convention_of(convention), quantity)
        for quantity, readings in QUANTITIES.items()
        if held & set(readings) and reading_of(quantity, held, convention) is None
    ]


def said(measures: Iterable[str | None], convention: str) -> str:
    """The sentence of a caption that says which readings are shown; '' where none of the three is.

    >>> said(["linear_cka", "knn_jaccard"], "as_printed")
    'As the paper prints its equations: CKA is the biased estimator.'
    """
    held = set(measures)
    words = [text for name, text in WORDS.items() if name in held]
    return f"{convention_of(convention).title}: {', '.join(words)}." if words else ""
