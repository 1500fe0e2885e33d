"""Models from wherever they are: a file, timm, torchvision, or a function of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.architectures.base import ARCHITECTURES, Architecture
from samemind.architectures.own import found_in, function_named
from samemind.checkpoints.published import looks_published, published_file
from samemind.datasets.base import NORMALISATIONS, normalisation
from samemind.errors import CheckpointError, InvalidInput, UnknownName
from samemind.lazy import LazyModule
from samemind.registry import did_you_mean

if TYPE_CHECKING:
    import torch
    from torch import nn

    from samemind.classifier import Classifier
else:
    torch = LazyModule("torch")


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A classifier that is ready to be compared, and what is known of it.

    - `image_size`: the pixels that it must be given; None where any size will do.
    - `crop`: the share of the resized image that its crop keeps, for image folders.
    - `note`: what a reader of the result must know, such as "random weights".
    """

    name: str
    reference: str
    classifier: Classifier
    architecture: str
    image_size: int | None = None
    crop: float = 1.0
    channels: int = 3
    note: str = ""

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.classifier.network.parameters())


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How references become models.

    - `architecture`: of checkpoint files: a name from `samemind list architectures`, `timm:NAME`
      or `torchvision:NAME`; None recognises those of samemind by their keys.
    - `classes`: of checkpoint files; None reads it from the file.
    - `normalise`: 'imagenet', 'cifar10', 'inception', a dataset's name, 'none', or None for what
      the source says.
    - `dataset`: of the inputs; files of registered architectures are taken to be trained on it.
    - `has_random_weights`: random weights where a name has no weights at hand, instead of an
      error.
    - `allows_download`: whether timm and torchvision may fetch weights.
    - `is_trusted`, `part`: of checkpoint files; see `samemind.checkpoints.reading.read_weights`.
    """

    architecture: str | None = None
    classes: int | None = None
    image_size: int | None = None
    normalise: str | None = None
    dataset: str | None = None
    has_random_weights: bool = False
    allows_download: bool = False
    is_trusted: bool = False
    part: int | None = None
    random_seed: int = 0


def open_models(references: Sequence[str], loading: Loading) -> list[Model]:
    """The models of all references, under names that differ.

    **Raises:** what `open_model` raises.
    """
    models = [open_model(reference, loading) for reference in references]
    names = [m.name for m in models]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InvalidInput(
            f"Two models are called '{sorted(twice)[0]}'. Name them yourself: "
            f"`before=ckpt/a/model.pt after=ckpt/b/model.pt`."
        )
    return models


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
        model = _from_timm(rest, loading)
    elif source == "torchvision" and rest:
        model = _from_torchvision(rest, loading)
    elif Path(given).is_file():
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
    if path.parent.is_dir():
        near = did_you_mean(path.name, [p.name for p in path.parent.iterdir() if p.is_file()])
    return (
        f"'{given}' is no model: there is no such file. {near}Give a checkpoint file, timm:NAME, "
        f"torchvision:NAME, or python:MODULE:FUNCTION for a function that returns a network."
    )


def n_channels(classifier: Classifier) -> int:
    """The number of channels that a classifier normalises."""
    mean = classifier.mean
    assert isinstance(mean, torch.Tensor)
    return mean.shape[1]


def _check_normalisation(model: Model) -> None:
    n = n_channels(model.classifier)
    if n != model.channels:
        raise InvalidInput(
            f"'{model.name}' reads {model.channels} channel(s), but its normalisation has {n}. "
            f"Choose another one with --normalise ({', '.join(NORMALISATIONS)}, a dataset, none)."
        )


def _classifier(
    network: nn.Module,
    loading: Loading,
    *,
    shape: tuple[int, int, int],
    head: str | None = None,
    usual: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Classifier:
    """The network with its normalisation; its head is found and verified where not known."""
    from samemind.architectures.heads import find_head
    from samemind.classifier import Classifier, check_head

    mean, std = usual or normalisation("none", shape[0])
    if loading.normalise:
        mean, std = normalisation(loading.normalise, shape[0])
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    network = network.eval()
    classifier = Classifier(network, head=head or find_head(network, images), mean=mean, std=std)
    if n_channels(classifier) == shape[0]:
        check_head(classifier, images)
    return classifier.eval()


# -- timm and torchvision


def _from_timm(name: str, loading: Loading) -> Model:
    import timm
    from timm.data.config import resolve_model_data_config

    if not timm.is_model(name):
        near = did_you_mean(name.split(".")[0], timm.list_models())
        raise UnknownName(
            f"timm has no model '{name}'. {near}`timm.list_models('*{name[:6]}*')` shows some."
        )
    network, note = _with_weights(
        name,
        loading,
        pretrained=lambda: timm.create_model(name, pretrained=True),
        random=lambda: timm.create_model(name, pretrained=False, num_classes=_classes(name)),
        where="timm",
    )
    config: dict[str, Any] = resolve_model_data_config(network)
    channels, size, _ = config["input_size"]
    # The record's own word for the head is verified like a guess: some models have two heads.
    return Model(
        name=name,
        reference=f"timm:{name}",
        classifier=_classifier(
            network, loading, shape=(channels, size, size), usual=(config["mean"], config["std"])
        ),
        architecture=f"timm:{name.split('.')[0]}",
        image_size=loading.image_size or size,
        crop=config.get("crop_pct") or 1.0,
        channels=channels,
        note=note,
    )


def _timm_preprocessing(network: nn.Module) -> tuple[float, tuple[Any, Any]]:
    from timm.data.config import resolve_model_data_config

    config: dict[str, Any] = resolve_model_data_config(network)
    return config.get("crop_pct") or 1.0, (config["mean"], config["std"])


def _classes(name: str) -> int:
    import timm

    # Without this a model takes its default tag's classes (tiny_vit_5m_224: 21,841).
    config = timm.get_pretrained_cfg(name)
    return config.num_classes if config and "." in name else 1000


def _from_torchvision(name: str, loading: Loading) -> Model:
    from torchvision import models

    if name not in models.list_models(module=models):
        near = did_you_mean(name, models.list_models(module=models))
        raise UnknownName(
            f"torchvision has no classification model '{name}'. {near}"
            f"`torchvision.models.list_models()` shows them."
        )
    weights: Any = models.get_model_weights(name).DEFAULT  # pyright: ignore[reportAttributeAccessIssue]
    network, note = _with_weights(
        name,
        loading,
        pretrained=lambda: models.get_model(name, weights=weights),
        random=lambda: models.get_model(name, weights=None),
        where="torchvision",
    )
    presets = weights.transforms()
    size = presets.crop_size[0]
    return Model(
        name=name,
        reference=f"torchvision:{name}",
        classifier=_classifier(
            network, loading, shape=(3, size, size), usual=(presets.mean, presets.std)
        ),
        architecture=f"torchvision:{name}",
        image_size=loading.image_size or size,
        crop=size / presets.resize_size[0],
        note=note,
    )


def _with_weights(
    name: str,
    loading: Loading,
    *,
    pretrained: Callable[[], nn.Module],
    random: Callable[[], nn.Module],
    where: str,
) -> tuple[nn.Module, str]:
    """The network with published weights, or random ones where that was asked for."""
    if loading.has_random_weights:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(loading.random_seed)
            return random(), f"random weights, seed {loading.random_seed}"
    try:
        with _offline(not loading.allows_download):
            return pretrained(), ""
    except Exception as error:
        raise CheckpointError(
            f"The published weights of {where}:{name} are not on this machine"
            f"{'' if loading.allows_download else ', and downloading was not asked for'} "
            f"({type(error).__name__}). --download fetches them; --random-weights compares the "
            f"untrained network; or give a checkpoint file with --architecture {where}:{name}."
        ) from error


class _offline:
    """While it lasts, timm and torchvision use what is cached and fetch nothing."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted

    def __enter__(self) -> None:
        if not self.wanted:
            return
        from huggingface_hub import constants
        from torch import hub

        self.offline, self.download = constants.HF_HUB_OFFLINE, hub.download_url_to_file
        constants.HF_HUB_OFFLINE = True
        hub.download_url_to_file = _refuse  # pyright: ignore[reportAttributeAccessIssue]

    def __exit__(self, *_: object) -> None:
        if not self.wanted:
            return
        from huggingface_hub import constants
        from torch import hub

        constants.HF_HUB_OFFLINE = self.offline
        hub.download_url_to_file = self.download


def _refuse(*_: object, **__: object) -> None:
    raise OSError("downloading is off")


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
        classifier = _classifier(network, loading, shape=shape)
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
    from samemind.recognising import recognise

    name = loading.architecture
    if name is None:
        found = recognise(path)
        if found.architecture is None:
            raise InvalidInput(
                f"What network {path} holds the weights of is not known: {found.problem}. Name "
                f"it: --architecture NAME (`samemind list architectures`), timm:NAME or "
                f"torchvision:NAME."
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
        crop, usual = _timm_preprocessing(loaded.network)
    elif source == "torchvision":
        crop, usual = 224 / 256, NORMALISATIONS["imagenet"]
    if loaded.mean and loaded.std:
        usual = loaded.mean, loaded.std  # the file itself says so
    return Model(
        name=path.stem,
        reference=str(path),
        classifier=_classifier(
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
