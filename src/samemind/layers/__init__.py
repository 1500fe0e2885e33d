"""Any layer: what the modules inside a network give, and how alike two are layer by layer."""

from samemind.layers.maps import layer_map
from samemind.layers.reading import POOLINGS, at_depths, layer_names, layer_outputs

__all__ = [
    "POOLINGS",
    "at_depths",
    "layer_map",
    "layer_names",
    "layer_outputs",
]
