"""What a page on one's own models says first: is it the same network, may it take its place?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samemind.reporting.comparison import Comparison
from samemind.reporting.terminal import several_swaps, verdict
from samemind.results import Results

if TYPE_CHECKING:
    from samemind.comparison.fidelity import Fidelity
    from samemind.comparison.flips import Replacement


@dataclass(frozen=True, kw_only=True)
class Card:
    """A question with its answer: a word for the badge, a sentence, and the numbers behind it."""

    question: str
    answer: str
    sentence: str
    numbers: Sequence[str] = ()

    @property
    def kind(self) -> str:
        """The answer as part of a class name."""
        return self.answer.replace(" ", "-")


def cards_of(study: Results) -> list[Card]:
    """The answers of a comparison, those on swaps first; none of a study."""
    if not isinstance(study, Comparison):
        return []
    swaps = [_on_swap(one, study.tolerance) for one in study.replacements]
    return swaps + [_on_fidelity(one) for one in study.fidelities]


def note_of(study: Results) -> str:
    """What must be said of several answers beside one another; '' of one."""
    return several_swaps(len(study.replacements)) if isinstance(study, Comparison) else ""


def _on_swap(one: Replacement, tolerance: float) -> Card:
    s = one.swap
    low, high = (100 * end for end in s.negative_interval)
    least, most = (100 * end for end in s.gain_interval)
    return Card(
        question=f"Can {one.b} take the place of {one.a}?",
        answer=s.answer(tolerance),
        sentence=verdict(one, tolerance),
        numbers=(
            f"{s.negative:,} of {s.n_inputs:,} inputs turn from right to wrong: "
            f"{100 * s.negative_share:.2f} % (exact 95 % interval {low:.2f} to {high:.2f} %)",
            f"{s.positive:,} turn from wrong to right, and {s.churn:,} predictions change",
            f"Accuracy {100 * s.accuracy_a:.2f} % → {100 * s.accuracy_b:.2f} %: "
            f"{s.accuracy_answer} (McNemar's exact test, p = {s.p_value:.2g}), a change of "
            f"{100 * s.gain:+.2f} points (about {least:+.2f} to {most:+.2f})".replace("-", "−"),
        ),
    )


def _on_fidelity(one: Fidelity) -> Card:
    first, *others = [text.strip().rstrip(".") for text in one.sentences]
    return Card(
        question=f"Is {one.b} still the same network as {one.a}?",
        answer=one.level,
        sentence=f"{first}.",
        numbers=others,
    )
