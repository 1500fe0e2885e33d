"""Texts to compare models on: a file with a text in each line or row, or a list of strings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samemind.errors import InvalidInput, UnreadableFile, reason
from samemind.files.reading import MOST_TEXT, check_regular, parsed_json, read_text, shown
from samemind.lazy import np
from samemind.printing import printable
from samemind.randomness import numpy_generator
from samemind.registry import did_you_mean

ENDINGS = (".txt", ".jsonl", ".csv", ".tsv", ".parquet")
COLUMNS = ("text", "sentence", "prompt", "content", "document")
"""Columns that are taken for the texts where none is named, the first that is there."""
MOST_BYTES = 16 * MOST_TEXT
SHOWN = 100  # characters of a text on a page


@dataclass(frozen=True, kw_only=True, eq=False)
class Texts:
    """N texts in a fixed order.

    - `ids`: what each is called, unlike any other; None where they are called by position.
    - `labels`: `(N,)` class numbers, positions in `classes`; None where nothing is known. Without
      `classes` they are numbers as given.
    - `notes`: what a reader must know, such as the column that was taken.
    """

    name: str
    texts: tuple[str, ...]
    ids: tuple[str, ...] | None = None
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.texts:
            raise InvalidInput(f"{self.name} holds no texts. Give a text in each line or row.")
        for i, text in enumerate(self.texts):
            if not isinstance(text, str):
                raise InvalidInput(
                    f"Text {i} of {self.name} is {type(text).__name__}, not a string. Give strings."
                )
            if not text.strip():
                raise InvalidInput(
                    f"Text {i} of {self.name} is empty (counted from 0), and an empty text has no "
                    f"token to read. Leave it out."
                )
        if self.ids is not None and len(set(self.ids)) < len(self.ids):
            twice = next(one for one in self.ids if self.ids.count(one) > 1)
            raise InvalidInput(
                f"Two texts of {self.name} have the id '{shown(twice)}'. An id tells a text from "
                f"all others; name another column, or leave ids out."
            )

    def __len__(self) -> int:
        return len(self.texts)

    def called(self, position: int) -> str:
        """The id of a text, or its number."""
        return f"#{position}" if self.ids is None else printable(self.ids[position])

    def shortened(self, position: int, characters: int = SHOWN) -> str:
        """A text on one line, of at most so many characters, with its control characters escaped.

        >>> Texts(name="two", texts=("One\\nword", "x" * 300)).shortened(0)
        'One word'
        """
        text = printable(" ".join(self.texts[position].split()))
        return text if len(text) <= characters else text[: characters - 1] + "…"

    def labels_for(
        self, n_classes: int, names: Sequence[str] = ()
    ) -> tuple[np.ndarray | None, str]:
        """The labels as class numbers of a model with C classes; None, and why, without them.

        **Arguments:**

        - `names`: of the model's classes; labels in words are found among them, whatever the case.
        """
        if self.labels is None:
            return None, "the inputs have no labels"
        if not self.classes:
            low, high = int(self.labels.min()), int(self.labels.max())
            if low >= 0 and high < n_classes:
                return self.labels, ""
            return None, f"the labels go from {low} to {high}, the models have {n_classes} classes"
        known = {name.lower(): i for i, name in enumerate(names)}
        lost = [c for c in self.classes if c.lower() not in known]
        if lost:
            return None, (
                f"the label '{shown(lost[0])}' is no class of the model, whose classes are "
                f"{', '.join(names[:5]) or 'not named'}"
            )
        return np.array([known[c.lower()] for c in self.classes])[self.labels], ""


def is_texts(inputs: Any) -> bool:
    """Whether what was given as inputs are texts: strings in a list, or a file that holds them."""
    if isinstance(inputs, Texts):
        return True
    if isinstance(inputs, (str, Path)):
        return Path(inputs).suffix.lower() in ENDINGS
    return (
        isinstance(inputs, (list, tuple)) and bool(inputs) and isinstance(inputs[0], str)
    ) or _has_strings(inputs)


def _has_strings(inputs: Any) -> bool:
    kind = getattr(getattr(inputs, "dtype", None), "kind", "")
    is_flat = getattr(inputs, "ndim", 0) == 1
    return is_flat and (
        kind == "U" or (len(inputs) > 0 and isinstance(next(iter(inputs), None), str))
    )


def texts_of(
    inputs: Any,
    random_seed: int = 0,
    *,
    labels: Any = None,
    count: int | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    label_column: str | None = None,
) -> Texts:
    """Whatever `is_texts` takes, as texts.

    **Arguments:**

    - `labels`: class numbers or names `(N,)`, or a file of class numbers.
    - `text_column`, `id_column`, `label_column`: of a file, see `open_texts`.

    **Raises:** `InvalidInput` for what are no texts.
    """
    if not is_texts(inputs):
        raise InvalidInput(
            f"Language models read texts. Give a list of strings, or a file of texts "
            f"({', '.join(ENDINGS)}), as the inputs."
        )
    if isinstance(inputs, Texts):
        found = inputs
    elif isinstance(inputs, (str, Path)):
        found = open_texts(inputs, column=text_column, ids=id_column, labels=label_column)
    else:
        found = given_texts(inputs)
    if isinstance(labels, (str, Path)):
        from samemind.inputs.labels import read_labels

        labels = read_labels(Path(labels))
    if labels is not None:
        found = labelled(found, list(labels), "labels")
    return sampled(found, count, random_seed)


def given_texts(texts: Any, labels: Any = None, ids: Sequence[Any] | None = None) -> Texts:
    """Texts that are in memory already, in their order.

    **Arguments:**

    - `labels`: (N,) class numbers, or the names of classes.

    **Raises:** `InvalidInput` for an empty text, or another number of labels or ids than of texts.
    """
    held = tuple(str(one) if type(one).__name__ == "str_" else one for one in texts)
    found = Texts(
        name="texts", texts=held, ids=None if ids is None else tuple(str(one) for one in ids)
    )
    for what, values in (("labels", labels), ("ids", ids)):
        if values is not None and len(values) != len(found):
            raise InvalidInput(f"{len(values)} {what} were given for {len(found)} texts.")
    return found if labels is None else labelled(found, list(labels), "labels")


def open_texts(
    path: str | Path,
    *,
    column: str | None = None,
    ids: str | None = None,
    labels: str | None = None,
    count: int | None = None,
    random_seed: int = 0,
) -> Texts:
    """The texts of a file: a text a line (.txt), or a row each (.jsonl, .csv, .tsv, .parquet).

    **Arguments:**

    - `column`: of the texts; unless named, the first of `COLUMNS` that is there, or the only column
      that holds text. A line of .jsonl may also be a string.
    - `ids`, `labels`: columns of what each text is called, and of its class, a number or a name.
    - `count`: so many at random, in their order; None for all.

    **Raises:** `InvalidInput` for a file that cannot be read, a column that is not there, an empty
    text, or two texts of one id.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidInput(
            f"{path} is of no kind that texts are read from. Known: {', '.join(ENDINGS)}."
        )
    table = reader(path)
    where, notes = shown(path.name), []
    if column is None:
        column = _text_column(table, where)
        if len(table) > 1:
            notes.append(f"Texts are those of the column '{column}' of {where}.")
    found = Texts(
        name=shown(path.stem),
        texts=tuple(_column(table, column, where)),
        ids=None if ids is None else tuple(str(one) for one in _column(table, ids, where)),
        notes=tuple(notes),
    )
    if labels is not None:
        found = labelled(found, _column(table, labels, where), f"The column '{labels}' of {where}")
    return sampled(found, count, random_seed)


def labelled(texts: Texts, values: Sequence[Any], where: str) -> Texts:
    """The texts with these classes `(N,)`, numbers or names.

    **Raises:** `InvalidInput` for another number of labels than of texts, or one that is missing.
    """
    if len(values) != len(texts):
        raise InvalidInput(f"{where} has {len(values)} labels for {len(texts)} texts.")
    if any(one is None or one != one or one == "" for one in values):
        missing = next(i for i, one in enumerate(values) if one is None or one != one or one == "")
        raise InvalidInput(f"{where} has no label for text {missing} (counted from 0).")
    try:
        numbers = np.array([float(one) for one in values])
        if not (numbers == numbers.round()).all():
            raise InvalidInput(f"{where} holds {numbers[numbers != numbers.round()][0]:g}, which "
                               f"is no class number.")  # fmt: skip
        return replace(texts, labels=numbers.astype(np.int64), classes=())
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
    classes = tuple(sorted({str(one) for one in values}))
    number = {name: i for i, name in enumerate(classes)}
    return replace(texts, labels=np.array([number[str(one)] for one in values]), classes=classes)


def sampled(texts: Texts, count: int | None, random_seed: int) -> Texts:
    """So many of the texts at random, in their order; all of them for None."""
    if count is None or count >= len(texts):
        return texts
    generator = numpy_generator(random_seed, "inputs")
    rows = np.sort(generator.choice(len(texts), count, False))
    return replace(
        texts,
        texts=tuple(texts.texts[i] for i in rows),
        ids=None if texts.ids is None else tuple(texts.ids[i] for i in rows),
        labels=None if texts.labels is None else texts.labels[rows],
    )


# -- files, as columns


def _lines(path: Path) -> dict[str, list[Any]]:
    text = read_text(path, most=MOST_BYTES).removeprefix("\ufeff")
    # Only line ends end a line: other characters that Python splits at may stand in a text.
    return {"text": text.removesuffix("\n").replace("\r\n", "\n").split("\n") if text else []}


def _json_lines(path: Path) -> dict[str, list[Any]]:
    rows = []
    for i, line in enumerate(_lines(path)["text"]):
        if not line.strip():
            continue
        try:
            row = parsed_json(line, path)
        except UnreadableFile as error:
            raise InvalidInput(f"Line {i + 1} of {path} is no JSON: {error.reason}.") from None
        row = {"text": row} if isinstance(row, str) else row
        if not isinstance(row, dict):
            raise InvalidInput(
                f"Line {i + 1} of {path} is {type(row).__name__}. Each line is an object with a "
                f"text, or a text."
            )
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _separated(path: Path) -> dict[str, list[Any]]:
    import csv
    import io

    text = read_text(path, most=MOST_BYTES).removeprefix("\ufeff")
    try:
        rows = list(
            csv.reader(
                io.StringIO(text, newline=""),
                delimiter="\t" if path.suffix.lower() == ".tsv" else ",",
                strict=True,
            )
        )
    except csv.Error as error:
        raise InvalidInput(f"{path} cannot be read as {path.suffix}: {reason(error)}.") from None
    rows = [row for row in rows if row]
    if not rows:
        return {}
    names, *rows = rows
    wrong = next((i for i, row in enumerate(rows) if len(row) != len(names)), None)
    if wrong is not None:
        raise InvalidInput(
            f"Row {wrong + 1} of {path} has {len(rows[wrong])} fields, its head {len(names)}. "
            f"Put texts with commas into quotes."
        )
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _parquet(path: Path) -> dict[str, list[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_regular(path)
    try:
        table = pq.read_table(path)
        return {name: table.column(name).to_pylist() for name in table.column_names}
    except (pa.ArrowException, OSError, ValueError) as error:
        what = str(error).splitlines()[0].rstrip(".")
        raise InvalidInput(f"{path} cannot be read as .parquet: {what}.") from None


_READERS = {
    ".txt": _lines,
    ".jsonl": _json_lines,
    ".csv": _separated,
    ".tsv": _separated,
    ".parquet": _parquet,
}


def _text_column(table: dict[str, list[Any]], where: str) -> str:
    named = [name for name in COLUMNS if name in table]
    texts = [name for name, values in table.items() if all(isinstance(one, str) for one in values)]
    if named or len(texts) == 1:
        return (named or texts)[0]
    raise InvalidInput(
        f"{where} does not say which of its columns is the text "
        f"({', '.join(map(shown, table)) or 'it has none'}). Name it with --text-column, or call "
        f"it 'text'."
    )


def _column(table: dict[str, list[Any]], name: str, where: str) -> list[Any]:
    if name not in table:
        raise InvalidInput(
            f"{where} has no column '{name}'. {did_you_mean(name, list(table))}"
            f"Found: {', '.join(map(shown, table)) or 'none'}."
        )
    return table[name]
