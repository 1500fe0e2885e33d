"""Statistics of similarity scores: bounds, levels, trends, maps and the verdict. All pure."""

from samemind.statistics.bounds import AgreementBounds, agreement_bounds
from samemind.statistics.levels import ceiling, normalised
from samemind.statistics.maps import classical_map, cluster_order, rank_correlations
from samemind.statistics.pairs import PairScores, pair_scores
from samemind.statistics.trends import Interval, Trend, trend
from samemind.statistics.verdict import Evidence, Verdict, holm, judge

__all__ = [
    "AgreementBounds",
    "Evidence",
    "Interval",
    "PairScores",
    "Trend",
    "Verdict",
    "agreement_bounds",
    "ceiling",
    "classical_map",
    "cluster_order",
    "holm",
    "judge",
    "normalised",
    "pair_scores",
    "rank_correlations",
    "trend",
]
