"""Models from wherever they are: a file, timm, torchvision, or a function of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from samemind.architectures.base import ARCHITECTURES, Architecture
from samemind.architectures.own import found_in, function_named
from samemind.checkpoints.published import looks_published, published_file
from samemind.datasets.base import NORMALISATIONS, normalisation
from samemind.errors import InvalidInput
from samemind.files.reading import is_file, is_folder
from samemind.lazy import LazyModule
from samemind.networks.libraries import from_timm, from_torchvision, timm_preprocessing
from samemind.networks.model import Loading, Model, classifier_of, n_channels
from samemind.registry import did_you_mean

__all__ = ["Loading", "Model", "load_model", "open_model", "open_models"]

if TYPE_CHECKING:
    import torch
    from torch import nn

    from samemind.classifier import Classifier
else:
    torch = LazyModule("torch")


def open_models(references: Sequence[str], loading: Loading) -> list[Model]:
    """The models of all references, under names that differ.

    **Raises:** what `open_model` raises.
    """
    named = (loading.architecture or "").split(",")
    if len(named) not in (1, len(references)):
        raise InvalidInput(
            f"{len(named)} architectures were given for {len(references)} models. Give one for "
            f"all, or one for each in their order, with commas between."
        )
    each = named if len(named) > 1 else named * len(references)
    models = [
        open_model(reference, replace(loading, architecture=name.strip() or None))
        for reference, name in zip(references, each, strict=True)
    ]
    names = [m.name for m in models]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InvalidInput(
            f"Two models are called '{sorted(twice)[0]}'. Name them yourself: "
            f"`before=ckpt/a/model.pt after=ckpt/b/model.pt`."
        )
    return models


def model_of(name: str, network: nn.Module, images: torch.Tensor) -> Model:
    """A network of one's own as a model, with its head found on the first two images.

    The images are taken as the network expects them: nothing is normalised.

    **Raises:** `InvalidInput` for a network without a linear head.
    """
    from samemind.architectures.heads import find_head
    from samemind.classifier import Classifier

    channels = images.shape[1]
    if isinstance(network, Classifier):
        classifier = network
    else:
        head = find_head(network, images[:2].float())
        classifier = Classifier(network, head=head, mean=[0.0] * channels, std=[1.0] * channels)
    return Model(
        name=name,
        reference=type(network).__name__,
        classifier=classifier,
        architecture=type(classifier.network).__name__,
        channels=channels,
    )


def load_model(
    reference: str,
    *,
    architecture: str | None = None,
    classes: int | None = None,
    normalise: str | None = None,
    pretrained: bool = True,
    download: bool = False,
    trust: bool = False,
    part: int | None = None,
) -> Classifier:
    """The classifier of a reference: pixels in [0, 1] in, logits and representation out.

    **Arguments:**

    - `reference`: a checkpoint file, `timm:NAME`, `torchvision:NAME` or `python:MODULE:FUNCTION`.
    - `architecture`, `classes`, `normalise`: of a checkpoint file; see `Loading`.
    - `pretrained`: False takes random weights for `timm:` and `torchvision:` names.
    - `download`: whether published weights that are not on this machine may be fetched.
    - `trust`: read a file that holds more than tensors, in a separate process; it may run code.
    - `part`: which network (from 0), where a file holds several.

    **Raises:** `InvalidInput` or `UnknownName` for a reference that leads nowhere;
    `CheckpointError` for a file that cannot be read safely or does not fit.
    """
    loading = Loading(
        architecture=architecture,
        classes=classes,
        normalise=normalise,
        has_random_weights=not pretrained,
        allows_download=download,
        is_trusted=trust,
        part=part,
    )
    return open_model(reference, loading).classifier


def open_model(reference: str, loading: Loading | None = None) -> Model:
    """The model of a reference, in evaluation mode on the CPU.

    **Arguments:**

    - `reference`: a checkpoint file, `timm:NAME`, `torchvision:NAME` or `python:MODULE:FUNCTION`;
      `NAME=REFERENCE` gives it another name.

    **Raises:** `InvalidInput` or `UnknownName` for a reference that leads nowhere;
    `CheckpointError` for a file that cannot be read safely or does not fit.
    """
    loading = loading or Loading()
    name, _, given = reference.rpartition("=")
    source, _, rest = given.partition(":")
    if source == "timm" and rest:
        model = from_timm(rest, loading)
    elif source == "torchvision" and rest:
        model = from_torchvision(rest, loading)
    elif is_file(given):
        model = _from_file(Path(given), loading)
    elif looks_published(given):
        model = _from_file(published_file(given), loading)
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
    if n != model.channels:
        raise InvalidInput(
            f"'{model.name}' reads {model.channels} channel(s), but its normalisation has {n}. "
            f"Choose another one with --normalise ({', '.join(NORMALISATIONS)}, a dataset, none)."
        )


# -- functions


def _from_function(module: str, function: str, loading: Loading) -> Model:
    from samemind.classifier import Classifier

    made = found_in(module, function)
    network = made() if callable(made) and not isinstance(made, torch.nn.Module) else made
    if not isinstance(network, torch.nn.Module):
        raise InvalidInput(
            f"'{module}:{function}' returned {type(network).__name__}, but a model is a "
            f"torch.nn.Module that maps images (N, channels, H, W) to logits (N, C)."
        )
    channels = _channels_of(network)
    size = loading.image_size
    if isinstance(network, Classifier):
        classifier, channels = network.eval(), n_channels(network)
    else:
        shape = (channels, size or 32, size or 32)
        classifier = classifier_of(network, loading, shape=shape)
    return Model(
        name=function,
        reference=f"{module}:{function}",
        classifier=classifier,
        architecture=type(network).__name__,
        image_size=size,
        channels=channels,
    )


def _channels_of(network: nn.Module) -> int:
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            return layer.in_channels
    return 3


# -- checkpoint files


def _from_file(path: Path, loading: Loading) -> Model:
    from samemind.checkpoints.fitting import load
    from samemind.checkpoints.recognising import recognise

    name = loading.architecture
    if name is None:
        found = recognise(path)
        if found.architecture is None:
            raise InvalidInput(
                f"What network {path} holds the weights of is not known: {found.problem}. Name "
                f"it: --architecture NAME (`samemind list architectures`), timm:NAME, "
                f"torchvision:NAME, or python:MODULE:FUNCTION for a network of your own."
            )
        name = found.architecture
    record: Architecture = ARCHITECTURES[name]
    size = loading.image_size or record.image_size
    loaded = load(
        path,
        record,
        classes=loading.classes,
        image_size=size,
        is_trusted=loading.is_trusted,
        part=loading.part,
    )
    source = record.name.partition(":")[0]
    crop, usual = (size / 255 if size >= 224 else 1.0), None
    if source == "timm":
        crop, usual = timm_preprocessing(loaded.network)
    elif source == "torchvision":
        crop, usual = 224 / 256, NORMALISATIONS["imagenet"]
    if loaded.mean and loaded.std:
        usual = loaded.mean, loaded.std  # the file itself says so
    return Model(
        name=path.stem,
        reference=str(path),
        classifier=classifier_of(
            loaded.network,
            loading,
            shape=(record.channels, size, size),
            head=record.head,
            usual=usual or _trained_on(path, loading, record.channels),
        ),
        architecture=record.name,
        image_size=size,
        crop=crop,
        channels=record.channels,
        note="" if loading.architecture else f"recognised by its keys as {record.name}",
    )


def _trained_on(
    path: Path, loading: Loading, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    name = loading.normalise or loading.dataset
    if name is None:
        raise InvalidInput(
            f"{path} does not say how its images were normalised in training. State it: "
            f"--normalise with {', '.join(NORMALISATIONS)}, a dataset's name, or none."
        )
    return normalisation(name, channels)
