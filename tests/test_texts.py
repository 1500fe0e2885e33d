"""Texts as inputs, words aligned by characters, and rows that are not independent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import language_models as tiny
import samemind
from samemind.errors import InvalidInput
from samemind.extraction.keeping import Kept, side_of
from samemind.extraction.tokens import encoded
from samemind.extraction.words import aligned, words_in
from samemind.inputs.texts import given_texts, open_texts, texts_of
from samemind.measures.base import Pair
from samemind.networks.language import model_of_pair
from samemind.sides.streamed import StreamedSide

ROWS = [
    {"id": "a1", "text": "First, a text.", "label": "good"},
    {"id": "b2", "text": 'With "quotes",\nand two lines', "label": "bad"},
    {"id": "c3", "text": "你好 😀 =1+1", "label": "good"},
]


def written(folder: Path, ending: str) -> Path:
    path = folder / f"texts{ending}"
    table = pd.DataFrame(ROWS)
    if ending == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n", encoding="utf-8")
    elif ending == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_every_kind_of_file_gives_the_same_texts(tmp_path: Path, ending: str) -> None:
    found = open_texts(written(tmp_path, ending), ids="id", labels="label")
    assert list(found.texts) == [row["text"] for row in ROWS]
    assert found.ids == ("a1", "b2", "c3")
    assert found.labels is not None
    assert [found.classes[i] for i in found.labels] == ["good", "bad", "good"]
    assert "column 'text'" in found.notes[0]
    assert found.labels_for(2, ("BAD", "Good"))[0].tolist() == [1, 0, 1]  # pyright: ignore[reportOptionalMemberAccess]


def test_a_line_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_bytes("one\r\ntwo\u2028still two\nthree".encode())
    assert open_texts(path).texts == ("one", "two\u2028still two", "three")
    path = tmp_path / "some.jsonl"
    path.write_text('"one"\n\n{"text": "two"}\n')
    assert open_texts(path).texts == ("one", "two")


def test_a_sample_keeps_what_belongs_together(tmp_path: Path) -> None:
    found = open_texts(written(tmp_path, ".csv"), ids="id", labels="label", count=2)
    for i, text in enumerate(found.texts):
        row = next(row for row in ROWS if row["text"] == text)
        assert found.labels is not None
        assert (row["id"], row["label"]) == (found.called(i), found.classes[found.labels[i]])


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("a.txt", "one\n\ntwo\n", {}, "Text 1 of a is empty"),
        ("a.txt", "", {}, "holds no texts"),
        ("a.txt", b"\xff\xfe", {}, "is not UTF-8"),
        ("a.jsonl", '{"text": "one"}\nno json\n', {}, "Line 2 of"),
        ("a.jsonl", "[1]\n", {}, "Line 1 of"),
        ("a.jsonl", '{"text": 3}\n', {}, "is int, not a string"),
        ("a.csv", "text,id\none,1\ntwo,1\n", {"ids": "id"}, "have the id '1'"),
        ("a.csv", "text,id\none\n", {}, "has 1 fields, its head 2"),
        ("a.csv", "text,id\none,1\n", {"column": "txt"}, "Did you mean 'text'"),
        ("a.csv", "a,b\none,two\n", {}, "--text-column"),
        ("a.csv", "text,label\none,\n", {"labels": "label"}, "no label for text 0"),
        ("a.parquet", b"PAR1 not", {}, "cannot be read as .parquet"),
        ("a.docx", "x", {}, "of no kind that texts are read from"),
    ],
)
def test_a_bad_file_is_a_sentence(
    tmp_path: Path, name: str, content: str | bytes, options: dict[str, Any], said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidInput, match=said):
        open_texts(path, **options)
    with pytest.raises(InvalidInput):
        open_texts(tmp_path / "nowhere.txt")


def test_what_is_given_is_checked() -> None:
    with pytest.raises(InvalidInput, match="2 labels for 3 texts"):
        texts_of(["a", "b", "c"], labels=[0, 1])
    with pytest.raises(InvalidInput, match="read texts"):
        texts_of(np.zeros((3, 2)))
    assert texts_of(np.array(["a", "b"]), labels=np.array([1, 0])).labels.tolist() == [1, 0]  # pyright: ignore[reportOptionalMemberAccess]
    assert texts_of(pd.Series(["a", "b"])).texts == ("a", "b")


# -- words


def spans_of(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    one = model_of_pair("one", torch.nn.Linear(1, 1), tokenizer)
    spans = encoded(one, given_texts([text])).spans
    assert spans is not None
    return spans[0]


@pytest.mark.parametrize("text", tiny.TEXTS)
def test_words_of_three_kinds_of_tokenizers_are_the_same(text: str) -> None:
    makers = (tiny.wordpiece, tiny.byte_level, tiny.sentencepiece)
    spans = [spans_of(make(), text) for make in makers]
    found = aligned(text, spans)
    assert found.n_lost == 0
    assert 0 < found.n_words <= len(words_in(text))
    said = []
    for of_model, numbers in zip(spans, found.words, strict=True):
        assert len(of_model) == len(numbers)
        assert set(numbers) - {-1} == set(range(found.n_words))
        covered = [set() for _ in range(found.n_words)]
        for (start, end), number in zip(of_model, numbers, strict=True):
            if number >= 0:
                covered[number] |= {i for i in range(start, end) if not text[i].isspace()}
        said.append(covered)
    # Every model's tokens of a word stand for the same characters of the text.
    assert said[0] == said[1] == said[2]


def test_what_one_tokenizer_joins_or_drops_is_so_for_all() -> None:
    text = "one two three"
    apart = [(0, 3), (3, 7), (7, 13)]
    assert aligned(text, [apart, [(0, 7), (7, 13)]]).words == ([0, 0, 1], [0, 1])
    lost = aligned(text, [apart, [(0, 3), (8, 13)]])
    assert lost.words == ([0, -1, 1], [0, 1])
    assert (lost.n_words, lost.n_lost) == (2, 1)


# -- groups of rows


def clustered(n_groups: int, rng: np.random.Generator) -> tuple[Any, Any, np.ndarray]:
    """Rows of groups of 3 to 11, alike within a group, of two models with something in common."""
    sizes = rng.integers(3, 12, n_groups)
    groups = np.repeat(np.arange(n_groups), sizes)
    common = rng.standard_normal((n_groups, 4))[groups]
    x = common + 0.5 * rng.standard_normal((len(groups), 4))
    y = common @ np.diag([1.0, 0.5, 0.2, 0.0]) + 0.7 * rng.standard_normal((len(groups), 4))
    return x, y, groups


def pair_of(x: Any, y: Any, groups: np.ndarray | None) -> Pair:
    return Pair(
        samemind.Side(representation=x, groups=groups),
        samemind.Side(representation=y, groups=groups),
    )


def test_groups_of_one_row_change_nothing() -> None:
    x, y, _ = clustered(20, np.random.default_rng(0))
    for name in ("debiased_linear_cka", "procrustes_similarity", "knn_jaccard"):
        one = samemind.measure(name)
        alone = one.standard_error(pair_of(x, y, None))
        each = one.standard_error(pair_of(x, y, np.arange(len(x))[::-1].copy()))
        assert each == pytest.approx(alone)


def test_rows_that_are_repeated_say_no_more() -> None:
    """With every row written four times, groups give the error of the rows themselves."""
    x, y, _ = clustered(30, np.random.default_rng(1))
    one, groups = samemind.measure("linear_cka"), np.repeat(np.arange(len(x)), 4)
    four = [np.repeat(values, 4, 0) for values in (x, y)]
    alone = one.standard_error(pair_of(x, y, None))
    assert alone is not None
    assert one.standard_error(pair_of(*four, groups)) == pytest.approx(alone, rel=1e-6)
    # Nor where groups of them are left out at a time.
    left_out = one.grouped_standard_error(pair_of(x, y, None), groups=15)
    assert one.grouped_standard_error(pair_of(*four, groups), groups=15) == pytest.approx(left_out)
    assert one.standard_error(pair_of(*four, None)) == pytest.approx(alone / 2, rel=0.01)
    exact = one.interval(pair_of(x, y, None))
    assert one.interval(pair_of(*four, groups)) == pytest.approx(exact, rel=1e-4)


def test_floors_move_whole_groups() -> None:
    """Of rows alike within groups, shuffled rows would have too low a floor, and too narrow."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(30), 10)
    x, y = (
        rng.standard_normal((30, 3))[groups] + 0.01 * rng.standard_normal((300, 3)) for _ in "ab"
    )
    one = samemind.measure("linear_cka")
    score = one.score(pair_of(x, y, None))
    grouped, alone = (one.floor(pair_of(x, y, g), permutations=100) for g in (groups, None))
    assert grouped is not None
    assert alone is not None
    # Two unrelated models: of 30 independent draws, not of 300.
    assert alone.p95 < score < grouped.p95
    assert grouped.permutations == 100
    pair = pair_of(x, y, groups)
    order = pair.reordered(torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(300))
    moved = torch.from_numpy(groups)[order]
    assert int((moved.diff() != 0).sum()) == 29  # whole groups, one after the other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most"),
    # Errors of neighbours are a sixth too wide: what two groups have together counts twice.
    [("debiased_linear_cka", 0.98), ("procrustes_similarity", 0.98), ("knn_jaccard", 0.995)],
)
def test_intervals_of_grouped_rows_hold_the_truth(name: str, most: float) -> None:
    """95 % intervals hold the mean over draws in 92 to 98 of a hundred."""
    one, rng = samemind.measure(name), np.random.default_rng(3)
    scores, intervals, without = [], [], []
    for _ in range(300):
        x, y, groups = clustered(80, rng)
        pair = pair_of(x, y, groups)
        scores.append(one.score(pair))
        intervals.append(one.interval(pair))
        without.append(one.interval(pair_of(x, y, None)))
    truth = np.mean(scores)
    held, alone = (np.mean([a <= truth <= b for a, b in these]) for these in (intervals, without))
    assert 0.92 <= held <= most
    assert alone < held  # as if every row were a draw of its own: too narrow
    if name != "knn_jaccard":
        assert alone < 0.85


def test_rows_on_disk_give_the_scores_of_rows_in_memory() -> None:
    x, y, groups = clustered(40, np.random.default_rng(4))
    kept, one = Kept(most_held=0), samemind.measure("debiased_linear_cka")
    sides = []
    for values in (x, y):
        rows = kept.array(len(values), values.shape[1], torch.float64)
        rows[:] = values
        sides.append(side_of(rows, groups=groups))
    assert kept.is_on_disk
    assert all(isinstance(side, StreamedSide) for side in sides)
    on_disk, held = Pair(*sides), pair_of(x, y, groups)
    assert one.score(on_disk) == pytest.approx(one.score(held), abs=1e-10)
    assert one.standard_error(on_disk) == pytest.approx(one.standard_error(held), rel=1e-6)


def test_many_rows_are_compared_from_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samemind.extraction.keeping.MOST_HELD", 0)
    models = [(tiny.network("gpt2", seed=i), tiny.byte_level()) for i in range(2)]
    options: dict[str, Any] = {"tokens": "all", "layers": "all", "measures": "debiased_linear_cka"}
    texts = [*tiny.TEXTS, *(f"{text} And more." for text in tiny.TEXTS)]
    from_disk = samemind.compare(models, texts, **options)
    monkeypatch.undo()
    held = samemind.compare(models, texts, **options)
    assert from_disk.scores["score"].tolist() == pytest.approx(held.scores["score"].tolist())
    errors = [found.scores["standard_error"].tolist() for found in (from_disk, held)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-4)
    assert from_disk.layers is not None
    assert held.layers is not None
    assert from_disk.layers["score"].tolist() == pytest.approx(
        held.layers["score"].tolist(), abs=1e-6
    )
    assert "lie on disk" in " ".join(from_disk.notes)
