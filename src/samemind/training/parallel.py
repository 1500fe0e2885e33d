"""Training one model with several processes, started by torchrun; the result is that of one.

Every process makes the same batch and keeps its share of it. Gradients are summed by torch's
DistributedDataParallel, and batch normalisation takes its statistics over the whole batch, so that
how many processes there were is no part of the recipe: the weights agree to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from samemind.attacks import Ball
from samemind.errors import InvalidInput
from samemind.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

Module = TypeVar("Module", bound="nn.Module")


@dataclass(frozen=True)
class Group:
    """The processes that train one model together, and which of them this one is."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """The rows of a batch that this process works on."""
        return batch[self.rank :: self.size] if self.size > 1 else batch

    def share_of_ball(self, ball: Ball | None, batch: Tensor) -> Ball | None:
        """The ball around the rows of `share(batch)`: its random starts are those of one process.

        Every process draws the starts of the whole batch and keeps its share of them.
        """
        return ball if ball is None or self.size == 1 else _BallOfShare(ball, self, batch)

    def wrap(self, module: Module) -> Module:
        """The module, with gradients summed over the processes in its backward pass."""
        if self.size == 1:
            return module
        return torch.nn.parallel.DistributedDataParallel(module)  # pyright: ignore[reportReturnType]

    def backward(self, loss: Tensor) -> None:
        """The backward pass of a loss that is the sum of the processes' losses."""
        # DistributedDataParallel gives the mean of the gradients.
        (loss * self.size).backward()

    def summed(self, values: Sequence[Any]) -> list[float]:
        """Sums over the processes; the last value is the same in all of them and stays."""
        if self.size > 1:
            held = torch.tensor([float(v) for v in values[:-1]], dtype=torch.float64)
            if torch.distributed.get_backend() == "nccl":
                held = held.cuda()
            torch.distributed.all_reduce(held)
            values = [*held.tolist(), values[-1]]
        return [float(v) for v in values]

    def share_statistics(self, module: nn.Module) -> None:
        """Makes batch normalisation take mean and variance over the batch of all processes."""
        if self.size == 1:
            return
        for layer in module.modules():
            if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                layer.forward = partial(_batch_norm_of_all, layer)  # pyright: ignore[reportAttributeAccessIssue]

    def check_batches(self, count: int, batch_size: int) -> None:
        """Raises `InvalidInput` unless every batch has an image for every process."""
        smallest = min(batch_size, count % batch_size or batch_size)
        if smallest < self.size:
            raise InvalidInput(
                f"With {count} images in batches of {batch_size} the last batch has {smallest}, "
                f"fewer than the {self.size} processes. Use fewer processes or another batch size."
            )


@dataclass(frozen=True, eq=False)
class _BallOfShare:
    ball: Ball
    group: Group
    batch: Tensor

    @property
    def epsilon(self) -> float:
        return self.ball.epsilon

    def steepest_step(self, gradient: Tensor, size: float) -> Tensor:
        return self.ball.steepest_step(gradient, size)

    def project(self, images: Tensor, centres: Tensor) -> Tensor:
        return self.ball.project(images, centres)

    def random_start(self, centres: Tensor, generator: torch.Generator) -> Tensor:
        del centres  # the share of the batch
        return self.group.share(self.ball.random_start(self.batch, generator))


def alone() -> Group:
    """The group of a single process."""
    return Group()


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[Group, torch.device]]:
    """The group that torchrun started this process in, and the device of this process.

    Without torchrun (or with one process) that is a group of one. On GPUs every process takes the
    one of its number on the machine.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield alone(), device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(torch.distributed.get_rank(), size), device
        torch.distributed.barrier()
    finally:
        torch.distributed.destroy_process_group()


def _batch_norm_of_all(layer: Any, x: Tensor) -> Tensor:
    """Batch normalisation with the statistics of the batch of all processes."""
    if not layer.training:
        return torch.nn.functional.batch_norm(
            x, layer.running_mean, layer.running_var, layer.weight, layer.bias, False, 0, layer.eps
        )
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    values = x.float()
    rows = torch.full((1,), values.numel() / values.shape[1], device=x.device)
    total = _sum_of_all(torch.cat((values.sum(axes), rows)))
    count = total[-1].detach()
    mean = total[:-1] / count
    # Two passes: the difference of two large sums would lose the digits of a small variance.
    centred = values - mean.reshape(shape)
    variance = _sum_of_all(centred.square().sum(axes)) / count
    if layer.track_running_stats:
        with torch.no_grad():
            layer.num_batches_tracked += 1
            share = layer.momentum or 1 / float(layer.num_batches_tracked)
            layer.running_mean.lerp_(mean, share)
            layer.running_var.lerp_(variance * (count / (count - 1)), share)
    found = centred * torch.rsqrt(variance + layer.eps).reshape(shape)
    if layer.affine:
        found = found * layer.weight.reshape(shape) + layer.bias.reshape(shape)
    return found.to(x.dtype)


def _sum_of_all(values: Tensor) -> Tensor:
    """The sum over all processes; its gradient is the sum of their gradients."""

    class Sum(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, local: Tensor) -> Tensor:
            del ctx
            held = local.clone()
            torch.distributed.all_reduce(held)
            return held

        @staticmethod
        def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
            del ctx
            held = grad_outputs[0].contiguous().clone()
            torch.distributed.all_reduce(held)
            return held

    return Sum.apply(values)  # pyright: ignore[reportReturnType]
