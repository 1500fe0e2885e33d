"""Language models on texts: what each says of them under each reading, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

from samemind.comparison.driving_texts import driving_texts
from samemind.comparison.layer_maps import layer_map
from samemind.comparison.next_tokens import USUAL, next_tokens, shared_pairs
from samemind.comparison.readings import WORDS, Reading, readings_of
from samemind.comparison.work import OF_IMAGES, Asked, Work, refuse_options
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.extraction.keeping import Kept, side_of
from samemind.extraction.tokens import LAST, Encoded, Watch, chosen_layers, encoded, read
from samemind.inputs.texts import Texts
from samemind.lazy import pd
from samemind.measures import measure
from samemind.measures.choosing import check_kinds, streamed_measures
from samemind.measures.kinds import kind_of
from samemind.networks.language import TextModel
from samemind.reporting.comparison import Comparison
from samemind.sides.side import Side
from samemind.sides.streamed import StreamedSide


def compare_texts(
    models: Sequence[TextModel],
    texts: Texts,
    asked: Asked | None = None,
    *,
    execution: Execution | None = None,
    watch: Watch | None = None,
) -> Comparison:
    """Every pair of language models on the texts, under each reading that is asked for.

    The first reading is that of figures; the scores of all of them are in the table, with their
    `reading`.

    **Raises:** `InvalidInput` for fewer than two models, a reading that does not fit them, or
    measures that cannot be computed.

    **Cost:** one forward pass per model and text, whatever is read; memory for a batch and the
    rows that are kept, which lie on disk where they are many.
    """
    asked, execution = asked or Asked(), execution or Execution()
    _check(models, asked)
    made = {m.name: encoded(m, texts, asked.max_length) for m in models}
    readings = readings_of(asked.tokens, models, texts, made, has_special=asked.special_tokens)
    layers = chosen_layers(models, asked.layers) if asked.layers else {}
    kept = Kept()
    seen = {
        m.name: _Seen(m, made[m.name], readings, layers.get(m.name, ()), execution, kept, watch)
        for m in models
    }
    sides = [_sides(models, seen, reading, texts, execution) for reading in readings]
    predictions = _predictions(models, made, asked)
    work = Work(asked=replace(asked, measures=predictions.of_rows), sides=sides[0], name=texts.name)
    work.watch = watch
    work.notes += predictions.notes
    if predictions.of_rows is None and not all(m.head == "classes" for m in models):
        work.usual = tuple(m for m in work.usual if _reads(m) == "representation")
    _tell(work, models, texts, made, readings)
    work.add_models(models)
    is_streamed = any(isinstance(s, StreamedSide) for found in sides for s in found.values())
    if is_streamed:
        work.usual = tuple(m for m in work.usual if m in streamed_measures())
        work.notes.append(
            "The rows lie on disk, so measures are those that read them in chunks; others need "
            "fewer texts (--count)."
        )
    if predictions.of_rows is None or predictions.of_rows:
        work.score()
    for row in work.rows:
        row["reading"] = "" if row["layer"] == "logits" else readings[0].label
    if predictions.pairs:
        _add_next_tokens(work, predictions, made, execution, watch)
    work.parts["driving_texts"] = _driving(work, texts)
    for reading, found in zip(readings[1:], sides[1:], strict=True):
        work.score_reading(found, reading.label)
    _name_classes(work, models, texts)
    work.add_flips(name_of=texts.called)
    if layers:
        work.parts["layers"] = _layer_maps(seen, readings, layers, asked)
        work.notes.append(f"Layers: {asked.layer_measure}, read as {_listed(readings)}.")
    if asked.probe:
        work.add_probes()
    rows = [_record(m, r, made[m.name], asked) for m in models for r in readings]
    return work.finished(readings=pd.DataFrame(rows))


def _check(models: Sequence[TextModel], asked: Asked) -> None:
    """That there are models enough, and nothing is asked that only images have."""
    if len(models) < 2:
        raise InvalidInput(
            f"A comparison needs two models or more, but {len(models)} was given. Name another."
        )
    refuse_options(
        asked, OF_IMAGES, "'{}' is for networks that look at images, but these read texts."
    )
    no_images = "it needs inverted images, and there are none of texts. Leave it out."
    check_kinds(asked.measures, {"mechanism": no_images})


class _Predictions(NamedTuple):
    """Which measures are of the rows of sides (None: the usual), and which of next tokens."""

    of_rows: list[str] | None
    of_tokens: tuple[str, ...]
    pairs: list[tuple[TextModel, TextModel]]
    notes: list[str]


def _reads(name: str) -> str:
    return measure(name).reads if kind_of(name) == "pair" else "logits"


def _predictions(
    models: Sequence[TextModel], made: Mapping[str, Encoded], asked: Asked
) -> _Predictions:
    """Classes are compared as ever; next tokens where a vocabulary is shared; else the reason.

    **Raises:** `InvalidInput` for a measure of predictions that was asked for without that.
    """
    given = None if asked.measures is None else list(asked.measures)
    if all(m.head == "classes" for m in models):
        return _Predictions(given, (), [], [])
    of_rows = None if given is None else [m for m in given if _reads(m) == "representation"]
    wanted = USUAL if given is None else tuple(m for m in given if _reads(m) == "logits")
    pairs, reasons = shared_pairs(models, made) if wanted else ([], [])
    if wanted and not pairs and given is not None:
        raise InvalidInput(
            f"The measure '{wanted[0]}' cannot be computed here: {reasons[0]}. Leave it out."
        )
    notes = [f"No next tokens are compared: {why}." for why in reasons]
    return _Predictions(of_rows, wanted if pairs else (), pairs, notes)


def _add_next_tokens(
    work: Work,
    predictions: _Predictions,
    made: Mapping[str, Encoded],
    execution: Execution,
    watch: Watch | None,
) -> None:
    asked, summaries = work.asked, []
    for a, b in predictions.pairs:
        said = next_tokens(
            a, b, made[a.name], predictions.of_tokens, execution=execution,
            errors=asked.errors, has_floor=bool(asked.permutations), watch=watch,
        )  # fmt: skip
        work.rows += [row | {"reading": ""} for row in work.place.placed(said.scores)]
        summaries.append(said.summary)
    work.measures += [name for name in predictions.of_tokens if name not in work.measures]
    work.parts["next_tokens"] = pd.DataFrame(summaries)
    work.notes.append(
        f"Predictions are of the next token, for each of {summaries[0]['tokens']:,} tokens that "
        f"have one before them; errors are of texts drawn."
    )


def _driving(work: Work, texts: Texts) -> pd.DataFrame | None:
    measures = list(dict.fromkeys(row["measure"] for row in work.rows))
    rows = list(driving_texts(work.sides, work.place.pairs(), measures, texts))
    return pd.DataFrame(rows) if rows else None


class _Seen:
    """What one model says of the texts: an array for each layer and reading, from one pass."""

    def __init__(
        self,
        model: TextModel,
        texts: Encoded,
        readings: Sequence[Reading],
        layers: Sequence[str],
        execution: Execution,
        kept: Kept,
        watch: Watch | None,
    ) -> None:
        # Readings that are the same for this model, as 'mean' in 'mean' and 'mean+last', are one.
        keys = [(r.tokens[model.name], r.groups is not None) for r in readings]
        self.place = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        wanted = [readings[keys.index(key)].rows[model.name] for key in self.place]
        self.keys = dict(zip(map(id, readings), keys, strict=True))
        self.rows, self.logits = read(
            model, texts, wanted, (LAST, *layers), execution=execution, kept=kept, watch=watch
        )

    def of(self, reading: Reading, layer: str = LAST) -> Any:
        """The rows of one layer under one reading."""
        return self.rows[layer][self.place[self.keys[id(reading)]]]


def _sides(
    models: Sequence[TextModel],
    seen: Mapping[str, _Seen],
    reading: Reading,
    texts: Texts,
    execution: Execution,
) -> dict[str, Side]:
    found = {}
    for m in models:
        logits = seen[m.name].logits if reading.groups is None else None
        labels = None
        if reading.groups is None:
            labels = texts.labels
            if logits is not None:
                labels, _ = texts.labels_for(max(2, logits.shape[1]), m.class_names)
        found[m.name] = side_of(
            seen[m.name].of(reading),
            device=execution.start(),
            groups=reading.groups,
            logits=logits,
            labels=labels,
        )
    return found


def _tell(
    work: Work,
    models: Sequence[TextModel],
    texts: Texts,
    made: Mapping[str, Encoded],
    readings: Sequence[Reading],
) -> None:
    """What a reader must know of the models, the texts and how they were read."""
    work.notes += [f"{m.name}: {m.note}." for m in models if m.note]
    work.notes += texts.notes
    for m in models:
        if n_cut := made[m.name].n_cut:
            longest = max(len(ids) for ids in made[m.name].ids)
            work.notes.append(
                f"{m.name}: {n_cut:,} of {len(texts):,} texts are longer than the {longest:,} "
                f"tokens that it reads, and were cut there."
            )
        if m.kind == "encoder-decoder":
            work.notes.append(f"{m.name}: its encoder is read; its decoder does not run.")
    work.notes += [note for reading in readings for note in reading.notes]
    if not work.asked.tokens:
        work.notes.append("No reading was asked for: the mean over tokens (--tokens).")
    elif len(readings) > 1:
        work.notes.append(f"Figures show the first reading, {readings[0].label}.")


def _name_classes(work: Work, models: Sequence[TextModel], texts: Texts) -> None:
    classifiers = [m for m in models if m.head == "classes"]
    if not classifiers:
        return
    first = classifiers[0]
    n_classes = len(first.class_names)
    if len(classifiers) == len(models) and len({len(m.class_names) for m in models}) == 1:
        work.class_names = first.class_names
        if any(m.class_names != first.class_names for m in models):
            work.notes.append(
                "The models call their classes differently; they are taken by number, as "
                f"{first.name} names them."
            )
    if texts.labels is not None:
        why = texts.labels_for(n_classes, first.class_names)[1]
        if why:
            work.notes.append(f"No accuracies and flips: {why}.")


def _layer_maps(
    seen: Mapping[str, _Seen],
    readings: Sequence[Reading],
    layers: Mapping[str, Sequence[str]],
    asked: Asked,
) -> pd.DataFrame:
    """Every layer of each model with every layer of each other, under each reading."""
    maps = []
    for reading in readings:
        sides = {
            name: {
                layer: side_of(seen[name].of(reading, layer), groups=reading.groups)
                for layer in of_model
            }
            for name, of_model in layers.items()
        }
        depths = {
            name: {layer: i / max(len(of_model) - 1, 1) for i, layer in enumerate(of_model)}
            for name, of_model in layers.items()
        }
        for a, b in combinations(layers, 2):
            found = layer_map(
                sides[a],
                sides[b],
                asked.layer_measure,
                errors=asked.errors,
                permutations=asked.permutations,
                random_seed=asked.random_seed,
            )
            maps.append(
                found.assign(
                    model_a=a,
                    model_b=b,
                    reading=reading.label,
                    depth_a=found["layer_a"].map(depths[a]),
                    depth_b=found["layer_b"].map(depths[b]),
                )
            )
    return pd.concat(maps, ignore_index=True)


def _listed(readings: Sequence[Reading]) -> str:
    return ", ".join(reading.label for reading in readings)


def _record(m: TextModel, reading: Reading, made: Encoded, asked: Asked) -> dict[str, Any]:
    """A row of the table of readings: what was read of one model."""
    kind = reading.tokens[m.name]
    how = WORDS[kind]
    if kind == "model" and m.own_pooling is not None:
        how = f"{how}: {m.own_pooling.described}"
    return {
        "model": m.name,
        "reading": reading.label,
        "representation": how,
        "tokens": kind,
        "special_tokens": "out" if reading.groups is not None else
        ("as the model does" if kind == "model" else "in" if asked.special_tokens else "out"),
        "padding": "masked",
        "texts_cut": made.n_cut,
        "longest": max(len(ids) for ids in made.ids),
        "kind": m.kind,
        "precision": m.precision,
    }  # fmt: skip
