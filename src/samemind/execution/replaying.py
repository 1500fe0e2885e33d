"""Work that a GPU repeats as one recorded graph, where launching its kernels takes longer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from samemind.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

# Calls with the same shapes before they are recorded: libraries choose their kernels in the first.
CALLS_BEFORE = 3


class Replayed:
    """A function of tensors; on a GPU, calls of the shapes that come most often are replayed.

    A pass through a network of small images is hundreds of short kernels, which a processor can
    launch no faster than a GPU ends them. Recorded once (a CUDA graph), they are launched together.
    They are the same kernels on the same numbers, so the values are the same to the last bit.
    What cannot be recorded, or would need more memory than is free, runs as it is.

    **Arguments:**

    - `do`: tensors → tensors, all on one device. What else it reads, such as the weights of a
      network, may change in place but must stay where it lies in memory.
    """

    def __init__(self, do: Callable[..., tuple[Tensor, ...]]) -> None:
        self.do = do
        self._calls: Counter[Any] = Counter()
        self._recorded: tuple[Any, _Recorded] | None = None
        self._is_given_up = False

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        if tensors[0].device.type != "cuda" or self._is_given_up:
            return self.do(*tensors)
        shapes = tuple((t.shape, t.stride(), t.dtype) for t in tensors)
        if self._recorded is None:
            self._calls[shapes] += 1
            if self._calls[shapes] > CALLS_BEFORE:
                self._record(shapes, tensors)
        if self._recorded is None or self._recorded[0] != shapes:
            return self.do(*tensors)
        return self._recorded[1](*tensors)

    def _record(self, shapes: Any, tensors: tuple[Tensor, ...]) -> None:
        device = tensors[0].device
        # The graph keeps the memory of one call to itself, at most what this process holds now.
        if torch.cuda.mem_get_info(device)[0] < torch.cuda.memory_reserved(device):
            self._is_given_up = True
            return
        try:
            self._recorded = shapes, _Recorded(self.do, tensors)
        except RuntimeError:  # of the recording: an error of the work itself comes without it too
            self.give_up()

    def give_up(self) -> None:
        """Records nothing more, and frees the memory of what was recorded."""
        self._recorded = None
        self._is_given_up = True
        torch.cuda.empty_cache()


class _Recorded:
    """One call as a graph, with the tensors that it reads and writes."""

    def __init__(self, do: Callable[..., tuple[Tensor, ...]], tensors: tuple[Tensor, ...]) -> None:
        self.read = [t.detach().clone() for t in tensors]
        self.graph = torch.cuda.CUDAGraph()
        # Another thread may be pinning memory for the next batch: that is not part of this.
        recording = torch.cuda.graph(self.graph, capture_error_mode="thread_local")
        with torch.cuda.device(tensors[0].device), recording:
            self.written = do(*self.read)

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        for held, given in zip(self.read, tensors, strict=True):
            held.copy_(given)
        self.graph.replay()
        # The next replay writes to the same place.
        return tuple(t.clone() for t in self.written)
