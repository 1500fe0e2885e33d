"""Other people's checkpoints: reading them safely, telling their layout, fitting them whole.

`layouts.py` is about names of weights only; `reading.py` about files; `fitting.py` puts the two
together with an architecture. Nothing here is executed from a file, and no model is half-loaded.
"""
