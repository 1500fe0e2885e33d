"""Vision models of Hugging Face: `hf:FOLDER`, or `hf:NAME` of a model that is on this machine."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from samemind.errors import InvalidInput, UnreadableFile
from samemind.files.reading import read_json
from samemind.lazy import torch
from samemind.networks.hub import Place, configuration, library, place_of, quiet, trained
from samemind.networks.model import Loading, Model, classifier_of
from samemind.networks.normalising import Normalised, stated
from samemind.networks.options import HUGGING_FACE

PREPROCESSING = "preprocessor_config.json"


def from_huggingface(given: str, loading: Loading) -> Model:
    """The vision model of a folder, or of a name: local files first, the hub only where allowed.

    Its size, crop and normalisation are those of its own image processor. Nothing of a folder is
    executed.

    **Raises:** `MissingExtra` without transformers; `InvalidInput` for a reference that leads
    nowhere, or a model that reads no images; `CheckpointError` for weights that cannot be read.
    """
    transformers = library("Models of Hugging Face", "huggingface")
    place = place_of(given, loading.allows_download)
    with quiet():
        config, named = configuration(transformers, place)
        network, note = _network(transformers, config, named, place, loading)
        size, crop, record = _preprocessing(place, config)
    channels = int(getattr(config, "num_channels", None) or 3)
    normalised = (
        stated(loading, channels)
        or record
        or Normalised(
            (0.5,) * channels,
            (0.5,) * channels,
            "the usual constants of transformers",
            is_assumed=True,
        )
    )
    size = loading.image_size or size
    return Model(
        name=place.name,
        reference=f"hf:{given}",
        classifier=classifier_of(network, loading, normalised, shape=(channels, size, size)),
        architecture=f"hf:{type(network).__name__}",
        image_size=size,
        crop=loading.crop or crop,
        channels=channels,
        note="; ".join(filter(None, [note, normalised.note])),
        normalised=normalised,
        kind=HUGGING_FACE,
    )


def _network(
    transformers: Any, config: Any, named: str, place: Place, loading: Loading
) -> tuple[Any, str]:
    if getattr(config, "vocab_size", None) and not hasattr(config, "vision_config"):
        raise InvalidInput(
            f"hf:{place.given} reads texts ({named or config.model_type}), not images. Give texts "
            f"as inputs, or another model."
        )
    kind = getattr(transformers, named, None) or transformers.AutoModel
    if loading.has_random_weights:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(loading.random_seed)
            made = kind(config) if kind is not transformers.AutoModel else kind.from_config(config)
        return made.eval(), f"random weights, seed {loading.random_seed}"
    network, _ = trained(kind, place)
    return network, ""


def _preprocessing(place: Place, config: Any) -> tuple[int, float, Normalised | None]:
    """Size, share that the crop keeps and normalisation, of the model's own image processor."""
    record = _record(place)
    usual = getattr(config, "image_size", None)
    usual = usual[0] if isinstance(usual, (list, tuple)) else usual
    resized, cropped = (_side(record.get(name)) for name in ("size", "crop_size"))
    if not record.get("do_center_crop", "crop_size" in record):
        cropped = None
    size = int(cropped or resized or usual or 224)
    crop = min(size / resized, 1.0) if cropped and resized else 1.0
    mean, std = record.get("image_mean"), record.get("image_std")
    if not (mean and std) or record.get("do_normalize") is False:
        return size, crop, None
    found = Normalised(tuple(mean), tuple(std), "its image processor", is_known=True)
    return size, crop, found


def _record(place: Place) -> dict[str, Any]:
    path: Any = Path(place.given) / PREPROCESSING
    if not place.is_local:
        from transformers.utils.hub import cached_file

        with contextlib.suppress(Exception):
            path = cached_file(
                place.given, PREPROCESSING, local_files_only=not place.allows_download
            )
    try:
        held = read_json(path)
    except UnreadableFile:
        return {}
    return held if isinstance(held, dict) else {}


def _side(size: Any) -> int | None:
    """The shorter side that a size of an image processor asks for."""
    if isinstance(size, dict):
        return next((int(size[n]) for n in ("shortest_edge", "height", "width") if n in size), None)
    return int(size) if isinstance(size, (int, float)) else None
