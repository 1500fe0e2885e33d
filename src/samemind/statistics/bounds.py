"""What the accuracies of two models allow their agreement to be."""

from __future__ import annotations

from dataclasses import dataclass

from samemind.errors import InvalidInput

NAN = float("nan")


@dataclass(frozen=True)
class AgreementBounds:
    """Two pairs (lower, upper): the hard bounds, and those of Fort et al. (2019), which are not.

    The upper one of Fort et al. is what remains when predictions of the better model are changed
    at random until it is as accurate as the other; the lower one is that of independent
    predictions. A pair can lie beyond them, but not beyond the hard ones.
    """

    hard: tuple[float, float]
    fort: tuple[float, float]


def agreement_bounds(
    accuracy_a: float, accuracy_b: float, n_classes: int | None = None
) -> AgreementBounds:
    """The bounds on the agreement of two models with these accuracies, on the same inputs.

    With a* ≥ a the accuracies and C classes, the hard bounds are max(0, a + a* − 1) and
    1 − (a* − a). Those of Fort et al. are 1 minus the disagreement
    (1 − a*) a + (1 − a) a* + (1 − a*)(1 − a)(C − 2)/(C − 1) (lower) and
    (C − 1)(a* − a)/(C a* − 1) (upper); NaN where C is not given, or a* is not above chance. The
    upper one is also NaN where a is so low that changing every prediction at random does not
    reach it. All are NaN where an accuracy is.

    **Raises:** `InvalidInput` for an accuracy outside [0, 1] or fewer than two classes.

    >>> round(agreement_bounds(0.5311, 0.6967, 1000).fort[1], 3)
    0.762
    """
    low, high = sorted((accuracy_a, accuracy_b))
    if not (low != low or high != high or (low >= 0 and high <= 1)):
        raise InvalidInput(
            f"Accuracies lie in [0, 1], but {accuracy_a} and {accuracy_b} were given. "
            f"Divide percentages by 100."
        )
    if n_classes is not None and n_classes < 2:
        raise InvalidInput(f"Bounds on agreement need two classes or more, not {n_classes}.")
    if low != low or high != high:
        return AgreementBounds((NAN, NAN), (NAN, NAN))
    hard = (max(0.0, low + high - 1), 1 - (high - low))
    if n_classes is None or not n_classes * high > 1:
        return AgreementBounds(hard, (NAN, NAN))
    both_wrong = (1 - high) * (1 - low) * (n_classes - 2) / (n_classes - 1)
    most_disagreement = (1 - high) * low + (1 - low) * high + both_wrong
    least_disagreement = (n_classes - 1) * (high - low) / (n_classes * high - 1)
    upper = 1 - least_disagreement if least_disagreement <= 1 else NAN
    return AgreementBounds(hard, (1 - most_disagreement, upper))
