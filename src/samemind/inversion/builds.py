"""The builds of input sets: what is drawn, what is inverted, and how it is stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from samemind.datasets.base import DATASETS, Split
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.execution.memory_format import memory_format_for
from samemind.inversion.descent import Batch, Done, inversions
from samemind.inversion.recipes import Inputs, Inverted, Natural, Seeds
from samemind.lazy import np, torch
from samemind.randomness import draw, numpy_generator
from samemind.store.artifacts import Recipe, Store
from samemind.training import load_checkpoint

if TYPE_CHECKING:
    from samemind.classifier import Classifier
    from samemind.store.resume import ResumeState

INPUTS_FILE = "inputs.safetensors"


def draw_seeds(target_labels: np.ndarray, labels: np.ndarray, random_seed: int) -> np.ndarray:
    """For each target the index of an image of another class, uniform among all of those."""
    generator = numpy_generator(random_seed, "seeds")
    chosen = np.empty(len(target_labels), dtype=np.int64)
    for label in np.unique(target_labels):
        here = target_labels == label
        others = np.flatnonzero(labels != label)
        if not len(others):
            raise InvalidInput(
                f"Every image has the class {label}, so none can be the seed of another class. "
                f"Inversion needs at least two classes."
            )
        chosen[here] = generator.choice(others, here.sum())
    return chosen


def build_natural(recipe: Natural, store: Store, execution: Execution) -> None:
    """Copies the chosen images of a dataset into the store."""
    del execution
    split = _split_of(recipe)
    _write_images(
        recipe, store, split, draw(len(split), recipe.count, recipe.random_seed, "inputs")
    )


def _split_of(recipe: Natural) -> Split:
    dataset = DATASETS[recipe.dataset]
    dataset.check_fingerprint(recipe.split, recipe.fingerprint)
    return dataset.split(recipe.split)


def build_seeds(recipe: Seeds, store: Store, execution: Execution) -> None:
    """Draws a seed image for each target and copies it into the store."""
    del execution
    labels = store.open(recipe.targets).arrays(INPUTS_FILE)["labels"]
    split = _split_of(recipe.targets)
    _write_images(recipe, store, split, draw_seeds(labels, split.labels, recipe.random_seed))


def _write_images(recipe: Recipe, store: Store, split: Split, indices: np.ndarray) -> None:
    with store.create(recipe) as draft:
        draft.write_arrays(
            INPUTS_FILE,
            {"images": split.read(indices), "labels": split.labels[indices], "indices": indices},
        )


def build_inverted(recipe: Inverted, store: Store, execution: Execution) -> None:
    """Inverts the targets of a recipe; images that a killed run finished are not done again."""
    from samemind.store.resume import ResumeState

    device = execution.start()
    classifier = load_checkpoint(recipe.checkpoint, store)
    memory_format = memory_format_for(classifier, device)
    classifier.to(device, memory_format=memory_format)  # pyright: ignore[reportCallIssue]
    targets = store.open(recipe.targets).arrays(INPUTS_FILE)
    seeds = store.open(recipe.seeds).arrays(INPUTS_FILE)["images"]
    with ResumeState(store.scratch(recipe), every=execution.save_every) as resume:
        finished = Finished(resume, recipe.storage, steps=recipe.descent.steps, total=len(seeds))
        for done in inversions(
            classifier,
            targets["images"],
            seeds,
            finished.missing(),
            descent=recipe.descent,
            batch_size=execution.batch_size,
            device=device,
            after_step=finished.after_step,
            batch=finished.batch(device),
        ):
            finished.add(done)
        found = finished.arrays()
        losses = found.pop("losses").astype(np.float32)
        with store.create(recipe, device=str(device)) as draft:
            draft.write_arrays(
                INPUTS_FILE,
                found
                | {
                    "labels": targets["labels"],
                    "stored_relative_loss": _relative_loss_of(
                        classifier, found["images"], targets["images"], execution, device
                    ),
                    "curve": losses.mean(0, dtype=np.float64).astype(np.float32),
                    "curve_median": np.median(losses, 0),
                    "curve_p95": np.quantile(losses, 0.95, 0).astype(np.float32),
                },
            )
        resume.remove()


class Finished:
    """The images of an input set that are done, and the batch in work, in a scratch folder.

    Both are written when it is time to, each file whole or not at all. A killed run goes on with
    the batch as it was last written, so that the result is the same to the last bit; images that
    were written after it (the kill came in between) are done again.
    """

    BATCH = "batch.safetensors"

    def __init__(self, resume: ResumeState, storage: str, *, steps: int, total: int) -> None:
        self.resume = resume
        self.storage = storage
        self.steps = steps
        self.total = total
        self._unsaved: list[dict[str, np.ndarray]] = []
        self._batch = _read(resume.folder / self.BATCH)
        before = self._batch.pop("finished") if self._batch else None
        self._parts = []
        for file in sorted(resume.folder.glob("part-*.safetensors")):
            part = _read(file)
            if part and (before is None or np.isin(part["numbers"], before).all()):
                self._parts.append(part)
            else:
                file.unlink()
        if before is not None and self._count() < len(before):
            # A part that the batch counts on is gone: its images would enter among those in work.
            self._batch = None

    def _numbers(self) -> np.ndarray:
        return np.concatenate([np.empty(0, np.int64), *(part["numbers"] for part in self._parts)])

    def _count(self) -> int:
        return sum(len(part["numbers"]) for part in self._parts)

    def batch(self, device: torch.device) -> Batch | None:
        """The batch in work when a killed run last saved, or None."""
        if not self._batch or not len(self._batch["numbers"]):
            return None
        return Batch.going_on(self._batch, device)

    def missing(self) -> list[int]:
        """The numbers of the targets that are neither done nor in work, in order."""
        there = set(self._numbers().tolist())
        if self._batch:
            there |= set(self._batch["numbers"].tolist())
        return [n for n in range(self.total) if n not in there]

    def add(self, done: Done) -> None:
        """Takes images that left the batch."""
        part = {
            "numbers": done.numbers.astype(np.int64),
            "images": stored(done.images.cpu().numpy(), self.storage),
            "relative_loss": done.relative_loss.cpu().numpy(),
            "steps": done.steps.astype(np.int32),
            "losses": done.losses.astype(np.float16),
        }
        self._parts.append(part)
        self._unsaved.append(part)

    def after_step(self, batch: Batch) -> None:
        """Says how far the input set is, and saves when it is time to."""
        moving = float((batch.steps / max(1, self.steps)).sum())
        self.resume.tell(self._count() + moving, self.total)
        if self.resume.is_due:
            self._save(batch)
            self.resume.give_way()

    def _save(self, batch: Batch) -> None:
        from safetensors.numpy import save

        if self._unsaved:
            merged = _merged(self._unsaved)
            # Named by its first image, which is in no other file.
            name = f"part-{int(merged['numbers'].min()):09d}.safetensors"
            self.resume.write(self.resume.folder / name, save(merged))
            self._unsaved = []
        state = batch.state() | {"finished": self._numbers()}
        content = {name: np.ascontiguousarray(held) for name, held in state.items()}
        self.resume.write(self.resume.folder / self.BATCH, save(content))

    def arrays(self) -> dict[str, np.ndarray]:
        """What was found for every target, in the order of the targets."""
        merged = _merged(self._parts)
        order = np.argsort(merged.pop("numbers"))
        return {name: held[order] for name, held in merged.items()}


def _merged(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _read(file: Path) -> dict[str, np.ndarray] | None:
    """A part, or None where the file is not whole (power was lost as it was written)."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    from samemind.store.resume import read

    content = read(file)
    try:
        return load(content) if content else None
    except SafetensorError:
        return None


def stored(images: np.ndarray, storage: str) -> np.ndarray:
    """Images as they are kept: float16, float32, or uint8 rounded (never cut off)."""
    if storage == "uint8":
        return np.rint(images * 255).astype(np.uint8)
    if storage in ("float16", "float32"):
        return images.astype(storage)
    raise InvalidInput(f"No storage is called '{storage}'. Known: float16, float32, uint8.")


def _relative_loss_of(
    classifier: Classifier,
    images: np.ndarray,
    targets: np.ndarray,
    execution: Execution,
    device: torch.device,
) -> np.ndarray:
    """The relative loss of the images as stored: what any reader of them will find."""
    from samemind.classifier import outputs

    found, wanted = (
        outputs(
            classifier, torch.from_numpy(x), batch_size=execution.batch_size, device=device
        ).representation
        for x in (images, targets)
    )
    return (
        torch.linalg.vector_norm(found - wanted, dim=1) / torch.linalg.vector_norm(wanted, dim=1)
    ).numpy()


def load_inputs(recipe: Inputs | Seeds, store: Store) -> dict[str, np.ndarray]:
    """The arrays of an input set: images and labels, and what else its kind has."""
    return store.open(recipe).arrays(INPUTS_FILE)
