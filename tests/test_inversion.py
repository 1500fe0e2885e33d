"""Inversion: what a step does, what is kept, and what may not matter to it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from samemind.architectures.base import ARCHITECTURES
from samemind.classifier import Classifier, new_classifier
from samemind.datasets.base import DATASETS
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.inversion import (
    Descent,
    Inverted,
    Natural,
    Seeds,
    Until,
    build_inverted,
    build_natural,
    build_seeds,
    draw_seeds,
    inversions,
    invert,
    load_inputs,
    stored,
)
from samemind.inversion.builds import Finished
from samemind.randomness import draw
from samemind.store.artifacts import Store
from samemind.store.resume import ResumeState, read
from samemind.training import Schedule, Trained, build_checkpoint, load_checkpoint

DIGITS = DATASETS["digits"]


class Representing(nn.Module):
    """A network whose representation is a given function of the pixels."""

    def __init__(self, represent, units: int) -> None:
        super().__init__()
        self.represent = represent
        self.fc = nn.Linear(units, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.represent(images))


def representing(represent, units: int = 4) -> Classifier:
    network = Representing(represent, units)
    return Classifier(network, head="fc", mean=(0.0,), std=(1.0,)).eval()


def pixels(seed: int, count: int = 5, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, 1, 2, 2, generator=generator)


def identity() -> Classifier:
    return representing(lambda x: x.flatten(1))


def digits_network(architecture: str = "digits_resnet", dtype=torch.float32) -> Classifier:
    return new_classifier(ARCHITECTURES[architecture], DIGITS, random_seed=0).to(dtype).eval()


def some_digits(count: int, dtype=torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.from_numpy(DIGITS.split("test").read(range(2 * count))).to(dtype)
    return images[:count], images[count:]


def test_the_first_step_moves_by_a_tenth_of_the_step_size_towards_the_target():
    targets, seeds = pixels(0, low=0.3, high=0.7), pixels(1, low=0.3, high=0.7)
    found = invert(identity(), targets, seeds, descent=Descent(steps=1))
    towards = (targets - seeds).flatten(1)
    towards = (towards / towards.norm(dim=1, keepdim=True)).reshape(seeds.shape)
    torch.testing.assert_close(found.images, seeds + 0.125 * 0.1 * towards)
    expected = (found.images - targets).flatten(1).norm(dim=1) / targets.flatten(1).norm(dim=1)
    torch.testing.assert_close(found.relative_loss, expected)


def test_two_steps_build_up_momentum_without_correcting_its_bias():
    targets, seeds = pixels(0, low=0.4, high=0.5), pixels(1, low=0.6, high=0.7)
    found = invert(identity(), targets, seeds, descent=Descent(steps=2, step_size=0.01))
    towards = (targets - seeds).flatten(1)
    towards = (towards / towards.norm(dim=1, keepdim=True)).reshape(seeds.shape)
    moved = 0.01 * (0.1 + 0.9 * 0.1 + 0.1)
    torch.testing.assert_close(found.images, seeds + moved * towards)


def test_a_linear_model_is_inverted_to_its_known_optimum():
    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    classifier = representing(lambda x: x.flatten(1) @ weight, units=3)
    targets, seeds = pixels(3, low=0.3, high=0.7), pixels(4, low=0.3, high=0.7)
    descent = Descent(steps=600, step_size=0.01)
    found = invert(classifier, targets, seeds, descent=descent)
    # The loss can reach zero, and the part of the seed that the model cannot see stays.
    assert (found.relative_loss < 0.01).all()
    unseen = torch.linalg.svd(weight.T).Vh[3]
    before, after = ((x.flatten(1) @ unseen) for x in (seeds, found.images))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)


def test_the_best_iterate_is_kept_and_the_start_counts():
    targets = pixels(0, low=0.4, high=0.6)
    found = invert(identity(), targets, targets, descent=Descent(steps=3))
    assert torch.equal(found.images, targets)
    assert torch.equal(found.relative_loss, torch.zeros(5))


def test_the_end_counts_as_an_iterate():
    targets, seeds = pixels(0, low=0.3, high=0.4), pixels(1, low=0.6, high=0.7)
    found = invert(identity(), targets, seeds, descent=Descent(steps=2, step_size=0.01))
    # Far from the target every step is better than the one before.
    assert found.curve[2] < found.curve[1] < found.curve[0]
    torch.testing.assert_close(found.relative_loss.mean(), found.curve[2])


def test_no_image_kept_is_worse_than_its_seed():
    targets, seeds = some_digits(16)
    classifier = digits_network()
    found = invert(classifier, targets, seeds, descent=Descent(steps=20, step_size=3.0))
    start = invert(classifier, targets, seeds, descent=Descent(steps=0))
    assert torch.equal(start.images, seeds)
    assert (found.relative_loss <= start.relative_loss).all()


def test_a_zero_gradient_moves_nothing_and_makes_no_nan():
    classifier = representing(lambda x: 0 * x.flatten(1) + 1)
    targets, seeds = pixels(0), pixels(1)
    found = invert(classifier, targets, seeds, descent=Descent(steps=3))
    assert torch.equal(found.images, seeds)
    assert torch.isfinite(found.curve).all()


def test_a_target_that_is_represented_as_zero_makes_no_nan():
    targets, seeds = torch.zeros(2, 1, 2, 2), pixels(1, 2)
    found = invert(identity(), targets, seeds, descent=Descent(steps=5))
    assert torch.isfinite(found.images).all()


def test_images_stay_in_the_pixel_range():
    found = invert(
        representing(lambda x: 10 * x.flatten(1) - 20),
        pixels(0),
        pixels(1),
        descent=Descent(steps=10, step_size=2.0),
    )
    assert found.images.min() >= 0
    assert found.images.max() <= 1


@pytest.mark.parametrize("derivative_at_the_bound", [0.0, 1.0])
def test_the_derivative_of_a_clamp_at_its_bound_plays_no_part(
    derivative_at_the_bound: float, monkeypatch: pytest.MonkeyPatch
):
    """torch 2.14 changed it from 1 to 0, which moved the library's images by up to 0.08."""

    class Clamp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, low, high):
            ctx.save_for_backward(x)
            ctx.bounds = low, high
            return torch.minimum(torch.maximum(x, torch.tensor(low)), torch.tensor(high))

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            low, high = ctx.bounds
            inside = (x > low) & (x < high)
            at_bound = (x == low) | (x == high)
            return gradient * (inside + derivative_at_the_bound * at_bound), None, None

    targets, seeds = some_digits(8)
    expected = invert(digits_network(), targets, seeds, descent=Descent(steps=10))
    assert ((expected.images == 0) | (expected.images == 1)).any()

    def clamp(x, low=0, high=1):
        return Clamp.apply(x, float(low), float(high))

    monkeypatch.setattr(torch.Tensor, "clamp", clamp)
    monkeypatch.setattr(torch, "clamp", clamp)
    found = invert(digits_network(), targets, seeds, descent=Descent(steps=10))
    assert torch.equal(found.images, expected.images)


def test_pixels_at_the_bound_take_part_in_the_gradient():
    # A seed of zeros must move towards a target of ones at full speed.
    targets, seeds = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    found = invert(identity(), targets, seeds, descent=Descent(steps=1))
    torch.testing.assert_close(found.images, torch.full((1, 1, 2, 2), 0.0125 / 2))


def test_the_batch_does_not_matter():
    # In float64, so that what is left of the order of sums cannot grow to anything visible.
    classifier = digits_network(dtype=torch.float64)
    targets, seeds = some_digits(12, torch.float64)
    descent = Descent(steps=15)
    together = invert(classifier, targets, seeds, descent=descent)
    for size in (1, 5):
        parts = [
            invert(classifier, t, s, descent=descent).images
            for t, s in zip(targets.split(size), seeds.split(size), strict=True)
        ]
        torch.testing.assert_close(torch.cat(parts), together.images, rtol=0, atol=1e-9)


def test_inversion_asks_for_no_parameter_gradients_and_leaves_none():
    classifier = digits_network().train()
    needed: list[bool] = []
    classifier.register_forward_pre_hook(
        lambda module, _: needed.append(any(p.requires_grad for p in module.parameters()))
    )
    before = {name: held.clone() for name, held in classifier.state_dict().items()}
    invert(classifier, *some_digits(4), descent=Descent(steps=2))
    assert not any(needed)
    assert all(p.grad is None and p.requires_grad for p in classifier.parameters())
    assert classifier.training
    after = classifier.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_one_forward_pass_per_step_and_one_for_each_end():
    calls: list[int] = []
    classifier = digits_network()
    classifier.register_forward_pre_hook(lambda *_: calls.append(1))
    invert(classifier, *some_digits(4), descent=Descent(steps=7))
    assert len(calls) == 7 + 2


# -- leaving early, refilling, memory


def two_kinds() -> tuple[Classifier, torch.Tensor, torch.Tensor]:
    """Targets that a linear model reaches soon, and later, in turn."""
    targets = pixels(0, 12, low=0.45, high=0.55)
    far = torch.tensor([0.02, 0.4]).repeat(6).reshape(-1, 1, 1, 1)
    return identity(), targets, targets + far * torch.ones(1, 1, 2, 2)


def test_images_that_stopped_improving_leave_and_the_others_take_all_their_steps():
    classifier, targets, seeds = two_kinds()
    until = Until(relative_loss=0.01, patience=5)
    descent = Descent(steps=60, step_size=0.01, until=until)
    found = invert(classifier, targets, seeds, descent=descent, batch_size=4)
    full = invert(classifier, targets, seeds, descent=Descent(steps=60, step_size=0.01))
    assert (found.steps[::2] < 40).all()
    assert (found.steps[1::2] == 60).all()
    assert (full.steps == 60).all()
    # Those that left had at most the stated amount to gain for each stretch of patience.
    assert (found.relative_loss[::2] - full.relative_loss[::2] <= 0.01 * 60 / 5).all()
    assert torch.equal(found.relative_loss[1::2], full.relative_loss[1::2])


def test_halving_the_step_comes_nearer_and_counts_its_own_patience():
    classifier, targets, seeds = two_kinds()
    found = {}
    for halvings in (0, 3):
        until = Until(relative_loss=1e-3, patience=6, halvings=halvings)
        descent = Descent(steps=400, step_size=0.05, until=until)
        found[halvings] = invert(classifier, targets, seeds, descent=descent, batch_size=5)
    # Steps of one length circle around the target at about that distance.
    assert (found[3].relative_loss[::2] < found[0].relative_loss[::2] / 5).all()
    assert (found[3].relative_loss <= found[0].relative_loss).all()
    assert (found[3].steps >= found[0].steps + 3 * 6).all()
    assert (found[3].steps < 400).all()


def test_the_batch_is_kept_full_until_nothing_waits():
    classifier, targets, seeds = two_kinds()
    sizes: list[int] = []
    classifier.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    descent = Descent(steps=60, step_size=0.01, until=Until(relative_loss=0.01, patience=5))
    finished = list(
        inversions(
            classifier, targets, seeds, range(12), descent=descent, batch_size=4,
            device=torch.device("cpu"),
        )
    )  # fmt: skip
    assert sorted(n for done in finished for n in done.numbers) == list(range(12))
    assert max(sizes) == 4
    # Whatever leaves is replaced, so few passes are needed: the moves are spread over full rows.
    moves = sum(int(done.steps.sum()) for done in finished)
    passes = [size for size in sizes if size == 4]
    assert len(passes) >= 0.6 * moves / 4


@pytest.mark.parametrize("until", [None, Until(relative_loss=0.02, patience=4)])
def test_refilling_changes_no_image(until):
    classifier = digits_network(dtype=torch.float64)
    targets, seeds = some_digits(11, torch.float64)
    descent = Descent(steps=15, until=until)
    together = invert(classifier, targets, seeds, descent=descent)
    in_turn = invert(classifier, targets, seeds, descent=descent, batch_size=3)
    torch.testing.assert_close(in_turn.images, together.images, rtol=0, atol=1e-9)
    torch.testing.assert_close(in_turn.relative_loss, together.relative_loss, rtol=0, atol=1e-9)
    torch.testing.assert_close(in_turn.curve, together.curve, rtol=0, atol=1e-6)
    assert torch.equal(in_turn.steps, together.steps)


def test_when_memory_runs_out_the_passes_are_halved_and_it_is_said():
    classifier, targets, seeds = two_kinds()
    expected = invert(classifier, targets, seeds, descent=Descent(steps=9))
    tried: list[int] = []

    def small_memory(_, inputs):
        tried.append(len(inputs[0]))
        if len(inputs[0]) > 3:
            raise torch.OutOfMemoryError

    classifier.register_forward_pre_hook(small_memory)
    with pytest.warns(RuntimeWarning, match="inverting [36] images at a time"):
        found = invert(classifier, targets, seeds, descent=Descent(steps=9))
    torch.testing.assert_close(found.images, expected.images)
    # Halved twice, and never tried again.
    assert [n for n in tried if n > 3] == [12, 6]


def test_memory_that_does_not_suffice_for_one_image_is_an_error():
    classifier, targets, seeds = two_kinds()

    def no_memory(*_):
        raise torch.OutOfMemoryError

    classifier.register_forward_pre_hook(no_memory)
    with (
        pytest.warns(RuntimeWarning, match="[1236] images at a time"),
        pytest.raises(torch.OutOfMemoryError),
    ):
        invert(classifier, targets, seeds, descent=Descent(steps=1))


# -- builds


def inverted_recipe(descent: Descent, count: int = 20) -> Inverted:
    checkpoint = Trained(
        dataset="digits", architecture="digits_resnet", ball=None, attack=None, random_seed=0,
        schedule=Schedule(epochs=1, batch_size=128, learning_rate=0.1),
    )  # fmt: skip
    targets = Natural(dataset="digits", split="test", count=count, random_seed=0)
    return Inverted(
        checkpoint=checkpoint,
        targets=targets,
        seeds=Seeds(targets=targets, random_seed=0),
        descent=descent,
    )


def prepare(recipe: Inverted, store: Store) -> Execution:
    execution = Execution(device="cpu", batch_size=6, save_every=0.0)
    build_checkpoint(recipe.checkpoint, store, execution)
    build_natural(recipe.targets, store, execution)
    build_seeds(recipe.seeds, store, execution)
    return execution


class Killed(Exception):
    """What a run dies of in these tests."""


def killed_after(recipe: Inverted, store: Store, steps: int, every: float = 0.0) -> ResumeState:
    """What a run leaves behind that was killed after so many steps of its batch."""
    targets, seeds = (load_inputs(r, store)["images"] for r in (recipe.targets, recipe.seeds))
    resume = ResumeState(store.scratch(recipe), every=every)
    finished = Finished(resume, recipe.storage, steps=recipe.descent.steps, total=len(seeds))
    taken = 0

    def after_step(batch):
        nonlocal taken
        finished.after_step(batch)
        taken += 1
        if taken == steps:
            raise Killed

    with suppress(Killed):
        for done in inversions(
            load_checkpoint(recipe.checkpoint, store),
            targets,
            seeds,
            finished.missing(),
            descent=recipe.descent,
            batch_size=6,
            device=torch.device("cpu"),
            after_step=after_step,
            batch=finished.batch(torch.device("cpu")),
        ):
            finished.add(done)
        pytest.fail("It was not killed: it has fewer steps.")
    return resume


def parts_of(resume: ResumeState) -> list[Path]:
    return sorted(resume.folder.glob("part-*.safetensors"))


def assert_same_arrays(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, held in expected.items():
        assert np.array_equal(found[name], held), name


UNEVEN = Descent(steps=12, until=Until(relative_loss=0.05, patience=3, halvings=1))


@pytest.mark.parametrize("descent", [Descent(steps=5), UNEVEN])
def test_a_killed_inversion_goes_on_to_the_same_bits(store: Store, descent: Descent):
    recipe = inverted_recipe(descent)
    execution = prepare(recipe, store)
    build_inverted(recipe, store, execution)
    whole = load_inputs(recipe, store)
    for kills in ((1,), (8, 3), (15,)):
        shutil.rmtree(store.path(recipe))
        for steps in kills:
            killed_after(recipe, store, steps)
        build_inverted(recipe, store, execution)
        assert_same_arrays(load_inputs(recipe, store), whole)
        assert not store.scratch_path(recipe).exists()


def test_a_kill_between_the_two_files_of_a_save_changes_no_bit(store: Store):
    recipe = inverted_recipe(UNEVEN)
    execution = prepare(recipe, store)
    build_inverted(recipe, store, execution)
    whole = load_inputs(recipe, store)
    shutil.rmtree(store.path(recipe))
    resume = killed_after(recipe, store, 4)
    earlier = (resume.folder / Finished.BATCH).read_bytes()
    parts = len(parts_of(resume))
    killed_after(recipe, store, 8)
    assert len(parts_of(resume)) > parts
    # The images are written, the batch is still the one before.
    (resume.folder / Finished.BATCH).write_bytes(earlier)
    build_inverted(recipe, store, execution)
    assert_same_arrays(load_inputs(recipe, store), whole)


def test_files_that_are_not_whole_count_as_none(store: Store):
    recipe = inverted_recipe(Descent(steps=5))
    execution = prepare(recipe, store)
    build_inverted(recipe, store, execution)
    whole = load_inputs(recipe, store)
    for name in ("part-000000006", "batch"):
        shutil.rmtree(store.path(recipe))
        resume = killed_after(recipe, store, 15)
        assert len(parts_of(resume)) == 2
        damaged = resume.folder / f"{name}.safetensors"
        damaged.write_bytes(damaged.read_bytes()[:-7])
        build_inverted(recipe, store, execution)
        found = load_inputs(recipe, store)
        # What is done again may stand in another batch: the same to rounding.
        np.testing.assert_allclose(found["images"], whole["images"], atol=2e-3)


def test_finished_images_are_not_done_again(store: Store):
    recipe = inverted_recipe(Descent(steps=5))
    execution = prepare(recipe, store)
    resume = killed_after(recipe, store, 15)
    part, _ = parts_of(resume)
    # Recognisable content in place of the images that are finished.
    held = safetensors.numpy.load(read(part))
    held["images"] = np.full_like(held["images"], 0.25)
    resume.write(part, safetensors.numpy.save(held))
    build_inverted(recipe, store, execution)
    marked = (load_inputs(recipe, store)["images"] == 0.25).all((1, 2, 3))
    assert marked.tolist() == [True] * 6 + [False] * 14


def test_a_kill_costs_at_most_the_interval_of_a_batch_in_work(store: Store):
    recipe = inverted_recipe(Descent(steps=400))
    prepare(recipe, store)
    resume = killed_after(recipe, store, 150, every=0.1)
    targets = load_inputs(recipe.targets, store)["images"]
    finished = Finished(resume, recipe.storage, steps=400, total=len(targets))
    batch = finished.batch(torch.device("cpu"))
    assert batch is not None
    # A step takes a few milliseconds; all of the 150 would be lost without the batch.
    assert 0 < batch.steps[0] <= 150


def started(root: Path, recipe: Inverted) -> subprocess.Popen:
    """A process of its own that inverts, and would save in ten minutes."""
    program = (
        "from pathlib import Path\n"
        "from samemind.store.artifacts import Store\n"
        "from samemind.execution.devices import Execution\n"
        "from samemind.inversion import Descent, build_inverted\n"
        "from test_inversion import inverted_recipe\n"
        f"recipe = inverted_recipe(Descent(steps={recipe.descent.steps}))\n"
        "execution = Execution(device='cpu', batch_size=6, save_every=600)\n"
        f"build_inverted(recipe, Store(Path({str(root)!r})), execution)\n"
    )
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{here.parent / 'src'}:{here}"}
    return subprocess.Popen([sys.executable, "-c", program], env=environment)


def test_a_request_to_end_saves_the_batch_in_work_at_once(store: Store):
    recipe = inverted_recipe(Descent(steps=150))
    execution = prepare(recipe, store)
    process = started(store.root, recipe)
    progress = store.scratch_path(recipe) / "progress"
    while process.poll() is None and not progress.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM
    assert not store.has(recipe)
    scratch = ResumeState(store.scratch_path(recipe), every=600)
    steps = Finished(scratch, recipe.storage, steps=150, total=20).batch(torch.device("cpu")).steps
    # The progress told at the moment of the request is not lost.
    told = float(progress.read_text()) * 20 * 150
    assert (
        steps.sum() + 150 * len(np.concatenate([[], *map(numbers_in, parts_of(scratch))])) >= told
    )
    build_inverted(recipe, store, execution)
    resumed = load_inputs(recipe, store)
    shutil.rmtree(store.path(recipe))
    build_inverted(recipe, store, execution)
    assert_same_arrays(resumed, load_inputs(recipe, store))


def numbers_in(part: Path) -> np.ndarray:
    return safetensors.numpy.load(read(part))["numbers"]


def test_an_inverted_set_holds_the_loss_of_the_images_as_stored(store: Store):
    recipe = inverted_recipe(Descent(steps=8, until=Until(relative_loss=0.05, patience=3)))
    execution = prepare(recipe, store)
    build_inverted(recipe, store, execution)
    found, targets = load_inputs(recipe, store), load_inputs(recipe.targets, store)
    classifier = load_checkpoint(recipe.checkpoint, store)
    with torch.no_grad():
        of_found, of_targets = (
            classifier(torch.from_numpy(x).float()).representation
            for x in (found["images"], targets["images"])
        )
    expected = (of_found - of_targets).norm(dim=1) / of_targets.norm(dim=1)
    np.testing.assert_allclose(found["stored_relative_loss"], expected, rtol=1e-4)
    # float16 keeps a pixel to one part in two thousand.
    np.testing.assert_allclose(found["relative_loss"], expected, atol=0.01)
    assert found["images"].dtype == np.float16
    assert found["curve"].shape == found["curve_median"].shape == found["curve_p95"].shape == (9,)
    assert (found["curve_median"] <= found["curve_p95"]).all()
    assert found["steps"].max() <= 8
    assert (found["labels"] == targets["labels"]).all()


# -- what is drawn and what is stored


def test_seeds_have_another_class_than_their_targets_and_all_others_can_be_drawn():
    labels = np.repeat(np.arange(3), 4)
    found = draw_seeds(np.repeat(np.arange(3), 300), labels, random_seed=0)
    assert (labels[found] != np.repeat(np.arange(3), 300)).all()
    assert set(found) == set(range(12))


def test_seeds_of_a_single_class_are_refused():
    with pytest.raises(InvalidInput, match="at least two classes"):
        draw_seeds(np.zeros(3), np.zeros(3), random_seed=0)


def test_inputs_are_drawn_without_repeats_in_order():
    found = draw(100, 20, 0, "inputs")
    assert (np.diff(found) > 0).all()
    assert len(found) == 20
    assert (draw(100, None, 0, "inputs") == np.arange(100)).all()
    with pytest.raises(InvalidInput, match="101 inputs were asked for, but the split has 100"):
        draw(100, 101, 0, "inputs")


def test_eight_bits_are_rounded_and_never_cut_off():
    images = np.array([0.0, 0.4 / 255, 0.6 / 255, 1.0], dtype=np.float32)
    assert stored(images, "uint8").tolist() == [0, 0, 1, 255]
    assert stored(images, "float16").dtype == np.float16
    with pytest.raises(InvalidInput, match=r"'int4'\. Known: float16, float32, uint8"):
        stored(images, "int4")
