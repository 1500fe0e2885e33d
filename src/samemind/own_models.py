"""`samemind.compare`: one's own models, on one's own inputs. First look, then compare.

The command line and Python come here alike, with what is asked as one value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

from samemind.arrays import Array
from samemind.comparison.activations import compare_activations as compare_activations
from samemind.comparison.activations import compare_rows
from samemind.comparison.arrays import Rows, rows_of, sides_of_rows
from samemind.comparison.fidelity import Fidelity, fidelity_of
from samemind.comparison.given import (
    images_of,
    loading_for,
    named_models,
    named_two,
    opened_models,
    options_of_compare,
    refuse_columns,
    refuse_other,
    two_networks,
)
from samemind.comparison.networks import compare_models as compare_models
from samemind.comparison.texts import compare_texts
from samemind.comparison.work import Asked
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.execution.unchanged import process_kept
from samemind.extraction.looking import Watch, look
from samemind.inputs.arrays import read_activations
from samemind.inputs.images import Images, refuse_no_pixels
from samemind.inputs.labels import named_labels, read_labels
from samemind.inputs.texts import is_texts, texts_of
from samemind.networks.each import each
from samemind.networks.lent import told_of
from samemind.networks.model import Loading, Model
from samemind.networks.opening import is_network
from samemind.networks.opening_language import are_language, text_models
from samemind.networks.options import refuse_unused
from samemind.reporting.comparison import Comparison
from samemind.sides.side import Side


def compare(
    models: Mapping[str, Any] | Sequence[Any],
    inputs: Any = None,
    *,
    measures: Sequence[str] | str | None = None,
    labels: Array | Sequence[Any] | str | None = None,
    count: int | None = None,
    layers: Sequence[str | float] | str | None = None,
    invert: int = 0,
    probe: bool = False,
    errors: bool = True,
    permutations: int = 20,
    batch_size: int = 256,
    device: str = "auto",
    progress: bool | None = None,
    **further: Any,
) -> Comparison:
    """Every measure on every pair of models, and what else is asked.

    **Arguments:**

    - `models`: by name; a list is named by position, or by what its references say. Each is a
      reference (`timm:NAME`, `torchvision:NAME`, `python:MODULE:FUNCTION`, a checkpoint file,
      `NAME=REFERENCE`); a `torch.nn.Module` that maps images to logits (N, C), whose
      representation is what its last linear layer reads (found and verified); its representation
      (N, …) as an array, NumPy or torch, which needs no model; or a
      `samemind.Side(representation=..., logits=...)` for both. Language models are `hf:FOLDER`,
      `hf:NAME`, `gguf:FILE`, or a pair (network, tokenizer). Files of arrays are read where no
      inputs are given.
    - `inputs`: what networks look at: (N, channels, H, W), as the models expect them, or as
      references do (pixels in [0, 1]); or a dataset, a folder of images or a file of a tensor. For
      language models texts: a list of strings, or a file of them (`tokens` says what is read).
    - `measures`: names from `samemind list measures`; unless given, the usual ones that what was
      given allows.
    - `labels`: (N,) class numbers, or a file of them, for accuracies, flips and some measures.
    - `count`: so many of the inputs at random.
    - `layers`: 'all', or names and relative depths (0.5): compare layer by layer.
    - `invert`: compare on so many inverted images of each model as well.
    - `probe`: retrain heads on half of the inputs and compare them on the other half.
    - `errors`: whether scores have standard errors; without them they cost a third.
    - `permutations`: for the floor of each score; 0 leaves the floors out.
    - `progress`: bars; None shows them in a terminal or a notebook.
    - further: the other fields of `Asked` and of `samemind.networks.model.Loading`, by name.

    **Returns:** a `Comparison`: `.scores` is a pandas DataFrame with a row per pair and measure
    (score, standard error, ends of a 95 % interval, and the floor: what the measure gives when the
    inputs of one side are shuffled). It shows as a table, and writes a report.

    **Raises:** `InvalidInput` for fewer than two models, a model without a linear head, unequal
    numbers of inputs, or a measure that cannot be computed on what was given.

    **Cost:** one forward pass per model and image, plus that of the measures; one pass back and
    forth per image and step where images are inverted.
    """
    options = options_of_compare(further)
    asked = Asked(
        measures=[measures] if isinstance(measures, str) else measures,
        errors=errors,
        permutations=permutations,
        layers=layers,
        invert=invert,
        probe=probe,
        **options["asked"],
    )
    execution = Execution(device=device, batch_size=batch_size)
    execution.checked()  # arrays need none, but a wrong name is no less wrong
    with process_kept():
        return _compare(models, inputs, labels, count, asked, execution, options, progress)


def _compare(
    models: Mapping[str, Any] | Sequence[Any],
    inputs: Any,
    labels: Any,
    count: int | None,
    asked: Asked,
    execution: Execution,
    options: Mapping[str, Mapping[str, Any]],
    progress: bool | None,
) -> Comparison:
    from samemind.reporting.terminal import progress_bars

    named = named_models(models)
    if is_texts(inputs) or are_language(named):
        columns = {**options["texts"], "labels": labels, "count": count}
        downloads = bool(options["loading"].get("allows_download"))
        opened = text_models(named, downloads)
        texts = texts_of(inputs, asked.random_seed, **columns)
        with progress_bars(is_shown=progress) as watch:
            return compare_texts(opened, texts, asked, execution=execution, watch=watch)
    refuse_columns(options["texts"])
    if inputs is None and named and all(isinstance(m, str) for m in named.values()):
        refuse_unused(Loading(random_seed=asked.random_seed, **options["loading"]), ())
        arrays = read_activations(list(named.values()), kind=asked.kind)
        return compare_activations(arrays, labels, asked)
    images = None if inputs is None else images_of(inputs, labels, count, asked.random_seed)
    loading = loading_for(images, options["loading"], asked.random_seed)
    opened = opened_models(named, images, loading)
    networks = [one for one in opened.values() if isinstance(one, Model)]
    refuse_unused(loading, networks)
    if images is None and count is not None:
        raise InvalidInput(
            f"count={count} is of inputs that networks look at, but arrays were given. Leave it "
            f"out, or give the rows that you mean."
        )
    if images is not None and any(one.reads_pixels for one in networks):
        refuse_no_pixels(images)
    if images is not None and len(networks) == len(opened):
        with progress_bars(is_shown=progress) as watch:
            return compare_models(networks, images, asked, execution=execution, watch=watch)
    return _compare_mixed(opened, images, labels, asked, execution)


def _compare_mixed(
    opened: Mapping[str, Any],
    images: Images | None,
    labels: Array | str | None,
    asked: Asked,
    execution: Execution,
) -> Comparison:
    """Arrays, sides and networks together."""
    networks = [one for one in opened.values() if isinstance(one, Model)]
    seen = look(networks, images, execution) if networks and images is not None else {}
    given = {}
    for name, one in opened.items():
        if isinstance(one, Model):
            given[name] = Rows(seen[name], None if images is None else images.ids)
        else:
            given[name] = rows_of(name, one, asked.kind)
    where = images.name if images is not None else "activations"
    return compare_rows(given, labels, asked, where)


def fidelity(
    old: Any,
    new: Any,
    inputs: Any = None,
    *,
    tolerance: float = 0.0,
    labels: Array | str | None = None,
    count: int | None = None,
    batch_size: int = 256,
    device: str = "auto",
    **further: Any,
) -> Fidelity:
    """Whether a converted, quantised or retrained network is still the same, and where it parts.

    **Arguments:**

    - `old`, `new`: as `samemind.compare` takes models. Without inputs two arrays, tables, files of
      them or sides, joined by their ids; then no network runs, and rounding is that of numbers in
      the coarser of their precisions. Language models and encoders of texts with texts.
    - `inputs`, `labels`, `count`: as `samemind.compare` takes them.
    - `tolerance`: the share of answers that may change under "the same answers".
    - further: the fields of `samemind.networks.model.Loading`, by name; of arrays `kind`, `join`
      and `drop_missing`; of texts `text_column` and `id_column`.

    **Returns:** a `Fidelity`: `.level` is "identical bits", "equal up to rounding" (no further
    apart than the same network computed otherwise, which is measured on the spot), "the same
    answers" (of the inputs given; the interval stands beside it) or "changed"; `.departure` is the
    first layer that differs by more than rounding. Printed, it says all in sentences.

    **Raises:** `InvalidInput` for outputs of unequal shapes, and what `samemind.compare` raises.

    **Cost:** a forward pass of every input through both, and about twenty of 32 inputs.
    """
    if not isinstance(tolerance, Real) or not 0 <= tolerance <= 1:
        raise InvalidInput(f"tolerance is {tolerance!r}, but it is a share. Give 0 to 1.")
    random_seed = further.pop("random_seed", 0)
    execution = Execution(device=device, batch_size=batch_size)
    named = named_two(old, new)
    if inputs is not None and (is_texts(inputs) or are_language(named)):
        with process_kept():
            return _fidelity_of_texts(named, inputs, count, execution, tolerance, further)
    if inputs is None:
        return _fidelity_of_arrays(named, labels, count, tolerance, further)
    with process_kept():
        images = images_of(inputs, labels, count, random_seed)
        a, b = two_networks(old, new, images, further)
        seen = look([a, b], images, execution)
        found = fidelity_of(
            a, b, (seen[a.name], seen[b.name]), images, execution, tolerance=tolerance
        )
    if found is None:
        raise InvalidInput(
            f"Fidelity needs outputs of the same shape, but {a.name} and {b.name} give "
            f"{_classes_of(seen[a.name])} and {_classes_of(seen[b.name])} numbers for an input. "
            f"Compare them with samemind.compare."
        )
    return found


def _fidelity_of_arrays(
    named: Mapping[str, Any], labels: Any, count: Any, tolerance: float, further: Mapping[str, Any]
) -> Fidelity:
    from samemind.comparison.fidelity_given import fidelity_of_rows

    if labels is not None or count is not None:
        raise InvalidInput(
            "'labels' and 'count' are of inputs that networks look at, and none were given. Leave "
            "them out, or give the inputs."
        )
    kind = further.get("kind", "representation")
    refuse_other(further, ("kind", "join", "drop_missing"), "Fidelity of arrays")
    opened = opened_models(named, None, Loading())
    rows = {name: rows_of(name, one, kind) for name, one in opened.items()}
    return fidelity_of_rows(
        rows,
        tolerance=tolerance,
        join=further.get("join", "exact"),
        drops=bool(further.get("drop_missing", False)),
    )


def _fidelity_of_texts(
    named: Mapping[str, Any],
    inputs: Any,
    count: int | None,
    execution: Execution,
    tolerance: float,
    further: Mapping[str, Any],
) -> Fidelity:
    from samemind.comparison.fidelity_texts import fidelity_of_texts

    columns = ("text_column", "id_column")
    refuse_other(further, (*columns, "download"), "Fidelity on texts")
    a, b = text_models(named, bool(further.get("download", False)))
    held = {name: further[name] for name in columns if name in further}
    texts = texts_of(inputs, 0, labels=None, count=count, **held)
    return fidelity_of_texts(a, b, texts, execution, tolerance=tolerance)


def _classes_of(side: Side) -> int:
    return side.n_classes if side.has_logits else side.n_units


class Seen(NamedTuple):
    """What was seen of models that were opened one after the other.

    - `known`: reference, architecture and number of parameters of each network. `readings`: what
      was read of it. `notes`: what a reader must know.
    """

    sides: dict[str, Side]
    name: str
    known: dict[str, tuple[str, str, int]]
    readings: list[dict[str, Any]]
    notes: list[str]


def look_in_turn(
    named: Mapping[str, Any],
    inputs: Array | str | None,
    asked: Asked,
    *,
    labels: Array | str | None,
    count: int | None,
    options: Mapping[str, Any],
    execution: Execution,
    watch: Watch | None,
) -> Seen:
    """The sides of models of any kind by name, with no more than one network in memory.

    **Arguments:**

    - `options`: the fields of `Loading` that are not of the inputs.

    **Raises:** as `compare`.
    """
    classes: Array | None = None if isinstance(labels, (str, Path)) else labels
    # A table of names and labels is of pictures, and joined where these are opened.
    if isinstance(labels, (str, Path)) and named_labels(Path(labels)) is None:
        classes = read_labels(Path(labels))
    images = None if inputs is None else images_of(inputs, labels, count, asked.random_seed)
    seen = Seen({}, "activations" if images is None else images.name, {}, [], [])
    rows: dict[str, Rows] = {}
    if images is None and all(isinstance(m, str) for m in named.values()):
        references = [f"{name}={reference}" for name, reference in named.items()]
        arrays = read_activations(references, kind=asked.kind)
        rows = {name: rows_of(name, held) for name, held in arrays.items()}
        named = {}
    loading = loading_for(images, options, asked.random_seed)
    networks = [name for name, one in named.items() if is_network(one)]
    its = dict(zip(networks, each(loading, networks), strict=True))
    for name, one in named.items():
        referred = f"{name}={one}" if isinstance(one, str) else one
        (opened,) = opened_models({name: referred}, images, its.get(name, loading)).values()
        if not isinstance(opened, Model):
            rows[name] = rows_of(name, opened, asked.kind)
            continue
        assert images is not None
        seen.sides.update(look([opened], images, execution, watch))
        rows[name] = Rows(seen.sides[name], images.ids)
        seen.known[name] = (opened.reference, opened.architecture, opened.n_parameters)
        seen.readings.append(opened.reading)
        seen.notes.extend(told_of([opened]))
    if len(seen.sides) < len(rows):  # networks that look at the same inputs need no joining
        sides, notes = sides_of_rows(
            rows, classes, join=asked.join, drops_missing=asked.drop_missing
        )
        seen.sides.update(sides)
        seen.notes.extend(notes)
    return seen
