"""Models of timm and torchvision, with their published weights or untrained."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from samemind.errors import CheckpointError, UnknownName
from samemind.lazy import torch
from samemind.networks.model import Loading, Model, classifier_of
from samemind.networks.normalising import Normalised, stated
from samemind.networks.options import LIBRARIES
from samemind.registry import did_you_mean

if TYPE_CHECKING:
    from torch import nn


def from_timm(name: str, loading: Loading) -> Model:
    """The model of a name in timm.

    **Raises:** `UnknownName` with the nearest; `CheckpointError` for weights not at hand.
    """
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
    normalised = stated(loading, channels) or Normalised(
        config["mean"], config["std"], "timm", is_known=True
    )
    # The record's own word for the head is verified like a guess: some models have two heads.
    return Model(
        name=name,
        reference=f"timm:{name}",
        classifier=classifier_of(network, loading, normalised, shape=(channels, size, size)),
        architecture=f"timm:{name.split('.')[0]}",
        image_size=loading.image_size or size,
        crop=loading.crop or config.get("crop_pct") or 1.0,
        channels=channels,
        note=note,
        normalised=normalised,
        kind=LIBRARIES,
    )


def timm_preprocessing(network: nn.Module) -> tuple[float, tuple[Any, Any]]:
    """The share of a picture that timm's crop keeps, and its means and deviations."""
    from timm.data.config import resolve_model_data_config

    config: dict[str, Any] = resolve_model_data_config(network)
    return config.get("crop_pct") or 1.0, (config["mean"], config["std"])


def _classes(name: str) -> int:
    import timm

    # Without this a model takes its default tag's classes (tiny_vit_5m_224: 21,841).
    config = timm.get_pretrained_cfg(name)
    if config and not config.num_classes:
        return 0  # published without a head
    return config.num_classes if config and "." in name else 1000


def from_torchvision(name: str, loading: Loading) -> Model:
    """The model of a name in torchvision; errors as those of `from_timm`."""
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
    normalised = stated(loading, 3) or Normalised(
        tuple(presets.mean), tuple(presets.std), "torchvision", is_known=True
    )
    return Model(
        name=name,
        reference=f"torchvision:{name}",
        classifier=classifier_of(network, loading, normalised, shape=(3, size, size)),
        architecture=f"torchvision:{name}",
        image_size=loading.image_size or size,
        crop=loading.crop or size / presets.resize_size[0],
        note=note,
        normalised=normalised,
        kind=LIBRARIES,
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
