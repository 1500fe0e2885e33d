"""On real images: robust training and inversion of a small ResNet on CIFAR-10 as published.

Both trainings and inversions together take a minute or two of one processor core.
"""

import lzma
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import Attack, L2Ball
from samemind.classifier import new_classifier
from samemind.datasets.base import DATASETS
from samemind.inversion import Descent, Until, draw_seeds, invert
from samemind.training import Schedule, accuracy, train

CPU = torch.device("cpu")


def batch_of(folder: Path, name: str) -> tuple[torch.Tensor, np.ndarray]:
    """A CIFAR-10 batch, as it comes or packed with xz."""
    plain = folder / "cifar-10-batches-py" / name
    content = (
        plain.read_bytes() if plain.exists() else lzma.decompress(Path(f"{plain}.xz").read_bytes())
    )
    held = pickle.loads(content, encoding="latin1")
    images = torch.from_numpy(held["data"].reshape(-1, 3, 32, 32))
    return images, np.array(held["labels"])


@pytest.mark.data
@pytest.mark.slow
def test_inverted_images_of_a_robust_model_are_nearer_to_their_targets(real_data: Path):
    images, labels = batch_of(real_data, "data_batch_1")
    test_images, test_labels = batch_of(real_data, "test_batch")
    test_images, test_labels = test_images[:1000].float() / 255, test_labels[:1000]
    ball, attack = L2Ball(1.0), Attack()
    target = test_images[:64]
    seeds = test_images[draw_seeds(test_labels[:64], test_labels, random_seed=0)]
    # Of the way from the seed to the target: 1 is where it began.
    start = (seeds - target).flatten(1).norm(dim=1)
    clean, adversarial, distance, loss = {}, {}, {}, {}
    for name, chosen in (("standard", None), ("robust", ball)):
        classifier = new_classifier(
            ARCHITECTURES["cifar_small_resnet"], DATASETS["cifar10"], random_seed=0
        )
        schedule = Schedule(
            epochs=6, batch_size=128, learning_rate=0.2, policy="one_cycle", precision="bfloat16"
        )
        train(
            classifier, images[:5000], torch.from_numpy(labels[:5000]), schedule=schedule,
            ball=chosen, attack=attack if chosen else None, random_seed=0, device=CPU,
        )  # fmt: skip
        measure = {"images": test_images, "labels": torch.from_numpy(test_labels), "device": CPU}
        clean[name] = accuracy(classifier, **measure)
        adversarial[name] = accuracy(classifier, **measure, ball=ball, attack=attack)
        until = Until(relative_loss=1e-3, patience=10, halvings=3)
        found = invert(classifier, target, seeds, descent=Descent(steps=300, until=until))
        distance[name] = (found.images - target).flatten(1).norm(dim=1) / start
        loss[name] = float(found.relative_loss.median())
    told = {"clean": clean, "adversarial": adversarial, "loss": loss} | {
        name: float(held.median()) for name, held in distance.items()
    }
    assert clean["standard"] > 0.4, told
    assert clean["robust"] > 0.3, told
    assert adversarial["robust"] > adversarial["standard"] + 0.1, told
    # To both models the inverted images look like the targets ...
    assert max(loss.values()) < 0.1, told
    # ... but what the robust model cannot tell apart is alike in pixels too: the paper's Figure 2.
    assert distance["robust"].median() < distance["standard"].median() - 0.1, told
    assert (distance["robust"] < distance["standard"]).float().mean() > 0.75, told
