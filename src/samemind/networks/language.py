"""A language model or text encoder that is ready to be compared, and its own pooling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from samemind.errors import InvalidInput
from samemind.execution.unchanged import unchanged
from samemind.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

#: What a network says beside its hidden states: a token of its vocabulary, a class, or nothing.
Head = Literal["vocabulary", "classes"]
#: A limit that a tokenizer gives where it knows none is larger than any context.
NO_LIMIT = 10**9
#: transformers keeps hooks for hidden states from the first time that they are asked for, and this
#: mark that they are there. The hooks are taken off with all others, so the mark has to go as well.
_CAPTURING = "_output_capturing_hooks_installed"


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnPooling:
    """How a sentence encoder makes one vector of its tokens, as its folder says.

    - `modes`: of "cls", "mean", "max", "mean_sqrt_len", "lasttoken" and "weightedmean", whose
      vectors are put one after the other.
    - `dense`: linear layers that follow, each a weight, a bias and the name of its activation.
    - `is_normalised`: whether the vector is brought to length one at the end.
    - `reads_pooler`: the network's own `pooler_output`, instead of all this.
    """

    modes: tuple[str, ...] = ()
    dense: tuple[tuple[Tensor, Tensor | None, str], ...] = ()
    is_normalised: bool = False
    reads_pooler: bool = False

    @property
    def described(self) -> str:
        """In words, as the table of readings has it."""
        if self.reads_pooler:
            return "the network's pooler"
        steps = [" and ".join(self.modes), *(f"dense ({name})" for *_, name in self.dense)]
        return ", ".join([*steps, *(["length one"] if self.is_normalised else [])])

    def pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """One vector per text `(B, D)`, from states `(B, T, D)` and where tokens are `(B, T)`."""
        weights = mask.to(states)[..., None]
        lengths = mask.sum(1)
        places = torch.arange(len(states), device=states.device)
        made = {
            "cls": lambda: states[:, 0],
            "lasttoken": lambda: states[places, lengths - 1],
            "max": lambda: states.masked_fill(weights == 0, -torch.inf).amax(1),
            "mean": lambda: (states * weights).sum(1) / weights.sum(1),
            "mean_sqrt_len": lambda: (states * weights).sum(1) / weights.sum(1).sqrt(),
            "weightedmean": lambda: _position_weighted(states, weights),
        }
        found = torch.cat([made[mode]() for mode in self.modes], 1)
        for weight, bias, activation in self.dense:
            found = torch.nn.functional.linear(
                found, weight.to(found), None if bias is None else bias.to(found)
            )
            found = found if activation == "Identity" else getattr(torch.nn, activation)()(found)
        return torch.nn.functional.normalize(found) if self.is_normalised else found


def _position_weighted(states: Tensor, weights: Tensor) -> Tensor:
    places = torch.arange(1, states.shape[1] + 1, device=states.device, dtype=states.dtype)
    weights = weights * places[:, None]
    return (states * weights).sum(1) / weights.sum(1)


@dataclass(frozen=True, kw_only=True, eq=False)
class TextModel:
    """A network on tokens with its tokenizer, and what is known of it.

    - `network`: called with `input_ids` and `attention_mask`, it gives hidden states.
    - `tokenizer`: of the transformers library, or called and answering as those do.
    - `kind`: which texts a state has seen: all of it, or what came before.
    - `head`: whether it says the next token, or a class; None for neither.
    - `own_pooling`: of the reading 'model'; None where it has none.
    - `context`: the most tokens that it reads of a text, special ones included; None for any.
    - `class_names`: of a classifier, in their order.
    - `note`: what a reader of the result must know.
    """

    name: str
    reference: str
    network: nn.Module
    tokenizer: Any
    kind: Literal["encoder", "decoder", "encoder-decoder"]
    head: Head | None = None
    own_pooling: OwnPooling | None = None
    context: int | None = None
    class_names: tuple[str, ...] = ()
    note: str = ""
    known: dict[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        return type(self.network).__name__

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())

    @property
    def precision(self) -> str:
        first = next((p for p in self.network.parameters() if p.is_floating_point()), None)
        return "" if first is None else str(first.dtype).removeprefix("torch.")

    @property
    def body(self) -> nn.Module:
        """What gives the hidden states: the network without its head; of two parts, the encoder."""
        if self.kind == "encoder-decoder":
            return self.network.get_encoder()  # pyright: ignore[reportCallIssue]
        body = getattr(self.network, "base_model", None)
        return body if isinstance(body, torch.nn.Module) else self.network

    def vocabulary(self) -> dict[str, int]:
        """The number of each token, by the token."""
        return dict(self.tokenizer.get_vocab())


@contextmanager
def tokenizer_kept(tokenizer: Any) -> Iterator[None]:
    """A tokenizer cuts and pads afterwards as it did before."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    held = None if backend is None else (backend.truncation, backend.padding)
    try:
        yield
    finally:
        if backend is not None and held is not None:
            truncation, padding = held
            backend.no_truncation() if truncation is None else backend.enable_truncation(
                **truncation
            )
            backend.no_padding() if padding is None else backend.enable_padding(**padding)


@contextmanager
def running(model: TextModel, device: torch.device) -> Iterator[None]:
    """The network on a device in evaluation mode; it comes out as it went in."""
    marked = {id(m) for m in model.network.modules() if _CAPTURING in vars(m)}
    try:
        with unchanged(model.network), torch.no_grad():
            model.network.to(device).eval()
            yield
    finally:
        for module in model.network.modules():
            if id(module) not in marked:
                vars(module).pop(_CAPTURING, None)


def model_of_pair(name: str, network: Any, tokenizer: Any) -> TextModel:
    """A network and its tokenizer, of one's own.

    **Raises:** `InvalidInput` where one of them is something else.
    """
    if not isinstance(network, torch.nn.Module):
        raise InvalidInput(
            f"'{name}' is a pair of {type(network).__name__} and {type(tokenizer).__name__}, but a "
            f"language model is (network, tokenizer): a torch.nn.Module and what makes its tokens."
        )
    if tokenizer is None or not callable(tokenizer):
        raise InvalidInput(
            f"'{name}' is a model without a tokenizer ({type(tokenizer).__name__} was given), so "
            f"no text can be read. Give (network, tokenizer)."
        )
    return described(name, type(network).__name__, network, tokenizer)


def described(
    name: str,
    reference: str,
    network: nn.Module,
    tokenizer: Any,
    *,
    own_pooling: OwnPooling | None = None,
    context: int | None = None,
    note: str = "",
) -> TextModel:
    """A network with its tokenizer, and what its configuration says of it."""
    config: Any = getattr(network, "config", None)
    cls = type(network).__name__
    is_both = bool(getattr(config, "is_encoder_decoder", False)) and hasattr(network, "get_encoder")
    says_next = cls.endswith(("ForCausalLM", "LMHeadModel"))
    head: Head | None = "vocabulary" if says_next else None
    names: tuple[str, ...] = ()
    if cls.endswith("ForSequenceClassification"):
        head = "classes"
        named: dict[int, str] = getattr(config, "id2label", None) or {}
        names = tuple(str(named[i]) for i in sorted(named))
    is_causal = says_next or bool(getattr(config, "is_decoder", False)) or _is_causal(network)
    if own_pooling is None and getattr(_body(network), "pooler", None) is not None:
        own_pooling = OwnPooling(reads_pooler=True)
    limits = [limit for limit in (context, *_limits(network, tokenizer)) if limit]
    return TextModel(
        name=name,
        reference=reference,
        network=network,
        tokenizer=tokenizer,
        kind="encoder-decoder" if is_both else "decoder" if is_causal else "encoder",
        head=head,
        own_pooling=own_pooling,
        context=min(limits, default=None),
        class_names=names,
        note=note,
    )


def _body(network: nn.Module) -> Any:
    return getattr(network, "base_model", network)


def _is_causal(network: nn.Module) -> bool:
    """Whether the attention of a body sees only what came before, as its layers say."""
    said = [getattr(m, "is_causal", None) for m in network.modules()]
    said = [one for one in said if isinstance(one, bool)]
    return bool(said) and all(said)


def _limits(network: nn.Module, tokenizer: Any) -> Iterator[int]:
    """How many tokens the network has places for, and the tokenizer says that it reads."""
    config: Any = getattr(network, "config", None)
    for name in ("max_position_embeddings", "n_positions", "max_source_positions"):
        places = getattr(config, name, None)
        # Positions that are relative have no end, whatever a configuration says beside them.
        if isinstance(places, int) and places > 0 and getattr(config, "model_type", "") != "t5":
            yield places - _skipped_places(network)
    said = getattr(tokenizer, "model_max_length", None)
    if isinstance(said, int) and 0 < said < NO_LIMIT:
        yield said


def _skipped_places(network: nn.Module) -> int:
    """Places that no token gets: RoBERTa and its like count from after that of padding."""
    for module in network.modules():
        if hasattr(module, "create_position_ids_from_input_ids"):
            padding = getattr(module, "padding_idx", None)
            return 0 if padding is None else int(padding) + 1
    return 0
