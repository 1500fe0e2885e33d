"""Which tokens of a text are read: the readings that are asked for, and the rows that they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from samemind.errors import InvalidInput
from samemind.extraction.tokens import BY_ROW, POOLED, Encoded, Rows
from samemind.extraction.words import aligned
from samemind.inputs.texts import Texts
from samemind.lazy import np
from samemind.networks.language import TextModel
from samemind.registry import did_you_mean

USUAL = "mean"
WORDS = {
    "mean": "mean over the tokens of the last hidden state",
    "last": "last token of the last hidden state",
    "first": "first token of the last hidden state",
    "model": "the model's own pooling",
    "all": "a row per token of the last hidden state",
    "words": "a row per word: mean over its tokens of the last hidden state",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """One reading of every model.

    - `tokens`: of each model, by its name: of `POOLED`, or for all of them one of `BY_ROW`.
    - `rows`: how each model is read. `groups`: the text that each row is of; None for a row a text.
    - `notes`: what a reader must know of it.
    """

    tokens: Mapping[str, str]
    rows: Mapping[str, Rows]
    groups: np.ndarray | None = None
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def label(self) -> str:
        """Its name: of one kind for all models, or of each in their order."""
        each = list(self.tokens.values())
        return each[0] if len(set(each)) == 1 else " + ".join(each)


def readings_of(
    asked: Sequence[Any] | str | None,
    models: Sequence[TextModel],
    texts: Texts,
    made: Mapping[str, Encoded],
    *,
    has_special: bool,
) -> list[Reading]:
    """The readings that are asked for, with the rows that they give of these texts.

    **Arguments:**

    - `asked`: names, each of all models, or one for each ("mean+last", or a list in a list); None
      is the mean over tokens.

    **Raises:** `InvalidInput` for a name that is none, for models whose rows do not correspond, or
    an encoder without a pooling of its own.
    """
    found = []
    for tokens in _each(asked, models):
        kinds = set(tokens.values())
        if kinds & set(BY_ROW) and len(kinds) > 1:
            first, second = sorted(kinds)[:2]
            raise InvalidInput(
                f"The readings '{first}' and '{second}' were asked for together, but the rows of "
                f"one are not those of the other: a row per text beside a row per word or token."
            )
        for m in models:
            if tokens[m.name] == "model" and m.own_pooling is None:
                raise InvalidInput(
                    f"The reading 'model' is an encoder's own pooling, and {m.name} "
                    f"({m.architecture}) has none. Choose mean, last or first for it, as in "
                    f"'{'+'.join('mean' if n.own_pooling is None else 'model' for n in models)}'."
                )
        if kinds & set(BY_ROW):
            found.append(_by_row(next(iter(kinds)), models, texts, made))
            continue
        rows = {n: Rows(tokens=kind, has_special=has_special) for n, kind in tokens.items()}
        found.append(Reading(tokens=tokens, rows=rows))
    return found


def _each(asked: Sequence[Any] | str | None, models: Sequence[TextModel]) -> list[dict[str, str]]:
    """The name of the reading of each model, for each of those asked for."""
    several = (asked.split(",") if isinstance(asked, str) else asked) or [USUAL]
    found = []
    for one in several:
        names = one.split("+") if isinstance(one, str) else list(one)
        names = [str(name).strip() for name in names]
        for name in names:
            if name not in (*POOLED, *BY_ROW):
                known = [*POOLED, *BY_ROW]
                raise InvalidInput(
                    f"No reading of tokens is called '{name}'. {did_you_mean(name, known)}"
                    f"Known: {', '.join(known)}."
                )
        if len(names) not in (1, len(models)):
            raise InvalidInput(
                f"The reading '{'+'.join(names)}' names {len(names)} models, but there are "
                f"{len(models)}. Give one for all, or one for each in their order."
            )
        names = names * len(models) if len(names) == 1 else names
        found.append({m.name: name for m, name in zip(models, names, strict=True)})
    return found


def _by_row(
    kind: str, models: Sequence[TextModel], texts: Texts, made: Mapping[str, Encoded]
) -> Reading:
    """A row per word, or per token where all models have the same tokens."""
    for m in models:
        if made[m.name].spans is None:
            raise InvalidInput(
                f"The tokenizer of {m.name} does not say which characters its tokens stand for, so "
                f"there is no reading '{kind}'. Give a fast tokenizer (tokenizer.json)."
            )
    units: dict[str, list[list[int]]] = {m.name: [] for m in models}
    counts, n_lost = [], 0
    for i, text in enumerate(texts.texts):
        spans = [made[m.name].spans[i] for m in models]  # pyright: ignore[reportOptionalSubscript]
        if kind == "all":
            _check_same(models, spans, texts, i)
            found = [_numbered(of_model) for of_model in spans]
            count = sum(unit >= 0 for unit in found[0])
        else:
            words = aligned(text, spans)
            found, count = words.words, words.n_words
            n_lost += words.n_lost
        counts.append(count)
        for m, of_model in zip(models, found, strict=True):
            units[m.name].append(list(of_model))
    if not sum(counts):
        raise InvalidInput(
            "No word of the texts has a token of every model, so no row can be compared. Look at "
            "what the tokenizers make of the texts."
        )
    notes = []
    if n_lost:
        share = n_lost / (n_lost + sum(counts))
        notes.append(
            f"Words: {n_lost:,} of {n_lost + sum(counts):,} ({share:.1%}) were left out, for which "
            f"some model has no token (cut off, or dropped by its tokenizer)."
        )
    rows = {m.name: Rows(tokens=kind, units=units[m.name], counts=counts) for m in models}
    return Reading(
        tokens=dict.fromkeys(rows, kind),
        rows=rows,
        groups=np.repeat(np.arange(len(texts)), counts),
        notes=notes,
    )


def _numbered(spans: Sequence[tuple[int, int]]) -> list[int]:
    number, found = -1, []
    for start, end in spans:
        number += end > start
        found.append(number if end > start else -1)
    return found


def _check_same(
    models: Sequence[TextModel], spans: Sequence[Sequence[tuple[int, int]]], texts: Texts, i: int
) -> None:
    """Raises where a text has other tokens for one model than for the first."""
    plain = [[span for span in of_model if span[1] > span[0]] for of_model in spans]
    for m, of_model in zip(models[1:], plain[1:], strict=True):
        if of_model != plain[0]:
            raise InvalidInput(
                f"The reading 'all' has a row per token, but text {texts.called(i)} has "
                f"{len(plain[0])} tokens for {models[0].name} and {len(of_model)} others for "
                f"{m.name}. Use the reading 'words', which aligns them by their characters."
            )
