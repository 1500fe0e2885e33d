"""Any layer: what the modules inside a network give."""

from samemind.extraction.layers import POOLINGS, at_depths, layer_names, layer_outputs

__all__ = [
    "POOLINGS",
    "at_depths",
    "layer_names",
    "layer_outputs",
]
