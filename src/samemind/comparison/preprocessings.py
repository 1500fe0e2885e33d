"""Whether another named preprocessing explains why two networks differ: tried, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from samemind.datasets.base import NORMALISATIONS
from samemind.lazy import torch
from samemind.networks.model import constants_of, n_channels

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.classifier import Classifier

#: A preprocessing explains a difference if what is left of it is at most this share.
EXPLAINS = 0.5
RESIZED = ("nearest", "bilinear", "bicubic", "area")
CROPS = (0.875, 0.95)
HALF = ((0.5,), (0.5,))

Change = tuple[str, "Tensor"]  # what was done, in words, and the images after it


def changes(classifier: Classifier, images: Tensor, size: int | None) -> Iterator[Change]:
    """The same images prepared otherwise: each by one named change, and channels with each.

    **Arguments:**

    - `images`: (N, channels, H, W), as the classifier is given them.
    - `size`: of what its first layer reads, where that is known: resizing before it then takes the
      place of the network's own.
    """
    normalised = list(_normalised(classifier, images))
    yield from normalised
    if images.shape[1] == 3:
        turned = images.flip(1)
        yield "its channels are in the other order (BGR for RGB)", turned
        for what, changed in _normalised(classifier, turned):
            yield f"its channels are in the other order (BGR for RGB), and {what}", changed
    yield from _resized(images, size)


def _normalised(classifier: Classifier, images: Tensor) -> Iterator[Change]:
    """Images that another normalisation makes of these, seen through the classifier's own.

    A network that normalises by itself is reached by pairs of names: what it should do, undone by
    what it does.
    """
    n = n_channels(classifier)
    names = {name: c for name, c in NORMALISATIONS.items() if len(c[0]) == n}
    names["0.5 / 0.5"] = HALF[0] * n, HALF[1] * n
    names["none"] = (0.0,) * n, (1.0,) * n
    own = constants_of(classifier)
    is_plain = not any(own[0]) and set(own[1]) == {1.0}
    does = names if is_plain else {"its own": own}
    for has, (mean, std) in does.items():
        for wanted, (other_mean, other_std) in names.items():
            if (mean, std) == (other_mean, other_std):
                continue
            a, b, c, d = (
                images.new_tensor(v).reshape(1, -1, 1, 1)
                for v in (other_mean, other_std, mean, std)
            )
            by = f"'{has}'" if is_plain else "its own numbers"
            yield f"it normalises by {by}, the other by '{wanted}'", (images - a) / b * d + c


def _resized(images: Tensor, size: int | None) -> Iterator[Change]:
    """Resized and cropped beforehand, in ways that have names."""
    resize = torch.nn.functional.interpolate
    here = images.shape[-1]
    goal = size or here
    if goal != here:
        for mode in RESIZED:
            smooth = {} if mode in ("nearest", "area") else {"align_corners": False}
            for antialias in (False, True) if mode in ("bilinear", "bicubic") else (False,):
                how = f"{mode}{' with antialiasing' if antialias else ''}"
                changed = resize(images, (goal, goal), mode=mode, antialias=antialias, **smooth)
                yield f"the other resizes by {how}", changed
    for crop in CROPS:
        side = round(here * crop)
        if side in (here, 0):
            continue
        start = (here - side) // 2
        part = images[..., start : start + side, start : start + side]
        smooth = {"mode": "bilinear", "antialias": True, "align_corners": False}
        yield f"the other crops to {crop:g} of the side", resize(part, (goal, goal), **smooth)


def explanation(
    wanted: Tensor,
    plain_difference: float,
    classifier: Classifier,
    images: Tensor,
    *,
    size: int | None,
    run: Callable[[Tensor], Tensor],
    others: Iterable[Change] = (),
) -> str:
    """A sentence on the preprocessing under which the second network is nearest to the first.

    **Arguments:**

    - `wanted`: what the first network gives for the images; `run`: what the second one does.
    - `plain_difference`: the typical difference as they are.
    - `others`: further changes to try.

    **Returns:** "" where none leaves at most half of the difference.

    **Cost:** up to a hundred passes of few images.
    """
    best: tuple[float, str] | None = None
    for what, changed in [*others, *changes(classifier, images, size)]:
        try:
            found = run(changed)
        except RuntimeError:  # a network for one size of images
            continue
        if found.shape != wanted.shape:
            continue
        left = float((found.double() - wanted.double()).square().mean().sqrt())
        if best is None or left < best[0]:
            best = left, what
    if best is None or not best[0] <= EXPLAINS * plain_difference:
        return ""
    share = best[0] / plain_difference
    told = "nothing but rounding" if share < 1e-4 else f"{100 * share:.2g} %"
    return f"Preprocessing explains it: {best[1]}. Done so, {told} is left of the difference."
