"""On real images: robust training and inversion of a small ResNet on CIFAR-10.

The images are halved to 16 pixels, so that both trainings take a minute of one processor core.
"""

import lzma
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import Attack, L2Ball
from samemind.classifier import Classifier
from samemind.datasets.base import DATASETS
from samemind.inversion import Descent, draw_seeds, invert
from samemind.training import Schedule, accuracy, train

CPU = torch.device("cpu")


def batch_of(folder: Path, name: str) -> tuple[torch.Tensor, np.ndarray]:
    """A CIFAR-10 batch, as it comes or packed with xz."""
    plain = folder / "cifar-10-batches-py" / name
    content = (
        plain.read_bytes() if plain.exists() else lzma.decompress(Path(f"{plain}.xz").read_bytes())
    )
    held = pickle.loads(content, encoding="latin1")
    images = torch.from_numpy(held["data"].reshape(-1, 3, 32, 32)).float() / 255
    return torch.nn.functional.avg_pool2d(images, 2), np.array(held["labels"])


def small_resnet() -> Classifier:
    """The small residual network of the digits, with a stem for colours."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ARCHITECTURES["digits_resnet"].build(10, 16)
        first = network.stem[0][0]
        network.stem[0][0] = torch.nn.Conv2d(3, first.out_channels, 3, 2, 1, bias=False)
    cifar = DATASETS["cifar10"]
    return Classifier(network, head="fc", mean=cifar.mean, std=cifar.std)


@pytest.mark.data
@pytest.mark.slow
def test_inverted_images_of_a_robust_model_are_nearer_to_their_targets(real_data: Path):
    images, labels = batch_of(real_data, "data_batch_1")
    test_images, test_labels = batch_of(real_data, "test_batch")
    test_images, test_labels = test_images[:500], test_labels[:500]
    ball, attack = L2Ball(1.0), Attack()
    seeds = test_images[draw_seeds(test_labels[:64], test_labels, random_seed=0)]
    found = {}
    for name, chosen in (("standard", None), ("robust", ball)):
        classifier = small_resnet()
        schedule = Schedule(
            epochs=8,
            batch_size=128,
            learning_rate=0.1,
            policy="one_cycle",
        )
        train(
            classifier, images[:2500], torch.from_numpy(labels[:2500]), schedule=schedule,
            ball=chosen, attack=attack if chosen else None, random_seed=0, device=CPU,
        )  # fmt: skip
        measure = {"images": test_images, "labels": torch.from_numpy(test_labels), "device": CPU}
        clean = accuracy(classifier, **measure)
        adversarial = accuracy(classifier, **measure, ball=ball, attack=attack)
        inverted = invert(classifier, test_images[:64], seeds, descent=Descent(steps=150)).images
        target = test_images[:64]
        # Of the way from the seed to the target: 1 is where it began.
        start = (seeds - target).flatten(1).norm(dim=1)
        distance = ((inverted - target).flatten(1).norm(dim=1) / start).median()
        found[name] = (clean, adversarial, float(distance))
    assert found["standard"][0] > 0.3
    assert found["robust"][0] > 0.2
    assert found["robust"][1] > found["standard"][1]
    assert found["robust"][2] < found["standard"][2] - 0.02, found
