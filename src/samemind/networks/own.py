"""A network of one's own, as a module or a program, which is given to nobody else's hands."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from samemind.arrays import as_pixels
from samemind.errors import SamemindError
from samemind.lazy import torch
from samemind.networks.batches import first_rows, moved
from samemind.networks.lent import unreadable, usable
from samemind.networks.model import (
    AUTOCAST,
    Loading,
    Model,
    constants_of,
    n_channels,
    precision_named,
    reading,
)
from samemind.networks.normalising import Normalised, stated
from samemind.networks.options import OWN
from samemind.networks.wrappers import is_scripted, unwrapped

if TYPE_CHECKING:
    from torch import nn

    from samemind.classifier import Classifier


def opened(name: str, network: Any) -> tuple[nn.Module, bool]:
    """What was lent as a module, and whether it was lent in training mode."""
    if is_scripted(network):
        made = usable(name, network)
        return made, bool(getattr(made, "is_training_lent", False))
    return network, unwrapped(network).training


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
    network, is_training = opened(name, network)
    is_image = isinstance(inputs, torch.Tensor) and inputs.ndim == 4
    channels = inputs.shape[1] if is_image else 0
    normalised = stated(loading, channels) if is_image else None
    made_so = of_classifier(network, "the classifier") if isinstance(network, Classifier) else None
    if isinstance(network, Classifier) and not reads_otherwise(loading):
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
        note=getattr(unwrapped(classifier.network), "note", ""),
        normalised=normalised,
        is_in_training=is_training,
        kind=OWN,
    )


def of_classifier(classifier: Classifier, source: str) -> Normalised:
    """The normalisation that a classifier comes with, and where that is from."""
    return Normalised(*constants_of(classifier), source, is_known=True)


def reads_otherwise(loading: Loading) -> bool:
    """Whether something was asked for that a classifier, as it was made, need not do."""
    names = ("representation", "precision", "forward", "head", "normalise", "mean", "std")
    return any(getattr(loading, name) is not None for name in names)
