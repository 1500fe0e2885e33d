"""What was given to compare: options, models by name and inputs, checked and opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from samemind.arrays import Array
from samemind.comparison.arrays import Rows, rows_of
from samemind.comparison.work import Asked
from samemind.errors import InvalidInput
from samemind.execution.unchanged import failing_as
from samemind.inputs.arrays import is_of_arrays, read_activations
from samemind.inputs.images import Images, labelled, open_images, sampled
from samemind.inputs.labels import read_labels
from samemind.inputs.tensors import Tensors, given_inputs
from samemind.lazy import np, torch
from samemind.networks.each import each
from samemind.networks.lent import refuse_what_is_no_model
from samemind.networks.model import Loading, Model
from samemind.networks.opening import check_names, is_network, open_model
from samemind.networks.options import refuse_unused
from samemind.networks.own import model_of
from samemind.registry import did_you_mean
from samemind.sides.predictions import checked_labels
from samemind.sides.side import Side

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


def refuse_columns(given: Mapping[str, Any]) -> None:
    """Raises `InvalidInput` for columns of tables of texts, where no texts are read."""
    for name, value in given.items():
        if value is not None:
            raise InvalidInput(f"'{name}' is of tables of texts, and none is read. Leave it out.")


def _reference(model: Any) -> Any:
    """The path of a file as a reference; anything else as it is."""
    return str(model) if isinstance(model, Path) else model


def named_models(models: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
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
        models = {str(name): _reference(m) for name, m in models.items()}
        return {name: f"{name}={m}" if isinstance(m, str) else m for name, m in models.items()}
    models = [_reference(m) for m in models]
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


def loading_for(images: Images | None, options: Mapping[str, Any], random_seed: int) -> Loading:
    """How networks are opened that look at these inputs."""
    known = images is not None
    return Loading(
        dataset=images.dataset if known else None,
        shape=images.shape if known else None,
        example=first_inputs(images) if isinstance(images, Tensors) else None,
        **{"random_seed": random_seed, **options},
    )


def opened_models(
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
                found[name] = model_of(name, given, first_inputs(images, its.image_size), its)
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


def first_inputs(images: Images, size: int | None = None) -> Any:
    """The first two inputs, as a network of one's own is given them; pictures of that size."""
    if isinstance(images, Tensors):
        return images.read(range(min(2, len(images))))
    if images.is_folder:
        return images.read([0], size=size or 224, crop=1.0, channels=3)
    return torch.as_tensor(images.source.read(images.indices[:2]))  # pyright: ignore[reportAttributeAccessIssue]


def two_networks(
    old: Any, new: Any, images: Images, loading: Mapping[str, Any]
) -> tuple[Model, Model]:
    """Two models that take the place of one another, on inputs.

    **Arguments:** `loading`: fields of `Loading`, by name, as `samemind.compare` takes them.

    **Raises:** `InvalidInput` for arrays, or options that there are not.
    """
    old, new = _reference(old), _reference(new)
    options = options_of_compare(loading)
    for name in options["asked"]:
        raise InvalidInput(
            f"Models have no option '{name}'. Leave it out; those of comparing go to "
            f"samemind.compare."
        )
    refuse_columns(options["texts"])
    how = loading_for(images, options["loading"], 0)
    a, b = map(_network, opened_models(named_two(old, new), images, how).values())
    refuse_unused(how, [a, b])
    return a, b


def refuse_other(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    """Raises `InvalidInput` for an option that is none of those known."""
    for name in given:
        if name not in known:
            raise InvalidInput(
                f"{what} has no option '{name}'. {did_you_mean(name, list(known))}"
                f"Known: {', '.join(known)}."
            )


def _network(opened: Model | Side | Array) -> Model:
    if not isinstance(opened, Model):
        raise InvalidInput(
            f"Fidelity on inputs is of two networks, but {type(opened).__name__} was given. Give a "
            f"module or a reference; or two arrays, and no inputs."
        )
    return opened


def named_two(old: Any, new: Any) -> dict[str, Any]:
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
