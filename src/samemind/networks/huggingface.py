"""Vision models of Hugging Face: `hf:FOLDER`, or `hf:NAME` of a model that is on this machine."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samemind.errors import CheckpointError, InvalidInput, MissingExtra, UnreadableFile
from samemind.files.reading import is_folder, read_json
from samemind.lazy import torch
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
    try:
        import transformers
    except ImportError:
        raise MissingExtra(
            "Models of Hugging Face need the extra 'huggingface': pip install "
            "'samemind[huggingface]'."
        ) from None
    is_local = is_folder(given)
    options: dict[str, Any] = {
        "local_files_only": is_local or not loading.allows_download,
        "trust_remote_code": False,
    }
    with _quiet():
        try:
            config = transformers.AutoConfig.from_pretrained(given, **options)
        except Exception as error:
            raise InvalidInput(_not_found(given, is_local, loading, error)) from None
        network, note = _network(transformers, config, given, loading, options)
    size, crop, record = _preprocessing(given, is_local, loading, config)
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
        name=Path(given).resolve().name if is_local else given,
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
    transformers: Any, config: Any, given: str, loading: Loading, options: dict[str, Any]
) -> tuple[Any, str]:
    named = next(iter(getattr(config, "architectures", None) or ()), "")
    if getattr(config, "vocab_size", None) and not hasattr(config, "vision_config"):
        raise InvalidInput(
            f"hf:{given} reads texts ({named or config.model_type}), not images. Give texts as "
            f"inputs, or another model."
        )
    kind = getattr(transformers, named, None) or transformers.AutoModel
    if loading.has_random_weights:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(loading.random_seed)
            made = kind(config) if kind is not transformers.AutoModel else kind.from_config(config)
        return made.eval(), f"random weights, seed {loading.random_seed}"
    try:
        network, found = kind.from_pretrained(given, **options, output_loading_info=True)
    except Exception as error:  # whatever a library makes of a file that is not what it says
        raise CheckpointError(
            f"The weights of hf:{given} cannot be read: {_first(error)}"
        ) from None
    lost = sorted(found.get("missing_keys") or ())
    if lost:
        raise CheckpointError(
            f"The weights of hf:{given} lack {len(lost)} of those of {type(network).__name__}, the "
            f"first is {lost[0]}: what it says would be by chance. Take a complete model."
        )
    return network.eval(), ""


def _preprocessing(
    given: str, is_local: bool, loading: Loading, config: Any
) -> tuple[int, float, Normalised | None]:
    """Size, share that the crop keeps and normalisation, of the model's own image processor."""
    record = _record(given, is_local, loading)
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


def _record(given: str, is_local: bool, loading: Loading) -> dict[str, Any]:
    path: Any = Path(given) / PREPROCESSING
    if not is_local:
        from transformers.utils.hub import cached_file

        with _quiet(), contextlib.suppress(Exception):
            path = cached_file(given, PREPROCESSING, local_files_only=not loading.allows_download)
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


def _not_found(given: str, is_local: bool, loading: Loading, error: Exception) -> str:
    if is_local:
        return f"The folder {given} holds no model of Hugging Face's: {_first(error)}"
    if not loading.allows_download:
        return (
            f"There is no folder '{given}', and no model of this name is on this machine. Check "
            f"the path, or allow the download with --download."
        )
    return f"No model '{given}' could be had: {_first(error)}"


def _first(error: Exception) -> str:
    said = " ".join(str(error).split())[:300] or type(error).__name__
    return f"{said.split('. ')[0].rstrip('.')}."


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The library's reports and bars are not for whoever compares models."""
    from transformers.utils import logging

    level, shows_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if shows_bars:
            logging.enable_progress_bar()
