"""Accuracies under attack: the robustness curve, the strong attack, AutoAttack."""

import pytest
import torch
from torch import nn

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import STRONG_ATTACK, Attack, L2Ball
from samemind.classifier import Classifier, new_classifier
from samemind.datasets.base import DATASETS
from samemind.training import Schedule, accuracy, is_right, robustness_curve, train
from samemind.training.evaluation import autoattack_accuracy

CPU = torch.device("cpu")
EPSILONS = (0.25, 0.5, 1.0)
STRONG = Attack(steps=10, relative_step=0.25, random_start=True, restarts=3)


@pytest.fixture(scope="module")
def digits() -> tuple[Classifier, torch.Tensor, torch.Tensor]:
    """A network that is somewhat robust, and images it was not trained on."""
    split = DATASETS["digits"].split("train")
    images, labels = torch.from_numpy(split.read(range(600))), torch.from_numpy(split.labels[:600])
    classifier = new_classifier(ARCHITECTURES["digits_resnet"], DATASETS["digits"], random_seed=0)
    train(
        classifier,
        images[:500],
        labels[:500],
        schedule=Schedule(epochs=6, batch_size=100, learning_rate=0.1, policy="one_cycle"),
        ball=L2Ball(0.5),
        attack=Attack(),
        random_seed=0,
        device=CPU,
    )
    return classifier, images[500:], labels[500:]


def linear(weight: torch.Tensor) -> Classifier:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, len(weight), bias=False))
    network[1].weight.data.copy_(weight)
    return Classifier(network, head="1", mean=(0.0,), std=(1.0,))


def linear_problem() -> tuple[Classifier, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A two-class linear model, images, labels, and the exact distance that breaks each."""
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(2, 4, generator=generator)
    images = 0.4 + 0.2 * torch.rand(300, 1, 2, 2, generator=generator)
    logits = images.flatten(1) @ weight.T
    labels = logits.argmax(1)
    labels[:30] = 1 - labels[:30]
    rows = torch.arange(300)
    margin = (logits[rows, labels] - logits[rows, 1 - labels]) / (weight[0] - weight[1]).norm()
    return linear(weight), images, labels, margin


@pytest.mark.parametrize("attack", [Attack(), STRONG])
def test_the_curve_of_a_linear_model_is_that_of_its_margins(attack: Attack):
    classifier, images, labels, margin = linear_problem()
    curve = robustness_curve(
        classifier, images, labels, norm="L2", epsilons=(0.2, 0.05, 0.1), attack=attack, device=CPU
    )
    assert [epsilon for epsilon, _ in curve] == [0, 0.05, 0.1, 0.2]
    for epsilon, found in curve:
        # After a random start, ten steps of a quarter of ε end within 2 % of the best point.
        clear = (margin - epsilon).abs() > 0.02 * epsilon
        expected = int((margin > epsilon).sum()) / 300
        assert abs(found - expected) <= int((~clear).sum()) / 300


def test_a_curve_never_rises_and_the_strong_attack_finds_no_less(digits):
    classifier, images, labels = digits
    curves = [
        dict(
            robustness_curve(
                classifier, images, labels, norm="L2", epsilons=EPSILONS, attack=a, device=CPU
            )
        )
        for a in (Attack(), STRONG)
    ]
    weak, strong = curves
    assert list(strong.values()) == sorted(strong.values(), reverse=True)
    assert weak[0.0] == strong[0.0] == accuracy(classifier, images, labels, device=CPU)
    assert all(strong[e] <= weak[e] for e in EPSILONS)
    assert strong[1.0] < strong[0.0]


def test_sparing_broken_images_changes_no_number(digits):
    classifier, images, labels = digits
    ball = L2Ball(0.5)
    together = is_right(
        classifier, images, labels, ball=ball, attack=STRONG, random_seed=7, device=CPU
    )
    alone = [
        is_right(
            classifier,
            images,
            labels,
            ball=ball,
            attack=STRONG,
            random_seed=7,
            among=torch.arange(100) == i,
            batch_size=3,
            device=CPU,
        )[i]
        for i in range(0, 100, 9)
    ]
    assert together[::9].tolist() == [bool(found) for found in alone]


def test_the_strong_attack_is_fifty_steps_and_five_restarts():
    assert STRONG_ATTACK.summary == "PGD-50, step 0.1 ε, 5 restarts"


@pytest.mark.slow
def test_autoattack_finds_at_least_what_the_training_attack_finds(digits):
    pytest.importorskip("pyautoattack")
    classifier, images, labels = (digits[0], digits[1][:20], digits[2][:20])
    ball = L2Ball(0.5)
    found = autoattack_accuracy(classifier, images, labels, ball=ball, device=CPU)
    assert found <= accuracy(classifier, images, labels, ball=ball, attack=Attack(), device=CPU)
    assert all(p.requires_grad for p in classifier.parameters())
