"""`samemind import`: other people's checkpoints, read safely and kept in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from samemind.commands.numbers import numbers_in
from samemind.commands.options import DEFAULT_STORE, StorePath, options_of
from samemind.commands.terminal import console


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `samemind import` takes."""

    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Checkpoint files, names from `list checkpoints`, timm:NAME or torchvision:NAME.",
        ),
    ]
    dataset: Annotated[
        str | None,
        typer.Option(
            help="What they were trained on; see `list datasets` [default: that of a published "
            "checkpoint]."
        ),
    ] = None
    architecture: Annotated[
        str | None,
        typer.Option(
            help="See `list architectures`; also timm:NAME, torchvision:NAME, "
            "python:MODULE:FUNCTION [default: what the file's name says, or its keys]."
        ),
    ] = None
    epsilon: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Radius of the attack in training, for pixels in [0, 1]; 0 for standard training "
            "[default: what the file's name says].",
        ),
    ] = None
    norm: Annotated[str | None, typer.Option(help="Of that radius: L2 or Linf.")] = None
    mean: Annotated[
        str | None,
        typer.Option(
            help="Per channel, with commas, of the normalisation in training, for pixels in [0, 1] "
            "or 0 … 255 "
            "[default: what the file holds, else the dataset's]."
        ),
    ] = None
    std: Annotated[str | None, typer.Option(help="As --mean.")] = None
    random_seed: Annotated[
        int, typer.Option(help="Tells several runs of one kind apart in tables.")
    ] = 0
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Read files that hold more than tensors, which may run code from them, in a "
            "process of its own from which only tensors, numbers and short texts come back.",
        ),
    ] = False
    part: Annotated[
        str | None,
        typer.Option(
            help="Which network, by name or number from 0, where a file holds several; for one "
            "file of some, FILE::PART."
        ),
    ] = None
    head: Annotated[
        str, typer.Option(help="The layer that makes the logits, of several heads.")
    ] = ""
    store: StorePath = DEFAULT_STORE


@options_of(Options)
def import_(given: Options) -> None:
    """Bring checkpoints from elsewhere into the store, and print the lines for a study file."""
    from samemind.checkpoints.importing import (
        IMPORT_FILE,
        Claims,
        import_checkpoint,
        section_of,
        stated_by,
    )
    from samemind.checkpoints.metadata import contradictions, sentence
    from samemind.checkpoints.published import published
    from samemind.store.artifacts import Store

    claims = Claims(
        dataset=given.dataset,
        architecture=given.architecture,
        norm=given.norm,
        epsilon=given.epsilon,
        mean=numbers_in(given.mean, "--mean"),
        std=numbers_in(given.std, "--std"),
        random_seed=given.random_seed,
        is_trusted=given.trust,
        part=given.part,
        head=given.head,
    )
    artifacts = Store(given.store)
    artifacts.check_writable()
    recipes = []
    for source in given.sources:
        recipe = import_checkpoint(source, artifacts, claims)
        recipes.append(recipe)
        steps = artifacts.open(recipe).json(IMPORT_FILE)["steps"]
        console.print(f"# {recipe.model} is in {artifacts.path(recipe)}", soft_wrap=True)
        for step in steps:
            console.print(f"#   {step}", soft_wrap=True, markup=False)
        stated = stated_by(recipe, artifacts)
        notes = contradictions(
            recipe.model, stated, recipe.epsilon, {"architecture": recipe.architecture}
        )
        for line in (sentence(stated), *(f"Note: {note}" for note in notes)):
            if line:
                console.print(f"#   {line}", soft_wrap=True, markup=False)
        if record := published(source):
            console.print(
                f"#   published as {record.clean_accuracy} % accurate on {record.dataset}, SHA-256 "
                f"{'as published' if record.sha256 else 'recorded here for the first time'}",
                soft_wrap=True,
                markup=False,
            )
    console.print("# In a study file:\n")
    for recipe in recipes:
        console.print(section_of(recipe) + "\n", soft_wrap=True, markup=False)
