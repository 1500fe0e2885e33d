"""Fewer images, and another normalisation than the dataset's: part of what a model is."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import Attack, L2Ball
from samemind.datasets.base import DATASETS, PartOfSplit
from samemind.errors import InvalidInput
from samemind.randomness import draw
from samemind.study import read_study
from samemind.training import (
    Evaluated,
    Schedule,
    Trained,
    accuracy,
    build_checkpoint,
    build_evaluation,
    load_checkpoint,
)

DIGITS = DATASETS["digits"]
CPU = torch.device("cpu")


def trained(**more) -> Trained:
    return Trained(
        dataset="digits",
        architecture="digits_resnet",
        ball=None,
        attack=None,
        schedule=Schedule(epochs=1, batch_size=32, learning_rate=0.1, **more),
        random_seed=0,
    )


def test_a_part_of_a_split_is_its_images_and_labels_in_order():
    whole = DIGITS.split("test")
    part = PartOfSplit(whole, np.array([5, 3, 100]))
    assert len(part) == 3
    assert (part.labels == whole.labels[[5, 3, 100]]).all()
    assert (part.read([2, 0]) == whole.read([100, 5])).all()
    assert part.open_image(1).tobytes() == whole.open_image(3).tobytes()


def test_training_on_fewer_images_is_training_on_those_drawn(store, execution, monkeypatch):
    recipe = trained(count=100)
    build_checkpoint(recipe, store, execution)
    # Had the split no other images than those drawn, the weights would be the same bits.
    drawn = draw(1257, 100, 0, "training images")
    split = DIGITS.split("train")
    held = PartOfSplit(split, drawn)
    record = replace(DIGITS, open_split=lambda _name, _root: held)
    monkeypatch.setitem(DATASETS._members, "digits", record)
    whole = trained()
    build_checkpoint(whole, store, execution)
    few, all_there = load_checkpoint(recipe, store), load_checkpoint(whole, store)
    for a, b in zip(few.parameters(), all_there.parameters(), strict=True):
        assert torch.equal(a, b)
    assert recipe.name != whole.name


def test_the_same_random_seed_draws_the_same_images_and_another_one_others():
    assert (draw(1000, 50, 3, "training images") == draw(1000, 50, 3, "training images")).all()
    assert set(draw(1000, 50, 3, "training images")) != set(draw(1000, 50, 4, "training images"))


def test_an_accuracy_on_fewer_images_is_that_of_those_drawn(store, execution):
    checkpoint = trained(count=200)
    build_checkpoint(checkpoint, store, execution)
    evaluated = Evaluated(
        checkpoint=checkpoint,
        split="test",
        ball=L2Ball(0.5),
        attack=Attack(),
        random_seed=0,
        count=60,
    )
    build_evaluation(evaluated, store, execution)
    found = store.open(evaluated).json("evaluation.json")
    assert found["n_test"] == 60
    chosen = draw(540, 60, 0, "evaluation images")
    split = DIGITS.split("test")
    images, labels = torch.from_numpy(split.read(chosen)), torch.from_numpy(split.labels[chosen])
    classifier = load_checkpoint(checkpoint, store)
    assert found["clean_accuracy"] == accuracy(classifier, images, labels, device=CPU)


def test_more_images_than_there_are_cannot_be_drawn(store, execution):
    with pytest.raises(InvalidInput, match="2000 training images were asked for, but the split"):
        build_checkpoint(trained(count=2000), store, execution)


# -- normalisation


def test_a_normalisation_of_ones_own_is_that_of_training_and_of_the_loaded_checkpoint(
    store, execution
):
    recipe = trained(normalisation="none")
    assert recipe.content["schedule"]["normalisation"] == "none"
    build_checkpoint(recipe, store, execution)
    build_checkpoint(trained(), store, execution)
    classifier = load_checkpoint(recipe, store)
    assert (classifier.mean.item(), classifier.std.item()) == (0.0, 1.0)
    usual = load_checkpoint(trained(), store)
    assert usual.mean.item() == pytest.approx(DIGITS.mean[0])
    # Trained on other numbers, so with other weights, from the same first ones.
    assert not torch.equal(next(classifier.parameters()), next(usual.parameters()))


def test_what_was_trained_before_there_was_a_choice_is_still_found():
    content = trained().content["schedule"]
    assert "normalisation" not in content
    assert "count" not in content


def test_a_normalisation_for_three_channels_does_not_fit_grey_images(store, execution):
    with pytest.raises(InvalidInput, match="'imagenet' is for 3 channels, but images of 'digits'"):
        build_checkpoint(trained(normalisation="imagenet"), store, execution)


STUDY = """
dataset = "cifar10"
architectures = ["cifar_small_resnet", "cifar_small_vgg_bn"]
epsilons = [0]
[training]
epochs = 1
batch_size = 10
learning_rate = 0.1
count = 500
[[training.exceptions]]
architectures = ["cifar_small_vgg_bn"]
normalisation = "{name}"
[evaluation]
count = 40
"""


def test_a_study_says_which_models_are_normalised_otherwise(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(STUDY.format(name="imagenet"))
    study = read_study(path)
    found = [(c.schedule.count, c.schedule.normalisation) for c in study.checkpoints]
    assert found == [(500, "dataset"), (500, "imagenet")]
    assert [e.count for e in study.evaluations] == [40, 40]
    path.write_text(STUDY.format(name="imagnet"))
    with pytest.raises(InvalidInput, match=r"called 'imagnet'\. Did you mean 'imagenet'"):
        read_study(path)


def test_the_small_networks_read_any_number_of_classes():
    for name in ("small_resnet", "small_wide_resnet", "small_densenet", "small_vgg_bn"):
        for record, size in ((ARCHITECTURES[name], 224), (ARCHITECTURES[f"cifar_{name}"], 32)):
            with torch.no_grad():
                logits = record.build(7, size).eval()(torch.rand(1, 3, size, size))
            assert logits.shape == (1, 7)


def test_the_template_of_init_speaks_of_both():
    from samemind.study.template import study_text

    text = study_text("mine")
    assert "# normalisation = " in text
    assert tomllib.loads(text)["dataset"] == "digits"
