"""Other people's checkpoints as artifacts: read once, checked, and kept like one's own."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.architectures.base import ARCHITECTURES, Architecture
from samemind.architectures.heads import found_head
from samemind.attacks import ball_of
from samemind.checkpoints.fitting import Loaded, fit_file
from samemind.checkpoints.layouts import named
from samemind.checkpoints.parts import Part
from samemind.checkpoints.published import (
    checkpoints_folder,
    looks_published,
    published,
    published_file,
)
from samemind.checkpoints.reading import Contents, read_file, split_part
from samemind.checkpoints.recognising import architecture_of
from samemind.checkpoints.sharded import digest_of
from samemind.datasets.base import DATASETS, Dataset, of_unit_pixels
from samemind.errors import CheckpointError, InvalidInput
from samemind.execution.devices import Execution
from samemind.files.reading import is_file, is_folder
from samemind.files.toml import toml_line
from samemind.lazy import torch
from samemind.store.artifacts import Store
from samemind.training import WEIGHTS_FILE, Imported

if TYPE_CHECKING:
    from torch import Tensor

IMPORT_FILE = "import.json"


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What is said of a checkpoint; what is left None is taken from the file or its name.

    - `dataset`: what it was trained on; None where the name is of a published checkpoint.
    - `norm`, `epsilon`: of the attack in its training, in pixel units of [0, 1]; 0 is standard.
    - `mean`, `std`: its normalisation, for pixels in [0, 1] or in 0 … 255; unless given, what
      the file holds, else the dataset's.
    - `head`: the layer that makes the logits, of a network that has several.
    - `is_trusted`, `part`: see `samemind.checkpoints.reading.read_weights`.
    """

    dataset: str | None = None
    architecture: str | None = None
    norm: str | None = None
    epsilon: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    random_seed: int = 0
    is_trusted: bool = False
    part: str | int | None = None
    head: str = ""


@dataclass(frozen=True)
class Source:
    """Weights and where they are from; `mean` and `std` where the source says them."""

    name: str
    sha256: str
    contents: Contents
    architecture: str | None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def import_checkpoint(source: str, store: Store, claims: Claims) -> Imported:
    """The recipe of a checkpoint from elsewhere, whose weights are then in the store.

    **Arguments:**

    - `source`: a file; the name of a published checkpoint (`samemind list checkpoints`) whose
      file is on this machine; or `timm:NAME` or `torchvision:NAME` for published weights.

    **Raises:** `CheckpointError` where the file cannot be read safely or does not fit whole;
    `InvalidInput` where something is not known that a comparison depends on.

    **Cost:** reads the file, hashes it, and writes the weights once more.
    """
    recipe, loaded = read_checkpoint(source, claims)
    if not store.has(recipe):
        _write(recipe, loaded, store)
    return recipe


def read_checkpoint(source: str, claims: Claims) -> tuple[Imported, Loaded]:
    """The recipe of a checkpoint from elsewhere and its network, without writing anything.

    Arguments and errors are those of `import_checkpoint`.
    """
    source, part = split_part(source)
    claims = claims if part is None else replace(claims, part=part)
    found = _published(source) if _is_name(source) else _of_file(_path_of(source), claims)
    suggested = named(Path(found.name).stem)
    name = claims.architecture or found.architecture or (suggested and suggested.architecture)
    dataset, architecture = _known(source, claims, found, name)
    architecture.check_images(dataset.channels, dataset.image_size)
    _check_hash(source, found)
    architecture = _with_head(architecture, claims.head, dataset)
    loaded = fit_file(found.contents, architecture, part=claims.part, image_size=dataset.image_size)
    _check_classes(source, loaded, dataset)
    (mean, std), steps = _constants(claims, loaded, found, dataset)
    recipe = Imported(
        source=found.name,
        sha256=found.sha256 if claims.part is None else f"{found.sha256}:{claims.part}",
        dataset=dataset.name,
        architecture=architecture.name,
        ball=_ball(found.name, claims),
        mean=mean,
        std=std,
        random_seed=claims.random_seed,
        head=claims.head,
    )
    if claims.head:
        _check_head(recipe, loaded, dataset)
    elif architecture.family == "own":
        steps += _several_outputs(loaded, dataset)
    _check_normalisation(recipe, architecture)
    stated = found.contents.metadata
    return recipe, replace(loaded, steps=(*loaded.steps, *steps), metadata=stated)


def _known(
    source: str, claims: Claims, found: Source, name: str | None
) -> tuple[Dataset, Architecture]:
    """What the weights were trained on, and the network that they are of.

    **Raises:** `InvalidInput` that asks at once for all that is not known, the radius included.
    """
    record = published(source)
    dataset = claims.dataset or (record.dataset if record else None)
    said, add = [], []
    if dataset is None:
        said.append("what its network was trained on")
        add.append("--dataset NAME (`samemind list datasets`)")
    if name is None:
        chosen = found.contents.choose(claims.part, fits=_is_known)
        keys = architecture_of(chosen.weights, Path(found.name).stem)
        name = keys.architecture
        if name is None:
            said.append(f"which network its weights are of ({keys.problem})")
            add.append(
                "--architecture NAME (`samemind list architectures`), timm:NAME, torchvision:NAME "
                "or python:MODULE:FUNCTION"
            )
    if claims.epsilon is None and named(Path(found.name).stem) is None:
        said.append("how robust it was trained to be")
        add.append("--epsilon 0 for standard training, or --epsilon 0.5 --norm L2 and the like")
    if said or dataset is None or name is None:
        raise InvalidInput(f"{source} does not say {'; '.join(said)}. Add {'; '.join(add)}.")
    return DATASETS[dataset], ARCHITECTURES[name]


def _with_head(architecture: Architecture, head: str, dataset: Dataset) -> Architecture:
    """The architecture with another of its layers as its head.

    **Raises:** `InvalidInput` for a name that no layer has.
    """
    if not head:
        return architecture
    from samemind.classifier import submodule

    with torch.random.fork_rng(devices=[]):
        submodule(architecture.build(len(dataset.classes), dataset.image_size), head)
    return replace(architecture, head=head)


def _check_head(recipe: Imported, loaded: Loaded, dataset: Dataset) -> None:
    """Raises `InvalidInput` unless the head that was named makes logits of what it reads."""
    from samemind.classifier import Classifier, OneHead, check_head

    images = _two_images(dataset)
    network = OneHead(loaded.network, recipe.head)
    head = f"network.{recipe.head}"
    check_head(Classifier(network, head=head, mean=recipe.mean, std=recipe.std), images)


def _several_outputs(loaded: Loaded, dataset: Dataset) -> tuple[str, ...]:
    """What is told of a network that returns several outputs."""
    note = found_head(loaded.network, _two_images(dataset)).note
    return (note,) if note else ()


def _two_images(dataset: Dataset) -> Tensor:
    shape = (2, dataset.channels, dataset.image_size, dataset.image_size)
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def _is_known(weights: dict[str, Tensor]) -> bool:
    return architecture_of(weights).architecture is not None


def _constants(
    claims: Claims, loaded: Loaded, found: Source, dataset: Dataset
) -> tuple[tuple[tuple[float, ...], tuple[float, ...]], tuple[str, ...]]:
    """The means and deviations of a checkpoint, and what a reader must be told of them."""
    if (claims.mean is None) != (claims.std is None):
        given, lacking = ("--mean", "--std") if claims.std is None else ("--std", "--mean")
        raise InvalidInput(
            f"A normalisation is both means and deviations, but only {given} was given. State "
            f"{lacking} as well, with one number per channel."
        )
    if claims.mean is not None and claims.std is not None:
        mean, std, is_255 = of_unit_pixels(claims.mean, claims.std)
        return (mean, std), ("took --mean and --std for pixels in 0 … 255",) if is_255 else ()
    if loaded.mean and loaded.std:
        return (_per_channel(loaded.mean, dataset), _per_channel(loaded.std, dataset)), ()
    if found.mean and found.std:
        return (found.mean, found.std), ()
    return (dataset.mean, dataset.std), (
        f"normalised by the constants of '{dataset.name}', {assumed(dataset.mean, dataset.std)}",
    )


def _per_channel(values: tuple[float, ...], dataset: Dataset) -> tuple[float, ...]:
    return values * dataset.channels if len(values) == 1 else values


def assumed(mean: Sequence[float], std: Sequence[float]) -> str:
    """What is said where a normalisation was not known: the numbers, and how to state others."""
    numbers = f"mean {', '.join(f'{v:g}' for v in mean)}, std {', '.join(f'{v:g}' for v in std)}"
    return f"an assumption, as the file does not say its own ({numbers}); --mean and --std state it"


def _is_name(source: str) -> bool:
    return source.partition(":")[0] in ("timm", "torchvision") and not is_file(source)


def _path_of(source: str) -> Path:
    """The file given, or the one on this machine that a published name stands for."""
    path = Path(source)
    return (
        path
        if is_file(path) or is_folder(path) or not looks_published(source)
        else published_file(source)
    )


def _of_file(path: Path, claims: Claims) -> Source:
    contents = read_file(path, is_trusted=claims.is_trusted)
    return Source(path.name or path.resolve().name, digest_of(path), contents, None)


def _published(source: str) -> Source:
    """Published weights, from the library's own cache or downloaded by its own code into it."""
    library, _, name = source.partition(":")
    record = ARCHITECTURES[source]
    try:
        network, mean, std = (_of_timm if library == "timm" else _of_torchvision)(name)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"The published weights of {source} could not be had ({type(error).__name__}: "
            f"{str(error).splitlines()[0][:200]}). Fetch them where there is a network, or import "
            f"a file with --architecture {record.name}."
        ) from error
    weights = network.state_dict()
    digest = hashlib.sha256()
    for key in sorted(weights):
        digest.update(key.encode())
        digest.update(weights[key].contiguous().numpy().tobytes())
    contents = Contents(Path(source), (Part("", weights),))
    return Source(source, digest.hexdigest(), contents, source, tuple(mean), tuple(std))


def _of_timm(name: str) -> tuple[Any, Any, Any]:
    import timm
    from timm.data.config import resolve_model_data_config

    network = timm.create_model(name, pretrained=True)
    config: dict[str, Any] = resolve_model_data_config(network)
    return network, config["mean"], config["std"]


def _of_torchvision(name: str) -> tuple[Any, Any, Any]:
    from torchvision import models

    weights: Any = models.get_model_weights(name).DEFAULT  # pyright: ignore[reportAttributeAccessIssue]
    presets = weights.transforms()
    return models.get_model(name, weights=weights), presets.mean, presets.std


def _check_hash(source: str, found: Source) -> None:
    record = published(source)
    if record and record.sha256 and record.sha256 != found.sha256:
        raise CheckpointError(
            f"{source} is not the published {record.name}: its SHA-256 is {found.sha256}, not "
            f"{record.sha256}. Fetch it again from {record.address}, or give it another name."
        )


def _check_classes(source: str, loaded: Loaded, dataset: Dataset) -> None:
    if loaded.classes != len(dataset.classes):
        raise CheckpointError(
            f"{source} tells {loaded.classes} classes apart, but '{dataset.name}' has "
            f"{len(dataset.classes)}. Name the dataset that it was trained on with --dataset."
        )


def _ball(source: str, claims: Claims):
    suggested = named(Path(source).stem)
    epsilon = claims.epsilon
    norm = claims.norm or (suggested.norm if suggested else "L2")
    if epsilon is None and suggested:
        epsilon = suggested.epsilon
    return ball_of(norm, epsilon) if epsilon else None


def _check_normalisation(recipe: Imported, architecture: Architecture) -> None:
    if len(recipe.mean) != architecture.channels or len(recipe.std) != architecture.channels:
        raise InvalidInput(
            f"The normalisation has {len(recipe.mean)} mean(s) and {len(recipe.std)} deviation(s), "
            f"but '{architecture.name}' reads {architecture.channels} channel(s). State one of "
            f"each per channel with --mean and --std."
        )


def _write(recipe: Imported, loaded: Loaded, store: Store) -> None:
    weights = loaded.network.state_dict()
    with store.create(recipe) as draft:
        draft.write_arrays(WEIGHTS_FILE, {k: v.cpu().numpy() for k, v in weights.items()})
        draft.write_json(IMPORT_FILE, _described(recipe, loaded))


def _described(recipe: Imported, loaded: Loaded) -> dict[str, Any]:
    return {
        "source": recipe.source,
        "steps": list(loaded.steps),
        "metadata": dict(loaded.metadata),
    }


def stated_by(recipe: Imported, store: Store) -> dict[str, Any]:
    """What the file of an imported checkpoint says of it, as kept with its weights."""
    return store.open(recipe).json(IMPORT_FILE).get("metadata", {})


def build_imported(recipe: Imported, store: Store, execution: Execution) -> None:
    """Imports again what has a published name; of other files a study knows only the hash.

    **Raises:** `CheckpointError` that gives the command, or what to fetch first.
    """
    del execution
    if missing := import_lacks(recipe):
        raise CheckpointError(missing)
    found = import_checkpoint(recipe.source, store, _claims_of(recipe))
    if found != recipe:
        raise CheckpointError(
            f"{recipe.source} now has the SHA-256 {found.sha256[:16]}…, but the study asks for "
            f"{recipe.sha256[:16]}…. Other weights have been published under this name."
        )


def import_lacks(recipe: Imported) -> str:
    """What must be done before a checkpoint can be imported again; '' where nothing must."""
    record = published(recipe.source)
    if _is_name(recipe.source) or (record and record.found()):
        return ""
    fetch = f" Download {record.address} to {checkpoints_folder() / record.file}." if record else ""
    return (
        f"The checkpoint {recipe.source} (SHA-256 {recipe.sha256[:16]}…) is not in the store "
        f"yet.{fetch} Import it: {command_of(recipe)}"
    )


def _claims_of(recipe: Imported) -> Claims:
    return Claims(
        dataset=recipe.dataset,
        architecture=recipe.architecture,
        norm=recipe.ball.norm if recipe.ball else None,
        epsilon=recipe.epsilon,
        mean=recipe.mean,
        std=recipe.std,
        random_seed=recipe.random_seed,
        head=recipe.head,
    )


def bring_in(recipe: Imported, file: Path, store: Store) -> None:
    """Imports the file that a study names, which must be the one that its recipe is of.

    **Raises:** `CheckpointError` if it is another one.
    """
    sha256, _, part = recipe.sha256.partition(":")
    if digest_of(file) != sha256:
        raise CheckpointError(
            f"{file} is not the file that the study was written for: its SHA-256 is "
            f"{digest_of(file)[:16]}…, not {sha256[:16]}…. Put that file there, or write the study "
            f"anew with `samemind init --models`."
        )
    claims = replace(_claims_of(recipe), part=part or None)
    found = import_checkpoint(str(file), store, claims)
    if found != recipe:
        raise CheckpointError(
            f"{file} does not import as the study says: its recipe would be {found.name}. Compare "
            f"the study's lines with those of `{command_of(recipe)}`."
        )


def command_of(recipe: Imported, file: str = "") -> str:
    """The command line that imports a checkpoint as its recipe says."""
    # Whatever of the recipe were left out here would be guessed there, and another recipe result.
    short = f"{recipe.epsilon:g}"
    epsilon = short if float(short) == recipe.epsilon else repr(recipe.epsilon)
    part = recipe.sha256.partition(":")[2]
    options = {
        "dataset": recipe.dataset,
        "architecture": recipe.architecture,
        "epsilon": epsilon,
        "norm": recipe.ball.norm if recipe.ball else "",
        "mean": ",".join(map(repr, recipe.mean)),
        "std": ",".join(map(repr, recipe.std)),
        "random-seed": str(recipe.random_seed or ""),
        "part": part,
        "head": recipe.head,
    }
    said = " ".join(f"--{key} {value}" for key, value in options.items() if value)
    return f"samemind import {shlex.quote(file or recipe.source)} {said}"


def section_of(recipe: Imported, file: Path | str | None = None, at: float | None = None) -> str:
    """The lines that name an imported checkpoint in a study file, and where its file lies.

    - `at`: its place along the axis of the study, where that is not ε.
    """
    lines = [
        "[[imported]]",
        toml_line("source", recipe.source),
        toml_line("sha256", recipe.sha256),
        toml_line("architecture", recipe.architecture),
        toml_line("epsilon", recipe.epsilon),
        toml_line("mean", recipe.mean),
        toml_line("std", recipe.std),
    ]
    if at is not None:
        lines.append(toml_line("at", at))
    if file is not None:
        lines.append(toml_line("file", str(file)))
    if recipe.random_seed:
        lines.append(toml_line("random_seed", recipe.random_seed))
    if recipe.head:
        lines.append(toml_line("head", recipe.head))
    return "\n".join(lines)
