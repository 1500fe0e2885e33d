"""The order in which a network's convolutions keep their values in memory."""

from __future__ import annotations

from samemind.lazy import torch

# Vectors of the widest processors hold sixteen float32 values.
FEWEST_CHANNELS = 16


def memory_format_for(network: torch.nn.Module, device: torch.device) -> torch.memory_format:
    """The memory format in which a network and its images are trained and inverted on a device.

    Channels last, in which convolutions are faster; contiguous on a processor where the network
    has a 1 × 1 convolution with a stride that reads fewer than `FEWEST_CHANNELS` channels. The
    values of both agree to rounding.

    **Cost:** a walk through the modules.
    """
    if device.type == "cpu" and any(map(_writes_past_its_end, network.modules())):
        return torch.contiguous_format
    return torch.channels_last


def _writes_past_its_end(module: torch.nn.Module) -> bool:
    # With channels last, the way back through such a convolution to its inputs writes past the
    # end of its memory, and the process dies later ("double free or corruption"). Seen in oneDNN
    # of torch 2.15 with AVX2, one thread, stride 2 and 2 to 7 channels, the width of its vectors
    # being 8; never with 1 × 1 at stride 1, with 3 × 3, or contiguous. The format of its own
    # weights does not help: inputs with channels last suffice for torch to go this way.
    return (
        isinstance(module, torch.nn.Conv2d)
        and tuple(module.kernel_size) == (1, 1)
        and max(module.stride) > 1
        and module.in_channels // module.groups < FEWEST_CHANNELS
    )
