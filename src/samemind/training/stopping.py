"""Training that stops at an accuracy, on images that it is not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.arrays import as_pixels
from samemind.errors import TrainingFailed
from samemind.execution.unchanged import modes_kept
from samemind.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.classifier import Classifier

LOOK = 250  # images in a forward pass


class Looks:
    """The rule, and the best accuracy it has seen.

    The network is looked at in evaluation mode, as it will be used. The accuracy at the first
    look that is high enough is a little better than the network is, as any record is.

    **Arguments:**

    - `images`, `labels`: (N, channels, H, W) as `train` reads them, and (N,).
    - `level`: the accuracy to stop at; `every`: steps from one look to the next.
    """

    def __init__(self, images: Tensor, labels: Tensor, *, level: float, every: int) -> None:
        self.images, self.labels = images, labels
        self.level, self.every = level, every
        self.best = 0.0

    def are_enough(self, classifier: Classifier, done: int) -> bool:
        """Whether this step has a look, and its accuracy is high enough."""
        if done % self.every:
            return False
        device = next(classifier.parameters()).device
        right = 0
        with modes_kept(classifier), torch.no_grad():
            classifier.eval()
            pieces = zip(self.images.split(LOOK), self.labels.split(LOOK), strict=True)
            for images, labels in pieces:
                answers = classifier(as_pixels(images.to(device))).logits.argmax(1)
                right += int((answers == labels.to(device)).sum())
        self.best = max(self.best, right / len(self.labels))
        return right / len(self.labels) >= self.level

    def failure(self, steps: int) -> TrainingFailed:
        return TrainingFailed(
            f"The training was to stop at an accuracy of {self.level:.1%} on {len(self.labels)} "
            f"images held out, but its best was {self.best:.1%} in {steps} steps. Name a lower "
            f"[training] stop_at_accuracy, or give it more epochs."
        )
