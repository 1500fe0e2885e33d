"""Training with noise, training that stops at an accuracy, and narrower and wider networks."""

import io
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from samemind.architectures.base import ARCHITECTURES, of_width
from samemind.attacks import Attack, L2Ball
from samemind.classifier import Classifier, new_classifier
from samemind.datasets.base import DATASETS
from samemind.errors import InvalidInput, TrainingFailed
from samemind.randomness import draw, torch_generator
from samemind.study import read_study
from samemind.study.template import study_text
from samemind.training import Schedule, Trained, accuracy, build_checkpoint, load_checkpoint, train
from samemind.training.augmentation import gaussian_noise
from samemind.training.builds import _training_images
from samemind.training.stopping import Looks

CPU = torch.device("cpu")
DIGITS = DATASETS["digits"]
QUICK = Schedule(epochs=3, batch_size=32, learning_rate=0.1, policy="one_cycle")


def trained(**more) -> Trained:
    fields = {"epochs": 3, "batch_size": 32, "learning_rate": 0.1, "policy": "one_cycle"}
    return Trained(
        dataset="digits",
        architecture="digits_resnet",
        ball=None,
        attack=None,
        schedule=Schedule(**(fields | more)),
        random_seed=0,
    )


def digits(start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    split = DIGITS.split("train")
    return torch.from_numpy(split.read(range(start, stop))), torch.from_numpy(
        split.labels[start:stop]
    )


def fresh() -> Classifier:
    return new_classifier(ARCHITECTURES["digits_vgg_bn"], DIGITS, random_seed=1)


def run(classifier: Classifier, looks: Looks | None = None, **more):
    images, labels = digits(0, 400)
    return train(
        classifier,
        images,
        labels,
        schedule=QUICK,
        ball=None,
        attack=None,
        random_seed=3,
        device=CPU,
        looks=looks,
        **more,
    )


# -- noise


def test_noise_has_the_strength_asked_for_is_not_clipped_and_differs_by_image():
    images = torch.full((200, 3, 16, 16), 0.1)
    noisy = gaussian_noise(images, 0.25, torch_generator(0, "noise", 0))
    change = (noisy - images).flatten()
    # Standard errors of mean and deviation of 153,600 values.
    assert abs(change.mean()) < 4 * 0.25 / len(change) ** 0.5
    assert abs(change.std() - 0.25) < 4 * 0.25 / (2 * len(change)) ** 0.5
    assert noisy.min() < 0
    assert np.abs(np.corrcoef(change.reshape(200, -1)[:20]) - np.eye(20)).max() < 0.2


@pytest.mark.parametrize("ball", [None, L2Ball(0.5)])
def test_one_step_with_noise_is_the_one_worked_out_by_hand(ball):
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    images, labels = torch.rand(6, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2])
    schedule = Schedule(epochs=1, batch_size=6, learning_rate=0.2, weight_decay=0.0, noise=0.3)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False))
    network[1].weight.data.copy_(weight)
    classifier = Classifier(network, head="1", mean=(0.0,), std=(1.0,))
    # An attack that may take no step sees the noisy images too.
    attack = Attack(steps=1, relative_step=1e-12, keep_best=False) if ball else None
    train(
        classifier, images, labels, schedule=schedule, ball=ball, attack=attack,
        random_seed=5, device=CPU,
    )  # fmt: skip
    # One batch of all images, whose order is that of its noise.
    noise = torch.randn(images.shape, generator=torch_generator(5, "noise", 0))
    from samemind.training import batches

    order = next(iter(batches(6, schedule, 5)))
    x = (images[order] + 0.3 * noise).flatten(1)
    if ball:
        x = x.clamp(0, 1)  # the attack keeps to pixels
    error = torch.softmax(x @ weight.T, 1) - nn.functional.one_hot(labels[order], 3)
    torch.testing.assert_close(network[1].weight.data, weight - 0.2 * error.T @ x / 6)


# -- stopping


def looks(level: float, every: int = 5) -> Looks:
    images, labels = digits(1000, 1200)
    return Looks(images, labels, level=level, every=every)


def test_a_training_stops_at_the_first_look_that_is_good_enough():
    states: dict[int, bytes] = {}

    def keep(done, _total, current):
        stream = io.BytesIO()
        torch.save(current(), stream)
        states[done] = stream.getvalue()

    run(fresh(), after_step=keep)
    images, labels = digits(1000, 1200)
    reached = {}
    for done in range(5, 40, 5):
        classifier = fresh()
        held = torch.load(io.BytesIO(states[done]), weights_only=True)["classifier"]
        classifier.load_state_dict(held)
        reached[done] = accuracy(classifier, images, labels, device=CPU)
    level = 0.6
    first = min(done for done, found in reached.items() if found >= level)
    assert first < 39  # else nothing would be stopped
    assert any(found < level for done, found in reached.items() if done < first)
    stopped = fresh()
    history = run(stopped, looks(level))
    expected = torch.load(io.BytesIO(states[first]), weights_only=True)["classifier"]
    assert all(torch.equal(expected[name], held) for name, held in stopped.state_dict().items())
    assert history[-1]["held_out_accuracy"] == reached[first]
    assert history[-1]["epoch"] == pytest.approx(first / 13)
    assert stopped.training


def test_a_stopped_training_that_is_resumed_ends_with_the_same_bits():
    states: dict[int, dict] = {}

    def keep(done, _total, current):
        if done in (4, 5, 12):
            stream = io.BytesIO()
            torch.save(current(), stream)
            states[done] = torch.load(io.BytesIO(stream.getvalue()), weights_only=True)

    whole = fresh()
    history = run(whole, looks(0.6), after_step=keep)
    assert len(states) == 3
    for state in states.values():
        resumed = fresh()
        assert run(resumed, looks(0.6), state=state) == history
        for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
            assert torch.equal(a, b)


def test_looking_changes_no_bit_of_a_training_that_is_not_stopped():
    plain, looked = fresh(), fresh()
    run(plain)
    with pytest.raises(TrainingFailed, match=r"to stop at an accuracy of 100\.0%.*best was"):
        run(looked, looks(1.0001))
    for (name, a), b in zip(plain.state_dict().items(), looked.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("count", [None, 700, 1200])
def test_images_held_out_are_not_trained_on(count):
    recipe = trained(stop_at_accuracy=0.5, stop_count=300, count=count)
    split, held_out = _training_images(recipe, DIGITS)
    assert len(held_out) == 300
    used, kept = set(split.indices.tolist()), set(held_out.indices.tolist())
    assert not used & kept
    # From what is not trained on anyhow, where that is enough: then as many are trained on.
    drawn = set(draw(1257, count, 0, "training images").tolist())
    assert used == drawn - kept
    assert count != 700 or used == drawn
    again, _ = _training_images(replace(recipe, random_seed=1), DIGITS)
    assert set(again.indices.tolist()) != used


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"stop_count": 1257}, "All 1257 training images would be held out"),
        ({"stop_count": 1300}, "1300 held-out images were asked for"),
    ],
)
def test_too_many_images_held_out_are_refused(more, words, store, execution):
    with pytest.raises(InvalidInput, match=words):
        build_checkpoint(trained(stop_at_accuracy=0.5, **more), store, execution)


def test_a_stopped_checkpoint_says_where_it_stopped(store, execution):
    recipe = trained(stop_at_accuracy=0.5, stop_count=200, stop_every=4)
    build_checkpoint(recipe, store, execution)
    last = store.open(recipe).json("training.json")["epochs"][-1]
    _, held_out = _training_images(recipe, DIGITS)
    found = accuracy(
        load_checkpoint(recipe, store),
        torch.from_numpy(held_out.read(range(200))),
        torch.from_numpy(held_out.labels),
        device=CPU,
    )
    assert found == last["held_out_accuracy"] >= 0.5
    assert last["epoch"] < 3
    assert recipe.model == "digits_resnet-eps0-stop0.5-seed0"


def test_a_training_that_never_gets_there_leaves_no_checkpoint(store, execution):
    recipe = trained(stop_at_accuracy=0.999, epochs=1)
    with pytest.raises(TrainingFailed, match=r"stop at an accuracy of 99\.9% on 1000 images"):
        build_checkpoint(recipe, store, execution)
    assert not store.has(recipe)


# -- identities and studies


def test_what_was_trained_before_keeps_its_name():
    robust = replace(
        trained(policy="step", epochs=4, batch_size=128), ball=L2Ball(0.5), attack=Attack()
    )
    assert robust.name == "checkpoints/digits-digits_resnet-eps0.5-seed0-8b66dd4aa7b74451"
    laptop = read_study("cifar10-laptop").checkpoints[0]
    assert laptop.name == "checkpoints/cifar10-cifar_small_resnet-eps0-seed0-65e53d345b0bab86"


STUDY = """
dataset = "cifar10"
width = {width}
architectures = ["cifar_small_resnet", "cifar_small_vgg_bn"]
epsilons = [0]
[training]
epochs = 1
batch_size = 10
learning_rate = 0.1
{more}
"""


def study(tmp_path, more: str = "", width: float = 1):
    path = tmp_path / "mine.toml"
    path.write_text(STUDY.format(more=more, width=width))
    return read_study(path)


def test_a_study_asks_for_noise_and_for_an_accuracy_to_stop_at(tmp_path):
    read = study(tmp_path, "noise = 0.25\nstop_at_accuracy = 0.5\nstop_every = 7")
    schedule = read.checkpoints[0].schedule
    assert (schedule.noise, schedule.stop_at_accuracy, schedule.stop_every) == (0.25, 0.5, 7)
    assert read.checkpoints[0].model == "cifar_small_resnet-eps0-noise0.25-stop0.5-seed0"
    plain = study(tmp_path).checkpoints[0]
    assert len({read.checkpoints[0].name, plain.name}) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("noise = -1", "greater than or equal to 0"),
        ("stop_at_accuracy = 1.0", "less than 1"),
        ("stop_count = 5", "stop_count needs stop_at_accuracy"),
    ],
)
def test_controls_that_make_no_sense_are_refused(tmp_path, more, words):
    with pytest.raises(InvalidInput, match=words):
        study(tmp_path, more)


def test_a_study_of_another_width_has_the_members_of_that_width(tmp_path):
    read = study(tmp_path, width=0.25)
    names = ("cifar_small_resnet_quarter", "cifar_small_vgg_bn_quarter")
    assert read.architectures == names
    assert type(read).model_validate(read.model_dump()).architectures == names
    with pytest.raises(InvalidInput, match=r"with 3 times its channels.*widths: 0\.25, 0\.5, 1, 2"):
        study(tmp_path, width=3)


def test_the_channels_of_every_layer_are_those_of_the_width():
    for record in [r for r in ARCHITECTURES.values() if r.width_of]:
        assert of_width(record.width_of, record.width) == record.name
        assert of_width(record.name, record.width) == record.name
        networks = [ARCHITECTURES[n].build(10, 32) for n in (record.name, record.width_of)]
        channels = [
            [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
            for network in networks
        ]
        assert channels[0] == [int(n * record.width) for n in channels[1]]
        assert record.representation_size == networks[0].get_submodule(record.head).in_features


def test_the_template_of_init_speaks_of_the_controls():
    text = study_text("mine")
    assert "# noise = 0.0" in text
    assert "# width = 1.0" in text
    assert tomllib.loads(text)["dataset"] == "digits"
