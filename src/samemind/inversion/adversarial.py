"""Adversarial examples of a checkpoint, as an input set that other models see too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from samemind.arrays import as_pixels
from samemind.attacks import Attack, Ball, random_starts
from samemind.datasets.base import DATASETS
from samemind.execution.devices import Execution, memory_reused
from samemind.execution.unchanged import unchanged
from samemind.inversion.builds import INPUTS_FILE
from samemind.inversion.recipes import Adversarial
from samemind.lazy import torch
from samemind.randomness import seed_of
from samemind.store.artifacts import Store
from samemind.training import load_checkpoint
from samemind.training.loop import Attacked

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.classifier import Classifier


@memory_reused()
def adversarial_examples(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    ball: Ball,
    attack: Attack,
    random_seed: int = 0,
    batch_size: int = 256,
    device: torch.device,
) -> Tensor:
    """Images within the ball around each image that raise the classifier's loss.

    **Arguments:**

    - `images`: `(N, channels, H, W)`, in [0, 1] or bytes.
    - `labels`: `(N,)`; default: what the classifier decides, so that it is led away from that.

    **Returns:** `(N, channels, H, W)` in float32, on the CPU. The batch size changes rounding only,
    because random starts are drawn for each image.

    **Cost:** that of the attack.
    """
    single, restarts = replace(attack, restarts=1), attack.restarts if attack.random_start else 1
    made = []
    with unchanged(classifier):
        classifier.to(device).eval()
        attacked = Attacked(classifier, single)
        for chunk in torch.arange(len(images)).split(batch_size):
            x = as_pixels(images[chunk]).to(device)
            with torch.no_grad():
                y = classifier(x).logits.argmax(1) if labels is None else labels[chunk].to(device)
            found, most = x, torch.full((len(x),), -torch.inf, device=device)
            for restart in range(restarts):
                start = None
                if attack.random_start:
                    seeds = (seed_of(random_seed, "adversarial", restart, int(i)) for i in chunk)
                    start = random_starts(ball, x, seeds)
                moved = attacked(x, y, ball, start=start)
                with torch.no_grad():
                    loss = attacked.loss(moved, labels=y)
                is_worse = loss > most
                found = torch.where(is_worse[:, None, None, None], moved, found)
                most = torch.where(is_worse, loss, most)
            made.append(found.cpu())
    return torch.cat(made)


def build_adversarial(recipe: Adversarial, store: Store, execution: Execution) -> None:
    """Attacks the model of a recipe on its natural images, and writes what was found.

    Where labels are of other classes than the model's, it is led away from its own decisions.
    """
    device = execution.start()
    classifier = load_checkpoint(recipe.checkpoint, store)
    targets = store.open(recipe.targets).arrays(INPUTS_FILE)
    own = DATASETS[recipe.checkpoint.dataset].classes == DATASETS[recipe.targets.dataset].classes
    found = adversarial_examples(
        classifier,
        torch.from_numpy(targets["images"]),
        torch.from_numpy(targets["labels"]) if own else None,
        ball=recipe.ball,
        attack=recipe.attack,
        random_seed=recipe.random_seed,
        batch_size=execution.batch_size,
        device=device,
    )
    with store.create(recipe, device=str(device)) as draft:
        draft.write_arrays(INPUTS_FILE, {"images": found.numpy(), "labels": targets["labels"]})
