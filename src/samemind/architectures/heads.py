"""The last linear layer of a network, found and verified.

The representation of a network is what this layer reads, so it must be the layer whose output is
the logits, and there must be one such layer only. A 1 × 1 convolution on a map that was pooled to
one pixel is a linear layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from samemind.arrays import logits_in, tensors_in
from samemind.errors import InvalidInput, SamemindError
from samemind.execution.unchanged import unchanged
from samemind.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


class Head(NamedTuple):
    """The last linear layer of a network by name, and what a reader must know of the output.

    - `ending`: what the network makes of that layer's output: '' where it returns it as it is,
      else a name in `ENDINGS`; then the layer's output are the logits, not the network's.
    - `note`: which of several outputs was taken, or which ending was left out.
    """

    name: str
    ending: str = ""
    note: str = ""


def find_head(network: nn.Module, images: Any, forward: Callable[[Any], Any] | None = None) -> str:
    """The dotted name of the linear layer whose output is the network's output, exactly.

    It is found in evaluation mode, and the network comes out as it went in. On the meta
    device, where there are no values, the output must be the very tensor that the layer returned.

    **Arguments:** `forward` runs the network, where that takes more than calling it.

    **Raises:** `InvalidInput` where no single linear layer gives the logits.

    **Cost:** one forward pass of `images`; a handful is enough.
    """
    head = found_head(network, images, forward)
    if head.ending:
        raise InvalidInput(
            f"{type(network).__name__} ends in a {head.ending}, so it returns no logits. Let it "
            f"return what its layer '{head.name}' gives."
        )
    return head.name


def found_head(
    network: nn.Module, images: Any, forward: Callable[[Any], Any] | None = None
) -> Head:
    """As `find_head`, also of networks that end in a softmax or a sigmoid of their logits.

    **Raises:** `InvalidInput` where no single linear layer gives the logits, or where several
    labels of an input have probabilities of their own.
    """
    output, outputs_of = _linear_outputs(network, images, forward or network)
    logits = logits_in(output)
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        how = "Wrap it in a module that returns the logits, alone or first"
        if isinstance(logits, torch.Tensor) and logits.ndim == 1 and not logits.is_floating_point():
            how = (
                "Class numbers are decisions: let it return its logits, or compare "
                "samemind.Side(logits=class_numbers, kind='decisions')"
            )
        raise InvalidInput(
            f"A classifier returns logits of shape (N, C), but {type(network).__name__} returned "
            f"{found}. {how}."
        )
    refuse_nan(network, logits)
    for name, found in reversed(outputs_of.items()):
        if len(found) == 1 and _is_same(found[0], logits):
            return Head(name, note=_which_output(output))
    for name, found in reversed(outputs_of.items()):
        for ending, made_of in ENDINGS.items() if len(found) == 1 else ():
            if _is_ending(made_of, read_by_linear(found[0]), logits):
                return _ended(network, name, ending, logits.shape[1])
    linear = [n for n in outputs_of if is_linear(network.get_submodule(n))]
    raise InvalidInput(
        f"{type(network).__name__} has no single linear layer whose output is its logits "
        f"(linear layers: {_shortened(linear)}). Name the head, or compare "
        f"activations that you extract yourself."
    )


ENDINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda logits: logits.softmax(1),
    "log-softmax": lambda logits: logits.log_softmax(1),
    "sigmoid": lambda logits: logits.sigmoid(),
}
"""What networks make of their logits before they return them."""


def _is_ending(made_of: Callable[[Tensor], Tensor], linear: Tensor, output: Tensor) -> bool:
    if output.is_meta or linear.shape != output.shape or not linear.is_floating_point():
        return False
    within = 1e-5 if linear.dtype.itemsize >= 4 else 1e-2
    return torch.allclose(made_of(linear).float(), output.float(), rtol=within, atol=within)


def _ended(network: nn.Module, name: str, ending: str, n_outputs: int) -> Head:
    if ending == "sigmoid" and n_outputs > 1:
        raise InvalidInput(
            f"{type(network).__name__} ends in a sigmoid of {n_outputs} outputs, which are labels "
            f"of their own and no classes. Compare one label at a time: "
            f"samemind.Side(logits=probabilities[:, [0]], kind='probabilities')."
        )
    return Head(
        name,
        ending,
        f"it ends in a {ending}, which is left out: the logits are what its layer '{name}' gives",
    )


def _which_output(output: object) -> str:
    """What is said where a network returns several outputs that could be its logits."""
    if isinstance(output, torch.Tensor) or getattr(output, "logits", None) is not None:
        return ""
    if isinstance(output, Mapping) and "logits" in output:
        return ""
    found = [tensor for tensor in tensors_in(output) if tensor.ndim == 2]
    if len(found) < 2:
        return ""
    widths = ", ".join(str(t.shape[1]) for t in found[:4])
    return (
        f"it returns {len(found)} outputs with a row per input, of {widths} values, of which "
        f"the first is taken for its logits; --head names another"
    )


def check_logits(network: nn.Module, head: nn.Module, representation: Tensor, logits: Any) -> None:
    """Raises `SamemindError` unless the head turns the representation into exactly the logits.

    A program that cuts its batches made them from fewer rows at once: there up to their rounding.
    """
    made = head_output(head, representation)
    if torch.equal(made, logits):
        return
    cuts = any(getattr(module, "cuts_batches", False) for module in network.modules())
    atol = 1e-5 * float(logits.abs().max())
    if cuts and made.shape == logits.shape and torch.allclose(made, logits, rtol=1e-4, atol=atol):
        return
    raise SamemindError(
        "The logits are not what the head makes of the representation: the network changes them "
        "after its last linear layer. Name another head."
    )


def refuse_nan(network: nn.Module, logits: Tensor) -> None:
    """Raises `InvalidInput` for logits that are no numbers: they equal nothing, themselves neither.

    It names the weights that are not finite either.
    """
    if logits.is_meta or not bool(logits.isnan().any()):
        return
    bad = [k for k, v in network.state_dict().items() if not bool(torch.isfinite(v).all())]
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    why = (
        f"its weights are not finite in {', '.join(bad[:3])}{more}. Take a checkpoint from before "
        f"the training diverged."
        if bad
        else "its weights are finite, so it overflows on the way. Look for a division by zero."
    )
    raise InvalidInput(f"{type(network).__name__} turns images into NaN: {why}")


def is_linear(layer: nn.Module) -> bool:
    """Whether a layer is linear: torch's own, or one that was quantised dynamically."""
    quantised = type(layer).__module__.endswith("quantized.dynamic.modules.linear")
    return isinstance(layer, torch.nn.Linear) or quantised


def _linear_outputs(
    network: nn.Module, images: Any, forward: Callable[[Any], Any]
) -> tuple[Any, dict[str, list[Tensor]]]:
    """What the network returns, and what each of its linear layers returned on the way."""
    outputs_of: dict[str, list[Tensor]] = {}

    def remember(name: str, _: nn.Module, __: Any, output: Tensor) -> None:
        outputs_of.setdefault(name, []).append(output)

    with unchanged(network), torch.no_grad():
        for name, layer in network.named_modules():
            if is_linear(layer) or _is_pointwise(layer):
                layer.register_forward_hook(partial(remember, name))
        network.eval()
        return forward(images), outputs_of


def _is_pointwise(layer: nn.Module) -> bool:
    """Whether a layer is a convolution that sees one pixel at a time, and all channels of it."""
    return (
        isinstance(layer, torch.nn.Conv2d)
        and layer.kernel_size == layer.stride == (1, 1)
        and layer.groups == 1
        and layer.padding in ((0, 0), "valid", "same")
    )


def read_by_linear(inputs: Tensor) -> Tensor:
    """What a head read as (N, D): a map of one pixel (N, D, 1, 1) without its two axes."""
    return inputs.flatten(1) if inputs.ndim == 4 and inputs.shape[2:] == (1, 1) else inputs


def head_output(head: nn.Module, representation: Tensor) -> Tensor:
    """The logits (N, C) that a head makes of a representation (N, D)."""
    if isinstance(head, torch.nn.Conv2d):
        return head(representation[:, :, None, None]).flatten(1)
    return head(representation)


def _is_same(output: Tensor, logits: Tensor) -> bool:
    if output is logits:
        return True
    if output.ndim == 4:
        if output.shape[2:] != (1, 1):
            return False
        output = output.flatten(1)
    if logits.is_meta or output.shape != logits.shape:
        return False
    # Logits that are zero throughout (an untrained head, a black image) are equal to anything.
    return bool(logits.any()) and torch.equal(output, logits)


def _shortened(names: list[str]) -> str:
    if len(names) > 5:
        return f"{len(names)}, the last are {', '.join(names[-3:])}"
    return ", ".join(names) or "none"
