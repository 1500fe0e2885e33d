"""Training: what a step does, schedules, failures, and runs that are killed and go on."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import Attack, L2Ball
from samemind.classifier import Classifier, new_classifier
from samemind.datasets.base import DATASETS
from samemind.errors import InvalidInput, TrainingFailed
from samemind.execution.devices import Execution
from samemind.store.artifacts import Store
from samemind.store.resume import ResumeState
from samemind.training import (
    Evaluated,
    Schedule,
    Trained,
    accuracy,
    batches,
    build_checkpoint,
    build_evaluation,
    load_checkpoint,
    loading,
    steps_in_epoch,
    train,
)
from samemind.training.loading import (
    OriginalImages,
    SplitImages,
    images_for_training,
    loaded,
)
from samemind.training.progress import Chance

CPU = torch.device("cpu")
DIGITS = DATASETS["digits"]
QUICK = Schedule(epochs=3, batch_size=32, learning_rate=0.1, policy="one_cycle")


def digits(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    split = DIGITS.split("train")
    return torch.from_numpy(split.read(range(count))), torch.from_numpy(split.labels[:count])


def fresh(architecture: str = "digits_vgg_bn") -> Classifier:
    return new_classifier(ARCHITECTURES[architecture], DIGITS, random_seed=1)


def linear(weight: torch.Tensor) -> Classifier:
    """A classifier that is one linear layer on 2 x 2 pixels, without a bias."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, len(weight), bias=False))
    network[1].weight.data.copy_(weight)
    return Classifier(network, head="1", mean=(0.0,), std=(1.0,))


def run(classifier: Classifier, images, labels, schedule: Schedule = QUICK, **changes):
    arguments = {"ball": L2Ball(0.5), "attack": Attack(), "random_seed": 3, "device": CPU}
    return train(classifier, images, labels, schedule=schedule, **(arguments | changes))


def weights(classifier: Classifier) -> dict[str, torch.Tensor]:
    return {name: held.clone() for name, held in classifier.state_dict().items()}


def assert_same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different


# -- one step


def test_one_step_on_a_linear_model_is_the_one_worked_out_by_hand():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, generator=generator)
    images, labels = torch.rand(6, 1, 2, 2, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2])
    schedule = Schedule(epochs=1, batch_size=6, learning_rate=0.2, weight_decay=0.1, policy="step")
    classifier = linear(weight)
    run(classifier, images, labels, schedule, ball=None, attack=None)
    x = images.flatten(1)
    error = torch.softmax(x @ weight.T, 1) - nn.functional.one_hot(labels, 3)
    expected = weight - 0.2 * (error.T @ x / 6 + 0.1 * weight)
    torch.testing.assert_close(classifier.head.weight, expected)


def test_adversarial_training_updates_on_the_adversarial_examples_only():
    # With one step of length ε, the adversarial example of a linear two-class model is the image
    # moved by ε against its class: the update can be worked out.
    weight = torch.tensor([[1.0, 2, 0, -1], [0, 1, 1, 1]])
    images, labels = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1])
    schedule = Schedule(epochs=1, batch_size=2, learning_rate=0.1, weight_decay=0.0)
    classifier = linear(weight)
    attack = Attack(steps=1, relative_step=1.0)
    run(classifier, images, labels, schedule, ball=L2Ball(0.1), attack=attack)
    apart = weight[1] - weight[0]
    towards = torch.stack([apart, -apart]) / apart.norm()
    x = images.flatten(1) + 0.1 * towards
    error = torch.softmax(x @ weight.T, 1) - nn.functional.one_hot(labels, 2)
    torch.testing.assert_close(classifier.head.weight, weight - 0.1 * error.T @ x / 2)


def test_the_attack_runs_in_evaluation_mode_and_asks_for_no_parameter_gradients():
    seen: list[tuple[bool, bool]] = []
    classifier = fresh()
    classifier.register_forward_pre_hook(
        lambda module, _: seen.append(
            (module.training, any(p.requires_grad for p in module.parameters()))
        )
    )
    images, labels = digits(32)
    run(classifier, images, labels, Schedule(epochs=1, batch_size=32, learning_rate=0.1))
    # Three steps of the attack and its last look, then the update.
    assert seen == [(False, False)] * 4 + [(True, True)]


def textbook(classifier: Classifier, images, labels, schedule: Schedule, epsilon: float) -> None:
    """Adversarial training as a tutorial writes it, in the order of `batches`."""
    optimiser = torch.optim.SGD(
        classifier.parameters(), lr=0, momentum=0.9, weight_decay=schedule.weight_decay
    )
    per_epoch = steps_in_epoch(len(images), schedule.batch_size)
    for step, chosen in enumerate(batches(len(images), schedule, random_seed=3)):
        clean, y = images[chosen].float(), labels[chosen]
        classifier.eval()
        x, best, best_loss = clean, clean, torch.full((len(y),), -torch.inf)
        for move in range(4):
            x = x.detach().requires_grad_()
            losses = nn.functional.cross_entropy(classifier(x).logits, y, reduction="none")
            better = losses.detach() > best_loss
            best = torch.where(better[:, None, None, None], x.detach(), best)
            best_loss = torch.where(better, losses.detach(), best_loss)
            if move < 3:
                losses.sum().backward()
                length = x.grad.flatten(1).norm(dim=1)[:, None, None, None]
                offset = x.detach() + 2 / 3 * epsilon * x.grad / (length + 1e-10) - clean
                length = offset.flatten(1).norm(dim=1)[:, None, None, None]
                x = (clean + offset * (epsilon / (length + 1e-10)).clamp(max=1)).clamp(0, 1)
        classifier.train()
        optimiser.param_groups[0]["lr"] = schedule.learning_rate_at(step, per_epoch)
        optimiser.zero_grad()
        nn.functional.cross_entropy(classifier(best).logits, y).backward()
        optimiser.step()


@pytest.mark.parametrize("architecture", ["digits_vgg_bn", "digits_resnet"])
def test_robust_training_takes_the_steps_of_the_textbook(architecture: str):
    images, labels = digits(160)
    schedule = Schedule(epochs=2, batch_size=32, learning_rate=0.05, policy="one_cycle")
    theirs, ours = fresh(architecture), fresh(architecture)
    textbook(theirs, images, labels, schedule, epsilon=0.5)
    run(ours, images, labels, schedule)
    for name, held in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], held, rtol=1e-3, atol=1e-4)


def test_training_learns_the_digits():
    images, labels = digits(512)
    classifier = fresh("digits_resnet")
    schedule = Schedule(epochs=6, batch_size=64, learning_rate=0.1, policy="one_cycle")
    history = run(classifier, images, labels, schedule, ball=None, attack=None)
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["accuracy"] > 0.9
    assert accuracy(classifier, images, labels, device=CPU) > 0.9


def test_training_with_bfloat16_keeps_float32_weights():
    images, labels = digits(64)
    classifier = fresh()
    schedule = Schedule(epochs=1, batch_size=32, learning_rate=0.1, precision="bfloat16")
    run(classifier, images, labels, schedule)
    assert {p.dtype for p in classifier.parameters()} == {torch.float32}


# -- schedules


def test_the_step_schedule_divides_by_ten_after_each_block_of_epochs():
    schedule = Schedule(epochs=90, batch_size=1, learning_rate=0.1)
    rates = [schedule.learning_rate_at(epoch * 7, 7) for epoch in range(90)]
    np.testing.assert_allclose(rates, [0.1] * 30 + [0.01] * 30 + [0.001] * 30)
    assert schedule.learning_rate_at(30 * 7 - 1, 7) == 0.1


def test_one_cycle_peaks_at_a_quarter_and_ends_at_zero():
    schedule = Schedule(epochs=8, batch_size=1, learning_rate=0.4, policy="one_cycle")
    rates = [schedule.learning_rate_at(step, 10) for step in range(80)]
    assert max(rates) == rates[19] == 0.4
    assert rates[:20] == sorted(rates[:20])
    assert rates[19:] == sorted(rates[19:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    # Half way down the cosine, half the peak.
    assert rates[49] == pytest.approx(0.2)


def test_an_unknown_policy_or_precision_is_refused():
    with pytest.raises(InvalidInput, match=r"'cosine'\. Known: one_cycle, step"):
        Schedule(epochs=1, batch_size=1, learning_rate=1, policy="cosine").learning_rate_at(0, 1)
    images, labels = digits(4)
    with pytest.raises(InvalidInput, match=r"'float8'\. Known: bfloat16, float32"):
        run(fresh(), images, labels, Schedule(epochs=1, batch_size=4, learning_rate=1,
            precision="float8"))  # fmt: skip


@pytest.mark.parametrize("count", [7, 8, 9, 12])
def test_every_epoch_sees_every_image_once_in_an_order_of_its_own(count: int):
    schedule = Schedule(epochs=2, batch_size=4, learning_rate=0.1)
    per_epoch = steps_in_epoch(count, 4)
    found = list(batches(count, schedule, random_seed=0))
    assert len(found) == 2 * per_epoch
    # Batch normalisation cannot be trained on a single image.
    assert all(len(batch) > 1 for batch in found)
    first, second = torch.cat(found[:per_epoch]), torch.cat(found[per_epoch:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(count))
    assert not torch.equal(first, second)
    later = list(batches(count, schedule, random_seed=0, first=per_epoch + 1))
    assert [b.tolist() for b in later] == [b.tolist() for b in found[per_epoch + 1 :]]


# -- failures


def test_a_loss_that_is_not_finite_stops_the_training():
    images, labels = digits(64)
    schedule = Schedule(epochs=3, batch_size=32, learning_rate=1e30)
    with pytest.raises(TrainingFailed, match=r"loss was nan in epoch \d.*learning_rate"):
        run(fresh(), images, labels, schedule, ball=None, attack=None)


# -- going on


def saved_at(states: dict[int, bytes], wanted: set[int]):
    import io

    def after_step(done, _total, current):
        if done in wanted:
            stream = io.BytesIO()
            torch.save(current(), stream)
            states[done] = stream.getvalue()

    return after_step


@pytest.mark.parametrize("architecture", ["digits_vgg_bn", "digits_vit"])
def test_a_resumed_training_ends_with_the_same_bits(architecture: str):
    import io

    images, labels = digits(100)
    wanted = set(random.Random(architecture).sample(range(1, 12), 3))
    states: dict[int, bytes] = {}
    whole = fresh(architecture)
    history = run(whole, images, labels, after_step=saved_at(states, wanted))
    for state in states.values():
        resumed = fresh(architecture)
        state = torch.load(io.BytesIO(state), weights_only=True)
        assert run(resumed, images, labels, state=state) == history
        assert_same_bits(weights(whole), weights(resumed))


def recipe(**changes) -> Trained:
    fields = {
        "dataset": "digits",
        "architecture": "digits_resnet",
        "ball": L2Ball(0.5),
        "attack": Attack(),
        "schedule": Schedule(epochs=4, batch_size=128, learning_rate=0.1),
        "random_seed": 0,
    }
    return Trained(**(fields | changes))


def started(root: Path, every: float) -> subprocess.Popen:
    """A process of its own that trains the recipe above into a store."""
    program = (
        "from pathlib import Path\n"
        "from samemind.store.artifacts import Store\n"
        "from samemind.execution.devices import Execution\n"
        "from samemind.training import build_checkpoint\n"
        "from test_training import recipe\n"
        f"execution = Execution(device='cpu', save_every={every})\n"
        f"build_checkpoint(recipe(), Store(Path({str(root)!r})), execution)\n"
    )
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{here.parent / 'src'}:{here}"}
    return subprocess.Popen([sys.executable, "-c", program], env=environment)


def end_after_a_save(process: subprocess.Popen, store: Store, delay: float, how: int) -> int:
    state = store.scratch_path(recipe()) / "state.pt"
    before = state.stat().st_mtime_ns if state.exists() else 0
    while process.poll() is None and not (state.exists() and state.stat().st_mtime_ns > before):
        time.sleep(0.01)
    time.sleep(delay)
    process.send_signal(how)
    return process.wait(60)


def checkpoint_bits(store: Store) -> dict[str, torch.Tensor]:
    return weights(load_checkpoint(recipe(), store))


def test_a_killed_training_goes_on_and_ends_with_the_same_bits(tmp_path: Path):
    whole, killed = Store(tmp_path / "whole"), Store(tmp_path / "killed")
    build_checkpoint(recipe(), whole, Execution(device="cpu"))
    code = end_after_a_save(started(killed.root, 0.0), killed, 0.1, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not killed.has(recipe())
    state = ResumeState(killed.scratch_path(recipe()), every=60).load()
    assert state
    assert 0 < state["training"]["done"] < 40
    build_checkpoint(recipe(), killed, Execution(device="cpu"))
    assert_same_bits(checkpoint_bits(whole), checkpoint_bits(killed))
    assert not killed.scratch_path(recipe()).exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_many_kills_at_random_moments_change_no_bit(tmp_path: Path, how: int):
    whole, killed = Store(tmp_path / "whole"), Store(tmp_path / "killed")
    build_checkpoint(recipe(), whole, Execution(device="cpu"))
    moments = random.Random(how)
    ended = 0
    while not killed.has(recipe()) and ended < 5:
        end_after_a_save(started(killed.root, 0.05), killed, moments.uniform(0, 0.3), how)
        ended += not killed.has(recipe())
    assert ended > 1
    build_checkpoint(recipe(), killed, Execution(device="cpu"))
    assert_same_bits(checkpoint_bits(whole), checkpoint_bits(killed))


@pytest.mark.slow
def test_a_request_to_end_saves_the_step_in_work_at_once(tmp_path: Path):
    whole, ended = Store(tmp_path / "whole"), Store(tmp_path / "ended")
    build_checkpoint(recipe(), whole, Execution(device="cpu"))
    # It would save in ten minutes; only being asked to end makes it save.
    process = started(ended.root, 600)
    progress = ended.scratch_path(recipe()) / "progress"
    while process.poll() is None and not progress.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM
    assert not ended.has(recipe())
    state = ResumeState(ended.scratch_path(recipe()), every=60).load()
    assert state
    assert state["training"]["done"] >= float(progress.read_text()) * 40
    build_checkpoint(recipe(), ended, Execution(device="cpu"))
    assert_same_bits(checkpoint_bits(whole), checkpoint_bits(ended))


def test_a_kill_costs_at_most_the_interval(tmp_path: Path):
    resume = ResumeState(tmp_path, every=0.05)
    steps = []
    for done in range(1, 41):
        time.sleep(0.01)
        resume.after_step(done, 41, lambda done=done: {"done": done})
        state = resume.load()
        steps.append(done - (state["done"] if state else 0))
    # A step takes 10 ms or more, so 50 ms are at most five of them (and the one that saves).
    assert max(steps) <= 5


def test_a_resume_state_that_cannot_be_read_counts_as_none(tmp_path: Path):
    resume = ResumeState(tmp_path, every=60)
    assert resume.load() is None
    resume.save({"done": 3})
    assert resume.load() == {"done": 3}
    resume.file.write_bytes(resume.file.read_bytes()[:100])
    assert resume.load() is None


# -- evaluation


def test_an_evaluation_holds_what_the_tables_need(store: Store, execution: Execution):
    checkpoint = recipe(schedule=Schedule(epochs=2, batch_size=128, learning_rate=0.1))
    build_checkpoint(checkpoint, store, execution)
    evaluated = Evaluated(
        checkpoint=checkpoint, split="test", ball=L2Ball(0.5), attack=Attack(), random_seed=0
    )
    build_evaluation(evaluated, store, execution)
    found = store.open(evaluated).json("evaluation.json")
    assert found["n_test"] == 540
    assert found["parameters"] == 19_706
    assert found["representation_size"] == 32
    assert 0 <= found["adversarial_accuracy"] <= found["clean_accuracy"] <= 1
    split = DIGITS.split("test")
    images, labels = torch.from_numpy(split.read(range(540))), torch.from_numpy(split.labels)
    classifier = load_checkpoint(checkpoint, store)
    assert found["clean_accuracy"] == accuracy(classifier, images, labels, device=CPU)


def test_the_accuracy_under_attack_of_a_linear_model_is_that_of_its_margins():
    # A linear two-class model is broken at ε exactly where its margin is below ε times the norm
    # of the difference of its weights.
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(2, 4, generator=generator)
    images = 0.3 + 0.4 * torch.rand(200, 1, 2, 2, generator=generator)
    labels = torch.randint(0, 2, (200,), generator=generator)
    logits = images.flatten(1) @ weight.T
    rows = torch.arange(200)
    margin = (logits[rows, labels] - logits[rows, 1 - labels]) / (weight[0] - weight[1]).norm()
    found = accuracy(linear(weight), images, labels, ball=L2Ball(0.1), attack=Attack(), device=CPU)
    expected = int((margin > 0.1).sum()) / 200
    assert 0 < expected < 1
    assert found == expected


def test_a_model_that_is_broken_on_every_image_has_no_accuracy_left():
    weight = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0]])
    images, labels = torch.rand(5, 1, 2, 2), torch.zeros(5, dtype=torch.int64)
    attack = Attack(steps=3, random_start=True, restarts=2)
    found = accuracy(linear(weight), images, labels, ball=L2Ball(5.0), attack=attack, device=CPU)
    assert found == 0


# -- what fails, and what is done about it


def test_a_training_that_stays_at_chance_is_stopped_and_says_what_to_do():
    images, labels = digits(200)
    schedule = Schedule(epochs=9, batch_size=100, learning_rate=1e-9, chance_epochs=3)
    # Nothing that an untrained network could get right but by chance.
    shuffled = labels[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    with pytest.raises(TrainingFailed, match=r"After 3 epochs.*at chance.*fallback_learning"):
        run(fresh(), images, shuffled, schedule, ball=None, attack=None)


def test_a_training_that_learns_late_is_not_stopped():
    images, labels = digits(400)
    schedule = Schedule(epochs=6, batch_size=50, learning_rate=0.1, policy="one_cycle")
    history = run(fresh(), images, labels, schedule, ball=None, attack=None)
    assert history[-1]["accuracy"] > 0.5


def test_epochs_of_a_warm_up_do_not_count_as_chance():
    labels = torch.arange(1000) % 10
    at_chance = {"accuracy": 0.1}
    schedule = Schedule(epochs=30, batch_size=10, learning_rate=0.1, policy="one_cycle")
    assert schedule.warm_up_epochs == 8
    peak = max(range(300), key=lambda step: schedule.learning_rate_at(step, steps_per_epoch=10))
    assert peak // 10 == 7
    rule = Chance(labels, schedule.chance_epochs, warm_up=schedule.warm_up_epochs)
    rule.check([at_chance] * 12)
    with pytest.raises(TrainingFailed, match="After 13 epochs"):
        rule.check([at_chance] * 13)
    assert Schedule(epochs=30, batch_size=10, learning_rate=0.1).warm_up_epochs == 0


def test_a_training_at_chance_through_its_warm_up_is_stopped_only_after_it():
    images, labels = digits(200)
    shuffled = labels[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    fields = {"epochs": 12, "batch_size": 100, "learning_rate": 1e-9, "chance_epochs": 2}
    with pytest.raises(TrainingFailed, match="After 2 epochs"):
        run(fresh(), images, shuffled, Schedule(**fields), ball=None, attack=None)
    schedule = Schedule(**fields, policy="one_cycle")
    with pytest.raises(TrainingFailed, match="After 5 epochs"):
        run(fresh(), images, shuffled, schedule, ball=None, attack=None)


def test_the_level_of_chance_is_that_of_the_most_frequent_class():
    labels = torch.tensor([0] * 900 + [1] * 100)
    rule = Chance(labels, epochs=2)
    assert rule.level == pytest.approx(0.9 + 3 * (0.9 * 0.1 / 1000) ** 0.5)
    rule.check([{"accuracy": 0.9}])
    rule.check([{"accuracy": 0.9}, {"accuracy": 0.95}])
    with pytest.raises(TrainingFailed):
        rule.check([{"accuracy": 0.95}, {"accuracy": 0.9}, {"accuracy": 0.91}])
    Chance(labels, epochs=0).check([{"accuracy": 0.0}] * 9)


def test_a_failed_training_falls_back_on_the_next_learning_rate(store: Store, execution: Execution):
    schedule = Schedule(
        epochs=1, batch_size=256, learning_rate=1e30, fallback_learning_rates=(1e29, 0.1)
    )
    build_checkpoint(recipe(schedule=schedule, ball=None, attack=None), store, execution)
    found = store.open(recipe(schedule=schedule, ball=None, attack=None)).json("training.json")
    assert found["learning_rate"] == 0.1
    assert [f["learning_rate"] for f in found["failed"]] == [1e30, 1e29]
    assert all("loss was nan" in f["reason"] for f in found["failed"])
    # The one that succeeded is what it would have been by itself.
    by_itself = recipe(
        schedule=Schedule(epochs=1, batch_size=256, learning_rate=0.1), ball=None, attack=None
    )
    build_checkpoint(by_itself, store, execution)
    assert_same_bits(
        weights(load_checkpoint(by_itself, store)),
        weights(load_checkpoint(recipe(schedule=schedule, ball=None, attack=None), store)),
    )


def test_without_a_fallback_a_failed_training_leaves_no_checkpoint(store: Store, execution):
    failing = recipe(
        schedule=Schedule(epochs=1, batch_size=256, learning_rate=1e30), ball=None, attack=None
    )
    with pytest.raises(TrainingFailed, match=r"Tried the learning rates 1e\+30"):
        build_checkpoint(failing, store, execution)
    assert not store.has(failing)


# -- where images come from


class CountingSplit:
    """Colour images in memory that are also there as published; remembers how it is read."""

    def __init__(self, count: int) -> None:
        pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator())
        self.images = pixels.to(torch.uint8).numpy()
        self.labels = np.arange(count) % 2

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices):
        return self.images[np.asarray(indices)]

    def open_image(self, index):
        from PIL import Image

        return Image.fromarray(self.images[index].transpose(1, 2, 0))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("originals", [False, True])
def test_images_from_the_disk_come_in_the_same_batches_wherever_one_begins(workers, originals):
    split = CountingSplit(40)
    images = OriginalImages(split, 16, random_seed=0) if originals else SplitImages(split)
    schedule = Schedule(epochs=1, batch_size=8, learning_rate=0.1)

    def found(first: int, workers: int) -> list[torch.Tensor]:
        order = enumerate(batches(40, schedule, 0, first=first), start=first)
        return [b for _, b in loaded(images, order, device=CPU, workers=workers)]

    whole = found(0, 0)
    assert [tuple(b.shape) for b in whole] == [(8, 3, 16, 16) if originals else (8, 3, 32, 32)] * 5
    later = found(2, workers)
    assert all(torch.equal(a, b) for a, b in zip(whole[2:], later, strict=True))
    if not originals:
        resident = torch.from_numpy(split.images)
        order = enumerate(batches(40, schedule, 0))
        in_memory = [b for _, b in loaded(resident, order, device=CPU)]
        assert all(torch.equal(a, b) for a, b in zip(whole, in_memory, strict=True))


def test_images_that_fit_stay_in_memory_as_they_are_and_others_are_read(monkeypatch):
    split = CountingSplit(40)
    arguments = {"image_size": 32, "random_seed": 0, "device": CPU}
    held = images_for_training(split, crops_originals=False, **arguments)
    assert isinstance(held, torch.Tensor)
    assert held.dtype == torch.uint8
    assert isinstance(images_for_training(split, crops_originals=True, **arguments), OriginalImages)
    monkeypatch.setattr(loading, "SHARE_OF_MEMORY", 1e-12)
    assert isinstance(images_for_training(split, crops_originals=False, **arguments), SplitImages)


def test_training_with_augmentation_resumes_to_the_same_bits():
    import io

    images, labels = digits(100)
    schedule = Schedule(epochs=2, batch_size=32, learning_rate=0.1, augmentation="cifar")
    states: dict[int, bytes] = {}
    whole, resumed = fresh(), fresh()
    run(whole, images, labels, schedule, after_step=saved_at(states, {5}))
    run(resumed, images, labels, schedule, state=torch.load(io.BytesIO(states[5])))
    assert_same_bits(weights(whole), weights(resumed))


def test_compiling_without_a_compiler_says_what_is_missing(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InvalidInput, match=r"neither g\+\+ nor clang\+\+ is here.*--compile"):
        Execution(device="cpu", compiled=True).start()
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InvalidInput, match=r"'no-such-compiler' \(from CXX\)"):
        Execution(device="cpu", compiled=True).start()
    Execution(device="cpu").start()


@pytest.mark.slow
def test_a_compiled_training_is_the_same_to_rounding():
    images, labels = digits(64)
    schedule = Schedule(epochs=1, batch_size=32, learning_rate=0.01)
    plain, compiled = fresh(), fresh()
    run(plain, images, labels, schedule)
    run(compiled, images, labels, schedule, compiled=True)
    for name, held in weights(plain).items():
        torch.testing.assert_close(weights(compiled)[name], held, rtol=1e-3, atol=1e-4)
