"""A language model reads texts: its states, one row per text, word or token.

Every text is padded to the right, whatever its tokenizer would do, and the network is told where
tokens are: what it says of a text then does not depend on the texts beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from samemind.arrays import first_tensor
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution, full_float32, memory_reused
from samemind.extraction.keeping import Kept
from samemind.extraction.layers import at_depths
from samemind.extraction.words import Span
from samemind.inputs.texts import Texts
from samemind.lazy import np, torch
from samemind.networks.language import TextModel, running, tokenizer_kept
from samemind.registry import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

LAST = "last"
"""What the final hidden states are called among layers."""
EMBEDDINGS = "embeddings"
POOLED = ("mean", "last", "first", "model")
BY_ROW = ("all", "words")
Watch = Callable[[str, int, int], None]


class Encoded(NamedTuple):
    """Texts as one tokenizer makes them.

    - `ids`: the tokens of each text. `is_special`: those that the tokenizer adds. `spans`: where
      each lies in its text, None where the tokenizer does not say.
    - `n_cut`: texts that had more tokens than the network reads, of which the first were kept.
    """

    ids: list[list[int]]
    is_special: list[list[bool]]
    spans: list[list[Span]] | None
    n_cut: int


def encoded(model: TextModel, texts: Texts, max_length: int | None = None) -> Encoded:
    """The tokens of each text, cut at what the network reads.

    **Arguments:**

    - `max_length`: tokens of a text at most, where that is fewer than the network reads.

    **Raises:** `InvalidInput` for a text of which nothing is left.
    """
    limits = [limit for limit in (model.context, max_length) if limit]
    limit, has_spans = min(limits, default=None), bool(getattr(model.tokenizer, "is_fast", False))
    asked = {
        "add_special_tokens": True, "return_special_tokens_mask": True, "verbose": False,
        "return_offsets_mapping": has_spans, "return_attention_mask": False, "padding": False,
    }  # fmt: skip
    with tokenizer_kept(model.tokenizer):
        whole = model.tokenizer(list(texts.texts), truncation=False, **asked)
        ids, special = list(whole["input_ids"]), list(whole["special_tokens_mask"])
        spans = list(whole["offset_mapping"]) if has_spans else None
        long = [] if limit is None else [i for i, one in enumerate(ids) if len(one) > limit]
        if long:
            cut = model.tokenizer(
                [texts.texts[i] for i in long], truncation=True, max_length=limit, **asked
            )
            for place, i in enumerate(long):
                ids[i], special[i] = cut["input_ids"][place], cut["special_tokens_mask"][place]
                if spans is not None:
                    spans[i] = cut["offset_mapping"][place]
    for i, one in enumerate(ids):
        if not one:
            raise InvalidInput(
                f"{model.name} makes no token of text {texts.called(i)} "
                f"('{texts.shortened(i, 40)}'). Leave it out."
            )
    is_special = [[bool(s) for s in one] for one in special]
    if spans is not None:  # special tokens stand for no character
        spans = [
            [(0, 0) if s else (int(a), int(b)) for (a, b), s in zip(of_text, these, strict=True)]
            for of_text, these in zip(spans, is_special, strict=True)
        ]
    return Encoded(ids, is_special, spans, len(long))


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """What is read of each text: one row by a pooling, or a row for each word or token.

    - `tokens`: one of `POOLED`; or "words" or "all", with `units`.
    - `has_special`: whether special tokens take part in a pooling.
    - `units`: for each text the number of the row, within the text, that each token goes to; -1
      for none. The row is their mean. `counts`: rows of each text.
    """

    tokens: str
    has_special: bool = True
    units: Sequence[Sequence[int]] | None = None
    counts: Sequence[int] | None = None

    def n_rows(self, n_texts: int) -> int:
        return n_texts if self.counts is None else int(sum(self.counts))


# -- layers


def block_names(model: TextModel) -> list[str]:
    """What its hidden states are called: the embeddings, and what each block gives after that."""
    config: Any = getattr(model.network, "config", None)
    text: Any = config.get_text_config() if hasattr(config, "get_text_config") else config
    for name in ("num_hidden_layers", "n_layer", "num_layers", "encoder_layers"):
        n_blocks = getattr(text, name, None)
        if isinstance(n_blocks, int):
            return [EMBEDDINGS, *(f"block {i}" for i in range(1, n_blocks + 1))]
    raise InvalidInput(
        f"{model.name} does not say how many blocks it has. Name its layers, such as "
        f"{', '.join([n for n, _ in model.network.named_modules() if n][:3])}."
    )


def chosen_layers(models: Sequence[TextModel], layers: Any) -> dict[str, list[str]]:
    """The layers of each model: all blocks, or those named and at relative depths that it has.

    **Raises:** `InvalidInput` for a layer that no model has, a model with none of them, or a depth
    that is not between 0 and 1.
    """
    if layers == "all":
        return {m.name: block_names(m) for m in models}
    asked = [layers] if isinstance(layers, (str, float, int)) else list(layers)
    found: dict[str, list[str]] = {m.name: [] for m in models}
    for layer in asked:
        there: set[str] = set()
        for m in models:
            if not isinstance(layer, str):
                found[m.name] += at_depths(block_names(m), [float(layer)])
                continue
            blocks = block_names(m) if " " in layer or layer == EMBEDDINGS else []
            known = {*blocks, *(n for n, _ in m.network.named_modules() if n)}
            there |= known
            if layer in known:
                found[m.name].append(layer)
        if isinstance(layer, str) and layer not in there:
            raise InvalidInput(
                f"No model has a layer '{layer}'. {did_you_mean(layer, sorted(there))}"
                f"{models[0].name} has {', '.join(block_names(models[0])[:3])}, …, and its modules."
            )
    for m in models:
        if not found[m.name]:
            raise InvalidInput(
                f"{m.name} has none of the layers {', '.join(map(str, asked))}. Name one of its "
                f"own as well, or relative depths from 0 to 1."
            )
    return {name: list(dict.fromkeys(one)) for name, one in found.items()}


# -- one pass


def batches(
    model: TextModel, texts: Encoded, size: int, device: torch.device
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """The texts by length, padded to the right: their positions, `ids (B, T)` and `mask (B, T)`.

    Long ones come first, so that what does not fit in memory is known at once.
    """
    lengths = np.array([len(one) for one in texts.ids])
    padding, size = _padding(model), 1 if _reads_padding(model) else size
    order = np.argsort(-lengths, kind="stable")
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        longest = int(lengths[rows[0]])
        ids = torch.full((len(rows), longest), padding, dtype=torch.long)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : lengths[row]] = torch.tensor(texts.ids[row])
            mask[i, : lengths[row]] = 1
        yield rows, ids.to(device), mask.to(device)


def _padding(model: TextModel) -> int:
    """The token that fills up; the network is told to look past it, so any will do but for heads.

    Classifiers that read the last token find it by the padding that their configuration names.
    """
    held = [
        getattr(model.tokenizer, "pad_token_id", None),
        getattr(getattr(model.network, "config", None), "pad_token_id", None),
    ]
    known = [one for one in held if isinstance(one, int) and one >= 0]
    return (known[-1] if model.head == "classes" else known[0]) if known else 0


def _reads_padding(model: TextModel) -> bool:
    """Whether it finds the last token by a padding that it does not name: a text at a time then."""
    config: Any = getattr(model.network, "config", None)
    return model.head == "classes" and getattr(config, "pad_token_id", None) is None


def read(
    model: TextModel,
    texts: Encoded,
    wanted: Sequence[Rows],
    layers: Sequence[str] = (LAST,),
    *,
    execution: Execution,
    kept: Kept,
    watch: Watch | None = None,
) -> tuple[dict[str, list[Any]], Tensor | None]:
    """What layers say of the texts, by each of the readings, and the logits of a classifier.

    **Returns:** for each layer an array `(rows, D)` for each of `wanted`, in memory or on disk as
    `kept` has it; and logits `(N, C)` of a model that says classes.

    **Cost:** one forward pass; memory for one batch and what is kept.
    """
    device, done = execution.start(), 0
    found: dict[str, list[Any]] = {layer: [] for layer in layers}
    logits: Tensor | None = None
    plans = [_Plan(rows, texts) for rows in wanted]
    with running(model, device), memory_reused(), full_float32(), _Watched(model, layers) as seen:
        for rows, ids, mask in batches(model, texts, execution.batch_size, device):
            said = seen.states(ids, mask)
            if model.head == "classes":
                if logits is None:
                    logits = torch.empty(len(texts.ids), said.logits.shape[-1])
                logits[rows] = said.logits.float().cpu()
            for layer in layers:
                states = said.layers[layer]
                for place, plan in enumerate(plans):
                    made = plan.made(model, states, rows, mask, said)
                    if len(found[layer]) <= place:
                        n_rows = plan.rows.n_rows(len(texts.ids))
                        found[layer].append(kept.array(n_rows, made.shape[1], made.dtype))
                    found[layer][place][plan.places(rows)] = made.cpu().numpy()
            done += len(rows)
            if watch:
                watch(model.name, done, len(texts.ids))
    return found, logits


class _Plan:
    """Where the rows of each text go, and how they are made of its states."""

    def __init__(self, rows: Rows, texts: Encoded) -> None:
        self.rows, self.texts = rows, texts
        if rows.counts is not None:
            self.starts = np.concatenate([[0], np.cumsum(rows.counts)])

    def places(self, positions: np.ndarray) -> np.ndarray:
        """The rows of these texts in the array that is filled."""
        if self.rows.counts is None:
            return positions
        parts = [np.arange(int(self.starts[i]), int(self.starts[i + 1])) for i in positions]
        return np.concatenate(parts) if parts else positions

    def made(
        self, model: TextModel, states: Tensor, positions: np.ndarray, mask: Tensor, said: _Said
    ) -> Tensor:
        """The rows of these texts, `(rows, D)` in float32, in float64 of such a network."""
        states = states if states.dtype == torch.float64 else states.float()
        if self.rows.counts is not None:
            return self._by_row(states, positions)
        if self.rows.tokens == "model":
            return _own(model, states, mask, said)
        counted = mask.bool()
        if not self.rows.has_special:
            counted = counted & ~self._special(positions, mask)
            self._check(model, counted, positions)
        if self.rows.tokens == "mean":
            weights = counted.to(states)
            return torch.bmm(weights[:, None], states)[:, 0] / weights.sum(1, keepdim=True)
        places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
        if self.rows.tokens == "last":
            chosen = places.masked_fill(~counted, -1).amax(1)
        else:
            chosen = places.masked_fill(~counted, mask.shape[1]).amin(1)
        return states[torch.arange(len(states), device=states.device), chosen]

    def _special(self, positions: np.ndarray, mask: Tensor) -> Tensor:
        special = torch.zeros(mask.shape, dtype=torch.bool)
        for i, position in enumerate(positions):
            flags = self.texts.is_special[position]
            special[i, : len(flags)] = torch.tensor(flags)
        return special.to(mask.device)

    def _check(self, model: TextModel, counted: Tensor, positions: np.ndarray) -> None:
        empty = (~counted.any(1)).nonzero().flatten()
        if len(empty):
            raise InvalidInput(
                f"{model.name} makes only special tokens of text {positions[int(empty[0])]} "
                f"(counted from 0). Leave the text out, or read special tokens as well."
            )

    def _by_row(self, states: Tensor, positions: np.ndarray) -> Tensor:
        assert self.rows.units is not None
        assert self.rows.counts is not None
        counts = [self.rows.counts[i] for i in positions]
        total = int(sum(counts))
        rows, of_text, of_token, start = [], [], [], 0
        for i, position in enumerate(positions):
            for token, unit in enumerate(self.rows.units[position]):
                if unit >= 0:
                    rows.append(start + unit)
                    of_text.append(i)
                    of_token.append(token)
            start += counts[i]
        places = torch.tensor(rows, dtype=torch.long, device=states.device)
        values = states[
            torch.tensor(of_text, dtype=torch.long), torch.tensor(of_token, dtype=torch.long)
        ]
        sums = torch.zeros(total, states.shape[-1], dtype=states.dtype, device=states.device)
        sums.index_add_(0, places, values)
        return sums / torch.bincount(places, minlength=total)[:, None].to(states.dtype)


def _own(model: TextModel, states: Tensor, mask: Tensor, said: _Said) -> Tensor:
    own = model.own_pooling
    if own is None:
        raise InvalidInput(
            f"The reading 'model' is an encoder's own pooling, and {model.name} has none. Choose "
            f"mean, last or first for it."
        )
    if not own.reads_pooler:
        return own.pooled(states, mask)
    if said.pooled is None:
        raise InvalidInput(
            f"The pooler of {model.name} did not run, so there is no reading 'model'. Choose mean, "
            f"last or first."
        )
    return said.pooled if said.pooled.dtype == torch.float64 else said.pooled.float()


class _Said(NamedTuple):
    """What a network said of one batch."""

    layers: dict[str, Tensor]
    logits: Any
    pooled: Tensor | None


class _Watched:
    """A network of which the states of some layers are seen; its hooks are gone afterwards."""

    def __init__(self, model: TextModel, layers: Sequence[str]) -> None:
        self.model = model
        self.blocks = {}
        names = {n for n, _ in model.network.named_modules() if n}
        self.modules = [layer for layer in layers if layer in names]
        others = [layer for layer in layers if layer not in names and layer != LAST]
        if others:
            numbers = {name: i for i, name in enumerate(block_names(model))}
            self.blocks = {layer: numbers[layer] for layer in others}
        self.layers = layers
        self.seen: dict[str, Tensor | None] = {}
        self.pooled: Tensor | None = None
        self.hooks: list[Any] = []

    def __enter__(self) -> _Watched:
        for name in self.modules:
            self._watch(name, self.model.network.get_submodule(name))
        own = self.model.own_pooling
        if own is not None and own.reads_pooler:
            body: Any = getattr(self.model.network, "base_model", self.model.network)
            self._watch("", body.pooler)
        return self

    def __exit__(self, *_: Any) -> None:
        for hook in self.hooks:
            hook.remove()

    def _watch(self, name: str, layer: torch.nn.Module) -> None:
        def remember(_: Any, __: Any, output: Any) -> None:
            tensor = first_tensor(output)
            self.seen[name] = None if tensor is None else tensor.detach().clone()

        self.hooks.append(layer.register_forward_hook(remember))

    def states(self, ids: Tensor, mask: Tensor) -> _Said:
        """What the network says of a batch."""
        self.seen.clear()
        runs = self.model.network if self.model.head == "classes" else self.model.body
        out = self._run(runs, ids, mask)
        hidden = getattr(out, "hidden_states", None)
        if hidden is None:
            hidden = getattr(out, "encoder_hidden_states", None)
        last = getattr(out, "last_hidden_state", None)
        if last is None:
            last = getattr(out, "encoder_last_hidden_state", None)
        if last is None and hidden is not None:
            last = hidden[-1]
        if last is None and isinstance(out, torch.Tensor) and out.ndim == 3:
            last = out
        layers = {}
        for layer in self.layers:
            states = last if layer == LAST else self._layer(layer, hidden)
            layers[layer] = self._checked(layer, states, ids)
        return _Said(layers, getattr(out, "logits", None), self.seen.get(""))

    def _run(self, network: Any, ids: Tensor, mask: Tensor) -> Any:
        needs_all = bool(self.blocks) or self.model.head == "classes"
        config: Any = getattr(network, "config", None)
        # What is kept for the next token to be written is of no use here.
        further = {"use_cache": False} if getattr(config, "use_cache", False) else {}
        if config is not None:
            further["return_dict"] = True
        if needs_all:
            further["output_hidden_states"] = True
        try:
            return network(input_ids=ids, attention_mask=mask, **further)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            said = " ".join(str(error).split())[:200].rstrip(".")
            raise InvalidInput(
                f"{self.model.name} cannot read tokens of the shape {tuple(ids.shape)}: {said}. "
                f"A language model is called with input_ids and attention_mask."
            ) from error

    def _layer(self, layer: str, hidden: Any) -> Tensor | None:
        if layer in self.blocks:
            number = self.blocks[layer]
            return hidden[number] if hidden is not None and number < len(hidden) else None
        return self.seen.get(layer)

    def _checked(self, layer: str, states: Tensor | None, ids: Tensor) -> Tensor:
        n, length = ids.shape
        if states is not None and states.ndim == 2 and len(states) == n * length != n:
            states = states.reshape(n, length, -1)  # experts see tokens without their texts
        if states is None or states.ndim != 3 or states.shape[:2] != ids.shape:
            what = "does not run" if states is None else f"gives {tuple(states.shape)}"
            raise InvalidInput(
                f"The layer '{layer}' of {self.model.name} {what} for tokens of the shape "
                f"{(n, length)}, and a reading needs a state per token. Name another layer."
            )
        return states
