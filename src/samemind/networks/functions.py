"""Networks that a function of one's own returns: `python:MODULE:FUNCTION`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from samemind.architectures.own import class_argument, could_not_read, found_in, shapes_for
from samemind.errors import InvalidInput, SamemindError
from samemind.lazy import torch
from samemind.networks.lent import usable
from samemind.networks.model import Loading, Model, classifier_of, n_channels
from samemind.networks.normalising import Normalised, stated
from samemind.networks.options import FUNCTIONS
from samemind.networks.own import model_of, of_classifier, opened, reads_otherwise
from samemind.networks.wrappers import is_scripted

if TYPE_CHECKING:
    from torch import nn

    from samemind.classifier import Classifier


def from_function(module: str, function: str, loading: Loading) -> Model:
    """The model of what a function returns, or of a network that a module holds already.

    **Raises:** `InvalidInput` where that is none, or it reads no images.
    """

    made = found_in(module, function)
    network = made
    if callable(made) and not isinstance(made, torch.nn.Module):
        takes = class_argument(made) if loading.classes else None
        network = made(**{takes: loading.classes}) if takes else made()
    if not isinstance(network, torch.nn.Module) and not is_scripted(network):
        raise InvalidInput(
            f"'{module}:{function}' returned {type(network).__name__}, but a model is a "
            f"torch.nn.Module that maps images (N, channels, H, W) to logits (N, C)."
        )
    reference = f"{module}:{function}"
    lent, is_training = opened(reference, network)
    found = of_module(lent, loading, name=function, reference=reference, kind=FUNCTIONS)
    # One that was made for this has been given to nobody else.
    found = replace(found, is_in_training=is_training and network is made)
    _check_classes(reference, found.classifier, loading)
    return found


def of_module(
    network: nn.Module, loading: Loading, *, name: str, reference: str, kind: str
) -> Model:
    """The model of a module that nothing is known of but itself.

    **Raises:** `InvalidInput` for one that reads no images that are tried, where no others are at
    hand; else what `model_of` raises.
    """
    from samemind.classifier import Classifier

    if loading.example is not None:
        made = model_of(name, network, loading.example, loading)
        return replace(made, reference=reference, kind=kind)
    size = loading.image_size
    network = usable(reference, network)
    made_so = of_classifier(network, "the function") if isinstance(network, Classifier) else None
    if isinstance(network, Classifier) and not reads_otherwise(loading):
        classifier, channels, normalised = network, n_channels(network), made_so
    else:
        own = network.network if isinstance(network, Classifier) else network
        classifier, normalised, shape = _with_readable_images(reference, own, loading, made_so)
        channels = shape[0]
        is_fixed = getattr(own, "shape", (None,))[-1] is not None
        if is_fixed or not any(isinstance(m, torch.nn.Conv2d) for m in network.modules()):
            size = shape[1]  # without convolutions, it can read images of this size only
    told = normalised.note if normalised else ""
    return Model(
        name=name,
        reference=reference,
        classifier=classifier,
        architecture=type(network).__name__,
        image_size=size,
        crop=loading.crop or 1.0,
        channels=channels,
        note="; ".join(filter(None, [getattr(network, "note", ""), told])),
        normalised=normalised,
        kind=kind,
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
    # A program of torch.export may say what it reads.
    fixed = getattr(network, "shape", (None, None))
    shapes = shapes_for(
        network,
        channels=fixed[0] if made_so is None else len(made_so.mean),
        size=loading.image_size or fixed[-1],
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
