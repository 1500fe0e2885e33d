"""Norm balls, and projected gradient descent in pixel space. Pure: tensors in, tensors out.

A ball is three functions (start, step, project), so the loop reads like the textbook. Clipping to
[0, 1] happens outside what is differentiated: how torch differentiates a clamp at its bound
changed in 2.14, and must not change what an attack finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol

from samemind.errors import InvalidInput
from samemind.execution.unchanged import modes_kept
from samemind.lazy import torch
from samemind.registry import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor, nn

# Keeps the direction of a zero gradient finite, as the robustness library does.
TINY = 1e-10


class Ball(Protocol):
    """A norm ball of radius ε around each image, in pixel units of [0, 1]."""

    @property
    def epsilon(self) -> float: ...

    def steepest_step(self, gradient: Tensor, size: float) -> Tensor: ...

    def project(self, images: Tensor, centres: Tensor) -> Tensor: ...

    def random_start(self, centres: Tensor, generator: torch.Generator) -> Tensor: ...


@dataclass(frozen=True)
class L2Ball:
    """All images within Euclidean distance ε of a centre."""

    epsilon: float
    norm: ClassVar[str] = "L2"

    def steepest_step(self, gradient: Tensor, size: float) -> Tensor:
        """The move of Euclidean length `size` that raises the loss most, per image."""
        return size * gradient / (norms(gradient) + TINY)

    def project(self, images: Tensor, centres: Tensor) -> Tensor:
        """The nearest point of the ball; points inside stay where they are."""
        offset = images - centres
        length = norms(offset)
        return torch.where(
            length > self.epsilon, centres + offset * (self.epsilon / (length + TINY)), images
        )

    def random_start(self, centres: Tensor, generator: torch.Generator) -> Tensor:
        """A point drawn uniformly from the ball, per image."""
        direction = _normal_like(centres, generator)
        direction = direction / (norms(direction) + TINY)
        units = centres[0].numel()
        radius = _uniform(centres, generator) ** (1 / units) * self.epsilon
        return centres + direction * radius


@dataclass(frozen=True)
class LinfBall:
    """All images whose pixels each lie within ε of the centre's."""

    epsilon: float
    norm: ClassVar[str] = "Linf"

    def steepest_step(self, gradient: Tensor, size: float) -> Tensor:
        """The move by `size` in every pixel that raises the loss most."""
        return size * gradient.sign()

    def project(self, images: Tensor, centres: Tensor) -> Tensor:
        """The nearest point of the ball; points inside stay where they are."""
        return torch.clamp(images, centres - self.epsilon, centres + self.epsilon)

    def random_start(self, centres: Tensor, generator: torch.Generator) -> Tensor:
        """A point drawn uniformly from the ball, per image."""
        noise = torch.rand(centres.shape, generator=generator).to(centres)
        return centres + (2 * noise - 1) * self.epsilon


BALLS: dict[str, type[L2Ball] | type[LinfBall]] = {"L2": L2Ball, "Linf": LinfBall}


def ball_of(norm: str, epsilon: float) -> L2Ball | LinfBall:
    """The ball of a named norm; ε in pixel units of [0, 1]."""
    if norm not in BALLS:
        raise InvalidInput(
            f"No norm is called '{norm}'. {did_you_mean(norm, list(BALLS))}Known: L2, Linf."
        )
    if epsilon < 0:
        raise InvalidInput(f"A radius ε is at least 0, but {epsilon} was given.")
    if norm == "Linf" and epsilon > 1:
        raise InvalidInput(
            f"ε = {epsilon} in the Linf norm is more than a whole pixel. Radii are in units of "
            f"[0, 1]: write {epsilon}/255 as {epsilon / 255:.5f}."
        )
    return BALLS[norm](float(epsilon))


@dataclass(frozen=True, kw_only=True)
class Attack:
    """Projected gradient descent, without its ball.

    The defaults are the study's: three steps of two thirds of ε, no random start, the best
    iterate kept (start and end included).
    """

    steps: int = 3
    relative_step: float = 2 / 3  # of ε, as in Salman et al. (2020)
    random_start: bool = False
    restarts: int = 1
    keep_best: bool = True

    @property
    def summary(self) -> str:
        restarts = f", {self.restarts} restarts" if self.restarts > 1 else ""
        return f"PGD-{self.steps}, step {self.relative_step:.3g} ε{restarts}"


# The strong attack beside the training attack: fifty steps and five random restarts.
STRONG_ATTACK = Attack(steps=50, relative_step=0.1, random_start=True, restarts=5)


def projected_gradient_descent(
    loss: Callable[[Tensor], Tensor],
    images: Tensor,
    ball: Ball,
    attack: Attack,
    *,
    ascent: Callable[[Tensor], tuple[Tensor, ...]] | None = None,
    generator: torch.Generator | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Images within the ball around `images`, and within [0, 1], that raise `loss`.

    **Arguments:**

    - `loss`: images (N, channels, H, W) → one value per image (N,), to be made large.
    - `ascent`: images → those values and their gradients, as `value_and_gradient` of the loss
      gives them, where there is a faster way to both.
    - `generator`: for the random starts; a CPU generator, so that every device sees the same.
    - `start`: where to begin instead of drawing, see `random_starts`; for an attack of one restart.

    **Cost:** per restart `steps` × (forward + backward to the pixels), and one forward more where
    the best iterate is kept.
    """
    if ball.epsilon == 0:
        return images.clone()
    best: Tensor | None = None
    best_loss: Tensor | None = None
    ascent = ascent or partial(value_and_gradient, loss)
    for _ in range(attack.restarts):
        found, found_loss = _one_descent(loss, ascent, images, ball, attack, generator, start)
        if best is None or best_loss is None or found_loss is None:
            best, best_loss = found, found_loss
        else:
            better = found_loss > best_loss
            best = torch.where(_per_image(better, best), found, best)
            best_loss = torch.where(better, found_loss, best_loss)
    assert best is not None
    return best


def _one_descent(
    loss: Callable[[Tensor], Tensor],
    ascent: Callable[[Tensor], tuple[Tensor, ...]],
    centres: Tensor,
    ball: Ball,
    attack: Attack,
    generator: torch.Generator | None,
    start: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    x = centres if start is None else start
    if attack.random_start and start is None:
        if generator is None:
            raise InvalidInput("An attack with random starts needs a generator.")
        x = ball.random_start(centres, generator).clamp(0, 1)
    keep = attack.keep_best or attack.restarts > 1
    best, best_loss = x, None
    for _ in range(attack.steps):
        value, gradient = ascent(x)
        if keep:
            best, best_loss = _better(best, best_loss, x, value)
        step = ball.steepest_step(gradient, attack.relative_step * ball.epsilon)
        x = ball.project(x + step, centres).clamp(0, 1)
    if not keep:
        return x, None
    with torch.no_grad():
        return _better(best, best_loss, x, loss(x))


def random_starts(ball: Ball, centres: Tensor, seeds: Iterable[int]) -> Tensor:
    """Points drawn from the balls, within [0, 1], each from the random seed of its image."""
    drawn = [
        ball.random_start(centres[i : i + 1], torch.Generator().manual_seed(seed))
        for i, seed in enumerate(seeds)
    ]
    return torch.cat(drawn).clamp(0, 1)


def _better(
    best: Tensor, best_loss: Tensor | None, x: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    if best_loss is None:
        return x, value
    better = value > best_loss
    return torch.where(_per_image(better, x), x, best), torch.where(better, value, best_loss)


def value_and_gradient(loss: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Per-image losses (N,) and their gradients with respect to the pixels only."""
    x = images.detach().requires_grad_(True)
    with torch.enable_grad():
        values = loss(x)
        (gradient,) = torch.autograd.grad(values.sum(), x)
    return values.detach(), gradient


def norms(images: Tensor) -> Tensor:
    """The Euclidean norm of each image, shaped to broadcast over its pixels."""
    return torch.linalg.vector_norm(images.flatten(1), dim=1).reshape(-1, 1, 1, 1)


def _per_image(flags: Tensor, images: Tensor) -> Tensor:
    return flags.reshape(-1, *([1] * (images.ndim - 1)))


def _normal_like(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(images.shape, generator=generator).to(images)


def _uniform(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand((len(images), 1, 1, 1), generator=generator).to(images)


@contextmanager
def frozen_for_attack(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and parameters without gradients inside the block; restored after it."""
    needed = [p for p in module.parameters() if p.requires_grad]
    with modes_kept(module):
        module.eval()
        for parameter in needed:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in needed:
                parameter.requires_grad_(True)
