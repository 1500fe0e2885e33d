"""Array types, and the one legend of axis letters.

N inputs · C classes · D units (the width of a representation) · H × W pixels · k neighbours.
Images are (N, channels, H, W) with values in [0, 1], or uint8 for the same times 255.
"""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from samemind.errors import InvalidInput
from samemind.lazy import LazyModule

if TYPE_CHECKING:
    import torch
else:
    torch = LazyModule("torch")

Array: TypeAlias = "np.ndarray | torch.Tensor"


def as_pixels(images: Array) -> "torch.Tensor":
    """Images as float32 in [0, 1]; uint8 is divided by 255, half precision is widened.

    **Raises:** `InvalidInput` unless the shape is (N, channels, H, W).
    """
    tensor = torch.as_tensor(images)
    if tensor.ndim != 4:
        raise InvalidInput(
            f"Images have the shape (N, channels, H, W), but {tuple(tensor.shape)} was found. "
            f"Add the missing axis, or move the channels to the second place."
        )
    return tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()
