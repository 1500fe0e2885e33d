"""Input sets: natural images, seed images, and a checkpoint's inverted and adversarial images.

The inverted image of a target is a seed image of another class, moved in pixel space until the
model's representation of it is that of the target: to this model the two look alike, and what
other models make of it tells whether they look in the same way.
"""

from samemind.inversion.adversarial import adversarial_examples, build_adversarial
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
from samemind.inversion.recipes import Adversarial, Descent, Inputs, Inverted, Natural, Seeds, Until

__all__ = [
    "INPUTS_FILE",
    "Adversarial",
    "Descent",
    "Inputs",
    "Inversion",
    "Inverted",
    "Natural",
    "Seeds",
    "Until",
    "adversarial_examples",
    "build_adversarial",
    "build_inverted",
    "build_natural",
    "build_seeds",
    "draw_seeds",
    "inversions",
    "invert",
    "load_inputs",
    "stored",
]
