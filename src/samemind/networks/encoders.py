"""A network whose representation is read elsewhere than at one linear head on images.

What is read is a value, `Where`: a layer, a field of what the network returns, or what the library
that the network is from says it pools. Nothing else of samemind knows the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from samemind.architectures.heads import read_by_linear
from samemind.arrays import first_tensor, logits_in
from samemind.classifier import Classifier, Output, precision_of, submodule
from samemind.errors import InvalidInput
from samemind.networks.axes import Axes, averaged
from samemind.networks.batches import called, device_of, field_of, moved, n_inputs

#: How a network is called on a batch, where that takes more than calling it.
Forward = Callable[[nn.Module, Any], Any]


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where in a network its representation is read.

    - `said`: the same in words, for the reader of a result.
    - `layer`: a module's dotted name; its output, or what it `reads`. `call`: of a module that runs
      several times in a pass, which time, from 1; None takes the last.
    - `field`: of what the network returns; '' is that itself.
    - `function`: the library's own call; it maps the network and a batch to logits (or None) and
      what is pooled.
    - `token`: of (N, T, D) this token; None averages over all axes but that of the units.
    """

    said: str
    layer: str | None = None
    reads: bool = False
    call: int | None = None
    field: str | None = None
    function: Callable[[nn.Module, Any], tuple[Any, Any]] | None = None
    token: int | None = None


class Encoder(Classifier):
    """A network on inputs of any shape, with logits or without.

    **Arguments:**

    - `where`: what its representation is.
    - `has_logits`: whether what it returns are predictions; else its logits are (N, 0).
    - `mean`, `std`: per channel of images in [0, 1]; without them inputs are taken as they are.
    - `call`: how the network is called on a batch; else with the entries of a mapping by name, of
      a tuple in their order.
    - `autocast`: the type that the network computes in under `torch.autocast`, if any.
    """

    def __init__(
        self,
        network: nn.Module,
        where: Where,
        *,
        has_logits: bool,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        call: Forward | None = None,
        autocast: torch.dtype | None = None,
    ) -> None:
        nn.Module.__init__(self)
        self.reads_images = mean is not None
        self._take(network, mean or (0.0,), std or (1.0,))
        self.where = where
        self.has_logits = has_logits
        self.call, self.autocast = call, autocast
        self.head_name = where.layer if where.reads and where.layer else ""
        self.head = submodule(network, self.head_name) if self.head_name else nn.Identity()
        self._layer = None if where.layer is None else submodule(network, where.layer)
        self._axes = Axes()
        self._axis: int | None = None
        self._is_averaged = False

    @property
    def representation_is(self) -> str:
        """In words, what of the network is its representation."""
        return self.where.said + (", averaged over its other axes" if self._is_averaged else "")

    def taken(self, batch: Any, device: torch.device) -> Any:
        """A batch as it is given to `forward`, on the device."""
        return super().taken(batch, device) if self.reads_images else moved(batch, device)

    def _returned(self, layer: nn.Module, _: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is None or tensor.ndim < 2:
            return
        self._axis = self._axes.of(layer, tensor)
        # A copy: a following in-place operation would change what was kept.
        self._read_by_head.append(tensor.clone())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watches what is read for many forward passes; see `Classifier.watched`."""
        hooks: list[Any] = []
        if self._layer is not None and self.where.reads:
            hooks.append(self._layer.register_forward_pre_hook(self._remember))
        elif self._layer is not None:
            self._axes.follow(self.network, [self._layer], hooks)
            hooks.append(self._layer.register_forward_hook(self._returned))
        self._is_watched = True
        try:
            yield
        finally:
            self._is_watched = False
            for hook in hooks:
                hook.remove()

    def _output(self, images: Any) -> Output:
        self._read_by_head.clear()
        self._axes.clear()
        self._axis = None
        try:
            given = self.normalised(images)
            with self._computing(given):
                if self.where.function is not None:
                    logits, found = self.where.function(self.network, given)
                else:
                    output = self.run(given)
                    logits, found = logits_in(output), self._found(output)
            rows = self._rows(found, n_inputs(images))
            if not self.has_logits:
                logits = rows.new_empty(len(rows), 0)
            return Output(self._checked(logits), rows)
        finally:
            self._read_by_head.clear()
            self._axes.clear()

    def _computing(self, given: Any) -> Any:
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(device_of(given).type, self.autocast)

    def run(self, given: Any) -> Any:
        """What the network returns for a batch as it reads it."""
        if self.call is not None:
            return self.call(self.network, given)
        return called(self.network, given)

    def _found(self, output: Any) -> Any:
        where, read = self.where, self._read_by_head
        if where.layer is None:
            return first_tensor(field_of(output, where.field) if where.field else output)
        if where.call is not None and where.call <= len(read):
            return read[where.call - 1]
        if not read or where.call is not None:
            raise InvalidInput(
                f"The representation was to be {where.said}, but '{where.layer}' gave "
                f"{len(read)} tensors in one pass. Name another layer."
            )
        if where.reads and len(read) > 1:
            raise InvalidInput(f"The head '{where.layer}' ran {len(read)} times for one batch.")
        return read[-1]

    def _rows(self, found: Any, n: int) -> Tensor:
        if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != n:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InvalidInput(
                f"The representation has a row per input, but {self.where.said} is {shape} for a "
                f"batch of {n}. Name another layer with --representation."
            )
        token = self.where.token
        if token is not None:
            if found.ndim != 3 or not -found.shape[1] <= token < found.shape[1]:
                raise InvalidInput(
                    f"Token {token} was asked for, but {self.where.said} is {tuple(found.shape)}, "
                    f"not (N, T, D) with that many tokens."
                )
            return found[:, token]
        if found.ndim == 2:
            return found
        if found.shape[2:].numel() == 1:
            return read_by_linear(found).flatten(1)
        self._is_averaged = True
        wide = found if found.dtype == torch.float64 else found.float()
        return averaged(wide, (1 if found.ndim == 4 else -1) if self._axis is None else self._axis)

    def _checked(self, logits: Any) -> Tensor:
        if isinstance(logits, Tensor) and logits.ndim == 2:
            return logits
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InvalidInput(
            f"A classifier returns logits of shape (N, C), but {type(self.network).__name__} "
            f"returned {shape}. Wrap it in a module that returns the logits, alone or first."
        )

    def normalised(self, images: Any) -> Any:
        """Inputs as the network reads them: images normalised, all in its own precision."""
        if self.reads_images:
            return super().normalised(images)
        precision = precision_of(self.network)
        return images if precision is None or self.call is not None else moved(images, precision)
