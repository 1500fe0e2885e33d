"""A network with several heads, seen as the classifier that one of them makes of it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from samemind.classifier import submodule
from samemind.errors import InvalidInput


class OneHead(nn.Module):
    """The network whose output is what its layer `head` returns.

    **Raises:** `InvalidInput` for a name that no layer has.
    """

    def __init__(self, network: nn.Module, head: str) -> None:
        super().__init__()
        submodule(network, head)
        self.network = network
        self.name = head

    def forward(self, images: Tensor) -> Tensor:
        """The output of the head, (N, C), where it runs once."""
        found: list[Any] = []
        layer = self.network.get_submodule(self.name)
        hook = layer.register_forward_hook(lambda _, __, output: found.append(output))
        try:
            self.network(images)
        finally:
            hook.remove()
        if len(found) != 1 or not isinstance(found[0], Tensor):
            raise InvalidInput(
                f"The layer '{self.name}' of {type(self.network).__name__} was to be its head, but "
                f"it ran {len(found)} times for one batch. Name a layer that runs once, and "
                f"returns logits."
            )
        return found[0].flatten(1) if found[0].shape[2:].numel() == 1 else found[0]
