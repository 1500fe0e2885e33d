"""The texts that drive a score: which add most and least, and whose neighbours differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from samemind.comparison.driving import nearest
from samemind.errors import UndefinedScore
from samemind.inputs.texts import Texts
from samemind.lazy import torch
from samemind.measures import measure
from samemind.measures.base import Pair, Side
from samemind.sides.streamed import StreamedSide

COUNT = 5
SHOWN_NEIGHBOURS = 2


def driving_texts(
    sides: Mapping[str, Side],
    pairs: Iterable[tuple[str, str]],
    measures: Iterable[str],
    texts: Texts,
    *,
    count: int = COUNT,
) -> Iterator[dict[str, Any]]:
    """For each pair and measure the texts that add most and least to the score.

    Of a measure of neighbours, those that add least are those whose neighbours differ. Where rows
    are words, what a text adds is the mean over its words.

    **Returns:** rows with the number and id of the text, its beginning, what it adds (the mean
    over all rows is the score), and the texts nearest to it for either model where a row is a text.
    """
    chosen = [measure(name) for name in measures if measure(name).reads == "representation"]
    chosen = [one for one in chosen if one.has_standard_error]
    for a, b in pairs:
        pair = Pair(sides[a], sides[b])
        if isinstance(pair.a, StreamedSide) or isinstance(pair.b, StreamedSide):
            continue
        for one in chosen:
            try:
                parts = one.contributions(pair)
            except UndefinedScore:
                continue
            if parts is None:
                continue
            parts, there = _by_text(parts, pair.groups, len(texts))
            order = there[torch.argsort(parts[there], stable=True)]
            n = min(count, len(order) // 2)
            least = "neighbours differ" if one.family == "neighbours" else "adds least"
            for which, rows in (("adds most", order.flip(0)[:n]), (least, order[:n])):
                for position in map(int, rows):
                    yield {
                        "model_a": a,
                        "model_b": b,
                        "measure": one.name,
                        "which": which,
                        "input": position,
                        "name": texts.called(position),
                        "text": texts.shortened(position),
                        "contribution": float(parts[position]),
                        "nearest_a": _near(pair.a, position, pair, texts),
                        "nearest_b": _near(pair.b, position, pair, texts),
                    }


def _by_text(
    parts: torch.Tensor, groups: torch.Tensor | None, n_texts: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What each text adds, `(N,)`, and which texts have a row."""
    if groups is None:
        return parts, torch.arange(len(parts), device=parts.device)
    counts = torch.bincount(groups, minlength=n_texts)
    totals = torch.bincount(groups, weights=parts, minlength=n_texts)
    return totals / counts.clamp_min(1), counts.nonzero().flatten()


def _near(side: Side, position: int, pair: Pair, texts: Texts) -> str:
    """The texts nearest to one for a model, shortened; nothing where rows are words."""
    if pair.groups is not None or side.n_inputs < 2:
        return ""
    row = torch.tensor([position], device=side.device)
    found = nearest(side, row)[0, :SHOWN_NEIGHBOURS].tolist()
    return "; ".join(texts.shortened(i, 40) for i in found)
