"""Single inputs that flip where one model replaces another, as the page shows them."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from samemind.reporting.sheets import tile_of
from samemind.results import Results, shown_flips

if TYPE_CHECKING:
    import numpy as np


def flips_of(study: Results) -> list[dict[str, Any]]:
    """For each pair and direction: the sentence, the inputs to show with their images, the rest."""
    if study.flips is None:
        return []
    keys = ["model_a", "model_b", "direction"]
    counts = {
        tuple(map(str, key)): len(part)  # pyright: ignore[reportArgumentType]
        for key, part in study.flips.groupby(keys, sort=False)
    }
    pictures = {number: _address(image) for number, image in study.flip_images.items()}
    found = []
    for key, part in shown_flips(study.flips).groupby(keys, sort=False):
        a, b, direction = map(str, key)  # pyright: ignore[reportArgumentType]
        count = counts[a, b, direction]
        inputs = [r | {"image": pictures.get(int(r["input"]))} for r in part.to_dict("records")]
        title = f"{direction}, {b} in the place of {a}"
        found.append({"title": title, "count": count, "rest": count - len(part), "inputs": inputs})
    return found


def _address(image: np.ndarray) -> str:
    """A small image as an address that holds it."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(tile_of(image)).save(held, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode("ascii")
