"""How a study says what is trained: presets, what differs from them, exceptions."""

import pytest

from samemind.errors import InvalidInput
from samemind.study import Study
from samemind.training import Schedule, preset_of
from samemind.training.recipes import PRESETS

BASE = {"name": "mine", "dataset": "digits", "architectures": ["digits_resnet", "digits_vit"]}


def schedules(**training) -> dict[tuple[str, float], Schedule]:
    study = Study(**BASE, epsilons=[0, 0.5], training=training)  # pyright: ignore
    return {(c.architecture, c.epsilon): c.schedule for c in study.checkpoints}


def test_the_paper_preset_is_what_the_paper_says():
    cifar = Schedule(**preset_of("paper", image_size=32))
    assert cifar == Schedule(
        epochs=90,
        batch_size=512,
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        policy="step",
        step_epochs=30,
        augmentation="cifar",
        precision="float32",
    )
    imagenet = Schedule(**preset_of("paper", image_size=224))
    assert (imagenet.weight_decay, imagenet.augmentation) == (1e-4, "imagenet")
    tiny_vit = preset_of("paper", image_size=224, family="vision transformer")
    assert tiny_vit["batch_size"] == 256


def test_the_fast_preset_has_fewer_epochs_and_one_cycle():
    fast, paper = (Schedule(**preset_of(name, image_size=32)) for name in ("fast", "paper"))
    assert fast.epochs <= paper.epochs / 3
    assert fast.policy == "one_cycle"
    assert fast.augmentation == paper.augmentation


@pytest.mark.parametrize("name", PRESETS)
def test_images_too_small_to_shift_are_not_augmented(name: str):
    assert Schedule(**preset_of(name, image_size=8)).augmentation == "none"


def test_an_unknown_preset_is_refused():
    with pytest.raises(InvalidInput, match="Did you mean 'paper'"):
        preset_of("papers", image_size=32)


def test_fields_of_a_study_override_its_preset_and_exceptions_override_both():
    found = schedules(
        preset="paper",
        epochs=3,
        exceptions=[
            {"architectures": ["digits_vit"], "learning_rate": 0.01},
            {"architectures": ["digits_vit"], "epsilons": [0.5], "batch_size": 64, "epochs": 6},
        ],
    )
    resnet, vit, robust_vit = (
        found["digits_resnet", 0.5],
        found["digits_vit", 0],
        found["digits_vit", 0.5],
    )
    assert (resnet.epochs, resnet.learning_rate, resnet.batch_size) == (3, 0.1, 512)
    assert (vit.epochs, vit.learning_rate, vit.batch_size) == (3, 0.01, 256)
    assert (robust_vit.epochs, robust_vit.learning_rate, robust_vit.batch_size) == (6, 0.01, 64)


def test_fallbacks_are_part_of_the_recipe_and_their_absence_changes_no_identity():
    plain = {"epochs": 3, "batch_size": 64, "learning_rate": 0.1}
    study, with_fallback = (
        Study(**BASE, epsilons=[0], training=training)  # pyright: ignore
        for training in (plain, plain | {"fallback_learning_rates": [0.05]})
    )
    schedule = with_fallback.checkpoints[0].schedule
    assert schedule.fallback_learning_rates == (0.05,)
    assert study.checkpoints[0].identity != with_fallback.checkpoints[0].identity
    described = study.checkpoints[0].content["schedule"]
    assert "fallback_learning_rates" not in described


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"preset": "papers"}, "'fast' or 'paper'"),
        ({"preset": "fast", "augmentation": "cifarr"}, "Did you mean 'cifar'"),
        ({"preset": "fast", "exceptions": [{"architectures": ["digits_vitt"]}]}, "digits_vit"),
        ({"preset": "fast", "exceptions": [{"architectures": []}]}, "at least 1 item"),
        ({"preset": "fast", "policy": "cosine"}, "'one_cycle' or 'step'"),
    ],
)
def test_what_cannot_be_trained_is_refused(training: dict, words: str):
    with pytest.raises(ValueError, match=words):
        schedules(**training)


def test_a_robustness_curve_has_all_radii_of_the_study_and_that_of_standard_models():
    training = {"epochs": 1, "batch_size": 64, "learning_rate": 0.1}
    study = Study(**BASE, epsilons=[0, 1, 0.5], training=training)  # pyright: ignore
    assert {e.epsilons for e in study.evaluations} == {(0.25, 0.5, 1.0)}
    strong = study.evaluations[0].strong_attack
    assert strong is not None
    assert (strong.steps, strong.restarts, strong.random_start) == (50, 5, True)
