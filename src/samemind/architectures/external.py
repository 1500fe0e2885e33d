"""Any classifier of timm or torchvision: `timm:NAME` and `torchvision:NAME`.

The head is found by running the network once, without values (on torch's meta device), and is
accepted only if the network's output is what that one linear layer returned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from samemind.architectures.base import ARCHITECTURES, Architecture
from samemind.architectures.heads import find_head
from samemind.errors import InvalidInput, UnknownName
from samemind.lazy import torch
from samemind.registry import did_you_mean, known_names

if TYPE_CHECKING:
    from torch import nn


@cache
def from_timm(name: str) -> Architecture:
    """The record of a model of timm, by its name with or without a tag.

    **Raises:** `UnknownName`; `InvalidInput` where the model has no single linear head.

    **Cost:** importing timm, several seconds the first time.
    """
    import timm
    from timm.models import get_pretrained_cfg

    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        raise UnknownName(
            f"timm has no model '{base}'. {did_you_mean(base, timm.list_models())}"
            f"`timm.list_models()` shows all of them."
        )
    if tag and name not in timm.list_pretrained(f"{base}.*"):
        tags = timm.list_pretrained(f"{base}.*")
        raise UnknownName(
            f"timm's model '{base}' has no weights tagged '{tag}'. {did_you_mean(name, tags)}"
            f"Known: {', '.join(tags) or 'none'}."
        )
    settings: Any = get_pretrained_cfg(name, allow_unregistered=True)
    channels, image_size, _ = settings.input_size
    return _record(
        f"timm:{name}",
        build=partial(_build_timm, name, image_size),
        classes=settings.num_classes,
        image_size=image_size,
        channels=channels,
        reference="Wightman, PyTorch Image Models, doi:10.5281/zenodo.4414861",
    )


def _build_timm(name: str, native_size: int, classes: int, image_size: int) -> nn.Module:
    import timm

    if image_size != native_size:
        # Transformers tie their positions to a size and can be told another; networks of
        # convolutions read any size, and refuse the argument.
        try:
            return timm.create_model(
                name, pretrained=False, num_classes=classes, img_size=image_size
            )
        except TypeError as error:
            if "img_size" not in str(error):
                raise
    return timm.create_model(name, pretrained=False, num_classes=classes)


@cache
def from_torchvision_by_name(name: str) -> Architecture:
    """The record of a classifier of torchvision.

    **Raises:** `UnknownName`; `InvalidInput` where the model has no single linear head.

    **Cost:** importing torchvision, several seconds the first time.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise UnknownName(
            f"torchvision has no classifier '{name}'. {did_you_mean(name, known)}"
            f"{known_names(name, known, '`torchvision.models.list_models()`')}"
        )
    weights: Any = models.get_model_weights(name).DEFAULT  # pyright: ignore[reportAttributeAccessIssue]
    return _record(
        f"torchvision:{name}",
        build=partial(_build_torchvision, name),
        classes=len(weights.meta["categories"]),
        image_size=weights.transforms().crop_size[0],
        channels=3,
        reference="TorchVision maintainers and contributors, github.com/pytorch/vision",
    )


def _build_torchvision(name: str, classes: int, image_size: int) -> nn.Module:
    from torchvision.models import get_model

    options: dict[str, Any] = {}
    if name.startswith("vit_"):
        options = {"image_size": image_size}
    elif name.startswith("maxvit"):
        options = {"input_size": (image_size, image_size)}
    elif name in ("googlenet", "inception_v3"):
        # Their auxiliary heads would make the network return two outputs in training.
        options = {"aux_logits": False, "init_weights": False}
    return get_model(name, weights=None, num_classes=classes, **options)


def _record(
    name: str,
    *,
    build: Callable[[int, int], nn.Module],
    classes: int,
    image_size: int,
    channels: int,
    reference: str,
) -> Architecture:
    network, head = _verified(name, build, classes, image_size, channels)
    family, _, model = name.partition(":")
    return Architecture(
        name=name,
        summary=f"{model} as {family} builds it",
        family=family,
        build=build,
        head=head,
        representation_size=network.get_submodule(head).weight.shape[1],  # pyright: ignore
        image_size=image_size,
        channels=channels,
        parameters={classes: sum(p.numel() for p in network.parameters())},
        reference=reference,
    )


def _verified(
    name: str, build: Callable[[int, int], nn.Module], classes: int, image_size: int, channels: int
) -> tuple[nn.Module, str]:
    """A network and the name of its head."""
    found: InvalidInput | None = None
    for device in ("meta", "cpu"):
        try:
            # Looking a name up must not shift anybody's random numbers.
            with torch.random.fork_rng(devices=[]), torch.device(device):
                network = build(classes, image_size)
                return network, find_head(network, torch.rand(2, channels, image_size, image_size))
        except InvalidInput as error:
            found = error
        except (NotImplementedError, RuntimeError):
            # Some networks compute with values while they are built or run: then for real.
            if device == "cpu":
                raise
    raise InvalidInput(f"'{name}' cannot be compared: {found}") from found


ARCHITECTURES.register_prefix("timm", from_timm)
ARCHITECTURES.register_prefix("torchvision", from_torchvision_by_name)
