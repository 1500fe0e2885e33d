"""`samemind compare`: one's own models, or their activations, pair by pair."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING

import typer

from samemind.commands.compare_options import OF_NETWORKS, OF_PICTURES, OF_TEXTS, Format, Options
from samemind.commands.gate import could_not_run, exit_of_swaps
from samemind.commands.numbers import numbers_of_each
from samemind.commands.options import options_of, split
from samemind.commands.reports import write_to
from samemind.commands.terminal import console
from samemind.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from samemind.comparison.work import Asked
    from samemind.reporting.comparison import Comparison


@options_of(Options)
def compare(given: Options) -> None:
    """Compare your own models on your own inputs, and say whether one can replace another."""
    if given.fail_on is None:
        _deliver(_found(given), given)
        return
    with could_not_run():
        found = _found(given)
        _deliver(found, given)
        answers = [r.swap.answer(given.tolerance) for r in found.replacements]
        code = exit_of_swaps(answers, split(given.fail_on))
    raise typer.Exit(code)


def _found(given: Options) -> Comparison:
    asked = _asked(given)
    if given.activations or (given.inputs is None and _are_arrays(given.models)):
        return _of_arrays(given, asked)
    return _of_networks(given, asked)


def _are_arrays(models: list[str]) -> bool:
    """Whether all that was given can be nothing but arrays."""
    from samemind.inputs.arrays import is_of_arrays

    return all(is_of_arrays(one) for one in models)


def _asked(given: Options) -> Asked:
    from samemind.comparison.work import Asked

    return Asked(
        measures=split(given.measures) or None,
        errors=given.errors,
        permutations=given.permutations,
        calibrate=given.calibrate,
        extrapolate=given.extrapolate,
        differences=given.differences,
        layers=_layers(given.layers),
        layer_measure=given.layer_measure,
        pooling=given.pooling,
        invert=given.invert,
        invert_steps=given.invert_steps,
        probe=given.probe,
        probe_inputs=given.probe_inputs,
        random_seed=given.random_seed,
        join=given.join,
        drop_missing=given.drop_missing,
        tokens=given.tokens,
        special_tokens=given.special_tokens,
        max_length=given.max_length,
    )


def _of_arrays(given: Options, asked: Asked) -> Comparison:
    from samemind.comparison.activations import compare_activations
    from samemind.inputs.arrays import read_activations

    if given.inputs or given.invert or given.layers or given.probe_inputs:
        raise InvalidInput(
            "With --activations no model runs, so leave --inputs, --invert, --layers and "
            "--probe-inputs out."
        )
    _refuse(given, OF_NETWORKS, "is of networks, and with --activations none runs")
    if given.logits and given.probabilities:
        raise InvalidInput("Arrays are logits or probabilities. Leave one of the two out.")
    kind = "probabilities" if given.probabilities else "representation"
    kind = "logits" if given.logits else kind
    return compare_activations(read_activations(given.models, kind=kind), given.labels, asked)


def _refuse(given: Options, names: Iterable[str], why: str) -> None:
    """Raises `InvalidInput` for the first of these options that was given."""
    usual = {field.name: field.default for field in fields(Options)}
    for name in names:
        if getattr(given, name) != usual[name]:
            raise InvalidInput(f"--{name.replace('_', '-')} {why}. Leave it out.")


def _of_networks(given: Options, asked: Asked) -> Comparison:
    from samemind.comparison.networks import compare_models
    from samemind.execution.devices import Execution
    from samemind.inputs.images import open_images
    from samemind.inputs.tensors import Tensors
    from samemind.inputs.texts import is_texts
    from samemind.networks.opening import Loading, open_models
    from samemind.networks.options import refuse_unused
    from samemind.reporting.terminal import progress_bars

    if given.inputs is None:
        raise InvalidInput(
            "Models are compared on inputs: --inputs with a dataset, a folder of images or a "
            "tensor. For arrays that you have already, add --activations."
        )
    if is_texts(given.inputs) or any("gguf:" in one for one in given.models):
        return _of_texts(given, asked)
    _refuse(given, OF_TEXTS, "is of texts, and the inputs are none")
    seed = given.random_seed
    images = open_images(given.inputs, labels=given.labels, count=given.count, random_seed=seed)
    loading = Loading(
        architecture=given.architecture,
        classes=given.classes,
        image_size=given.image_size,
        normalise=given.normalise,
        crop=given.crop,
        mean=numbers_of_each(given.mean, "--mean"),
        std=numbers_of_each(given.std, "--std"),
        head=given.head,
        representation=given.representation,
        precision=given.precision,
        shape=images.shape,
        example=images.read(range(min(2, len(images)))) if isinstance(images, Tensors) else None,
        is_trusted=given.trust,
        part=given.part,
        dataset=images.dataset,
        has_random_weights=given.random_weights,
        allows_download=given.download,
        random_seed=seed,
    )
    for name in ("logits", "probabilities"):
        if getattr(given, name):
            raise InvalidInput(
                f"--{name} says what arrays hold, and networks were given. Leave it out, or add "
                f"--activations."
            )
    loaded = open_models(given.models, loading)
    refuse_unused(loading, loaded)
    execution = Execution(device=given.device, batch_size=given.batch_size)
    with progress_bars(is_shown=not given.is_for_machines) as watch:
        return compare_models(loaded, images, asked, execution=execution, watch=watch)


def _of_texts(given: Options, asked: Asked) -> Comparison:
    """Through the door that Python has: the names are of references alone."""
    _refuse(given, OF_PICTURES, "is of networks that look at pictures, and the inputs are texts")
    from samemind.own_models import compare as compare_own

    return compare_own(
        given.models,
        given.inputs,
        labels=given.labels,
        count=given.count,
        batch_size=given.batch_size,
        device=given.device,
        progress=not given.is_for_machines,
        text_column=given.text_column,
        id_column=given.id_column,
        label_column=given.label_column,
        download=given.download,
        **asdict(asked),
    )


def _layers(text: str | None) -> list[str | float] | str | None:
    """Layers as `Asked` takes them: 'all', or names and relative depths."""
    names = split(text)
    if names == ["all"]:
        return "all"
    return [float(one) if re.fullmatch(r"[01]|[01]?\.\d+", one) else one for one in names] or None


def _deliver(found: Comparison, given: Options) -> None:
    from samemind.reporting.terminal import show, verdict

    if given.form not in (None, Format.JSON):
        typer.echo(found.as_text(str(given.form)), nl=False)
    elif given.as_json or given.form is Format.JSON:
        record = found.as_record()
        for held, replacement in zip(record["replacements"], found.replacements, strict=True):
            held["tolerance"] = given.tolerance
            held["answer"] = replacement.swap.answer(given.tolerance)
            held["verdict"] = verdict(replacement, given.tolerance)
        typer.echo(json.dumps(record, indent=1, allow_nan=False))
    else:
        show(found, console, tolerance=given.tolerance)
    report = replace(found, tolerance=given.tolerance)
    write_to(given.out, report, is_told=not given.is_for_machines)
