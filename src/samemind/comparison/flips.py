"""Which inputs turn from right to wrong, and back, where one model takes the place of another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from samemind.files.reading import shown
from samemind.inputs.images import Images, fitted
from samemind.lazy import pd
from samemind.measures.base import Side
from samemind.networks.model import Model
from samemind.results import shown_flips
from samemind.statistics.swaps import LOST, WON, Swap, swap

COLUMNS = (
    *("model_a", "model_b", "direction", "input", "name", "label", "prediction_a"),
    "prediction_b",
)
THUMBNAIL = 64  # pixels at most


@dataclass(frozen=True, kw_only=True, eq=False)
class Replacement:
    """What changes where model `b` takes the place of model `a`."""

    a: str
    b: str
    swap: Swap


def replacements(sides: Mapping[str, Side]) -> list[Replacement]:
    """Of the first model by each other one, where the classes are the same and known."""
    # Of the first model that predicts by each other one: an encoder's predictions are not known.
    predicting = {name: side for name, side in sides.items() if side.has_logits}
    if not predicting or not all(side.has_labels for side in predicting.values()):
        return []
    (first, incumbent), *others = predicting.items()
    truth = incumbent.labels.cpu().numpy()
    before = incumbent.predictions.cpu().numpy()
    return [
        Replacement(a=first, b=name, swap=swap(before, side.predictions.cpu().numpy(), truth))  # pyright: ignore[reportArgumentType]
        for name, side in others
        if side.n_classes == incumbent.n_classes
    ]


def flip_tables(
    found: Sequence[Replacement],
    sides: Mapping[str, Side],
    *,
    classes: Sequence[str] = (),
    name_of: Callable[[int], str] = "#{}".format,
) -> dict[str, pd.DataFrame]:
    """The tables `flips` and `flips_by_class` of all replacements under each other."""
    changes = [((r.a, r.b), r.swap) for r in found]
    each = [flips_between(n, s, sides, classes=classes, name_of=name_of) for n, s in changes]
    by_class = [flips_by_class(names, change, classes=classes) for names, change in changes]
    return {
        "flips": pd.concat(each, ignore_index=True),
        "flips_by_class": pd.concat(by_class, ignore_index=True),
    }


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
    columns = ["model_a", "model_b", "class", "inputs", LOST, WON]
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
        ],
        columns=columns,
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


def thumbnails(flips: pd.DataFrame, images: Images, model: Model) -> dict[int, np.ndarray]:
    """Small images `(C, H, W)` of the inputs that `shown_flips` gives, by their numbers."""
    found: dict[int, np.ndarray] = {}
    for i in sorted({int(i) for i in shown_flips(flips)["input"]}):
        pixels = images.read([i], size=model.image_size, crop=model.crop, channels=model.channels)
        if max(pixels.shape[-2:]) > THUMBNAIL:
            pixels = fitted(pixels, THUMBNAIL, pixels.shape[1])
        found[i] = pixels[0].numpy()
    return found
