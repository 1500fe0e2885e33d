"""What holds of every study: no pair agrees more, or less, than its two accuracies allow."""

from samemind.figures._predictions import pair_bounds
from samemind.results import Results


def check_within_bounds(results: Results) -> int:
    """How many pairs have bounds; fails where one of them lies beyond its own."""
    rows = results.defined
    rows = pair_bounds(results, rows[rows["measure"] == "agreement"])
    rows = rows[rows["hard_upper"].notna()]
    assert (rows["score"] <= rows["hard_upper"] + 1e-12).all()
    assert (rows["score"] >= rows["hard_lower"] - 1e-12).all()
    return len(rows)
