"""By what a model's images are normalised: where that is from, and whether it can be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samemind.datasets.base import NORMALISATIONS, normalisation, of_unit_pixels
from samemind.errors import InvalidInput
from samemind.execution.unchanged import unchanged
from samemind.lazy import torch

if TYPE_CHECKING:
    from samemind.execution.devices import Execution
    from samemind.inputs.images import Images
    from samemind.networks.model import Loading, Model

FIRST, ALL = 100, 1000
"""So many labelled inputs try every named normalisation, and so many the one that did best."""


@dataclass(frozen=True)
class Normalised:
    """Means and deviations per channel, for pixels in [0, 1], and where they are from.

    - `source`: in words, such as "the file" or "--normalise imagenet".
    - `is_known`: whether who made the network says so; else it was stated or assumed here.
    - `is_assumed`: whether nobody said so.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    is_known: bool = False
    is_assumed: bool = False

    @property
    def note(self) -> str:
        """What a reader of the result must know: the assumption, or '' where there was none."""
        if not self.is_assumed:
            return ""
        if not any(self.mean) and set(self.std) == {1.0}:
            return (
                "its images are taken to be pixels in [0, 1] as they are, which nobody stated: "
                "--normalise, or --mean and --std, do"
            )
        return (
            f"its images are taken to be normalised by {self.source} (mean {_listed(self.mean)}, "
            f"std {_listed(self.std)}), which nobody stated: --normalise, or --mean and --std, do"
        )

    def for_channels(self, channels: int) -> Normalised:
        """The same, with one number for all channels repeated for each."""
        if len(self.mean) != 1 or channels == 1:
            return self
        repeated = self.mean * channels, self.std * channels
        return Normalised(*repeated, self.source, self.is_known, self.is_assumed)


def stated(loading: Loading, channels: int) -> Normalised | None:
    """The normalisation that `--mean` and `--std`, or `--normalise`, state; None without them.

    **Raises:** `InvalidInput` for a mean without a deviation, or both ways at once; `UnknownName`.
    """
    given = [loading.mean is not None, loading.std is not None]
    if any(given) and not all(given):
        there, lacking = ("--mean", "--std") if given[0] else ("--std", "--mean")
        raise InvalidInput(
            f"A normalisation is both means and deviations, but only {there} was given. State "
            f"{lacking} as well, with one number per channel."
        )
    if loading.mean is not None and loading.std is not None:
        if loading.normalise:
            raise InvalidInput(
                f"--normalise {loading.normalise} and --mean and --std both say how images are "
                f"normalised. Leave one of them out."
            )
        mean, std, is_255 = of_unit_pixels(loading.mean, loading.std)
        source = "--mean and --std" + (", given for pixels in 0 … 255" if is_255 else "")
        return Normalised(mean, std, source).for_channels(channels)
    if loading.normalise:
        constants = normalisation(loading.normalise, channels)
        return Normalised(*constants, f"--normalise {loading.normalise}")
    return None


def of_file(
    loading: Loading,
    channels: int,
    *,
    held: tuple[Sequence[float], Sequence[float]] | None,
    of_library: tuple[Sequence[float], Sequence[float]] | None,
    library: str,
    path: str,
) -> Normalised:
    """That of a checkpoint file: as stated; else what it holds; else that of its library's
    networks or of the dataset of the inputs, which are assumptions.

    **Raises:** `InvalidInput` where there is none of these.
    """
    if found := stated(loading, channels):
        return found
    if held is not None:
        return Normalised(tuple(held[0]), tuple(held[1]), "the file", is_known=True).for_channels(
            channels
        )
    if of_library is not None:
        mean, std = of_library
        return Normalised(tuple(mean), tuple(std), f"the constants of {library}", is_assumed=True)
    if loading.dataset is not None:
        constants = normalisation(loading.dataset, channels)
        return Normalised(*constants, f"the constants of '{loading.dataset}'", is_assumed=True)
    raise InvalidInput(
        f"{path} does not say how its images were normalised in training. State it: --normalise "
        f"with {', '.join(NORMALISATIONS)}, a dataset's name, or none; or the numbers with --mean "
        f"and --std."
    )


def better_normalisation(model: Model, images: Images, execution: Execution) -> str:
    """A note where another named normalisation makes a model clearly more accurate; else ''.

    Only of models whose makers do not say theirs, on inputs with labels. Clearly: by two points of
    accuracy or more, and by more than three standard errors of the paired difference.

    **Cost:** a forward pass of 100 inputs for every name, and one of 1,000 for the best of them
    where it was no worse than the usual one.
    """
    normalised = model.normalised
    if normalised is None or normalised.is_known or images.labels is None:
        return ""
    n_classes = _logits(model, images, np.arange(1), normalised, execution).shape[1]
    labels, _ = images.labels_for(n_classes)
    if labels is None:
        return ""
    first = np.arange(min(FIRST, len(images)))
    usual = _right(model, images, labels, first, normalised, execution)
    gains = {}
    for name in ("none", *NORMALISATIONS):
        other = Normalised(*normalisation(name, model.channels), name)
        differs = (other.mean, other.std) != (normalised.mean, normalised.std)
        if len(other.mean) == model.channels and differs:
            right = _right(model, images, labels, first, other, execution)
            gains[name] = (int(right.sum()) - int(usual.sum()), other)
    best = max(gains, key=lambda name: gains[name][0], default=None)
    if best is None or gains[best][0] < 0:
        return ""
    every = np.linspace(0, len(images) - 1, min(ALL, len(images))).astype(np.int64)
    before = _right(model, images, labels, every, normalised, execution)
    after = _right(model, images, labels, every, gains[best][1], execution)
    won, lost = int((after & ~before).sum()), int((before & ~after).sum())
    if won - lost < max(0.02 * len(every), 3 * (won + lost) ** 0.5):
        return ""
    return (
        f"{model.name} is right on {100 * after.mean():.1f} % of {len(every)} inputs when they are "
        f"normalised by '{best}', and on {100 * before.mean():.1f} % as here, by "
        f"{normalised.source}: try --normalise {best}."
    )


def _right(
    model: Model,
    images: Images,
    labels: np.ndarray,
    positions: np.ndarray,
    normalised: Normalised,
    execution: Execution,
) -> np.ndarray:
    logits = _logits(model, images, positions, normalised, execution)
    return logits.argmax(1).numpy() == labels[positions]


def _logits(
    model: Model,
    images: Images,
    positions: np.ndarray,
    normalised: Normalised,
    execution: Execution,
) -> torch.Tensor:
    """The logits (n, C) under another normalisation than the model's own."""
    device, classifier = execution.start(), model.classifier
    mean, std = (
        torch.tensor(values, device=device).reshape(1, -1, 1, 1)
        for values in (normalised.mean, normalised.std)
    )
    found = []
    with unchanged(classifier), torch.no_grad():
        classifier.to(device).eval()
        for start in range(0, len(positions), execution.batch_size):
            pixels = images.read(
                positions[start : start + execution.batch_size],
                size=model.image_size,
                crop=model.crop,
                channels=model.channels,
            ).to(device)
            # What the classifier's own constants turn into the images under the others.
            asked = (pixels - mean) / std * classifier.std + classifier.mean
            found.append(classifier(asked).logits.float().cpu())
    return torch.cat(found)


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
