"""Statistics of similarity scores: bounds, levels, trends, maps and the verdict. All pure."""

from samemind.statistics.bounds import AgreementBounds, agreement_bounds

__all__ = ["AgreementBounds", "agreement_bounds"]
