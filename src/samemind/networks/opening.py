"""Models from wherever they are: a file, timm, torchvision, or a function of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.architectures.own import function_named
from samemind.checkpoints.kinds import INDEX, PROGRAM_FILES, kind_of
from samemind.checkpoints.published import looks_published, published_file
from samemind.checkpoints.reading import split_part
from samemind.datasets.base import NORMALISATIONS
from samemind.errors import InvalidInput
from samemind.files.reading import is_file, is_folder, split_name
from samemind.inputs.arrays import is_of_arrays
from samemind.lazy import torch
from samemind.networks.each import each
from samemind.networks.functions import from_function, of_module
from samemind.networks.libraries import from_timm, from_torchvision, timm_preprocessing
from samemind.networks.model import (
    Loading,
    Model,
    classifier_of,
    n_channels,
)
from samemind.networks.normalising import of_file
from samemind.networks.options import FILES, PROGRAMS
from samemind.networks.wrappers import is_scripted
from samemind.registry import did_you_mean

__all__ = ["Loading", "Model", "load_model", "open_model", "open_models"]

if TYPE_CHECKING:
    from samemind.classifier import Classifier


def open_models(references: Sequence[str], loading: Loading) -> list[Model]:
    """The models of all references, under names that differ.

    **Raises:** what `open_model` raises.
    """
    named = [split_name(reference)[0] or reference for reference in references]
    models = [
        open_model(reference, its)
        for reference, its in zip(references, each(loading, named), strict=True)
    ]
    check_names([m.name for m in models])
    return models


def check_names(names: Sequence[str]) -> None:
    """Raises `InvalidInput` for two models of one name."""
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InvalidInput(
            f"Two models are called '{sorted(twice)[0]}'. Name them yourself: "
            f"`before=ckpt/a/model.pt after=ckpt/b/model.pt`."
        )


def is_network(given: Any) -> bool:
    """Whether something looks at inputs: a reference, a torch module or a program."""
    if isinstance(given, str):
        return not is_of_arrays(given)
    return isinstance(given, torch.nn.Module) or is_scripted(given)


def load_model(
    reference: str,
    *,
    architecture: str | None = None,
    classes: int | None = None,
    normalise: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    head: str | None = None,
    representation: str | None = None,
    precision: str | None = None,
    pretrained: bool = True,
    download: bool = False,
    trust: bool = False,
    part: str | int | None = None,
) -> Classifier:
    """The classifier of a reference: pixels in [0, 1] in, logits and representation out.

    In evaluation mode, but for a network that a module holds already, which stays in its own.

    **Arguments:**

    - `reference`: a checkpoint file (`FILE::PART` for one network of it), `timm:NAME`,
      `torchvision:NAME` or `python:MODULE:FUNCTION`.
    - `architecture`, `classes`, `normalise`, `mean`, `std`: of a checkpoint file; see `Loading`.
    - `head`: the layer that makes the logits, of a network that has several heads.
    - `representation`, `precision`: what is read, and in what is computed; see `Loading`.
    - `pretrained`: False takes random weights for `timm:` and `torchvision:` names.
    - `download`: whether published weights that are not on this machine may be fetched.
    - `trust`: read a file that holds more than tensors, in a separate process; it may run code.
    - `part`: which network, by number from 0 or by name, where a file holds several.

    **Raises:** `InvalidInput` or `UnknownName` for a reference that leads nowhere;
    `CheckpointError` for a file that cannot be read safely or does not fit.
    """
    loading = Loading(
        architecture=architecture,
        classes=classes,
        normalise=normalise,
        mean=None if mean is None else tuple(mean),
        std=None if std is None else tuple(std),
        head=head,
        representation=representation,
        precision=precision,
        has_random_weights=not pretrained,
        allows_download=download,
        is_trusted=trust,
        part=part,
    )
    model = open_model(reference, loading)
    return model.classifier if model.is_in_training else model.classifier.eval()


def open_model(reference: str, loading: Loading | None = None) -> Model:
    """The model of a reference, on the CPU; whoever looks puts it into evaluation mode.

    **Arguments:**

    - `reference`: a checkpoint file (`FILE::PART` for one network of it), `timm:NAME`,
      `torchvision:NAME`, `hf:NAME_OR_FOLDER`, `onnx:FILE` or `python:MODULE:FUNCTION`;
      `NAME=REFERENCE` gives it another name.

    **Raises:** `InvalidInput` or `UnknownName` for a reference that leads nowhere;
    `CheckpointError` for a file that cannot be read safely or does not fit.
    """
    loading = loading or Loading()
    name, given = split_name(reference)
    source, _, rest = given.partition(":")
    file, part = split_part(given)
    if source == "timm" and rest:
        model = from_timm(rest, loading)
    elif source == "torchvision" and rest:
        model = from_torchvision(rest, loading)
    elif source == "onnx" and rest:
        from samemind.networks.onnx import from_onnx

        model = from_onnx(rest, loading)
    elif source == "hf" and rest:
        from samemind.networks.huggingface import from_huggingface

        model = from_huggingface(rest, loading)
    elif is_file(file) or is_folder(file):
        model = _from_file(Path(file), loading, part)
    elif looks_published(file):
        model = _from_file(published_file(file), loading, part)
    elif function := function_named(given):
        model = from_function(*function, loading)
    else:
        raise InvalidInput(_what_it_may_be(given))
    _check_normalisation(model)
    return replace(model, name=name) if name else model


def _what_it_may_be(given: str) -> str:
    path = Path(given)
    near = ""
    if is_folder(path.parent):
        near = did_you_mean(path.name, [p.name for p in path.parent.iterdir() if p.is_file()])
    return (
        f"'{given}' is no model: there is no such file. {near}Give a checkpoint file, timm:NAME, "
        f"torchvision:NAME, or python:MODULE:FUNCTION for a function that returns a network."
    )


def _check_normalisation(model: Model) -> None:
    n = n_channels(model.classifier)
    if model.reads_images and n != model.channels:
        raise InvalidInput(
            f"'{model.name}' reads {model.channels} channel(s), but its normalisation has {n}. "
            f"Choose another one with --normalise ({', '.join(NORMALISATIONS)}, a dataset, none), "
            f"or state one number per channel with --mean and --std."
        )


# -- checkpoint files


def _from_file(path: Path, loading: Loading, part: str | None) -> Model:
    from samemind.checkpoints.reading import read_file
    from samemind.checkpoints.recognising import fitted

    if is_file(path) and (kind := kind_of(path)) in PROGRAM_FILES:
        return _from_program(path, kind, loading)
    contents = read_file(path, is_trusted=loading.is_trusted)
    loaded = fitted(
        contents,
        loading.architecture,
        part=loading.part if part is None else part,
        classes=loading.classes,
        image_size=loading.image_size,
    )
    record = loaded.architecture
    size = loading.image_size or record.image_size
    library = record.name.partition(":")[0]
    crop, usual = (size / 255 if size >= 224 else 1.0), None
    if library == "timm":
        crop, usual = timm_preprocessing(loaded.network)
    elif library == "torchvision":
        crop, usual = 224 / 256, NORMALISATIONS["imagenet"]
    held = (loaded.mean, loaded.std) if loaded.mean and loaded.std else None
    normalised = of_file(
        loading, record.channels, held=held, of_library=usual, library=library, path=str(path)
    )
    recognised = "" if loading.architecture else f"recognised by its keys as {record.name}"
    return Model(
        name=_name_of(path) if part is None else f"{_name_of(path)}::{part}",
        reference=str(path) if part is None else f"{path}::{part}",
        classifier=classifier_of(
            loaded.network,
            loading,
            normalised,
            shape=(record.channels, size, size),
            head=record.head,
        ),
        architecture=record.name,
        image_size=size,
        crop=loading.crop or crop,
        channels=record.channels,
        note="; ".join(filter(None, [recognised, *loaded.steps, normalised.note])),
        normalised=normalised,
        kind=FILES,
    )


def _from_program(path: Path, kind: str, loading: Loading) -> Model:
    from samemind.networks.programs import read_program

    network = read_program(path, kind, is_trusted=loading.is_trusted)
    return of_module(network, loading, name=_name_of(path), reference=str(path), kind=PROGRAMS)


def _name_of(path: Path) -> str:
    """The name of a model: of its file without ending, or of the folder that shards lie in."""
    if path.name.endswith(INDEX):
        path = path.parent
    return path.resolve().name if is_folder(path) else path.stem
