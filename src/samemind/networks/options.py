"""Options that no model at hand takes: refused, because whoever gave one expects it to matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from samemind.errors import InvalidInput
from samemind.networks.model import Loading

if TYPE_CHECKING:
    from samemind.networks.model import Model

FILES, LIBRARIES, FUNCTIONS, OWN = "checkpoint files", "timm: and torchvision:", "python:", "own"
ONNX, HUGGING_FACE, PROGRAMS = "onnx:", "hf:", "files of programs"
IN_TORCH = (FILES, LIBRARIES, FUNCTIONS, OWN, HUGGING_FACE, PROGRAMS)
ANY = (*IN_TORCH, ONNX)
TAKEN_BY = {
    "architecture": (FILES,),
    "classes": (FILES, FUNCTIONS),
    "is_trusted": (FILES, PROGRAMS),
    "part": (FILES,),
    "has_random_weights": (LIBRARIES, HUGGING_FACE),
    "allows_download": (LIBRARIES, HUGGING_FACE),
    "head": IN_TORCH,
    "precision": IN_TORCH,
    "image_size": ANY,
    "normalise": ANY,
    "mean": ANY,
    "std": ANY,
}
"""Options of `Loading` that some kinds of models take only."""

AS_TYPED = {
    "is_trusted": "trust",
    "has_random_weights": "random-weights",
    "allows_download": "download",
    "image_size": "image-size",
}


def refuse_unused(loading: Loading, models: Sequence[Model]) -> None:
    """Raises `InvalidInput` for an option that was given and that none of these models takes."""
    there = {model.kind for model in models}
    if "" in there:
        return
    usual = {field.name: field.default for field in fields(Loading)}
    for name, kinds in TAKEN_BY.items():
        if getattr(loading, name) == usual[name] or there & set(kinds):
            continue
        raise InvalidInput(
            f"--{AS_TYPED.get(name, name)} was given, but it is of models that are "
            f"{' or '.join(kinds)}, and there is none here. Leave it out."
        )
