"""Any layer: what the modules inside a network give, and how alike two are layer by layer."""

from samemind.extraction.layers import POOLINGS, at_depths, layer_names, layer_outputs
from samemind.extraction.maps import layer_map

__all__ = [
    "POOLINGS",
    "at_depths",
    "layer_map",
    "layer_names",
    "layer_outputs",
]
