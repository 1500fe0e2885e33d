"""Input sets: natural images, seed images, and the inverted images of a checkpoint.

The inverted image of a target is a seed image of another class, moved in pixel space until the
model's representation of it is that of the target: to this model the two look alike, and what
other models make of it tells whether they look in the same way.
"""

from samemind.inversion.builds import (
    INPUTS_FILE,
    build_inverted,
    build_natural,
    build_seeds,
    draw_seeds,
    load_inputs,
    stored,
)
from samemind.inversion.descent import Inversion, inversions, invert
from samemind.inversion.recipes import Descent, Inputs, Inverted, Natural, Seeds, Until

__all__ = [
    "INPUTS_FILE",
    "Descent",
    "Inputs",
    "Inversion",
    "Inverted",
    "Natural",
    "Seeds",
    "Until",
    "build_inverted",
    "build_natural",
    "build_seeds",
    "draw_seeds",
    "inversions",
    "invert",
    "load_inputs",
    "stored",
]
