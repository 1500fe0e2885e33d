"""Networks that someone lends: what they are, what can be looked at, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from samemind.classifier import OneHead
from samemind.errors import InvalidInput, reason
from samemind.lazy import torch
from samemind.networks.wrappers import is_scripted, unwrapped
from samemind.registry import listing

if TYPE_CHECKING:
    from torch import Tensor, nn

    from samemind.networks.model import Model

OUTPUTS = "samemind.Side(logits=...) takes what it returns for the inputs"


def with_head(network: nn.Module, head: str) -> tuple[nn.Module, str]:
    """A network that returns what its layer `head` gives, and the name of that layer in it.

    **Raises:** `InvalidInput` where there is no such layer, or it makes probabilities of logits.
    """
    made = OneHead(network, head)
    _check_no_ending(made, head)
    return made, f"network.{head}"


def _check_no_ending(made: OneHead, head: str) -> None:
    layer = unwrapped(made.network.get_submodule(head))
    endings = (torch.nn.Softmax, torch.nn.LogSoftmax, torch.nn.Sigmoid, torch.nn.LogSigmoid)
    if isinstance(layer, endings):
        raise InvalidInput(
            f"The layer '{head}' was to be the head, but it is a {type(layer).__name__}, which "
            f"makes probabilities of logits. Name the linear layer before it."
        )


def usable(name: str, network: nn.Module) -> nn.Module:
    """The network itself, without `torch.compile`, `DataParallel` and their like around it.

    Of a program of TorchScript or `torch.export`, the module that stands for it.

    **Raises:** `InvalidInput` for a program that cannot be read, or weights without values.
    """
    if is_scripted(network):
        from samemind.networks.programs import as_network

        return as_network(name, network)
    network = unwrapped(network)
    for key, weight in network.named_parameters():
        if torch.nn.parameter.is_lazy(weight):
            raise InvalidInput(
                f"'{name}' has a layer without weights yet ('{key}' is made by the first forward "
                f"pass). Give it a batch of inputs once, and compare it then."
            )
        if weight.is_meta:
            raise InvalidInput(
                f"'{name}' has no weights: '{key}' lies on the meta device, which has no values. "
                f"Load its weights, or make it on another device."
            )
    return network


def unreadable(name: str, network: nn.Module, images: Tensor, error: Exception) -> InvalidInput:
    """What is said of a network that failed on the first of the inputs."""
    why = reason(error)
    return InvalidInput(
        f"'{name}' could not read the inputs, of shape (N, {', '.join(map(str, images.shape[1:]))})"
        f" ({why}). {_other_axes(network, images)}"
    )


def _other_axes(network: nn.Module, images: Tensor) -> str:
    """What to do about inputs that a network cannot read, by its first convolution."""
    first: Any = next((m for m in network.modules() if isinstance(m, torch.nn.Conv2d)), None)
    if first is None or images.ndim != 4:
        return "Give inputs as the network expects them."
    wanted, found = first.in_channels, images.shape[1]
    if found != wanted == images.shape[-1]:
        return "The channels come last, and it reads them first: images.permute(0, 3, 1, 2)."
    if found == 1 != wanted:
        return (
            f"Its first convolution reads {wanted} channels: images.expand(-1, {wanted}, -1, -1)."
        )
    if found != wanted:
        return f"Its first convolution reads {wanted} channels, not {found}."
    return "Give inputs as the network expects them: perhaps of another height and width."


def refuse_what_is_no_model(name: str, given: Any) -> None:
    """Raises `InvalidInput` for what people give in the place of a network, or of arrays."""
    said = ""
    kind = type(given).__name__
    if isinstance(given, type):
        said = f"is the class {given.__name__}, not a network made of it. Give {given.__name__}(…)"
    elif isinstance(given, Mapping):
        held = list(given)
        if held and all(isinstance(given[key], torch.Tensor) and "." in str(key) for key in held):
            said = (
                "is a state dict: weights without their network. Load it, "
                "network.load_state_dict(…), and give the network; or save it to a file and name "
                "that"
            )
        else:
            said = (
                f"is a {kind} with {', '.join(map(repr, held[:4])) or 'nothing in it'}. Of what "
                f"one model gives make a side: samemind.Side(representation=…, logits=…)"
            )
    elif given is None:
        said = "is None. Give a network, a side or an array"
    elif hasattr(given, "predict_proba") or (hasattr(given, "predict") and hasattr(given, "fit")):
        said = (
            f"is a {kind}, which is no torch.nn.Module. Compare what it predicts: "
            f"samemind.Side(logits=model.predict_proba(x), kind='probabilities')"
        )
    elif callable(given) and not hasattr(given, "__array__"):
        said = f"is a {kind}, and no torch.nn.Module, so its layers are not known. {OUTPUTS}"
    if said:
        raise InvalidInput(f"The model '{name}' {said}.")


def told_of(models: Sequence[Model]) -> list[str]:
    """What a reader must know of networks: a note for each, and one for all lent in training."""
    notes = [f"{model.name}: {model.told}." for model in models if model.told]
    if names := [model.name for model in models if model.is_in_training]:
        were = "was" if len(names) == 1 else "were"
        notes.append(
            f"{listing(names)} {were} given in training mode and read in evaluation mode: without "
            f"dropout, and batch norm by its running statistics."
        )
    return notes
