"""The builds of training: the only part that touches the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from samemind.architectures.base import ARCHITECTURES, load_weights
from samemind.datasets.base import DATASETS, Dataset, PartOfSplit, Split, normalisation
from samemind.errors import InvalidInput, TrainingFailed
from samemind.execution.devices import Execution
from samemind.lazy import np, torch
from samemind.randomness import draw, numpy_generator, seed_of
from samemind.store.artifacts import Store
from samemind.training.augmentation import augmentation_of
from samemind.training.evaluation import accuracy, autoattack_accuracy, robustness_curve
from samemind.training.loading import SplitImages, images_for_training
from samemind.training.loop import train
from samemind.training.parallel import Group, joined
from samemind.training.progress import epochs_of
from samemind.training.recipes import Checkpoint, Evaluated, Imported, Schedule, Trained
from samemind.training.stopping import Looks

if TYPE_CHECKING:
    from samemind.classifier import Classifier
    from samemind.store.resume import ResumeState

WEIGHTS_FILE = "weights.safetensors"
TRAINING_FILE = "training.json"
EVALUATION_FILE = "evaluation.json"


def build_checkpoint(recipe: Trained, store: Store, execution: Execution) -> None:
    """Trains the checkpoint of a recipe, or goes on where a killed run left off.

    A training that fails is tried again with the recipe's next lower learning rate; what failed
    and why is kept beside the weights.
    """
    from samemind.store.resume import ResumeState

    with joined(execution.start()) as (group, device):
        dataset = DATASETS[recipe.dataset]
        split, held_out = _training_images(recipe, dataset)
        images = images_for_training(
            split,
            image_size=dataset.image_size,
            crops_originals=augmentation_of(recipe.schedule.augmentation).crops_originals,
            random_seed=recipe.random_seed,
            device=device,
        )
        resume = ResumeState(store.scratch(recipe), every=execution.save_every)
        write = partial(_write, store, {"device": str(device), "processes": group.size})
        attempt = partial(
            _attempt,
            recipe,
            images,
            torch.from_numpy(split.labels),
            resume=resume,
            group=group,
            device=device,
            execution=execution,
            held_out=held_out,
            keep=partial(_keep, recipe, store, write) if group.size == 1 else None,
        )
        # Every process of a group holds requests to end back: the first needs the others for its
        # step, and they end when it is gone.
        with resume:
            classifier, record = _first_that_succeeds(recipe.schedule, resume, attempt)
            if group.is_first:
                write(recipe, classifier, record)
                resume.remove()


def _write(
    store: Store, made: dict[str, Any], recipe: Trained, classifier: Classifier, record: Any
) -> None:
    """Writes weights and the record of a training that is at the end of its recipe."""
    with store.create(recipe, **made) as draft:
        held = {k: v.cpu().numpy() for k, v in classifier.network.state_dict().items()}
        draft.write_arrays(WEIGHTS_FILE, held)
        draft.write_json(TRAINING_FILE, record)


def _training_images(recipe: Trained, dataset: Dataset) -> tuple[Split, Split | None]:
    """The training images of a recipe, and those held out for a schedule that stops at an accuracy.

    The same for all models of a random seed that are trained on as many and hold out as many.
    """
    dataset.check_fingerprint("train", recipe.fingerprint)
    schedule = recipe.schedule
    split = dataset.split("train")
    used = _used(schedule, len(split), recipe.random_seed)
    if schedule.stop_at_accuracy is None:
        is_whole = schedule.count is None and schedule.share is None
        return (split if is_whole else PartOfSplit(split, used)), None
    # From what is not trained on anyhow, where that is enough; else from all.
    others = np.setdiff1d(np.arange(len(split)), used)
    others = others if len(others) >= schedule.stop_count else np.arange(len(split))
    chosen = draw(len(others), schedule.stop_count, recipe.random_seed, "held-out images")
    held_out = others[chosen]
    used = np.setdiff1d(used, held_out)
    if not len(used):
        raise InvalidInput(
            f"All {len(split)} training images would be held out to stop at an accuracy, and none "
            f"be left to train on. Lower [training] stop_count."
        )
    return PartOfSplit(split, used), PartOfSplit(split, held_out)


def _used(schedule: Schedule, count: int, random_seed: int) -> np.ndarray:
    """The training images of a schedule: all, so many at random, or a share of them."""
    if schedule.share is None:
        return draw(count, schedule.count, random_seed, "training images")
    # One order for all shares, so that a larger one has what a smaller one has, and more.
    order = numpy_generator(random_seed, "training images", "in order").permutation(count)
    return np.sort(order[: max(1, round(schedule.share * count))])


Attempt = Callable[..., tuple["Classifier", list[dict[str, float]]]]


def _first_that_succeeds(
    schedule: Schedule, resume: ResumeState, attempt: Attempt
) -> tuple[Classifier, dict[str, Any]]:
    """The classifier of the first learning rate that trains, and the record of all attempts."""
    rates = (schedule.learning_rate, *schedule.fallback_learning_rates)
    state = resume.load() or {"failed": [], "training": None}
    failed: list[dict[str, Any]] = list(state["failed"])
    while True:
        rate = rates[len(failed)]
        try:
            classifier, history = attempt(
                replace(schedule, learning_rate=rate), state=state["training"], failed=failed
            )
        except TrainingFailed as error:
            failed.append({"learning_rate": rate, "reason": str(error)})
            if len(failed) == len(rates):
                tried = ", ".join(f"{r:g}" for r in rates)
                raise TrainingFailed(f"{error} (Tried the learning rates {tried}.)") from None
            state = {"training": None}
        else:
            return classifier, {"learning_rate": rate, "failed": failed, "epochs": history}


def _attempt(
    recipe: Trained,
    images: Any,
    labels: torch.Tensor,
    schedule: Schedule,
    *,
    state: dict[str, Any] | None,
    failed: list[dict[str, Any]],
    resume: ResumeState,
    group: Group,
    device: torch.device,
    execution: Execution,
    held_out: Split | None,
    keep: Callable[..., None] | None,
) -> tuple[Classifier, list[dict[str, float]]]:
    from samemind.classifier import new_classifier

    mean, std = _constants(recipe)
    classifier = new_classifier(
        ARCHITECTURES[recipe.architecture],
        DATASETS[recipe.dataset],
        random_seed=seed_of(recipe.random_seed, "init"),
        mean=mean,
        std=std,
    )

    def after_step(done: int, total: int, current: Callable[[], dict[str, Any]]) -> None:
        # Before the state is saved: a run that goes on from it does not come by again.
        if keep is not None and schedule.keep_every and done % schedule.keep_every == 0:
            keep(classifier, schedule, current(), done / total * schedule.epochs)
        resume.after_step(done, total, lambda: {"failed": failed, "training": current()})

    history = train(
        classifier,
        images,
        labels,
        schedule=schedule,
        ball=recipe.ball,
        attack=recipe.attack,
        random_seed=recipe.random_seed,
        device=device,
        state=state,
        after_step=after_step if group.is_first else None,
        loaders=execution.loaders,
        compiled=execution.compiled,
        group=group,
        looks=_looks(schedule, held_out),
    )
    return classifier, history


def _keep(
    recipe: Trained,
    store: Store,
    write: Callable[..., None],
    classifier: Classifier,
    schedule: Schedule,
    state: dict[str, Any],
    part: float,
) -> None:
    """Leaves behind what the training would be if it ended here: the artifact of that recipe."""
    here = replace(recipe, schedule=replace(recipe.schedule, steps=state["done"]))
    if not store.has(here):
        epochs = epochs_of(state["history"], state["running"], part)
        record = {"learning_rate": schedule.learning_rate, "failed": [], "epochs": epochs}
        write(here, classifier, record)


def _looks(schedule: Schedule, held_out: Split | None) -> Looks | None:
    if held_out is None or schedule.stop_at_accuracy is None:
        return None
    return Looks(
        torch.from_numpy(held_out.read(np.arange(len(held_out)))),
        torch.from_numpy(held_out.labels),
        level=schedule.stop_at_accuracy,
        every=schedule.stop_every,
    )


def load_checkpoint(recipe: Checkpoint, store: Store) -> Classifier:
    """The classifier of a checkpoint in the store, on the CPU, in evaluation mode."""
    from samemind.classifier import Classifier, OneHead

    artifact = store.open(recipe)
    dataset, architecture = DATASETS[recipe.dataset], ARCHITECTURES[recipe.architecture]
    # Drawing weights that are overwritten must not shift anybody's random numbers.
    with torch.random.fork_rng(devices=[]):
        network = architecture.build(len(dataset.classes), dataset.image_size)
    weights = artifact.arrays(WEIGHTS_FILE)
    load_weights(network, {k: torch.from_numpy(v) for k, v in weights.items()})
    mean, std = _constants(recipe)
    head = architecture.head
    if isinstance(recipe, Imported) and recipe.head:
        network, head = OneHead(network, recipe.head), f"network.{recipe.head}"
    return Classifier(network, head=head, mean=mean, std=std).eval()


def _constants(recipe: Checkpoint) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The means and deviations by which the images of a checkpoint are normalised."""
    if isinstance(recipe, Imported):
        return recipe.mean, recipe.std
    dataset, name = DATASETS[recipe.dataset], recipe.schedule.normalisation
    if name == "dataset":
        return dataset.mean, dataset.std
    mean, std = normalisation(name, dataset.channels)
    if len(mean) != dataset.channels:
        raise InvalidInput(
            f"The normalisation '{name}' is for {len(mean)} channels, but images of "
            f"'{dataset.name}' have {dataset.channels}. Leave `normalisation` out of [training]."
        )
    return mean, std


def build_evaluation(recipe: Evaluated, store: Store, execution: Execution) -> None:
    """Measures the accuracies of a checkpoint and writes them down."""
    device = execution.start()
    classifier = load_checkpoint(recipe.checkpoint, store)
    dataset = DATASETS[recipe.checkpoint.dataset]
    dataset.check_fingerprint(recipe.split, recipe.fingerprint)
    split = dataset.split(recipe.split)
    if recipe.count is not None:
        chosen = draw(len(split), recipe.count, recipe.random_seed, "evaluation images")
        split = PartOfSplit(split, chosen)
    images, labels = SplitImages(split), torch.from_numpy(split.labels)
    measure = partial(
        accuracy, classifier, images, labels, batch_size=execution.batch_size, device=device
    )
    result = {
        "clean_accuracy": measure(),
        "adversarial_accuracy": measure(
            ball=recipe.ball, attack=recipe.attack, random_seed=recipe.random_seed
        ),
        "n_test": len(split),
        "parameters": sum(p.numel() for p in classifier.network.parameters()),
        "representation_size": ARCHITECTURES[recipe.checkpoint.architecture].representation_size,
    } | _under_strong_attack(recipe, classifier, images, labels, execution, device)
    with store.create(recipe, device=str(device)) as draft:
        draft.write_json(EVALUATION_FILE, result)


def _under_strong_attack(
    recipe: Evaluated,
    classifier: Classifier,
    images: SplitImages,
    labels: torch.Tensor,
    execution: Execution,
    device: torch.device,
) -> dict[str, Any]:
    """The robustness curve, and what the strong attack finds at the recipe's own ε."""
    attack = recipe.strong_attack or recipe.attack
    wanted = recipe.strong_count if recipe.strong_attack else None
    chosen = draw(
        len(images), min(wanted or len(images), len(images)), recipe.random_seed, "strong attack"
    )
    indices = torch.from_numpy(chosen)
    some_images, some_labels = images[indices], labels[indices]
    found: dict[str, Any] = {}
    if recipe.epsilons or recipe.strong_attack:
        curve = robustness_curve(
            classifier,
            some_images,
            some_labels,
            norm=recipe.ball.norm,
            epsilons=(*recipe.epsilons, recipe.ball.epsilon),
            attack=attack,
            random_seed=recipe.random_seed,
            batch_size=execution.batch_size,
            device=device,
        )
        found["robustness_curve"] = [list(point) for point in curve]
        found["robustness_curve_attack"] = f"{attack.summary}, n = {len(chosen)}"
        if recipe.strong_attack:
            found["strong_adversarial_accuracy"] = dict(curve)[float(recipe.ball.epsilon)]
    if recipe.autoattack:
        found["autoattack_accuracy"] = autoattack_accuracy(
            classifier,
            some_images,
            some_labels,
            ball=recipe.ball,
            random_seed=recipe.random_seed,
            batch_size=execution.batch_size,
            device=device,
        )
    return found
