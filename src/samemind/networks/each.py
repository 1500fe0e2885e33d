"""Options that may differ from model to model: one for all, or one for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from samemind.errors import InvalidInput
from samemind.networks.model import Loading
from samemind.registry import did_you_mean

#: The fields of `Loading` that may differ, each with what several of them are called.
MAY_DIFFER = {
    "architecture": "architectures",
    "normalise": "normalisations",
    "image_size": "sizes of images",
    "crop": "crops",
    "mean": "means",
    "std": "deviations",
    "head": "heads",
    "representation": "representations",
    "precision": "precisions",
    "forward": "ways to call",
}
_ARE_SEQUENCES = ("mean", "std")


def each(loading: Loading, names: Sequence[str]) -> list[Loading]:
    """The options of each model in their order, from those of all.

    Of an option that may differ a text has commas between, a list or tuple has one entry for each
    model, and a mapping has models' names, of which those it leaves out are as without the option.
    `mean` and `std` are numbers for all, or a sequence of them for each.

    **Raises:** `InvalidInput` for another number of entries than of models, or names of none.
    """
    said = {name: _for_each(getattr(loading, name), name, names) for name in MAY_DIFFER}
    return [
        replace(loading, **{name: values[i] for name, values in said.items()})
        for i in range(len(names))
    ]


def _for_each(value: Any, option: str, names: Sequence[str]) -> list[Any]:
    if isinstance(value, Mapping):
        unknown = [str(name) for name in value if name not in names]
        if unknown:
            raise InvalidInput(
                f"'{option}' was given for '{unknown[0]}', but no model is called that. "
                f"{did_you_mean(unknown[0], list(names))}Models: {', '.join(names)}."
            )
        return [value.get(name) for name in names]
    parts: list[Any]
    if isinstance(value, str):
        parts = [part.strip() or None for part in value.split(",")]
    elif isinstance(value, Sequence):
        is_one = option in _ARE_SEQUENCES and not isinstance(next(iter(value), None), Sequence)
        parts = [tuple(value)] if is_one else list(value)
    else:
        parts = [value]
    if len(parts) not in (1, len(names)):
        raise InvalidInput(
            f"{len(parts)} {MAY_DIFFER[option]} were given for {len(names)} models. Give one for "
            f"all, or one for each in their order, with commas between."
        )
    parts = parts if len(parts) > 1 else parts * len(names)
    if option == "image_size":
        return [_size(part) for part in parts]
    return [float(part) if option == "crop" and part is not None else part for part in parts]


def _size(text: Any) -> int | None:
    if text is None:
        return None
    try:
        size = int(text)
    except (TypeError, ValueError):
        size = 0
    if size < 1:
        raise InvalidInput(
            f"A size of images is a number of pixels from 1 up, but '{text}' is not."
        )
    return size
