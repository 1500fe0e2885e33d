"""Inversion: what a step does, what is kept, and what may not matter to it."""

import numpy as np
import pytest
import torch
from torch import nn

from samemind.architectures.base import ARCHITECTURES
from samemind.classifier import Classifier, new_classifier
from samemind.datasets.base import DATASETS
from samemind.errors import InvalidInput
from samemind.inversion import Descent, draw_inputs, draw_seeds, invert, stored

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
    found = draw_inputs(100, 20, random_seed=0)
    assert (np.diff(found) > 0).all()
    assert len(found) == 20
    assert (draw_inputs(100, None, random_seed=0) == np.arange(100)).all()
    with pytest.raises(InvalidInput, match="101 inputs were asked for, but the split has 100"):
        draw_inputs(100, 101, random_seed=0)


def test_eight_bits_are_rounded_and_never_cut_off():
    images = np.array([0.0, 0.4 / 255, 0.6 / 255, 1.0], dtype=np.float32)
    assert stored(images, "uint8").tolist() == [0, 0, 1, 255]
    assert stored(images, "float16").dtype == np.float16
    with pytest.raises(InvalidInput, match=r"'int4'\. Known: float16, float32, uint8"):
        stored(images, "int4")
