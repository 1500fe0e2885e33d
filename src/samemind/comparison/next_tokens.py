"""What language models of one vocabulary say comes next: token by token, a few rows at a time.

Logits of all tokens would take gigabytes (a vocabulary has 50,000 entries and more), so both models
run on the same batch and only one number per token and measure is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import exp, nan, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from samemind.comparison.pairs import UNDEFINED, Scored
from samemind.errors import InvalidInput, UndefinedScore
from samemind.execution.devices import Execution, full_float32, memory_reused
from samemind.extraction.tokens import Encoded, Watch, batches
from samemind.lazy import torch
from samemind.measures import measure
from samemind.measures.base import Measure, Pair, Side
from samemind.measures.intervals import UNKNOWN, score_interval
from samemind.networks.language import TextModel, running
from samemind.sides.groups import jackknife_variance, of_groups

if TYPE_CHECKING:
    from torch import Tensor

USUAL = ("agreement", "top_k_agreement", "jensen_shannon_similarity")
AT_ONCE = 2**23
"""Logits that a measure is given at once; a forward pass makes eight times as many."""
FLOOR_TEXTS, FLOOR_TOKENS, FLOOR_PAIRS = 64, 4, 256
ONE_SIDED = 1.6448536269514722


def why_not_shared(a: TextModel, b: TextModel, made: Mapping[str, Encoded]) -> str | None:
    """Why what two models say comes next cannot be compared; None where it can be."""
    for m in (a, b):
        if m.head != "vocabulary":
            return f"{m.name} ({m.architecture}) does not say which token comes next"
    first, second = a.vocabulary(), b.vocabulary()
    if first != second:
        n_shared = len(first.items() & second.items())
        return (
            f"{a.name} and {b.name} have different vocabularies ({len(first):,} and "
            f"{len(second):,} tokens, {n_shared:,} of them the same)"
        )
    if made[a.name].ids != made[b.name].ids:
        return f"{a.name} and {b.name} have other tokens for the same text"
    return None


def mean_over_tokens(name: str) -> bool:
    """Whether a measure is a mean over rows of what either model says of them alone."""
    chosen = measure(name)
    is_mean = chosen.per_input is not None and chosen.influence_of_inputs is None
    return chosen.reads == "logits" and is_mean and not chosen.needs_labels


class Said(NamedTuple):
    """What was found of one pair: rows of scores, and the row of the table `next_tokens`."""

    scores: list[dict[str, Any]]
    summary: dict[str, Any]


def next_tokens(
    a: TextModel,
    b: TextModel,
    texts: Encoded,
    measures: Sequence[str],
    *,
    execution: Execution,
    errors: bool = True,
    has_floor: bool = True,
    watch: Watch | None = None,
) -> Said:
    """Measures of predictions over every token that has one before it, and perplexities.

    Standard errors are of texts drawn (the tokens of one are not independent). Floors are the mean
    over tokens of different texts; their 95th percentile is that of a mean over as many pairs of
    texts, each of `FLOOR_TOKENS` tokens, which lies on the high side.

    **Raises:** `InvalidInput` for models that give logits of unequal width.

    **Cost:** a forward pass of both per text; memory for both networks and a few rows of logits.
    """
    chosen = [measure(name) for name in measures]
    values: dict[str, list[Tensor]] = {one.name: [] for one in chosen if mean_over_tokens(one.name)}
    sums: list[dict[str, Tensor]] = []
    sample = _Sample(texts)
    groups: list[Tensor] = []
    for rows, first, second, following in logits_of_tokens(a, b, texts, execution, watch):
        pair = Pair(Side(logits=first, kind="logits"), Side(logits=second, kind="logits"))
        for one in chosen:
            if one.name in values:
                assert one.per_input is not None
                values[one.name].append(one.per_input(pair, **one.settings).double().cpu())
        sums.append(_of_tokens(pair, following))
        groups.append(rows)
        sample.add(rows, first, second)
    if not groups:
        raise UndefinedScore("No text has two tokens, so none is said to come next.")
    texts_of = torch.cat(groups)
    scores = []
    for one in chosen:
        where = {"model_a": a.name, "model_b": b.name, "layer": "logits", "measure": one.name}
        if one.name not in values:
            why = (
                f"{one.name} reads the predictions of all tokens at once, which are too many to "
                f"hold, or labels that tokens do not have."
            )
            scores.append({**where, **UNDEFINED._replace(reason=why)._asdict()})
            continue
        found = _scored(one, torch.cat(values[one.name]), texts_of, errors)
        if has_floor:
            found = _with_floor(one, found, sample, len(texts.ids))
        scores.append({**where, **found._asdict(), "n_inputs": len(texts_of)})
    every = {name: torch.cat([part[name] for part in sums]) for name in sums[0]}
    return Said(scores, _summary(a, b, every, texts_of))


def _scored(one: Measure, values: Tensor, groups: Tensor, errors: bool) -> Scored:
    score = one.checked(float(values.mean()), _NO_PAIR)
    if not errors:
        return Scored(score, nan, nan, nan, nan, nan, None)
    error, n_groups = _clustered(values, groups)
    low, high = UNKNOWN if error is None else score_interval(score, error, n_groups, one.bounds)
    return Scored(score, nan if error is None else error, low, high, nan, nan, None)


def _clustered(values: Tensor, groups: Tensor) -> tuple[float | None, int]:
    """The standard error of a mean over rows of texts that were drawn, and how many texts."""
    number = groups.unique(return_inverse=True)[1]
    n_groups = int(number.max()) + 1
    if n_groups < 2:
        return None, n_groups
    influences = of_groups((values - values.mean()).double(), number)
    return sqrt(float(jackknife_variance(influences))), n_groups


_NO_PAIR: Any = None


def logits_of_tokens(
    a: TextModel, b: TextModel, texts: Encoded, execution: Execution, watch: Watch | None
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Of a few tokens at a time: their texts, the logits of both models, and what came next."""
    device, done = execution.start(), 0
    width = max(len(a.vocabulary()), 1)
    with running(a, device), running(b, device), memory_reused(), full_float32():
        for start, ids, mask in batches(a, texts, _texts_at_once(texts, width, execution), device):
            first, second = (_run(m, ids, mask) for m in (a, b))
            if first.shape != second.shape:
                raise InvalidInput(
                    f"{a.name} and {b.name} have one vocabulary, but give "
                    f"{first.shape[-1]} and {second.shape[-1]} logits. Compare their hidden states."
                )
            counted = mask[:, 1:].bool()
            rows = torch.from_numpy(start)[:, None].expand(counted.shape)[counted.cpu()]
            following = ids[:, 1:][counted]
            flat = [said[:, :-1][counted] for said in (first, second)]
            size = max(1, AT_ONCE // first.shape[-1])
            for some in torch.arange(len(rows)).split(size):
                on = some.to(device)
                yield rows[some], flat[0][on].float(), flat[1][on].float(), following[on]
            done += len(start)
            if watch:
                watch(f"next tokens of {a.name} and {b.name}", done, len(texts.ids))


def _texts_at_once(texts: Encoded, width: int, execution: Execution) -> int:
    longest = max(len(ids) for ids in texts.ids)
    return max(1, min(execution.batch_size, 8 * AT_ONCE // (longest * width)))


def _run(m: TextModel, ids: Tensor, mask: Tensor) -> Tensor:
    config: Any = getattr(m.network, "config", None)
    further = {"use_cache": False} if getattr(config, "use_cache", False) else {}
    return m.network(input_ids=ids, attention_mask=mask, **further).logits


def _of_tokens(pair: Pair, following: Tensor) -> dict[str, Tensor]:
    """The divergences of each token in nats, and minus the log-probability of what came next."""
    first, second = pair.a.log_probabilities.double(), pair.b.log_probabilities.double()
    difference = first - second
    at = following[:, None]
    return {
        "kl_ab": (first.exp() * difference).sum(1).cpu(),
        "kl_ba": -(second.exp() * difference).sum(1).cpu(),
        "surprise_a": -first.gather(1, at)[:, 0].cpu(),
        "surprise_b": -second.gather(1, at)[:, 0].cpu(),
    }


def _summary(
    a: TextModel, b: TextModel, every: Mapping[str, Tensor], groups: Tensor
) -> dict[str, Any]:
    """A row of the table `next_tokens`: divergences per token in nats, and perplexities."""
    found: dict[str, Any] = {"model_a": a.name, "model_b": b.name, "tokens": len(groups)}
    for name in ("kl_ab", "kl_ba"):
        found[name] = float(every[name].mean())
        found[f"{name}_error"] = _clustered(every[name], groups)[0]
    for side in "ab":
        found[f"perplexity_{side}"] = exp(float(every[f"surprise_{side}"].mean()))
    return found


# -- floors


class _Sample:
    """The logits of a few tokens of some texts, for what pairs of different texts give."""

    def __init__(self, texts: Encoded) -> None:
        usable = [i for i, ids in enumerate(texts.ids) if len(ids) > FLOOR_TOKENS]
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(usable), generator=generator)[:FLOOR_TEXTS]
        self.wanted = {usable[int(i)]: n for n, i in enumerate(order)}
        self.seen = dict.fromkeys(self.wanted, 0)
        # Spread over the text: its first tokens are the same in many.
        self.places: dict[int, dict[int, int]] = {}
        for i in self.wanted:
            spread = torch.linspace(0, len(texts.ids[i]) - 2, FLOOR_TOKENS).long().tolist()
            self.places[i] = {place: n for n, place in enumerate(spread)}
        self.logits: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def add(self, rows: Tensor, first: Tensor, second: Tensor) -> None:
        """Keeps some tokens of each text that is wanted; those of a text come in their order."""
        for i, row in enumerate(rows.tolist()):
            if row not in self.wanted:
                continue
            place = self.places[row].get(self.seen[row])
            if place is not None:
                self.logits[self.wanted[row], place] = first[i].clone(), second[i].clone()
            self.seen[row] += 1

    def pairs(self) -> Iterator[Pair]:
        """Tokens of one text beside those of another, as far into it."""
        n = len(self.wanted)
        every = [(i, j) for i in range(n) for j in range(n) if i != j]
        generator = torch.Generator().manual_seed(0)
        for chosen in torch.randperm(len(every), generator=generator)[:FLOOR_PAIRS].tolist():
            i, j = every[chosen]
            places = range(FLOOR_TOKENS)
            yield Pair(
                Side(logits=torch.stack([self.logits[i, p][0] for p in places]), kind="logits"),
                Side(logits=torch.stack([self.logits[j, p][1] for p in places]), kind="logits"),
            )


def _with_floor(one: Measure, found: Scored, sample: _Sample, n_texts: int) -> Scored:
    assert one.per_input is not None
    means = [float(one.per_input(p, **one.settings).double().mean()) for p in sample.pairs()]
    if len(means) < 2:
        return found
    mean = sum(means) / len(means)
    variance = sum((value - mean) ** 2 for value in means) / (len(means) - 1)
    reach = ONE_SIDED * sqrt(variance / n_texts + variance / len(means))
    p95 = mean + reach if one.larger_is_more_similar else mean - reach
    low, high = one.bounds
    return found._replace(floor=mean, floor_p95=min(max(p95, low), high))


def shared_pairs(
    models: Sequence[TextModel], made: Mapping[str, Encoded]
) -> tuple[list[tuple[TextModel, TextModel]], list[str]]:
    """The pairs whose next tokens can be compared, and why the others cannot, each reason once."""
    pairs, reasons = [], []
    for a, b in combinations(models, 2):
        why = why_not_shared(a, b, made)
        if why is None:
            pairs.append((a, b))
        else:
            reasons.append(why)
    return pairs, list(dict.fromkeys(reasons))
