"""`samemind.compare`: one's own models, on one's own inputs. First look, then compare.

The command line and Python come here alike, with what is asked as one value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from samemind.arrays import Array
from samemind.comparison.arrays import Rows, rows_of, sides_of_rows
from samemind.comparison.fidelity import Fidelity, fidelity_of
from samemind.comparison.flips import name_in, thumbnails
from samemind.comparison.labelling import told_of_labels
from samemind.comparison.layer_maps import Layers, layer_map
from samemind.comparison.texts import compare_texts
from samemind.comparison.work import Asked, Work
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.execution.unchanged import failing_as, process_kept
from samemind.extraction.looking import (
    Watch,
    inverted_for,
    layers_seen,
    look,
    look_at,
    targets_and_seeds,
)
from samemind.inputs.arrays import is_of_arrays, read_activations
from samemind.inputs.images import (
    Images,
    labelled,
    open_images,
    refuse_no_pixels,
    sampled,
)
from samemind.inputs.labels import named_labels, read_labels
from samemind.inputs.tensors import Tensors, given_inputs
from samemind.inputs.texts import is_texts, texts_of
from samemind.lazy import np, pd, torch
from samemind.measures.choosing import check_kinds
from samemind.measures.kinds import of_kind
from samemind.networks.each import each
from samemind.networks.lent import refuse_what_is_no_model, told_of
from samemind.networks.model import Loading, Model
from samemind.networks.normalising import better_normalisation
from samemind.networks.opening import check_names, is_network, model_of, open_model
from samemind.networks.opening_language import are_language, text_models
from samemind.networks.options import refuse_unused
from samemind.registry import did_you_mean
from samemind.reporting.comparison import Comparison
from samemind.results import GalleryItem
from samemind.sides.predictions import checked_labels
from samemind.sides.side import Side

if TYPE_CHECKING:
    pass

SHOWN_TARGETS = 6


# -- the door


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

    named = _named(models)
    if is_texts(inputs) or are_language(named):
        columns = {**options["texts"], "labels": labels, "count": count}
        downloads = bool(options["loading"].get("allows_download"))
        opened = text_models(named, downloads)
        texts = texts_of(inputs, asked.random_seed, **columns)
        with progress_bars(is_shown=progress) as watch:
            return compare_texts(opened, texts, asked, execution=execution, watch=watch)
    if inputs is None and named and all(isinstance(m, str) for m in named.values()):
        refuse_unused(Loading(random_seed=asked.random_seed, **options["loading"]), ())
        arrays = read_activations(list(named.values()), kind=asked.kind)
        return compare_activations(arrays, labels, asked)
    images = None if inputs is None else images_of(inputs, labels, count, asked.random_seed)
    loading = loading_for(images, options["loading"], asked.random_seed)
    opened = _opened(named, images, loading)
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


def fidelity(
    old: Any,
    new: Any,
    inputs: Array | str,
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

    - `old`, `new`: as `samemind.compare` takes models, but no arrays.
    - `inputs`, `labels`, `count`: as `samemind.compare` takes them.
    - `tolerance`: the share of answers that may change under "the same answers".
    - further: the fields of `samemind.networks.model.Loading`, by name.

    **Returns:** a `Fidelity`: `.level` is "identical bits", "equal up to rounding" (no further
    apart than the same network computed otherwise, which is measured on the spot), "the same
    answers" (of the inputs given; the interval stands beside it) or "changed"; `.departure` is the
    first layer that differs by more than rounding. Printed, it says all in sentences.

    **Raises:** `InvalidInput` for outputs of unequal shapes, and what `samemind.compare` raises.

    **Cost:** a forward pass of every input through both, and about twenty of 32 inputs.
    """
    options = options_of_compare(further)
    execution = Execution(device=device, batch_size=batch_size)
    with process_kept():
        images = images_of(inputs, labels, count, options["asked"].get("random_seed", 0))
        a, b = two_networks(old, new, images, options["loading"])
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


def two_networks(
    old: Any, new: Any, images: Images, loading: Mapping[str, Any]
) -> tuple[Model, Model]:
    """Two models that take the place of one another, on inputs.

    **Arguments:** `loading`: fields of `Loading`, by name, as `samemind.compare` takes them.

    **Raises:** `InvalidInput` for arrays, or options that there are not.
    """
    options = options_of_compare(loading)
    if options["asked"]:
        raise InvalidInput(
            f"Models have no option '{next(iter(options['asked']))}'. Leave it out; those of "
            f"comparing go to samemind.compare."
        )
    how = loading_for(images, options["loading"], 0)
    a, b = map(_network, _opened(_named_two(old, new), images, how).values())
    refuse_unused(how, [a, b])
    return a, b


def _network(opened: Model | Side | Array) -> Model:
    if not isinstance(opened, Model):
        raise InvalidInput(
            f"Fidelity is of two networks, but {type(opened).__name__} was given. Give a module "
            f"or a reference; arrays go to samemind.compare."
        )
    return opened


def _named_two(old: Any, new: Any) -> dict[str, Any]:
    """The two by the names that their references say, else as old and new."""
    names = [
        (m.rpartition("=")[0] or usual) if isinstance(m, str) else usual
        for m, usual in ((old, "old"), (new, "new"))
    ]
    if names[0] == names[1]:
        names = ["old", "new"]
    references = [m.rpartition("=")[2] if isinstance(m, str) else m for m in (old, new)]
    return {
        name: f"{name}={m}" if isinstance(m, str) else m
        for name, m in zip(names, references, strict=True)
    }


def _classes_of(side: Side) -> int:
    return side.n_classes if side.has_logits else side.n_units


def loading_for(images: Images | None, options: Mapping[str, Any], random_seed: int) -> Loading:
    """How networks are opened that look at these inputs."""
    known = images is not None
    return Loading(
        dataset=images.dataset if known else None,
        shape=images.shape if known else None,
        example=_first(images) if isinstance(images, Tensors) else None,
        **{"random_seed": random_seed, **options},
    )


_OF_THE_INPUTS = ("dataset", "shape", "example", "random_seed")
_AS_LOADED = {"trust": "is_trusted", "download": "allows_download"}


def options_of_compare(further: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The further options by what they are of."""
    of = {
        "asked": {f.name for f in fields(Asked)},
        "loading": {f.name for f in fields(Loading)} - set(_OF_THE_INPUTS),
        "texts": {"text_column", "id_column", "label_column"},
    }
    # Under the names that `load_model` has for them.
    further = {_AS_LOADED.get(name, name): value for name, value in further.items()}
    for name in further:
        if not any(name in names for names in of.values()):
            known = sorted(set().union(*of.values()))
            raise InvalidInput(
                f"compare has no option '{name}'. {did_you_mean(name, known)}"
                f"Known: {', '.join(known)}."
            )
    return {
        kind: {name: value for name, value in further.items() if name in names}
        for kind, names in of.items()
    }


def _named(models: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """The models by name; references keep the names that they say.

    **Raises:** `InvalidInput` for what is neither a list nor a mapping.
    """
    if isinstance(models, str | bytes | Side | torch.nn.Module) or hasattr(models, "__array__"):
        raise InvalidInput(
            f"The models were given as one {type(models).__name__}. Give a list of two or more, or "
            f"a mapping of names: samemind.compare([first, second], inputs)."
        )
    if not isinstance(models, Mapping) and not isinstance(models, Sequence):
        raise InvalidInput(
            f"The models were given as {type(models).__name__}. Give a list, or a mapping of names."
        )
    if isinstance(models, Mapping):
        return {str(name): f"{name}={m}" if isinstance(m, str) else m for name, m in models.items()}
    twice = sorted({m for m in models if isinstance(m, str) and list(models).count(m) > 1})
    if twice:
        raise InvalidInput(
            f"'{twice[0]}' was given twice. Name them yourself: ['before={twice[0]}', "
            f"'after={twice[0]}'], or leave one out."
        )
    return {m if isinstance(m, str) else f"model {i}": m for i, m in enumerate(models)}


def images_of(
    inputs: Array | str, labels: Array | str | None, count: int | None, random_seed: int
) -> Images:
    """Inputs as they are given: in memory, or a dataset, a folder or a file, with labels.

    **Raises:** what `open_images` and `given_images` raise.
    """
    if isinstance(inputs, (str, Path)):
        inputs = str(inputs)
        if labels is not None and not isinstance(labels, (str, Path)):
            found = labelled(open_images(str(inputs)), _numbers(labels), "labels")
            return sampled(found, count, random_seed)
        where = None if labels is None else str(labels)
        return open_images(str(inputs), labels=where, count=count, random_seed=random_seed)
    if isinstance(labels, (str, Path)):
        labels = read_labels(Path(labels))
    return sampled(given_inputs(inputs, labels), count, random_seed)


def _numbers(labels: Array) -> np.ndarray:
    return checked_labels(labels, None).cpu().numpy()


def _opened(
    named: Mapping[str, Any], images: Images | None, loading: Loading
) -> dict[str, Model | Side | Array]:
    """Networks as models; arrays and sides as they are."""
    for name, given in named.items():
        if not is_network(given):
            refuse_what_is_no_model(name, given)
        elif images is None:
            what = given if isinstance(given, str) else type(given).__name__
            raise InvalidInput(
                f"{what} is a network, so it needs images to look at. Give them as the second "
                f"argument, or arrays in the place of the networks."
            )
    named = {name: _read(name, m) if isinstance(m, str) else m for name, m in named.items()}
    if images is None:
        return dict(named)
    looked = {name: given for name, given in named.items() if is_network(given)}
    found: dict[str, Any] = {}
    for (name, given), its in zip(looked.items(), each(loading, _called(looked)), strict=True):
        with failing_as(_called([name])[0], "on the first inputs"):
            if isinstance(given, str):
                found[name] = open_model(given, its)
            else:
                found[name] = model_of(name, given, _first(images, its.image_size), its)
    opened = {name: found.get(name, given) for name, given in named.items()}
    names = [one.name if isinstance(one, Model) else name for name, one in opened.items()]
    check_names(names)
    return dict(zip(names, opened.values(), strict=True))


def _read(name: str, reference: str) -> str | Rows:
    """A reference to arrays as what they hold; any other as it is."""
    if not is_of_arrays(reference):
        return reference
    (held,) = read_activations([reference]).values()
    return rows_of(name, held)


def _called(names: Iterable[str]) -> list[str]:
    """The names that options go by: what a reference says before its '='."""
    return [name.rpartition("=")[0] or name for name in names]


def _first(images: Images, size: int | None = None) -> Any:
    """The first two inputs, as a network of one's own is given them; pictures of that size."""
    if isinstance(images, Tensors):
        return images.read(range(min(2, len(images))))
    if images.is_folder:
        return images.read([0], size=size or 224, crop=1.0, channels=3)
    return torch.as_tensor(images.source.read(images.indices[:2]))  # pyright: ignore[reportAttributeAccessIssue]


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
    if inputs is None and all(isinstance(m, str) for m in named.values()):
        given = [f"{name}={reference}" for name, reference in named.items()]
        arrays = read_activations(given, kind=asked.kind)
        of_each = {n: rows_of(n, held) for n, held in arrays.items()}
        sides, notes = sides_of_rows(
            of_each, classes, join=asked.join, drops_missing=asked.drop_missing
        )
        return Seen(sides, "activations", {}, [], notes)
    images = None if inputs is None else images_of(inputs, labels, count, asked.random_seed)
    seen = Seen({}, "activations" if images is None else images.name, {}, [], [])
    loading = loading_for(images, options, asked.random_seed)
    networks = [name for name, one in named.items() if is_network(one)]
    its = dict(zip(networks, each(loading, networks), strict=True))
    for name, one in named.items():
        referred = f"{name}={one}" if isinstance(one, str) else one
        (opened,) = _opened({name: referred}, images, its.get(name, loading)).values()
        if not isinstance(opened, Model):
            of_it = {name: rows_of(name, opened, asked.kind)}
            made, _ = sides_of_rows(of_it, classes, drops_missing=asked.drop_missing)
            seen.sides.update(made)
            continue
        assert images is not None
        seen.sides.update(look([opened], images, execution, watch))
        seen.known[name] = (opened.reference, opened.architecture, opened.n_parameters)
        seen.readings.append(opened.reading)
        seen.notes.extend(told_of([opened]))
    return seen


# -- one's own networks


def compare_models(
    models: Sequence[Model],
    images: Images,
    asked: Asked | None = None,
    *,
    execution: Execution | None = None,
    watch: Watch | None = None,
) -> Comparison:
    """Every pair of models on the images, all of them together, and what they say of the images.

    **Raises:** `InvalidInput` for fewer than two models, or measures that cannot be computed;
    `UnknownName` for what is no measure.

    **Cost:** one forward pass per model and image; memory for the outputs of all.
    """
    asked, execution = asked or Asked(), execution or Execution()
    if len(models) < 2:
        raise InvalidInput(
            f"A comparison needs two models or more, but {len(models)} was given. Name another."
        )
    if asked.invert and isinstance(images, Tensors):
        raise InvalidInput(
            "Inverted inputs are images: pixels are moved until a model takes one for another. "
            "Leave --invert out for other inputs."
        )
    add_inversion = "it needs inverted images. Add --invert N, or leave it out."
    check_kinds(asked.measures, {} if asked.invert else {"mechanism": add_inversion})
    work = Work(asked=asked, sides=look(models, images, execution, watch), name=images.name)
    work.watch = watch
    work.notes += told_of(models)
    work.notes += [
        f"{m.name} predicts nothing, so measures of predictions have no value for it: --probe "
        f"trains a head, on labels."
        for m in models
        if not work.sides[m.name].has_logits
    ]
    work.notes += images.remarks()
    work.notes += filter(None, (better_normalisation(m, images, execution) for m in models))
    work.add_models(models)
    sizes = {side.n_classes for side in work.sides.values() if side.has_logits}
    if len(sizes) == 1 and (why := images.labels_for(next(iter(sizes)))[1]):
        if images.labels is not None and not images.classes:  # they were given for these models
            raise InvalidInput(f"The labels do not fit the models: {why}.")
        work.notes.append(f"No accuracies and flips: {why}.")
    elif len(sizes) > 1 and images.labels is not None:
        counts = " and ".join(map(str, sorted(sizes)))
        work.notes.append(f"No flips: the models have {counts} classes.")
    work.input_classes = images.classes
    work.score()
    work.notes += told_of_labels(work.sides)
    if len(sizes) == 1:
        work.class_names = images.class_names(sizes.pop())
    work.add_flips(name_of=name_in(images))
    if "flips" in work.parts and not isinstance(images, Tensors):
        work.parts["flip_images"] = thumbnails(work.parts["flips"], images, models[0])
    work.add_fidelities(_fidelities(work, models, images, execution))
    if asked.invert:
        _invert(work, models, images, execution, watch)
    if asked.layers:
        work.parts["layers"] = _layers(work, models, images, execution, watch)
    if asked.probe_inputs:
        others = open_images(asked.probe_inputs, random_seed=asked.random_seed)
        work.add_probes(_labelled(models, others, execution, watch), trained_on=others.name)
    elif asked.probe:
        work.add_probes()
    return work.finished(readings=pd.DataFrame([m.reading for m in models]))


def _fidelities(
    work: Work, models: Sequence[Model], images: Images, execution: Execution
) -> list[Fidelity]:
    """Whether the first model and each other one are still the same network."""
    first, *others = models
    found = [
        fidelity_of(
            first, other, (work.sides[first.name], work.sides[other.name]), images, execution,
            always=False,
        )
        for other in others
    ]  # fmt: skip
    return [one for one in found if one is not None]


def _invert(
    work: Work,
    models: Sequence[Model],
    images: Images,
    execution: Execution,
    watch: Watch | None,
) -> None:
    """Adds scores on inverted images: for each model, pictures that it takes for others.

    The same targets and seeds for every model. Measures of mechanisms and of sets are computed
    as well.
    """
    asked = work.asked
    targets, seeds = targets_and_seeds(images, asked.invert, asked.random_seed)
    for owner in models:
        made = inverted_for(
            owner, targets, seeds, steps=asked.invert_steps, execution=execution, watch=watch
        )
        after = look_at(made.inverted, models, targets, execution)
        # As the owner was given them: another crop would be told from its inversions by that.
        before = None
        if of_kind("mechanism", work.measures):
            before = look_at(made.targets, models, targets, execution)
        work.score_inverted(owner.name, after, before)
        median = float(made.relative_loss.median())
        work.notes.append(
            f"Inverted for {owner.name}: relative loss, median {median:.3f} "
            f"(1 would be no nearer than nothing); see --invert-steps."
        )
        work.gallery += [
            GalleryItem(
                model=owner.name, epsilon=0.0, architecture=work.place.models[owner.name][0],
                seed=made.seeds[i].numpy(), target=made.targets[i].numpy(),
                inverted=made.inverted[i].numpy(), relative_loss=float(made.relative_loss[i]),
            )
            for i in range(min(SHOWN_TARGETS, asked.invert))
        ]  # fmt: skip


def _layers(
    work: Work,
    models: Sequence[Model],
    images: Images,
    execution: Execution,
    watch: Watch | None,
) -> pd.DataFrame:
    """The score of every layer of each model with every layer of each other one."""
    asked = work.asked
    assert asked.layers is not None
    outputs = layers_seen(
        models, images, asked.layers, pooling=asked.pooling, execution=execution, watch=watch
    )
    how = "averaged over space" if asked.pooling == "mean" else "flattened"
    work.notes.append(f"Layers: {asked.layer_measure}, activations {how}.")
    layers = {name: Layers.of(found) for name, found in outputs.items()}
    maps = [
        layer_map(
            layers[a], layers[b], asked.layer_measure,
            errors=asked.errors, permutations=asked.permutations, random_seed=asked.random_seed,
        ).assign(model_a=a, model_b=b)
        for a, b in combinations(outputs, 2)
    ]  # fmt: skip
    return pd.concat(maps, ignore_index=True)


def _labelled(
    models: Sequence[Model], images: Images, execution: Execution, watch: Watch | None
) -> dict[str, Side]:
    """What each model says of images with labels.

    **Raises:** `InvalidInput` for images without labels that fit a model.
    """
    found = look(models, images, execution, watch)
    for name, side in found.items():
        if not side.has_labels:
            why = images.labels_for(side.n_classes)[1]
            raise InvalidInput(f"Probes cannot be trained on {images.name} for {name}: {why}.")
    return found


# -- arrays


def compare_activations(
    arrays: Mapping[str, Mapping[str, Array]],
    labels: Array | str | None = None,
    asked: Asked | None = None,
    *,
    name: str = "activations",
) -> Comparison:
    """Every pair of precomputed activations; no model is needed.

    **Arguments:**

    - `arrays`: for each model its `representation (N, D)`, its `logits (N, C)`, or both.

    **Raises:** `InvalidInput` for fewer than two, or measures that cannot be computed, which those
    of mechanisms never can.
    """
    given = {model: rows_of(model, held) for model, held in arrays.items()}
    return _compare_rows(given, labels, asked or Asked(), name)


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
    if isinstance(labels, (str, Path)):
        labels = read_labels(Path(labels))
    given = {}
    for name, one in opened.items():
        if isinstance(one, Model):
            given[name] = Rows(seen[name], None if images is None else images.ids)
        else:
            given[name] = rows_of(name, one, asked.kind)
    where = images.name if images is not None else "activations"
    return _compare_rows(given, labels, asked, where)


def _compare_rows(given: Mapping[str, Rows], labels: Any, asked: Asked, name: str) -> Comparison:
    if isinstance(labels, (str, Path)):
        labels = read_labels(Path(labels))
    sides, notes = sides_of_rows(given, labels, join=asked.join, drops_missing=asked.drop_missing)
    return _compare_sides(sides, asked, name, notes)


def _compare_sides(
    sides: dict[str, Side], asked: Asked, name: str, notes: Sequence[str] = ()
) -> Comparison:
    for option in ("invert", "layers", "probe_inputs"):
        if getattr(asked, option):
            raise InvalidInput(
                f"'{option}' needs networks that look at inputs, but arrays were given. Leave it "
                f"out, or give networks and inputs."
            )
    no_model = "it needs inverted images, and arrays make none. Leave it out."
    check_kinds(asked.measures, {"mechanism": no_model})
    work = Work(asked=asked, sides=sides, name=name)
    work.notes += notes
    work.score()
    work.notes += told_of_labels(sides)
    work.add_flips()
    if asked.probe:
        work.add_probes()
    return work.finished()
