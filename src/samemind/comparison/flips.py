"""Which inputs turn from right to wrong, and back, where one model takes the place of another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from samemind.files.reading import shown
from samemind.inputs.images import Images, fitted
from samemind.lazy import LazyModule
from samemind.measures.base import Side
from samemind.networks.opening import Model
from samemind.statistics.swaps import Swap

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = LazyModule("pandas")

LOST, WON = "right to wrong", "wrong to right"
COLUMNS = (
    *("model_a", "model_b", "direction", "input", "name", "label", "prediction_a"),
    "prediction_b",
)
PICTURED = 24  # inputs per pair and direction
THUMBNAIL = 64  # pixels at most


def flips_between(
    names: tuple[str, str],
    found: Swap,
    sides: Mapping[str, Side],
    *,
    classes: Sequence[str] = (),
    name_of: Callable[[int], str] = str,
) -> pd.DataFrame:
    """A row for every input that model B gets wrong and A right, then for the reverse.

    **Returns:** the columns of `COLUMNS`: the number of the input and its name, its true class,
    and what either model makes of it. Classes are numbers where `classes` does not name them.
    """
    a, b = (sides[name].predictions.cpu().numpy() for name in names)
    truth = sides[names[0]].labels.cpu().numpy()

    def called(number: int) -> str:
        return classes[number] if classes else str(number)

    rows = [
        (*names, direction, i, name_of(i), called(truth[i]), called(a[i]), called(b[i]))
        for direction, inputs in ((LOST, found.negative_inputs), (WON, found.positive_inputs))
        for i in inputs
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def flips_by_class(
    names: tuple[str, str], found: Swap, *, classes: Sequence[str] = ()
) -> pd.DataFrame:
    """A row for every class with a flip: its inputs, and how many turn in either direction."""
    return pd.DataFrame(
        [
            {
                "model_a": names[0],
                "model_b": names[1],
                "class": classes[c.label] if classes else str(c.label),
                "inputs": c.n_inputs,
                LOST: c.negative,
                WON: c.positive,
            }
            for c in found.per_class
        ]
    )


def name_in(images: Images) -> Callable[[int], str]:
    """How an input is called: its file within the folder, or its number in the dataset."""
    if not images.is_folder:
        return lambda position: f"#{images.indices[position]}"
    root = images.root

    def name(position: int) -> str:
        path = images.source[int(images.indices[position])]  # pyright: ignore[reportIndexIssue]
        return shown(path.relative_to(root) if root else path.name)

    return name


def pictured(flips: pd.DataFrame) -> pd.DataFrame:
    """The first rows of each pair and direction, which a page shows with their images."""
    return flips.groupby(["model_a", "model_b", "direction"], sort=False).head(PICTURED)


def thumbnails(flips: pd.DataFrame, images: Images, model: Model) -> dict[int, np.ndarray]:
    """Small images `(C, H, W)` of the inputs that `pictured` gives, by their numbers."""
    found: dict[int, np.ndarray] = {}
    for i in sorted({int(i) for i in pictured(flips)["input"]}):
        pixels = images.read([i], size=model.image_size, crop=model.crop, channels=model.channels)
        if max(pixels.shape[-2:]) > THUMBNAIL:
            pixels = fitted(pixels, THUMBNAIL, pixels.shape[1])
        found[i] = pixels[0].numpy()
    return found


def plain_flips(flips: pd.DataFrame | None) -> list[dict[str, Any]]:
    """The table as plain data."""
    return (
        []
        if flips is None
        else [{str(k): v for k, v in r.items()} for r in flips.to_dict("records")]
    )
