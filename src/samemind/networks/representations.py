"""What the representation of a network is: a rule, in an order, and never a guess.

It is what was named; else what the one linear head reads; else what the network's own library says
that it pools; else the network is refused, with the layers to choose from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from samemind.architectures.heads import Head, check_logits, found_head, refuse_nan
from samemind.arrays import first_tensor, logits_in
from samemind.classifier import OneHead
from samemind.errors import InvalidInput
from samemind.execution.unchanged import unchanged
from samemind.lazy import torch
from samemind.networks.batches import called, field_of, n_inputs
from samemind.networks.encoders import Encoder, Forward, Where
from samemind.registry import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = ("fc", "head", "heads", "classifier", "last_linear", "output", "logits")
"""What libraries call the layer that they replace by the identity where features are wanted."""
SHOWN = 12
_NAMED = re.compile(r"^(?P<name>.*?)(?:#(?P<call>\d+))?(?:\[(?P<token>-?\d+)\])?$")


class Found(NamedTuple):
    """What is read of a network, and what a reader must know of how that was found.

    - `network`: itself, or what returns its logits where it makes something of them in the end.
    - `has_logits`: whether what it returns are predictions.
    """

    network: nn.Module
    where: Where
    has_logits: bool
    note: str = ""


def where_read(
    network: nn.Module, inputs: Any, *, asked: str | None = None, call: Forward | None = None
) -> Found:
    """What of a network is its representation, and whether what it returns are predictions.

    **Arguments:**

    - `inputs`: two or more, as the network reads them.
    - `asked`: a layer or a field of what the network returns (`blocks.3`, `pooler_output`), with
      `[0]` for the first token and `#2` for the second time that a reused module runs.
    - `call`: runs the network on a batch.

    **Raises:** `InvalidInput` where there is no such layer, or nothing says what to read.

    **Cost:** some forward passes of `inputs`.
    """

    def run(batch: Any) -> Any:
        return call(network, batch) if call is not None else called(network, batch)

    with unchanged(network), torch.no_grad():
        network.eval()
        output = run(inputs)
    head, why = _head(network, inputs, run, output)
    if head is not None and _is_random(network, inputs, run, output):
        head = head._replace(note="; ".join(filter(None, [head.note, RANDOM])))
    library = _of_library(network, inputs, output, run) if head is None else None
    if asked:
        where = place_named(network, asked, output)
        if head is None:
            return Found(network, where, library is not None and library[1])
        if not head.ending:
            return Found(network, where, True, head.note)
        layer = None if where.layer is None else f"network.{where.layer}"
        return Found(OneHead(network, head.name), replace(where, layer=layer), True, head.note)
    if head is not None:
        said = f"what {head.name} reads"
        if not head.ending:
            return Found(network, Where(said=said, layer=head.name, reads=True), True, head.note)
        where = Where(said=said, layer=f"network.{head.name}", reads=True)
        return Found(OneHead(network, head.name), where, True, head.note)
    if library is not None:
        _check_repeats(network, inputs, run, output)
        return Found(network, *library)
    raise InvalidInput(
        f"{why} Nothing else says what its representation is: name the layer to read with "
        f"--representation (representation= in Python), such as {_to_choose(network, output)}."
    )


def verified(encoder: Encoder, inputs: Any) -> Encoder:
    """The encoder, run once: its head must give its logits, and nothing may be NaN.

    **Raises:** `InvalidInput` or `SamemindError` where that is not so.
    """
    with unchanged(encoder), torch.no_grad():
        out = encoder.eval()(inputs)
        refuse_nan(encoder.network, out.logits)
        refuse_nan(encoder.network, out.representation)
        if encoder.head_name and encoder.has_logits and encoder.autocast is None:
            check_logits(encoder.network, encoder.head, out.representation, out.logits)
    return encoder


# -- a head


def _head(
    network: nn.Module, inputs: Any, run: Callable[[Any], Any], output: Any
) -> tuple[Head | None, str]:
    """The one linear head, or None and why there is none."""
    if _predicts_nothing(output):
        return None, f"{type(network).__name__} returns no logits, but {_fields(output)}."
    logits = logits_in(output)
    if isinstance(logits, torch.Tensor):
        refuse_nan(network, logits)
    try:
        return found_head(network, inputs, run), ""
    except InvalidInput as error:
        if "labels of their own" in str(error):
            raise
        return None, str(error).split(" Name the head")[0]


def _predicts_nothing(output: Any) -> bool:
    """Whether it has names, and none of them is of predictions: an encoder of Hugging Face's."""
    if isinstance(output, torch.Tensor) or not hasattr(output, "keys"):
        return False
    return "logits" not in output and any(
        name in output for name in ("last_hidden_state", "pooler_output", "image_embeds")
    )


# -- what was named


def place_named(network: nn.Module, asked: str, output: Any) -> Where:
    """Where the representation is that was asked for by name: a layer, a call, a token, a field."""
    found = _NAMED.match(asked)
    assert found is not None
    name, call, token = found["name"], found["call"], found["token"]
    nth, at = (int(one) if one else None for one in (call, token))
    layers = {n for n, _ in network.named_modules() if n}
    which = f", token {token}" if token else ""
    if name in layers:
        times = f" the {_nth(nth)} time" if nth else ""
        said = f"what {name} returns{times}{which}"
        return Where(said=said, layer=name, call=nth, token=at)
    if name == "output":
        return Where(said=f"its output{which}", field="", token=at)
    is_field = not isinstance(output, torch.Tensor)
    if is_field and isinstance(field_of(output, name), torch.Tensor):
        return Where(said=f"{name} of its output{which}", field=name, token=at)
    raise InvalidInput(
        f"{type(network).__name__} has no layer '{name}'. {did_you_mean(name, sorted(layers))}"
        f"Name one of its own, such as {_to_choose(network, output)}."
    )


def _nth(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")


def _to_choose(network: nn.Module, output: Any) -> str:
    """Layers and fields that may be named: the large parts, and the last innermost ones."""
    parts = [name for name, _ in network.named_children()]
    inner = [n for n, m in network.named_modules() if n and not any(m.children())]
    names = [n for n in parts[:SHOWN] if n not in inner[-SHOWN:]] + inner[-SHOWN:]
    fields = [] if isinstance(output, torch.Tensor) else _field_names(output)
    return ", ".join(f"'{name}'" for name in [*fields, *names]) or "'output'"


def _field_names(output: Any) -> list[str]:
    if isinstance(output, (tuple, list)):
        return []
    keys = (
        output.keys()
        if hasattr(output, "keys")
        else vars(output)
        if hasattr(output, "__dict__")
        else ()
    )
    return [str(k) for k in keys if isinstance(field_of(output, str(k)), torch.Tensor)]


def _fields(output: Any) -> str:
    return ", ".join(_field_names(output)) or type(output).__name__


# -- what the library says


def _of_library(
    network: nn.Module, inputs: Any, output: Any, run: Callable[[Any], Any]
) -> tuple[Where, bool] | None:
    """What the network's own library says that it pools, and whether it predicts beside."""
    plain = isinstance(inputs, torch.Tensor)
    for found in (
        _of_identity(network, inputs, run, output),
        _of_timm(network, inputs, output) if plain else None,
        _of_huggingface(network, output),
        _of_torchvision(network) if plain else None,
    ):
        if found is not None:
            return found
    return None


def _of_identity(
    network: nn.Module, inputs: Any, run: Callable[[Any], Any], output: Any
) -> tuple[Where, bool] | None:
    """A network whose head was replaced by the identity: its output is what the head would read."""
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        return None
    returned: dict[str, Any] = {}
    with unchanged(network), torch.no_grad():
        for name, layer in network.named_modules():
            is_empty = isinstance(layer, torch.nn.Identity) or (
                isinstance(layer, torch.nn.Sequential) and not len(layer)
            )
            if is_empty and name.rpartition(".")[2] in HEADS:
                layer.register_forward_hook(
                    lambda _, __, out, name=name: returned.__setitem__(name, out)
                )
        network.eval()
        again = run(inputs)
    for name, found in returned.items():
        if isinstance(found, torch.Tensor) and torch.equal(found, again):
            return Where(said=f"its output: '{name}' passes on what it reads", field=""), False
    return None


def _of_timm(network: nn.Module, inputs: Tensor, output: Any) -> tuple[Where, bool] | None:
    """timm's `forward_features`, pooled as its own head does before its last layer."""
    has_both = hasattr(network, "forward_features") and hasattr(network, "forward_head")
    if not has_both or not type(network).__module__.startswith("timm."):
        return None
    classes = int(getattr(network, "num_classes", 0) or 0)
    with unchanged(network), torch.no_grad():
        network.eval()
        features = network.forward_features(inputs)  # pyright: ignore[reportCallIssue]
        pooled = network.forward_head(features, pre_logits=True)  # pyright: ignore[reportCallIssue]
        again = network.forward_head(features)  # pyright: ignore[reportCallIssue]
    if not isinstance(pooled, torch.Tensor) or pooled.ndim != 2 or len(pooled) != len(inputs):
        return None
    in_one_pass = isinstance(output, torch.Tensor) and torch.equal(again, output)

    def pool(network: Any, inputs: Tensor) -> tuple[Any, Any]:
        features = network.forward_features(inputs)
        pooled = network.forward_head(features, pre_logits=True)
        if not classes:
            return None, pooled
        return (network.forward_head(features) if in_one_pass else network(inputs)), pooled

    said = "timm's forward_features, pooled as its forward_head does"
    return Where(said=said, function=pool), classes > 0


def _of_huggingface(network: nn.Module, output: Any) -> tuple[Where, bool] | None:
    """The output that a class of transformers calls pooled, or the class token it begins with."""
    if not hasattr(output, "keys") or not hasattr(network, "config"):
        return None
    logits = output.get("logits")
    has_logits = isinstance(logits, torch.Tensor) and logits.ndim == 2
    for name in ("image_embeds", "pooler_output"):
        found = output.get(name)
        if isinstance(found, torch.Tensor) and (found.ndim == 2 or found.shape[2:].numel() == 1):
            return Where(said=f"{name} of its output", field=name), has_logits
    tokens = output.get("last_hidden_state")
    has_class_token = any("cls_token" in m._parameters for m in network.modules())
    if isinstance(tokens, torch.Tensor) and tokens.ndim == 3 and has_class_token:
        said = "last_hidden_state of its output, token 0, which is its class token"
        return Where(said=said, field="last_hidden_state", token=0), has_logits
    return None


def _of_torchvision(network: nn.Module) -> tuple[Where, bool] | None:
    """The backbone of a detector or a segmenter of torchvision, averaged over space."""
    if not type(network).__module__.startswith("torchvision.models."):
        return None
    backbone, transform = (getattr(network, name, None) for name in ("backbone", "transform"))
    if isinstance(backbone, torch.nn.Module) and transform is not None:
        body = getattr(backbone, "body", backbone)
        which = "backbone.body" if body is not backbone else "backbone"

        def detected(network: Any, images: Tensor) -> tuple[Any, Any]:
            prepared, _ = network.transform(list(images))
            maps = getattr(network.backbone, "body", network.backbone)(prepared.tensors)
            return None, _mean_over_space(_last(maps))

        said = f"the last map of its {which} after its own transform, averaged over space"
        return Where(said=said, function=detected), False
    if isinstance(backbone, torch.nn.Module):

        def segmented(network: Any, images: Tensor) -> tuple[Any, Any]:
            maps = network.backbone(images)
            return None, _mean_over_space(maps.get("out", maps.get("high", _last(maps))))

        return Where(said="the map of its backbone, averaged over space", function=segmented), False
    if type(network).__name__ == "SqueezeNet":
        # Its classifier is a convolution before the pooling: no linear layer gives its logits.
        return Where(said="what features returns", layer="features"), True
    return None


def _last(maps: Any) -> Any:
    return list(maps.values())[-1] if isinstance(maps, Mapping) else first_tensor(maps)


def _mean_over_space(found: Tensor) -> Tensor:
    return (found if found.dtype == torch.float64 else found.float()).mean((2, 3))


RANDOM = (
    "what it says of the same inputs differs from pass to pass, so something in it is random in "
    "evaluation mode too, and so are its scores"
)


def _is_random(network: nn.Module, inputs: Any, run: Callable[[Any], Any], output: Any) -> bool:
    """Whether another pass of the same inputs in evaluation mode differs by more than rounding."""
    with unchanged(network), torch.no_grad():
        network.eval()
        first, again = (logits_in(one) for one in (output, run(inputs)))
    if not isinstance(first, torch.Tensor) or first.shape != again.shape:
        return False
    scale = float(first.float().abs().max())
    return not torch.allclose(first.float(), again.float(), rtol=1e-3, atol=1e-5 * scale)


def _check_repeats(network: nn.Module, inputs: Any, run: Callable[[Any], Any], output: Any) -> None:
    """Raises for a network that gives other values each time, as one that masks at random does."""
    with unchanged(network), torch.no_grad():
        network.eval()
        first, again = first_tensor(output), first_tensor(run(inputs))
    if first is None or again is None or first.shape[:1] != (n_inputs(inputs),):
        return
    if first.shape != again.shape or not torch.allclose(first, again, rtol=1e-2, equal_nan=True):
        raise InvalidInput(
            f"{type(network).__name__} gives other values each time that it looks at the same "
            f"inputs, so no score would be of it. Switch its random masking or noise off."
        )
