"""The descent in pixel space, for a batch that is refilled as its images are done. Pure."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from samemind.arrays import as_pixels
from samemind.attacks import frozen_for_attack, norms, value_and_gradient
from samemind.execution.devices import memory_reused
from samemind.execution.replaying import Replayed
from samemind.execution.unchanged import unchanged
from samemind.inversion.recipes import Descent
from samemind.lazy import np, torch
from samemind.training import mixed_precision

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.classifier import Classifier


class Inversion(NamedTuple):
    """What came of inverting N targets."""

    images: Tensor  # (N, channels, H, W), in [0, 1]
    relative_loss: Tensor  # (N,): of the image kept
    curve: Tensor  # (steps + 1,): mean relative loss of the iterates, the start first
    steps: Tensor  # (N,): moves made


class Done(NamedTuple):
    """Images that left the batch; fields as in `Inversion`, with their numbers."""

    numbers: np.ndarray  # (n,), within the targets
    images: Tensor
    relative_loss: Tensor
    steps: np.ndarray
    losses: np.ndarray  # (n, steps + 1): of each iterate; of the image kept, where it left early


def invert(
    classifier: Classifier,
    targets: Tensor,
    seeds: Tensor,
    *,
    descent: Descent,
    batch_size: int | None = None,
) -> Inversion:
    r"""Seed images moved until the classifier represents them as it does the targets.

    Descends $\|f(s) - f(x)\|_2 / \|f(x)\|_2$ per image. The gradient is scaled to unit length
    per image, so the images of a batch do not touch one another and any batch size gives the
    same. A zero gradient moves nothing. Clipping to [0, 1] is outside what is differentiated.

    **Arguments:**

    - `targets`, `seeds`: (N, channels, H, W), uint8 or [0, 1].
    - `batch_size`: images at a time; all at once unless said.

    **Cost:** one forward and one backward pass per step, and two forward passes more.

    **Source:** Jones et al. (2022) and Engstrom et al. (2019); constants in `Descent`.
    """
    images = torch.empty_like(pixels(seeds))
    loss = images.new_empty(len(seeds))
    steps = torch.empty(len(seeds), dtype=torch.int64)
    losses = np.zeros((len(seeds), descent.steps + 1), dtype=np.float32)
    for done in inversions(
        classifier,
        targets,
        seeds,
        range(len(seeds)),
        descent=descent,
        batch_size=batch_size or max(1, len(seeds)),
        device=seeds.device,
    ):
        images[done.numbers] = done.images
        loss[done.numbers] = done.relative_loss
        steps[done.numbers] = torch.from_numpy(done.steps)
        losses[done.numbers] = done.losses
    curve = torch.from_numpy(losses.mean(0, dtype=np.float64)).float()
    return Inversion(images, loss, curve, steps)


def pixels(images: Tensor | np.ndarray) -> Tensor:
    """Images in [0, 1] as float32; what is float64 already stays so."""
    tensor = torch.as_tensor(images)
    return tensor if tensor.dtype == torch.float64 else as_pixels(tensor)


# What a batch holds of each image beside tensors on the device.
COUNTS = ("numbers", "steps", "fell_at", "halved", "losses")


class Batch:
    """The images that are being moved: one row each, in tensors on the device."""

    def __init__(self, counts: dict[str, np.ndarray], rows: dict[str, Tensor]) -> None:
        self.numbers = counts["numbers"]
        self.steps = counts["steps"]
        # The step at which the best loss had last fallen by as much as is asked.
        self.fell_at = counts["fell_at"]
        self.halved = counts["halved"]
        self.losses = counts["losses"]
        self.rows = rows

    @classmethod
    def starting(cls, wanted: Tensor, x: Tensor, numbers: np.ndarray, steps: int) -> Batch:
        """A batch before its first step: representations to be reached, and seed images."""
        counts: dict[str, np.ndarray] = {
            name: np.zeros(len(numbers), dtype=np.int64) for name in COUNTS
        }
        counts["numbers"] = numbers
        counts["losses"] = np.zeros((len(numbers), steps + 1), dtype=np.float32)
        rows = {
            "wanted": wanted,
            # A representation of zero length would make the relative loss infinite.
            "scale": torch.linalg.vector_norm(wanted, dim=1).clamp_min(
                torch.finfo(wanted.dtype).tiny
            ),
            "x": x,
            "velocity": torch.zeros_like(x),
            "best": x,
            "best_loss": x.new_full((len(x),), torch.inf),
            "reference": x.new_full((len(x),), torch.inf),
        }
        return cls(counts, rows)

    def __len__(self) -> int:
        return len(self.numbers)

    def state(self) -> dict[str, np.ndarray]:
        """All there is to know to go on with this batch; see `going_on`."""
        rows = {name: held.cpu().numpy() for name, held in self.rows.items()}
        return rows | {name: getattr(self, name) for name in COUNTS}

    @classmethod
    def going_on(cls, state: dict[str, np.ndarray], device: torch.device) -> Batch:
        """The batch of a state, to go on with the same result to the last bit."""
        rows = {n: torch.from_numpy(v).to(device) for n, v in state.items() if n not in COUNTS}
        return cls({name: state[name] for name in COUNTS}, rows)

    def select(self, rows: np.ndarray) -> None:
        """Keeps these rows only."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name)[rows])
        indices = torch.from_numpy(np.flatnonzero(rows)).to(self.rows["x"].device)
        self.rows = {name: held[indices] for name, held in self.rows.items()}

    def append(self, other: Batch) -> None:
        """Adds the rows of another batch."""
        for name in COUNTS:
            both = [getattr(self, name), getattr(other, name)]
            setattr(self, name, np.concatenate(both))
        self.rows = {name: torch.cat((held, other.rows[name])) for name, held in self.rows.items()}


def inversions(
    classifier: Classifier,
    targets: Tensor | np.ndarray,
    seeds: Tensor | np.ndarray,
    numbers: Sequence[int],
    *,
    descent: Descent,
    batch_size: int,
    device: torch.device,
    after_step: Callable[[Batch], None] | None = None,
    batch: Batch | None = None,
) -> Iterator[Done]:
    """Inverts the targets of the given numbers, and yields images as they are done.

    An image that is done makes place for the next one, so the batch stays full; memory on the
    device is bounded by it. Where that memory does not suffice, passes are halved until it does.

    **Arguments:** as those of `invert`, and:

    - `numbers`: which rows of `targets` and `seeds`, in the order in which they enter the batch.
    - `after_step`: called after each step with the batch, in which what was done is no more.
    - `batch`: one that `after_step` got, to go on from there; its images are not in `numbers`.
    """
    waiting = list(numbers)
    passes = Passes(classifier, descent.precision, batch_size)
    with (
        memory_reused(),
        unchanged(classifier),
        frozen_for_attack(classifier),
        classifier.watched(),
        torch.no_grad(),
    ):
        while waiting or batch is not None:
            if waiting and (batch is None or len(batch) < batch_size):
                room = batch_size - (len(batch) if batch else 0)
                new = _started(passes, targets, seeds, waiting[:room], descent, device)
                del waiting[:room]
                if batch is None:
                    batch = new
                else:
                    batch.append(new)
            assert batch is not None
            done = _step(batch, passes, descent)
            if done.any():
                yield _leaving(batch, done)
                batch.select(~done)
            if len(batch):
                _move(batch, descent)
            if after_step is not None:
                after_step(batch)
            batch = batch if len(batch) else None


def _started(
    passes: Passes,
    targets: Tensor | np.ndarray,
    seeds: Tensor | np.ndarray,
    numbers: list[int],
    descent: Descent,
    device: torch.device,
) -> Batch:
    wanted = passes.representation(pixels(targets[numbers]).to(device))
    x = pixels(seeds[numbers]).to(device)
    return Batch.starting(wanted, x, np.asarray(numbers), descent.steps)


def _step(batch: Batch, passes: Passes, descent: Descent) -> np.ndarray:
    """Looks at the current iterates: their loss and gradient; which images are done."""
    held = batch.rows
    is_last = batch.steps == descent.steps
    if is_last.all():
        loss = passes.loss(held["x"], held["wanted"], held["scale"])
    else:
        loss, held["gradient"] = passes.loss_and_gradient(held["x"], held["wanted"], held["scale"])
    better = loss < held["best_loss"]
    held["best"] = torch.where(better.reshape(-1, 1, 1, 1), held["x"], held["best"])
    held["best_loss"] = torch.where(better, loss, held["best_loss"])
    batch.losses[np.arange(len(batch)), batch.steps] = loss.cpu().numpy()
    return is_last | _stalled(batch, descent)


def _stalled(batch: Batch, descent: Descent) -> np.ndarray:
    """Which images have not got better by enough for long enough, with no halving left."""
    if descent.until is None:
        return np.zeros(len(batch), dtype=bool)
    held = batch.rows
    fell = held["reference"] - held["best_loss"] >= descent.until.relative_loss
    held["reference"] = torch.where(fell, held["best_loss"], held["reference"])
    batch.fell_at = np.where(fell.cpu().numpy(), batch.steps, batch.fell_at)
    stalled = batch.steps - batch.fell_at >= descent.until.patience
    halve = stalled & (batch.halved < descent.until.halvings)
    if halve.any():
        batch.halved = batch.halved + halve
        batch.fell_at = np.where(halve, batch.steps, batch.fell_at)
    return stalled & ~halve


def _leaving(batch: Batch, done: np.ndarray) -> Done:
    rows = torch.from_numpy(np.flatnonzero(done)).to(batch.rows["x"].device)
    best, best_loss = batch.rows["best"][rows], batch.rows["best_loss"][rows]
    steps, losses = batch.steps[done], batch.losses[done]
    not_taken = np.arange(losses.shape[1]) > steps[:, None]
    losses = np.where(not_taken, best_loss.cpu().numpy()[:, None], losses)
    return Done(batch.numbers[done], best, best_loss, steps, losses)


def _move(batch: Batch, descent: Descent) -> None:
    held = batch.rows
    gradient = held.pop("gradient")
    length = norms(gradient)
    direction = torch.where(length > 0, gradient / length, torch.zeros_like(gradient))
    held["velocity"] = descent.momentum * held["velocity"] + (1 - descent.momentum) * direction
    step_size: float | Tensor = descent.step_size
    if batch.halved.any():
        sizes = torch.from_numpy(descent.step_size * 0.5**batch.halved)
        step_size = sizes.to(held["x"]).reshape(-1, 1, 1, 1)
    held["x"] = (held["x"] - step_size * held["velocity"]).clamp(0, 1)
    batch.steps = batch.steps + 1


class Passes:
    """Forward and backward passes of at most `width` images, fewer where memory runs out."""

    def __init__(self, classifier: Classifier, precision: str, width: int) -> None:
        self.classifier = classifier
        self.relative_loss = partial(_relative_loss, classifier, precision)
        self.width = width
        self.replayed = Replayed(partial(_loss_and_gradient, self.relative_loss))

    def representation(self, images: Tensor) -> Tensor:
        return self._in_parts(lambda x: (self.classifier(x).representation.float(),), images)[0]

    def loss(self, x: Tensor, wanted: Tensor, scale: Tensor) -> Tensor:
        return self._in_parts(lambda *part: (self.relative_loss(*part),), x, wanted, scale)[0]

    def loss_and_gradient(self, x: Tensor, wanted: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = self._in_parts(self.replayed, x, wanted, scale)
        return loss, gradient

    def _in_parts(self, do: Callable[..., tuple[Tensor, ...]], *rows: Tensor) -> tuple[Tensor, ...]:
        while True:
            try:
                parts = [do(*part) for part in zip(*(r.split(self.width) for r in rows))]  # noqa: B905
                return parts[0] if len(parts) == 1 else tuple(map(torch.cat, zip(*parts)))  # noqa: B905
            except torch.OutOfMemoryError:
                if self.width == 1:
                    raise
            self.width = (self.width + 1) // 2
            if rows[0].device.type == "cuda":
                self.replayed.give_up()
            warnings.warn(
                f"The memory of {rows[0].device} does not suffice: inverting {self.width} images "
                f"at a time from here on. A smaller --batch-size saves the attempts.",
                RuntimeWarning,
                stacklevel=2,
            )


# What is recorded holds nothing of its owner: on a GPU, memory would else outlive its last use.
def _relative_loss(
    classifier: Classifier, precision: str, images: Tensor, wanted: Tensor, scale: Tensor
) -> Tensor:
    # One layout whatever the steps before left: the layout may decide how sums are rounded.
    images = images.contiguous()
    with mixed_precision(precision, images.device):
        found = classifier(images).representation
    return torch.linalg.vector_norm(found.to(wanted.dtype) - wanted, dim=1) / scale


def _loss_and_gradient(
    loss: Callable[..., Tensor], x: Tensor, wanted: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    return value_and_gradient(lambda held: loss(held, wanted, scale), x)
