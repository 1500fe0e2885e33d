"""Models from wherever they are: a file, timm, torchvision, or a function of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.architectures.own import (
    class_argument,
    could_not_read,
    found_in,
    function_named,
    shapes_for,
)
from samemind.arrays import as_pixels
from samemind.checkpoints.kinds import INDEX
from samemind.checkpoints.published import looks_published, published_file
from samemind.checkpoints.reading import split_part
from samemind.datasets.base import NORMALISATIONS
from samemind.errors import InvalidInput, SamemindError
from samemind.files.reading import is_file, is_folder, split_name
from samemind.inputs.arrays import is_of_arrays
from samemind.lazy import torch
from samemind.networks.batches import first_rows, moved
from samemind.networks.each import each
from samemind.networks.lent import unreadable, usable
from samemind.networks.libraries import from_timm, from_torchvision, timm_preprocessing
from samemind.networks.model import (
    AUTOCAST,
    Loading,
    Model,
    classifier_of,
    constants_of,
    n_channels,
    precision_named,
    reading,
)
from samemind.networks.normalising import Normalised, of_file, stated
from samemind.networks.options import FILES, FUNCTIONS, OWN
from samemind.networks.wrappers import unwrapped
from samemind.registry import did_you_mean

__all__ = ["Loading", "Model", "load_model", "open_model", "open_models"]

if TYPE_CHECKING:
    from torch import nn

    from samemind.classifier import Classifier


def open_models(references: Sequence[str], loading: Loading) -> list[Model]:
    """The models of all references, under names that differ.

    **Raises:** what `open_model` raises.
    """
    named = [split_name(reference)[0] or reference for reference in references]
    models = [
        open_model(reference, its)
        for reference, its in zip(references, each(loading, named), strict=True)
    ]
    check_names([m.name for m in models])
    return models


def check_names(names: Sequence[str]) -> None:
    """Raises `InvalidInput` for two models of one name."""
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InvalidInput(
            f"Two models are called '{sorted(twice)[0]}'. Name them yourself: "
            f"`before=ckpt/a/model.pt after=ckpt/b/model.pt`."
        )


def is_network(given: Any) -> bool:
    """Whether something looks at inputs: a reference, or a torch module."""
    if isinstance(given, str):
        return not is_of_arrays(given)
    return isinstance(given, torch.nn.Module)


def model_of(name: str, network: nn.Module, inputs: Any, loading: Loading | None = None) -> Model:
    """A network of one's own as a model; what is read of it is found on the first two inputs.

    The inputs are taken as the network expects them: nothing is normalised, unless `loading` says
    by what. They are brought to its device and its precision; the network itself comes out as it
    went in.

    **Arguments:**

    - `inputs`: images (n, channels, H, W), or whatever else the network is called with.

    **Raises:** `InvalidInput` for a network of which nothing says what its representation is.
    """
    from samemind.classifier import Classifier

    loading = loading or Loading()
    is_image = isinstance(inputs, torch.Tensor) and inputs.ndim == 4
    channels = inputs.shape[1] if is_image else 0
    is_training = unwrapped(network).training
    normalised = stated(loading, channels) if is_image else None
    made_so = _of_classifier(network, "the classifier") if isinstance(network, Classifier) else None
    if isinstance(network, Classifier) and not _reads_otherwise(loading):
        classifier, normalised = network, made_so
    else:
        own = usable(name, network.network if isinstance(network, Classifier) else network)
        as_it_is = Normalised((0.0,) * channels, (1.0,) * channels, "the caller", is_known=True)
        normalised = normalised or made_so
        by = (normalised or as_it_is) if is_image else None
        if loading.precision and not loading.precision.startswith(AUTOCAST):
            own = deepcopy(own).to(precision_named(loading.precision)[0])  # the caller's stays
        few = first_rows(inputs, 2)
        if is_image:
            few = as_pixels(few, keeps_float64=True)
        device = next((p.device for p in own.parameters()), torch.device("cpu"))
        try:
            classifier = reading(own, moved(few, device), loading, by)
        except SamemindError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            if not isinstance(inputs, torch.Tensor):
                raise
            raise unreadable(name, own, inputs, error) from error
    return Model(
        name=name,
        reference=type(unwrapped(network)).__name__,
        classifier=classifier,
        architecture=type(unwrapped(classifier.network)).__name__,
        image_size=loading.image_size,
        crop=loading.crop or 1.0,
        channels=channels or n_channels(classifier),
        normalised=normalised,
        is_in_training=is_training,
        kind=OWN,
    )


def _of_classifier(classifier: Classifier, source: str) -> Normalised:
    return Normalised(*constants_of(classifier), source, is_known=True)


def _reads_otherwise(loading: Loading) -> bool:
    """Whether something was asked for that a classifier, as it was made, need not do."""
    names = ("representation", "precision", "forward", "head", "normalise", "mean", "std")
    return any(getattr(loading, name) is not None for name in names)


def load_model(
    reference: str,
    *,
    architecture: str | None = None,
    classes: int | None = None,
    normalise: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    head: str | None = None,
    representation: str | None = None,
    precision: str | None = None,
    pretrained: bool = True,
    download: bool = False,
    trust: bool = False,
    part: str | int | None = None,
) -> Classifier:
    """The classifier of a reference: pixels in [0, 1] in, logits and representation out.

    In evaluation mode, but for a network that a module holds already, which stays in its own.

    **Arguments:**

    - `reference`: a checkpoint file (`FILE::PART` for one network of it), `timm:NAME`,
      `torchvision:NAME` or `python:MODULE:FUNCTION`.
    - `architecture`, `classes`, `normalise`, `mean`, `std`: of a checkpoint file; see `Loading`.
    - `head`: the layer that makes the logits, of a network that has several heads.
    - `representation`, `precision`: what is read, and in what is computed; see `Loading`.
    - `pretrained`: False takes random weights for `timm:` and `torchvision:` names.
    - `download`: whether published weights that are not on this machine may be fetched.
    - `trust`: read a file that holds more than tensors, in a separate process; it may run code.
    - `part`: which network, by number from 0 or by name, where a file holds several.

    **Raises:** `InvalidInput` or `UnknownName` for a reference that leads nowhere;
    `CheckpointError` for a file that cannot be read safely or does not fit.
    """
    loading = Loading(
        architecture=architecture,
        classes=classes,
        normalise=normalise,
        mean=None if mean is None else tuple(mean),
        std=None if std is None else tuple(std),
        head=head,
        representation=representation,
        precision=precision,
        has_random_weights=not pretrained,
        allows_download=download,
        is_trusted=trust,
        part=part,
    )
    model = open_model(reference, loading)
    return model.classifier if model.is_in_training else model.classifier.eval()


def open_model(reference: str, loading: Loading | None = None) -> Model:
    """The model of a reference, on the CPU; whoever looks puts it into evaluation mode.

    **Arguments:**

    - `reference`: a checkpoint file (`FILE::PART` for one network of it), `timm:NAME`,
      `torchvision:NAME`, `hf:NAME_OR_FOLDER`, `onnx:FILE` or `python:MODULE:FUNCTION`;
      `NAME=REFERENCE` gives it another name.

    **Raises:** `InvalidInput` or `UnknownName` for a reference that leads nowhere;
    `CheckpointError` for a file that cannot be read safely or does not fit.
    """
    loading = loading or Loading()
    name, given = split_name(reference)
    source, _, rest = given.partition(":")
    file, part = split_part(given)
    if source == "timm" and rest:
        model = from_timm(rest, loading)
    elif source == "torchvision" and rest:
        model = from_torchvision(rest, loading)
    elif source == "onnx" and rest:
        from samemind.networks.onnx import from_onnx

        model = from_onnx(rest, loading)
    elif source == "hf" and rest:
        from samemind.networks.huggingface import from_huggingface

        model = from_huggingface(rest, loading)
    elif is_file(file) or is_folder(file):
        model = _from_file(Path(file), loading, part)
    elif looks_published(file):
        model = _from_file(published_file(file), loading, part)
    elif function := function_named(given):
        model = _from_function(*function, loading)
    else:
        raise InvalidInput(_what_it_may_be(given))
    _check_normalisation(model)
    return replace(model, name=name) if name else model


def _what_it_may_be(given: str) -> str:
    path = Path(given)
    near = ""
    if is_folder(path.parent):
        near = did_you_mean(path.name, [p.name for p in path.parent.iterdir() if p.is_file()])
    return (
        f"'{given}' is no model: there is no such file. {near}Give a checkpoint file, timm:NAME, "
        f"torchvision:NAME, or python:MODULE:FUNCTION for a function that returns a network."
    )


def _check_normalisation(model: Model) -> None:
    n = n_channels(model.classifier)
    if model.reads_images and n != model.channels:
        raise InvalidInput(
            f"'{model.name}' reads {model.channels} channel(s), but its normalisation has {n}. "
            f"Choose another one with --normalise ({', '.join(NORMALISATIONS)}, a dataset, none), "
            f"or state one number per channel with --mean and --std."
        )


# -- functions


def _from_function(module: str, function: str, loading: Loading) -> Model:
    from samemind.classifier import Classifier

    made = found_in(module, function)
    network = made
    if callable(made) and not isinstance(made, torch.nn.Module):
        takes = class_argument(made) if loading.classes else None
        network = made(**{takes: loading.classes}) if takes else made()
    if not isinstance(network, torch.nn.Module):
        raise InvalidInput(
            f"'{module}:{function}' returned {type(network).__name__}, but a model is a "
            f"torch.nn.Module that maps images (N, channels, H, W) to logits (N, C)."
        )
    if loading.example is not None:
        made = model_of(function, network, loading.example, loading)
        _check_classes(f"{module}:{function}", made.classifier, loading)
        return replace(made, reference=f"{module}:{function}")
    size = loading.image_size
    is_training = unwrapped(network).training
    network = usable(f"{module}:{function}", network)
    made_so = _of_classifier(network, "the function") if isinstance(network, Classifier) else None
    if isinstance(network, Classifier) and not _reads_otherwise(loading):
        classifier, channels, normalised = network, n_channels(network), made_so
    else:
        own = network.network if isinstance(network, Classifier) else network
        classifier, normalised, shape = _with_readable_images(
            f"{module}:{function}", own, loading, made_so
        )
        channels = shape[0]
        if not any(isinstance(m, torch.nn.Conv2d) for m in network.modules()):
            size = shape[1]  # without convolutions, it can read images of this size only
    _check_classes(f"{module}:{function}", classifier, loading)
    return Model(
        name=function,
        reference=f"{module}:{function}",
        classifier=classifier,
        architecture=type(network).__name__,
        image_size=size,
        crop=loading.crop or 1.0,
        channels=channels,
        note=normalised.note if normalised else "",
        normalised=normalised,
        # One that was made for this has been given to nobody else.
        is_in_training=is_training and network is made,
        kind=FUNCTIONS,
    )


def _check_classes(name: str, classifier: Classifier, loading: Loading) -> None:
    """Raises `InvalidInput` for a function that does not heed the number of classes given."""
    weight = getattr(classifier.head, "weight", None)
    made = None if weight is None else weight.shape[0]
    if loading.classes and made not in (None, loading.classes):
        raise InvalidInput(
            f"--classes {loading.classes} was given, but '{name}' takes no num_classes and its "
            f"network tells {made} apart. Leave --classes out, or let the function take it."
        )


def _with_readable_images(
    name: str, network: nn.Module, loading: Loading, made_so: Normalised | None
) -> tuple[Classifier, Normalised, tuple[int, int]]:
    """The classifier of a network, verified on the first images (channels, size) it can read.

    - `made_so`: the normalisation that it comes with, if any.
    """
    trouble: Exception | None = None
    shapes = shapes_for(
        network,
        channels=None if made_so is None else len(made_so.mean),
        size=loading.image_size,
        usual=loading.shape,
    )
    for channels, size in shapes:
        as_it_is = Normalised((0.0,) * channels, (1.0,) * channels, "nothing", is_assumed=True)
        normalised = stated(loading, channels) or made_so or as_it_is
        try:
            shape = (channels, size, size)
            made = classifier_of(network, loading, normalised, shape=shape)
            return made, normalised, (channels, size)
        except (RuntimeError, ValueError) as error:
            if isinstance(error, SamemindError):
                raise
            trouble = error
    raise InvalidInput(f"'{name}' {could_not_read(shapes, trouble)}")


# -- checkpoint files


def _from_file(path: Path, loading: Loading, part: str | None) -> Model:
    from samemind.checkpoints.reading import read_file
    from samemind.checkpoints.recognising import fitted

    contents = read_file(path, is_trusted=loading.is_trusted)
    loaded = fitted(
        contents,
        loading.architecture,
        part=loading.part if part is None else part,
        classes=loading.classes,
        image_size=loading.image_size,
    )
    record = loaded.architecture
    size = loading.image_size or record.image_size
    library = record.name.partition(":")[0]
    crop, usual = (size / 255 if size >= 224 else 1.0), None
    if library == "timm":
        crop, usual = timm_preprocessing(loaded.network)
    elif library == "torchvision":
        crop, usual = 224 / 256, NORMALISATIONS["imagenet"]
    held = (loaded.mean, loaded.std) if loaded.mean and loaded.std else None
    normalised = of_file(
        loading, record.channels, held=held, of_library=usual, library=library, path=str(path)
    )
    recognised = "" if loading.architecture else f"recognised by its keys as {record.name}"
    return Model(
        name=_name_of(path) if part is None else f"{_name_of(path)}::{part}",
        reference=str(path) if part is None else f"{path}::{part}",
        classifier=classifier_of(
            loaded.network,
            loading,
            normalised,
            shape=(record.channels, size, size),
            head=record.head,
        ),
        architecture=record.name,
        image_size=size,
        crop=loading.crop or crop,
        channels=record.channels,
        note="; ".join(filter(None, [recognised, *loaded.steps, normalised.note])),
        normalised=normalised,
        kind=FILES,
    )


def _name_of(path: Path) -> str:
    """The name of a model: of its file without ending, or of the folder that shards lie in."""
    if path.name.endswith(INDEX):
        path = path.parent
    return path.resolve().name if is_folder(path) else path.stem
