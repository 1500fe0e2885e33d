"""Points that should lie along a path in their order: which of them do not.

Squared distances along a path add up, whether it is a random walk or goes straight ahead, so that
a point between two others makes the way from one to the other no longer. That is told by three
points at a time, and needs no scale: a path may be fast at first and slow at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

#: A detour of 0: the point lies between the two others. 1: it lies beyond one of them, or off the
#: path. A path without memory (a stationary one) has 1/2 everywhere: its order cannot be told.
OFF, BETWEEN = 0.75, 0.25
FEWEST_POINTS = 4


class Stray(NamedTuple):
    """A point that is not where it belongs.

    - `detour`: at its own place. `after`, `before`: the points between which it lies, None beyond
      an end; both are None where it lies nowhere on the path.
    """

    point: int
    detour: float
    after: int | None
    before: int | None

    @property
    def is_on_path(self) -> bool:
        return self.after is not None or self.before is not None


def detour(squares: np.ndarray, point: int, first: int, second: int) -> float:
    """How much longer the way from `first` to `second` is through `point`: 0 between, 1 beyond.

    In units of the way there and back from the nearer of the two; below 0 on a straight path.
    """
    there, back = squares[first, point], squares[point, second]
    nearer = min(there, back)
    if nearer <= 0:
        return 0.0
    return float((there + back - squares[first, second]) / (2 * nearer))


def strays(squares: np.ndarray) -> list[Stray]:
    """The points of a path that lie elsewhere than in their order, or nowhere on it.

    **Arguments:**

    - `squares`: the squared distances of all points, `(K, K)`, in the order that is claimed; no two
      are at the same place.

    A point is named where it does not fit its own place (a detour above 3/4) and either fits
    another one that is nearer (below 1/4), or none at all (above 3/4 everywhere). Where it fits as
    well here as there, because the path has no memory, nothing is claimed. An end that lies off the
    path cannot be told from one that goes on, and the reverse of the whole order not from the
    order.

    **Cost:** of order K² for each point that is named.
    """
    there = list(range(len(squares)))
    aside: list[int] = []
    while len(there) > FEWEST_POINTS and (misfits := _misfits(squares, there)):
        # A point in the wrong place makes those beside it look wrong too: the one to go is that
        # without which most others are right.
        aside.append(max(misfits, key=lambda point: _without(squares, there, point)))
        there.remove(aside[-1])
    _put_back(squares, there, aside)
    found = (_judged(squares, there, point) for point in sorted(aside))
    return [stray for stray in found if stray is not None]


def _own(there: Sequence[int], i: int) -> tuple[int, int, int]:
    """The three points that tell whether a point is in its place: it, and those beside it.

    An end is in its place where its neighbour lies between it and the next one.
    """
    if i == 0:
        return there[1], there[0], there[2]
    if i == len(there) - 1:
        return there[-2], there[-1], there[-3]
    return there[i], there[i - 1], there[i + 1]


def _misfits(squares: np.ndarray, there: Sequence[int]) -> list[int]:
    """The points that do not fit their own place."""
    return [point for i, point in enumerate(there) if _own_detour(squares, there, i) > OFF]


def _without(squares: np.ndarray, there: Sequence[int], point: int) -> tuple[int, float]:
    """How right a path is without a point: fewer misfits first, then smaller detours in all."""
    left = [other for other in there if other != point]
    detours = [_own_detour(squares, left, i) for i in range(len(left))]
    return -sum(one > OFF for one in detours), -sum(max(one, 0) for one in detours)


def _own_detour(squares: np.ndarray, there: Sequence[int], i: int) -> float:
    return detour(squares, *_own(there, i))


def _put_back(squares: np.ndarray, there: list[int], aside: list[int]) -> None:
    """Puts points back that fit their own place now that others are gone, the best first."""
    while aside:
        fits = []
        for point in aside:
            tried = sorted([*there, point])
            fits.append((_own_detour(squares, tried, tried.index(point)), point))
        best, point = min(fits)
        if best > OFF:
            return
        aside.remove(point)
        there[:] = sorted([*there, point])


def _places(
    squares: np.ndarray, there: Sequence[int], point: int
) -> Iterator[tuple[float, int | None, int | None]]:
    """Every place on a path for a point that is not on it, with its detour there.

    Beyond an end only where it is no farther from it than twice the last stretch is long: seen from
    afar any of the last points may be the last one.
    """
    for end, after, first, second in (
        (there[0], there[1], None, there[0]),
        (there[-1], there[-2], there[-1], None),
    ):
        if squares[point, end] <= 4 * squares[end, after]:
            yield detour(squares, end, point, after), first, second
    for first, second in pairwise(there):
        yield detour(squares, point, first, second), first, second


def _judged(squares: np.ndarray, there: Sequence[int], point: int) -> Stray | None:
    tried = sorted([*there, point])
    i = tried.index(point)
    own = _own_detour(squares, tried, i)
    beside = tried[i - 1] if i else None, tried[i + 1] if i + 1 < len(tried) else None
    near = _nearness(squares, point, *beside)
    elsewhere = [p for p in _places(squares, there, point) if p[1:] != beside]
    fit, first, second = min(elsewhere, key=lambda place: place[0])
    # What has come to rest lies between any two of its restless past, but nearer to its own place.
    if fit < BETWEEN and _nearness(squares, point, first, second) < near:
        return Stray(point, own, first, second)
    return Stray(point, own, None, None) if fit > OFF else None


def _nearness(squares: np.ndarray, point: int, *beside: int | None) -> float:
    return float(min(squares[point, other] for other in beside if other is not None))


# -- units


def shared_units(products: np.ndarray) -> float:
    """How far the units of two networks correspond one to one, in standard deviations of chance.

    **Arguments:**

    - `products`: what unit i of one and unit j of the other have in common, `(D, D)`.

    Mean and variance of the diagonal's sum over all orders of the units are exact (Hoeffding,
    1951). NaN for fewer than two units, or where all orders give the same.
    """
    count = len(products)
    if count < 2:
        return float("nan")
    centred = products - products.mean(0) - products.mean(1, keepdims=True) + products.mean()
    deviation = np.sqrt((centred**2).sum() / (count - 1))
    if not deviation > 0:
        return float("nan")
    return float((np.trace(products) - products.sum() / count) / deviation)


# -- phases


class Phase(NamedTuple):
    """A stretch of a path that is faster than what comes before and after.

    - `first`, `last`: the points between which it lies. `ratio`: its speed in terms of the faster
      side's; `lower`, `upper`: its 95 % interval.
    """

    first: int
    last: int
    ratio: float
    lower: float
    upper: float


#: A change of phase is at least so many times as fast as both sides; on each, up to so many
#: stretches are looked at, and no fewer than two.
FASTER, BESIDE, FEWEST_BESIDE = 2.0, 3, 2


def phases(speeds: np.ndarray, replicates: np.ndarray, quantile: float) -> list[Phase]:
    """Where a path is certainly twice as fast as before and after.

    **Arguments:**

    - `speeds`: of each stretch, `(K - 1,)`.
    - `replicates`: the same with one group of inputs left out, `(G, K - 1)`, for the jackknife.
    - `quantile`: of Student's t with G - 1 degrees of freedom, for 95 %.

    A stretch counts where the lower end of the interval of its ratio is above `FASTER`; the other
    sides are medians, so that a change of two stretches is seen in both.
    """
    found = []
    groups = len(replicates)
    for i in range(FEWEST_BESIDE, len(speeds) - FEWEST_BESIDE):
        each = np.array([_log_ratio(v, i) for v in replicates])
        value = _log_ratio(speeds, i)
        if not (np.isfinite(value) and np.isfinite(each).all()):
            continue
        error = np.sqrt((groups - 1) / groups * ((each - each.mean()) ** 2).sum())
        low, high = value - quantile * error, value + quantile * error
        if low > np.log(FASTER):
            found.append(Phase(i, i + 1, *(float(np.exp(v)) for v in (value, low, high))))
    return found


def _log_ratio(speeds: np.ndarray, i: int) -> float:
    sides = speeds[max(0, i - BESIDE) : i], speeds[i + 1 : i + 1 + BESIDE]
    faster = max(float(np.median(side)) for side in sides)
    if not (faster > 0 and speeds[i] > 0):
        return float("nan")
    return float(np.log(speeds[i] / faster))
