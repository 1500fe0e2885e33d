"""Networks on images: what each says of them, pair by pair, and what else is asked of networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from samemind.comparison.fidelity import Fidelity, fidelity_of
from samemind.comparison.flips import name_in, thumbnails
from samemind.comparison.labelling import told_of_labels
from samemind.comparison.layer_maps import Layers, layer_map
from samemind.comparison.work import OF_TEXTS, Asked, Work, refuse_options
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.extraction.looking import (
    Watch,
    inverted_for,
    layers_seen,
    look,
    look_at,
    targets_and_seeds,
)
from samemind.inputs.images import Images, open_images
from samemind.inputs.tensors import Tensors
from samemind.lazy import pd
from samemind.measures.choosing import check_kinds
from samemind.measures.kinds import of_kind
from samemind.measures.mechanism import MECHANISM_MEASURES
from samemind.networks.lent import told_of
from samemind.networks.model import Model
from samemind.networks.normalising import better_normalisation
from samemind.reporting.comparison import Comparison
from samemind.results import GalleryItem
from samemind.sides.side import Side

SHOWN_TARGETS = 6


def compare_models(
    models: Sequence[Model],
    images: Images,
    asked: Asked | None = None,
    *,
    execution: Execution | None = None,
    watch: Watch | None = None,
) -> Comparison:
    """Every pair of models on the images, all of them together, and what they say of the images.

    **Raises:** `InvalidInput` for fewer than two models, or measures that cannot be computed;
    `UnknownName` for what is no measure.

    **Cost:** one forward pass per model and image; memory for the outputs of all.
    """
    asked, execution = asked or Asked(), execution or Execution()
    _check(models, images, asked)
    work = Work(asked=asked, sides=look(models, images, execution, watch), name=images.name)
    work.watch = watch
    work.notes += told_of(models)
    work.notes += [
        f"{m.name} predicts nothing, so measures of predictions have no value for it: --probe "
        f"trains a head, on labels."
        for m in models
        if not work.sides[m.name].has_logits
    ]
    work.notes += images.remarks()
    work.notes += filter(None, (better_normalisation(m, images, execution) for m in models))
    work.add_models(models)
    sizes = {side.n_classes for side in work.sides.values() if side.has_logits}
    if len(sizes) == 1 and (why := images.labels_for(next(iter(sizes)))[1]):
        if images.labels is not None and not images.classes:  # they were given for these models
            raise InvalidInput(f"The labels do not fit the models: {why}.")
        work.notes.append(f"No accuracies and flips: {why}.")
    elif len(sizes) > 1 and images.labels is not None:
        counts = " and ".join(map(str, sorted(sizes)))
        work.notes.append(f"No flips: the models have {counts} classes.")
    work.input_classes = images.classes
    work.score()
    work.notes += told_of_labels(work.sides)
    if len(sizes) == 1:
        work.class_names = images.class_names(sizes.pop())
    work.add_flips(name_of=name_in(images))
    if "flips" in work.parts and not isinstance(images, Tensors):
        work.parts["flip_images"] = thumbnails(work.parts["flips"], images, models[0])
    work.add_fidelities(_fidelities(work, models, images, execution))
    if asked.invert:
        _invert(work, models, images, execution, watch)
    if asked.layers:
        work.parts["layers"] = _layers(work, models, images, execution, watch)
    if asked.probe_inputs:
        others = open_images(asked.probe_inputs, random_seed=asked.random_seed)
        work.add_probes(_labelled(models, others, execution, watch), trained_on=others.name)
    elif asked.probe:
        work.add_probes()
    return work.finished(readings=pd.DataFrame([m.reading for m in models]))


def _check(models: Sequence[Model], images: Images, asked: Asked) -> None:
    """Refuses what can be refused before a model has run."""
    if len(models) < 2:
        raise InvalidInput(
            f"A comparison needs two models or more, but {len(models)} was given. Name another."
        )
    refuse_options(
        asked, OF_TEXTS, "'{}' is of language models on texts, but these look at images."
    )
    if asked.invert and isinstance(images, Tensors):
        raise InvalidInput(
            "Inverted inputs are images: pixels are moved until a model takes one for another. "
            "Leave --invert out for other inputs."
        )
    add_inversion = "it needs inverted images. Add --invert N, or leave it out."
    check_kinds(asked.measures, {} if asked.invert else {"mechanism": add_inversion})
    for name in of_kind("mechanism", asked.measures or ()):
        if MECHANISM_MEASURES[name].made != "inverted":
            raise InvalidInput(
                f"The measure '{name}' cannot be computed here: it needs "
                f"{MECHANISM_MEASURES[name].made} images of every model, which a study makes "
                f"([adversarial] epsilon). Leave it out."
            )


def _fidelities(
    work: Work, models: Sequence[Model], images: Images, execution: Execution
) -> list[Fidelity]:
    """Whether the first model and each other one are still the same network."""
    first, *others = models
    found = [
        fidelity_of(
            first, other, (work.sides[first.name], work.sides[other.name]), images, execution,
            always=False,
        )
        for other in others
    ]  # fmt: skip
    return [one for one in found if one is not None]


def _invert(
    work: Work,
    models: Sequence[Model],
    images: Images,
    execution: Execution,
    watch: Watch | None,
) -> None:
    """Adds scores on inverted images: for each model, pictures that it takes for others.

    The same targets and seeds for every model. Measures of mechanisms and of sets are computed
    as well.
    """
    asked = work.asked
    targets, seeds = targets_and_seeds(images, asked.invert, asked.random_seed)
    for owner in models:
        made = inverted_for(
            owner, targets, seeds, steps=asked.invert_steps, execution=execution, watch=watch
        )
        after = look_at(made.inverted, models, targets, execution)
        # As the owner was given them: another crop would be told from its inversions by that.
        before = None
        if of_kind("mechanism", work.measures):
            before = look_at(made.targets, models, targets, execution)
        work.score_inverted(owner.name, after, before)
        median = float(made.relative_loss.median())
        work.notes.append(
            f"Inverted for {owner.name}: relative loss, median {median:.3f} "
            f"(1 would be no nearer than nothing); see --invert-steps."
        )
        work.gallery += [
            GalleryItem(
                model=owner.name, epsilon=0.0, architecture=work.place.models[owner.name][0],
                seed=made.seeds[i].numpy(), target=made.targets[i].numpy(),
                inverted=made.inverted[i].numpy(), relative_loss=float(made.relative_loss[i]),
            )
            for i in range(min(SHOWN_TARGETS, asked.invert))
        ]  # fmt: skip


def _layers(
    work: Work,
    models: Sequence[Model],
    images: Images,
    execution: Execution,
    watch: Watch | None,
) -> pd.DataFrame:
    """The score of every layer of each model with every layer of each other one."""
    asked = work.asked
    assert asked.layers is not None
    outputs = layers_seen(
        models, images, asked.layers, pooling=asked.pooling, execution=execution, watch=watch
    )
    how = "averaged over space" if asked.pooling == "mean" else "flattened"
    work.notes.append(f"Layers: {asked.layer_measure}, activations {how}.")
    layers = {name: Layers.of(found) for name, found in outputs.items()}
    maps = [
        layer_map(
            layers[a], layers[b], asked.layer_measure,
            errors=asked.errors, permutations=asked.permutations, random_seed=asked.random_seed,
        ).assign(model_a=a, model_b=b)
        for a, b in combinations(outputs, 2)
    ]  # fmt: skip
    return pd.concat(maps, ignore_index=True)


def _labelled(
    models: Sequence[Model], images: Images, execution: Execution, watch: Watch | None
) -> dict[str, Side]:
    """What each model says of images with labels.

    **Raises:** `InvalidInput` for images without labels that fit a model.
    """
    found = look(models, images, execution, watch)
    for name, side in found.items():
        if not side.has_labels:
            why = images.labels_for(side.n_classes)[1]
            raise InvalidInput(f"Probes cannot be trained on {images.name} for {name}: {why}.")
    return found
