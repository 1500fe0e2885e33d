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
