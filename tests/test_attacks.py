"""Norm balls keep their promises, and the attack finds the known optimum of a linear model."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from samemind.attacks import (
    Attack,
    L2Ball,
    LinfBall,
    ball_of,
    frozen_for_attack,
    norms,
    projected_gradient_descent,
    random_starts,
)
from samemind.errors import InvalidInput

BALLS = [L2Ball(0.5), LinfBall(0.1)]


def images(seed: int, count: int = 4) -> torch.Tensor:
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def distance(ball, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    difference = (a - b).flatten(1)
    return difference.norm(dim=1) if ball.norm == "L2" else difference.abs().amax(1)


@pytest.mark.parametrize("ball", BALLS)
@given(seed=st.integers(0, 1000))
def test_projection_stays_inside_is_idempotent_and_moves_no_inner_point(ball, seed: int):
    centre, outside = images(seed), images(seed) + 3 * images(seed + 1) - 1.5
    inside = ball.project(outside, centre)
    assert (distance(ball, inside, centre) <= ball.epsilon * (1 + 1e-5)).all()
    torch.testing.assert_close(ball.project(inside, centre), inside, rtol=0, atol=1e-6)
    near = centre + 0.01 * (images(seed + 2) - 0.5)
    assert torch.equal(ball.project(near, centre), near)


@pytest.mark.parametrize("ball", BALLS)
def test_random_starts_lie_inside_and_differ(ball):
    centre, generator = images(0), torch.Generator().manual_seed(1)
    start = ball.random_start(centre, generator)
    assert (distance(ball, start, centre) <= ball.epsilon * (1 + 1e-5)).all()
    assert not torch.equal(start, ball.random_start(centre, generator))


@pytest.mark.parametrize("ball", BALLS)
def test_the_steepest_step_gains_most_among_steps_of_its_length(ball):
    gradient = images(3) - 0.5
    step = ball.steepest_step(gradient, 0.2)
    gain = (gradient * step).flatten(1).sum(1)
    for seed in range(20):
        other = images(seed + 10) - 0.5
        other = 0.2 * other / distance(ball, other, torch.zeros_like(other)).reshape(-1, 1, 1, 1)
        assert (gain >= (gradient * other).flatten(1).sum(1) - 1e-5).all()


def test_on_a_linear_model_the_attack_moves_by_epsilon_along_the_gradient():
    weight = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    centre = torch.full((3, 1, 4, 4), 0.5)
    found = projected_gradient_descent(
        lambda x: (x * weight).flatten(1).sum(1), centre, L2Ball(0.3), Attack()
    )
    torch.testing.assert_close(found, centre + 0.3 * weight / weight.norm(), rtol=0, atol=1e-5)


def test_the_best_iterate_is_kept_when_the_last_is_worse():
    # The loss is highest near the start: every step overshoots.
    centre = torch.full((2, 1, 4, 4), 0.5)

    def loss(x):
        return -norms(x - centre - 0.01).flatten()

    def loss_after(keep_best: bool) -> torch.Tensor:
        attack = Attack(relative_step=5.0, keep_best=keep_best)
        return loss(projected_gradient_descent(loss, centre, L2Ball(0.5), attack))

    assert (loss_after(keep_best=True) >= loss(centre)).all()
    assert (loss_after(keep_best=False) < loss(centre)).all()


def test_attacked_images_stay_in_the_ball_and_in_the_pixel_range():
    centre = images(5)
    found = projected_gradient_descent(
        lambda x: x.flatten(1).pow(3).sum(1),
        centre,
        L2Ball(0.7),
        Attack(steps=10, relative_step=0.5, random_start=True, restarts=2),
        generator=torch.Generator().manual_seed(0),
    )
    assert found.min() >= 0
    assert found.max() <= 1
    assert (distance(L2Ball(0.7), found, centre) <= 0.7 * (1 + 1e-5)).all()


def test_more_restarts_never_find_less():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))

    def loss(x):
        return network(x).flatten().cos()

    def best(restarts: int) -> torch.Tensor:
        attack = Attack(steps=5, random_start=True, restarts=restarts)
        generator = torch.Generator().manual_seed(0)
        return loss(
            projected_gradient_descent(loss, images(6), L2Ball(1.0), attack, generator=generator)
        )

    assert (best(4) >= best(1) - 1e-6).all()


def test_the_module_is_restored_after_an_attack():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    module[0].bias.requires_grad_(False)

    def interrupted() -> None:
        with frozen_for_attack(module):
            assert not module.training
            assert not any(p.requires_grad for p in module.parameters())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert module.training
    assert [p.requires_grad for p in module.parameters()] == [True, False, True, True]


@pytest.mark.parametrize(
    ("norm", "epsilon", "words"),
    [
        ("L3", 1, "No norm is called 'L3'"),
        ("L2", -1, "at least 0"),
        ("Linf", 8, "write 8/255 as 0.03137"),
    ],
)
def test_impossible_balls_are_refused_with_advice(norm: str, epsilon: float, words: str):
    with pytest.raises(InvalidInput, match=words):
        ball_of(norm, epsilon)


# -- where an attack starts


def test_random_starts_fill_the_ball_evenly():
    """In d dimensions a share of r^d of all starts lies within r of the centre, in radii."""
    centres, generator = torch.full((4000, 1, 1, 3), 0.5), torch.Generator().manual_seed(0)
    reached = distance(L2Ball(0.2), L2Ball(0.2).random_start(centres, generator), centres) / 0.2
    shares = torch.sort(reached).values ** 3
    even = (torch.arange(4000) + 0.5) / 4000
    assert (shares - even).abs().max() < 0.04  # Kolmogorov and Smirnov: 0.031 in 1 of 1,000
    start = LinfBall(0.2).random_start(centres, generator) - centres
    even = torch.linspace(-0.2, 0.2, start.numel())
    assert (torch.sort(start.flatten()).values - even).abs().max() < 0.01


@pytest.mark.parametrize("ball", [L2Ball(3.0), LinfBall(0.6)])
def test_an_attack_never_looks_at_pixels_outside_of_0_and_1(ball):
    """Not at its random start either, which a network would see outside of what it was made for."""
    seen = []

    def loss(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.detach().clone())
        return x.flatten(1).sum(1)

    for attack in (Attack(random_start=True), Attack(random_start=True, restarts=3)):
        generator = torch.Generator().manual_seed(0)
        projected_gradient_descent(loss, images(0), ball, attack, generator=generator)
    assert min(x.min() for x in seen) >= 0
    assert max(x.max() for x in seen) <= 1
    starts = random_starts(ball, images(0), range(4))
    assert starts.min() == 0
    assert starts.max() == 1


def test_each_image_has_the_start_of_its_own_seed():
    ball = L2Ball(0.1)
    together = random_starts(ball, images(0), [7, 8, 7, 9])
    for i, seed in enumerate([7, 8, 7, 9]):
        alone = random_starts(ball, images(0)[i : i + 1], [seed])
        assert torch.equal(together[i : i + 1], alone)
    assert together.shape == images(0).shape
    moved = together - images(0)
    inner = ((images(0) > 0.2) & (images(0) < 0.8))[[0, 2]].all(0)
    torch.testing.assert_close(moved[0][inner], moved[2][inner], rtol=0, atol=1e-6)


@pytest.mark.parametrize("ball", [L2Ball(0.5), L2Ball(1.0), LinfBall(1.0)])
def test_a_step_is_that_share_of_the_radius(ball):
    centres = torch.full((3, 1, 4, 4), 0.5)
    attack = Attack(steps=1, relative_step=0.25)
    found = projected_gradient_descent(lambda x: x.flatten(1).sum(1), centres, ball, attack)
    moved = distance(ball, found, centres)
    torch.testing.assert_close(moved, torch.full((3,), 0.25 * ball.epsilon))


def test_balls_of_every_radius_that_makes_sense():
    assert ball_of("L2", 0).epsilon == 0
    assert ball_of("L2", 0.5) == L2Ball(0.5)
    assert ball_of("L2", 3) == L2Ball(3.0)
    assert ball_of("Linf", 1) == LinfBall(1.0)
    for norm, epsilon in (("L2", -1e-9), ("Linf", 1.001), ("Linf", 1.5), ("Linf", 8)):
        with pytest.raises(InvalidInput):
            ball_of(norm, epsilon)


def test_of_several_restarts_the_best_is_kept_also_where_iterates_are_not():
    """A loss with two tops: starts on either side end on their own."""

    def loss(x: torch.Tensor) -> torch.Tensor:
        y = x.flatten(1)[:, 0] - 0.5
        return torch.where(y > 0, y, -2 * y)

    centres = torch.full((64, 1, 1, 1), 0.5)
    for restarts in (2, 8):
        attack = Attack(random_start=True, restarts=restarts, keep_best=False)
        generator = torch.Generator().manual_seed(0)
        found = loss(
            projected_gradient_descent(loss, centres, LinfBall(0.25), attack, generator=generator)
        )
        share = (found > 0.4).double().mean()
        assert abs(share - (1 - 0.5**restarts)) < 0.15
        assert ((found > 0.4) | (found > 0.2)).all()


def test_an_attack_says_what_it_is():
    assert Attack().summary == "PGD-3, step 0.667 ε"
    assert Attack(steps=20, relative_step=0.1, restarts=2).summary == (
        "PGD-20, step 0.1 ε, 2 restarts"
    )
