"""Is it still the same language model? Next tokens, or first neighbours of what texts are to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from samemind.classifier import Output
from samemind.comparison.departures import GIVES, first_departure
from samemind.comparison.fidelity import (
    Fidelity,
    beyond_rounding,
    kept_of,
    layer_table,
    output_of,
    outputs_apart,
)
from samemind.comparison.next_tokens import logits_of_tokens, why_not_shared
from samemind.comparison.rounding import coarser, precision, traced
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.execution.unchanged import unchanged
from samemind.extraction.keeping import Kept as Held
from samemind.extraction.tokens import LAST, Encoded, Rows, encoded, read
from samemind.extraction.traces import plain
from samemind.networks.language import TextModel
from samemind.sides.side import Side
from samemind.statistics.fidelity import Difference, Kept, level_of

if TYPE_CHECKING:
    from samemind.inputs.texts import Texts

FEW_TEXTS, FEW_TOKENS = 6, 24
"""Texts whose layers are compared, all cut to as many tokens: then none is padded."""


def fidelity_of_texts(
    a: TextModel, b: TextModel, texts: Texts, execution: Execution, *, tolerance: float = 0.0
) -> Fidelity:
    """Whether language model `b` is still model `a`.

    Models that say the next token over one vocabulary are asked for it after every token; others
    for what a text is to them: their own pooling where both are sentence encoders, else the mean
    over tokens.

    **Raises:** `InvalidInput` for representations of other sizes.

    **Cost:** a pass of every text through both, about ten of six short texts, and a copy of each.
    """
    made = {m.name: encoded(m, texts, None) for m in (a, b)}
    is_next = why_not_shared(a, b, made) is None
    tokens = "model" if all(_is_of_sentences(m) for m in (a, b)) else "mean"
    known = _looked_into(a, b, made, None if is_next else tokens, execution)
    if is_next:
        return _of_next_tokens(a, b, made[a.name], execution, tolerance, known)
    sides = {m.name: _side(m, made[m.name], tokens, execution) for m in (a, b)}
    one, other = (output_of(side) for side in sides.values())
    if one.shape != other.shape:
        raise InvalidInput(
            f"Fidelity needs outputs of the same shape, but {a.name} and {b.name} give "
            f"{one.shape[1]} and {other.shape[1]} numbers for a text. Compare them with "
            f"samemind.compare."
        )
    apart, n_beyond = outputs_apart(one, other, known["floor"])
    kept, neighbours = kept_of(*sides.values())
    level = level_of(
        has_equal_bits=torch.equal(one, other), is_within_rounding=not n_beyond,
        kept=kept, tolerance=tolerance,
    )  # fmt: skip
    return Fidelity(
        a=a.name, b=b.name, level=level, tolerance=tolerance, n_inputs=len(one), difference=apart,
        n_beyond=n_beyond, kept=kept, neighbours=neighbours, **known,
    )  # fmt: skip


def _is_of_sentences(m: TextModel) -> bool:
    """Whether it pools as a sentence encoder; what a body of BERT's kind calls its pooler is not
    made for that."""
    return m.own_pooling is not None and not m.own_pooling.reads_pooler


def _side(m: TextModel, texts: Encoded, tokens: str, execution: Execution) -> Side:
    found, logits = read(m, texts, [Rows(tokens=tokens)], execution=execution, kept=Held())
    return Side(representation=torch.as_tensor(found[LAST][0]), logits=logits)


def _of_next_tokens(
    a: TextModel,
    b: TextModel,
    texts: Encoded,
    execution: Execution,
    tolerance: float,
    known: dict[str, Any],
) -> Fidelity:
    squares = scale = largest = 0.0
    n_beyond = n_numbers = 0
    is_same = True
    changed = torch.zeros(len(texts.ids), dtype=torch.float64)
    counted = torch.zeros(len(texts.ids), dtype=torch.float64)
    for rows, one, other, _ in logits_of_tokens(a, b, texts, execution, None):
        is_same = is_same and torch.equal(one, other)
        found = outputs_apart(one, other, known["floor"])[0]
        squares += found.typical**2 * one.numel()
        scale += found.scale**2 * one.numel()
        largest = max(largest, found.largest)
        n_numbers += one.numel()
        n_beyond += int(beyond_rounding(one, other, known["floor"]).sum())
        flips = (one.argmax(1) != other.argmax(1)).cpu().double()
        changed.index_add_(0, rows, flips)
        counted.index_add_(0, rows, torch.ones_like(flips))
    n = int(counted.sum())
    if not n:
        raise InvalidInput("The texts have one token each, so none comes next. Give longer ones.")
    apart = Difference((squares / n_numbers) ** 0.5, largest, (scale / n_numbers) ** 0.5)
    kept = Kept(
        what="next token", n_inputs=n, changed=int(changed.sum()),
        alike=_alike_within_texts(changed, counted),
    )  # fmt: skip
    level = level_of(
        has_equal_bits=is_same, is_within_rounding=not n_beyond, kept=kept, tolerance=tolerance
    )
    return Fidelity(
        a=a.name, b=b.name, level=level, tolerance=tolerance, n_inputs=n, difference=apart,
        n_beyond=n_beyond, kept=kept, **known,
    )  # fmt: skip


def _alike_within_texts(changed: Tensor, counted: Tensor) -> float:
    """How many tokens count as one, for those of a text change together: the design effect.

    The variance of the share over texts drawn, in parts of that over tokens drawn (Kish, 1965,
    Survey Sampling). Where none changes or all do nothing tells, and a text counts as one.
    """
    n, n_texts = float(counted.sum()), int((counted > 0).sum())
    share = float(changed.sum()) / n
    if share in (0.0, 1.0) or n_texts < 2:
        return n / max(1, n_texts)
    spread = float((changed - share * counted).square().sum()) * n_texts / (n_texts - 1)
    return max(1.0, spread / (n * share * (1 - share)))


# -- rounding and layers, on a few texts


class _Holder:
    """A model without its network, which copies of the network share."""

    def __init__(self, model: TextModel) -> None:
        self.model = model

    def __deepcopy__(self, memo: Any) -> _Holder:
        return self


class _OnTokens(nn.Module):
    """A language model as what is traced: token numbers (n, T) in, rows out.

    **Arguments:** `tokens`: how texts are pooled; None for logits after every token but the last.
    """

    def __init__(self, model: TextModel, tokens: str | None) -> None:
        super().__init__()
        self.network = model.network
        self._held, self._tokens = _Holder(model), tokens

    def forward(self, ids: Tensor) -> Output:
        model = replace(self._held.model, network=self.network)
        if self._tokens is None:
            said = model.network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            rows = said[:, :-1].flatten(0, 1)
            return Output(rows, rows[:, :0])
        texts = Encoded(ids.tolist(), [[False] * ids.shape[1]] * len(ids), None, 0)
        execution = Execution(device=ids.device.type, batch_size=len(ids))
        side = _side(model, texts, self._tokens, execution)
        if side.has_logits:
            return Output(side.logits, side.representation)
        return Output(side.representation[:, :0], side.representation)


def _looked_into(
    a: TextModel,
    b: TextModel,
    made: dict[str, Encoded],
    tokens: str | None,
    execution: Execution,
) -> dict[str, Any]:
    """Floor, layers and the first departure, from a few texts: fields of `Fidelity`."""
    device = execution.start()
    coarsest = coarser(*(precision(plain(m.network)) for m in (a, b)))
    found, networks = [], []
    for m in (a, b):
        ids = _few(made[m.name].ids).to(device)
        with unchanged(m.network):
            m.network.to(device).eval()
            found.append(traced(_OnTokens(m, tokens), ids, coarsest))  # pyright: ignore[reportArgumentType]
        networks.append(plain(m.network))
    first, second = found
    floors = (first.floors, second.floors)
    notes: list[str] = []
    walked = first_departure(first.calls, second.calls, floors, (networks[0], networks[1]))
    departure = walked.departure
    if made[a.name].ids != made[b.name].ids:
        departure = None
        notes.append(f"{a.name} and {b.name} have other tokens, so no layers were compared.")
    last = (len(first.calls) - 1, GIVES)
    return {
        "floor": walked.floors[last],
        "departure": departure,
        "layers": layer_table(first, second, walked),
        "ways": tuple(dict.fromkeys([*first.ways, *second.ways])),
        "notes": tuple(notes),
    }


def _few(ids: Sequence[Sequence[int]]) -> Tensor:
    """The longest texts, cut to as many tokens as the shortest of them has."""
    longest = sorted(ids, key=len, reverse=True)[:FEW_TEXTS]
    n = min(FEW_TOKENS, len(longest[-1]))
    return torch.tensor([list(one[:n]) for one in longest])
