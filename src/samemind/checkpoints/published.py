"""Checkpoints that others have published, by the names of their files, and where they are had.

Nothing is downloaded here: a file is looked for in the usual folders, and where it is not, an
error says what to fetch and where to put it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from samemind.checkpoints.layouts import named
from samemind.errors import CheckpointError, UnknownName
from samemind.files.reading import expanded
from samemind.registry import Registry, did_you_mean


@dataclass(frozen=True, kw_only=True)
class PublishedCheckpoint:
    """One file of a published series.

    - `epsilon`: of the attack in its training, in pixel units of [0, 1]; 0 is standard training.
    - `clean_accuracy`: on the evaluation images of `dataset`, in per cent, as its authors give it.
    - `sha256`: of the file, where it is published; None is recorded on the first import.
    """

    name: str
    architecture: str
    norm: str
    epsilon: float
    clean_accuracy: float
    dataset: str
    repository: str
    sha256: str | None = None
    licence: str
    reference: str

    @property
    def file(self) -> str:
        return f"{self.name}.ckpt"

    @property
    def address(self) -> str:
        """Where the file is had."""
        return f"https://huggingface.co/{self.repository}/resolve/main/{self.file}"

    def found(self) -> Path | None:
        """The file on this machine: in samemind's folder or in the cache of Hugging Face."""
        own = checkpoints_folder() / self.file
        snapshots = _hugging_face() / f"models--{self.repository.replace('/', '--')}" / "snapshots"
        places = [own, *sorted(snapshots.glob(f"*/{self.file}"))]
        return next((place for place in places if place.is_file()), None)

    def as_record(self) -> dict[str, str | float | None]:
        """What `samemind list checkpoints` says of it."""
        place = self.found()
        return {
            "name": self.name,
            "architecture": self.architecture,
            "norm": self.norm,
            "epsilon": self.epsilon,
            "clean_accuracy": self.clean_accuracy,
            "dataset": self.dataset,
            "address": self.address,
            "sha256": self.sha256,
            "licence": self.licence,
            "reference": self.reference,
            "here": str(place) if place else None,
        }


def checkpoints_folder() -> Path:
    """The folder of published files: SAMEMIND_CHECKPOINTS, else one in the user's cache."""
    place = os.environ.get("SAMEMIND_CHECKPOINTS")
    if place:
        return expanded(place)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expanded(cache) / "samemind" / "checkpoints"


def _hugging_face() -> Path:
    """The folder in which Hugging Face's own tools keep what they fetched."""
    if place := os.environ.get("HF_HUB_CACHE"):
        return expanded(place)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    return expanded(home) / "hub"


PUBLISHED: Registry[PublishedCheckpoint] = Registry("published checkpoint", "samemind.checkpoints")


def published(source: str) -> PublishedCheckpoint | None:
    """The record of a file's name, with or without '.ckpt' and folders before it; or None."""
    name = _stem(source)
    if name not in PUBLISHED:
        return None
    return PUBLISHED[name]


def published_file(source: str) -> Path:
    """The file on this machine that a published name stands for.

    **Raises:** `CheckpointError` that says what to fetch and where to put it; `UnknownName` for a
    name that looks like one of a published series, but is none.
    """
    record = published(source)
    if record is None:
        name = _stem(source)
        near = did_you_mean(name, list(PUBLISHED))
        raise UnknownName(
            f"There is no file {source}, and no published checkpoint is called '{name}'. {near}"
            f"`samemind list checkpoints` shows them."
        )
    place = record.found()
    if place is None:
        raise CheckpointError(
            f"The published checkpoint {record.name} is not on this machine. Download "
            f"{record.address} to {checkpoints_folder() / record.file}, or give the path of the "
            f"file. ({_about_hash(record)})"
        )
    return place


def looks_published(source: str) -> bool:
    """Whether a name is made like those of the published series."""
    return named(_stem(source)) is not None


def _stem(source: str) -> str:
    return Path(source).name.removesuffix(".ckpt")


def _about_hash(record: PublishedCheckpoint) -> str:
    if record.sha256:
        return f"Its SHA-256 is {record.sha256}."
    return "Its hash is unknown: that of your file is recorded on the first import."


# -- Salman et al. (2020): accuracies as in the tables of their repository

L2_RADII = ("0", "0.01", "0.03", "0.05", "0.1", "0.25", "0.5", "1", "3", "5")
L2 = {
    "resnet18": (69.79, 69.90, 69.24, 69.15, 68.77, 67.43, 65.49, 62.32, 53.12, 45.59),
    "resnet50": (75.80, 75.68, 75.76, 75.59, 74.78, 74.14, 73.16, 70.43, 62.83, 56.13),
    "wide_resnet50_2": (76.97, 77.25, 77.26, 77.17, 76.74, 76.21, 75.11, 73.41, 66.90, 60.94),
    "wide_resnet50_4": (77.91, 78.02, 77.87, 77.77, 77.64, 77.10, 76.52, 75.51, 69.67, 65.20),
}
L2_AT_0_AND_3 = {
    "densenet": (77.37, 66.98),
    "mnasnet": (60.97, 41.83),
    "mobilenet": (65.26, 50.40),
    "resnext50_32x4d": (77.38, 66.25),
    "shufflenet": (64.25, 43.32),
    "vgg16_bn": (73.66, 57.19),
}
LINF_RADII = ("0.5", "1.0", "2.0", "4.0", "8.0")  # in units of 1/255
LINF = {
    "resnet18": (66.13, 63.46, 59.63, 52.49, 42.11),
    "resnet50": (73.73, 72.05, 69.10, 63.86, 54.53),
    "wide_resnet50_2": (75.82, 74.65, 72.35, 68.41, 60.82),
}


def _register(file: str, clean_accuracy: float) -> None:
    what = named(file)
    assert what is not None
    record = PublishedCheckpoint(
        name=file,
        architecture=what.architecture,
        norm=what.norm,
        epsilon=what.epsilon,
        clean_accuracy=clean_accuracy,
        dataset="imagenet1k",
        repository="madrylab/robust-imagenet-models",
        licence="MIT",
        reference="Salman et al. (2020), arXiv:2007.08489",
    )
    PUBLISHED.register(file, record)


for series, norm, radii in (
    (L2, "l2", L2_RADII),
    (L2_AT_0_AND_3, "l2", ("0", "3")),
    (LINF, "linf", LINF_RADII),
):
    for network, accuracies in series.items():
        for radius, accuracy in zip(radii, accuracies, strict=True):
            _register(f"{network}_{norm}_eps{radius}", accuracy)
