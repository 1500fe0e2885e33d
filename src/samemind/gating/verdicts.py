"""What a gate found: an answer for every rule, one for all, and the code it exits with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from samemind.statistics.gating import FAIL, PASS, SIDE, UNDECIDED

if TYPE_CHECKING:
    from samemind.comparison.fidelity import Fidelity
    from samemind.lazy import pd

EXITS = {PASS: 0, FAIL: 1, UNDECIDED: 2}


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """What became of one rule.

    - `rule`: its key, and what of it: "min_similarity layer4". `answer`: pass, fail or undecided.
    - `found`, `limit`: what was measured, and what is asked, in the same units.
    - `needed`: how many inputs would decide in 80 % of samples; None where it is decided, or where
      no number would.
    """

    rule: str
    answer: str
    sentence: str
    found: float
    limit: float
    n_inputs: int
    needed: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Gate:
    """Whether the new model may take the place of the old one.

    - `answer`: "pass" if every rule passes, "fail" if one fails, else "undecided".
    - `n_inputs`: how many were looked at; `n_available`: how many there are.
    - `flips`: a row per input that turns from right to wrong or back, where labels are known.
    - `fidelity`: what was found of it, where a rule asks for it.
    """

    old: str
    new: str
    inputs: str
    answer: str
    rulings: Sequence[Ruling]
    n_inputs: int
    n_available: int
    is_sequential: bool = False
    flips: pd.DataFrame | None = None
    fidelity: Fidelity | None = None
    notes: Sequence[str] = ()

    @property
    def exit_code(self) -> int:
        """0 for pass, 1 for fail, 2 for undecided."""
        return EXITS[self.answer]

    @property
    def sentences(self) -> list[str]:
        """The answer, a sentence for every rule, and how they are corrected."""
        looked = f"{self.n_inputs:,} inputs of {self.inputs}"
        if self.n_inputs < self.n_available:
            looked = f"{self.n_inputs:,} of {self.n_available:,} inputs of {self.inputs}"
        said = {
            PASS: f"Pass: {self.new} may take the place of {self.old}",
            FAIL: f"Fail: {self.new} may not take the place of {self.old}",
            UNDECIDED: f"Undecided: {looked} do not tell whether {self.new} may take the place of "
            f"{self.old}",
        }[self.answer]
        told = said if self.answer == UNDECIDED else f"{said} ({looked})"
        return [f"{told}.", *(f"{r.answer}: {r.sentence}" for r in self.rulings), *self.notes]

    @property
    def how(self) -> str:
        """How often this kind of answer is wrong."""
        n, percent = len(self.rulings), f"{100 * SIDE:g} %"
        looking = (
            "; the decision was looked for up to 16 times, and the chance to err is spent by the "
            "share of inputs seen"
            if self.is_sequential
            else ""
        )
        rules = f"of {n} rules (Holm)" if n > 1 else "of one rule"
        return (
            f"A pass is wrong in at most {percent} of samples, and so is a failure: failures are "
            f"corrected for the number {rules}; to pass, all must{looking}."
        )

    def __str__(self) -> str:
        return "\n".join([*self.sentences, self.how])

    def as_record(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        return {
            "schema": 1,
            "answer": self.answer,
            "exit_code": self.exit_code,
            "old": self.old,
            "new": self.new,
            "inputs": self.inputs,
            "n_inputs": self.n_inputs,
            "n_available": self.n_available,
            "sequential": self.is_sequential,
            "rules": [asdict(r) for r in self.rulings],
            "correction": self.how,
            "flips": None if self.flips is None else self.flips.to_dict("records"),
            "fidelity": None if self.fidelity is None else self.fidelity.as_record(),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """`as_record` as JSON text."""
        return json.dumps(self.as_record(), indent=1, default=str)
