"""Tokens of different tokenizers, aligned by the characters that they stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# Scripts that are written without spaces and whose characters are words of their own, as the
# tokenizer of BERT takes them: Han with its extensions, and kana.
_ALONE = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_ALONE}]|[^\s{_ALONE}]+")

#: Where a token begins and ends in its text; an empty span stands for no character.
Span = tuple[int, int]


def words_in(text: str) -> list[Span]:
    """The words of a text: what stands between white space, and each character of Han and kana.

    Punctuation belongs to the word it touches. Scripts without spaces and with words of several
    characters, such as Thai, give one word from space to space.

    >>> [text[a:b] for text in ["I can't, 你好!"] for a, b in words_in(text)]
    ['I', "can't,", '你', '好', '!']
    """
    return [found.span() for found in _WORD.finditer(text)]


class Aligned(NamedTuple):
    """Words that every tokenizer has tokens for.

    - `words`: for each model the number of the word that each token belongs to, or -1 for none.
    - `n_words`: of a text. `n_lost`: words that some tokenizer has no token for.
    """

    words: tuple[list[int], ...]
    n_words: int
    n_lost: int


def aligned(text: str, spans: Sequence[Sequence[Span]]) -> Aligned:
    """The words of a text by the tokens of several tokenizers, each token in one word.

    A token belongs to the word that its characters lie in; white space in its span counts for
    nothing. Words that a token of any tokenizer spans together are one word for all of them. A word
    for which some tokenizer has no token (cut off, or dropped by it) is left out for all.

    **Arguments:**

    - `spans`: for each tokenizer, of each token; special tokens have empty ones.

    >>> aligned("so be it", [[(0, 2), (2, 5), (5, 8)], [(0, 5), (6, 8)]])
    Aligned(words=([0, 0, 1], [0, 1]), n_words=2, n_lost=0)
    """
    words = words_in(text)
    word_at = [-1] * (len(text) + 1)
    for number, (start, end) in enumerate(words):
        word_at[start:end] = [number] * (end - start)
    covered = [[_covered(word_at, span) for span in of_model] for of_model in spans]
    is_joined = [False] * len(words)  # with the word before
    for first, last in (one for of_model in covered for one in of_model if one is not None):
        for number in range(first + 1, last + 1):
            is_joined[number] = True
    unit, units = -1, []
    for joined in is_joined:
        unit += not joined
        units.append(unit)
    of_tokens = [[-1 if one is None else units[one[0]] for one in model] for model in covered]
    everywhere = set.intersection(*(set(model) - {-1} for model in of_tokens))
    kept = {unit: i for i, unit in enumerate(sorted(everywhere))}
    return Aligned(
        words=tuple([kept.get(unit, -1) for unit in model] for model in of_tokens),
        n_words=len(kept),
        n_lost=unit + 1 - len(kept),
    )


def _covered(word_at: Sequence[int], span: Span) -> tuple[int, int] | None:
    """The first and the last word that the characters of a token lie in."""
    there = [word for word in word_at[span[0] : span[1]] if word >= 0]
    return (there[0], there[-1]) if there else None
