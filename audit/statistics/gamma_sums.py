"""Tail of a weighted sum of independent gamma variables, by integration along its path of steepest descent.

The inversion integral of the moment generating function over ``s`` is taken along the parabola of steepest
descent through its saddle point (less bent where the integrand would not fall). There the trapezoidal rule
converges geometrically and nothing cancels, so that small probabilities keep their relative accuracy
(H. E. Daniels, "Tail probability approximations", International Statistical Review 55, 1987, section 2,
before its expansions).

Sums of more than ``DENSE`` terms are first put on a geometric grid: a term's shape is split between the two
neighbouring grid values so that its mean stays. That is a mean-preserving spread, so the binned sum is
larger in convex order (M. Shaked, J. G. Shanthikumar, "Stochastic Orders", Springer 2007, section 3.A); its
variance grows by ``RATIO`` at most, a quarter of a percent.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]

#: Terms that are summed as they are.
DENSE = 160
_BINS = 64
_LEAST = 1e-3  # smallest grid value over the largest; below it a term is split with 0
_GRID = 10.0 ** np.linspace(math.log10(_LEAST), 0.0, _BINS)
_STEP_RATIO = float(_GRID[1] / _GRID[0])
#: Largest relative growth of the variance by binning, for values over ``_LEAST`` of the largest.
RATIO = (_STEP_RATIO - 1) ** 2 / (4 * _STEP_RATIO)

_NODE_STEP = 0.12
_NODE_COUNT = 76
_NEGLIGIBLE = -40.0  # log of an integrand, against its peak, that adds nothing


@njit(nogil=True, cache=True)
def _saddle(values: Floats, shapes: Floats) -> float:
    """Where ``K(s) - log s`` is least between the poles 0 and 1; it is convex there."""
    low, high = 0.0, 1.0
    s = 0.5
    for _ in range(200):
        slope, curve = -1 / s, 1 / (s * s)
        for j in range(values.size):
            part = values[j] / (1 - values[j] * s)
            slope += shapes[j] * part
            curve += shapes[j] * part * part
        if slope > 0:
            high = s
        else:
            low = s
        step = s - slope / curve
        if not low < step < high:
            # The poles may be near: halve on the log of the distance from the nearer one.
            step = high / 10 if low == 0.0 else (1 - (1 - low) / 10 if high == 1.0 else (low + high) / 2)
        if abs(step - s) <= 1e-9 * min(s, 1 - s):
            return step
        s = step
    return s


@njit(nogil=True, cache=True)
def _integral(values: Floats, shapes: Floats, saddle: float, bend: float, width: float) -> float:
    """The integral along one parabola; NaN where the integrand does not fall along it."""
    base = -math.log(saddle)
    for j in range(values.size):
        base -= shapes[j] * math.log1p(-values[j] * saddle)
    total, last = 0.0, 0.0
    for node in range(_NODE_COUNT):
        t = node * _NODE_STEP
        y = math.sinh(t) * width
        s = complex(saddle + bend * y * y, y)
        exponent = -np.log(s)
        for j in range(values.size):
            exponent -= shapes[j] * np.log(1 - values[j] * s)
        falling = exponent.real - base
        if falling > last + 1e-9:
            return math.nan
        last = falling
        if falling < _NEGLIGIBLE:
            break
        term = (np.exp(complex(falling, exponent.imag)) * complex(2 * bend * y, 1.0)).imag
        total += term * math.cosh(t) * (0.5 if node == 0 else 1.0)
    return base + math.log(max(total, 1e-300) * _NODE_STEP * width / math.pi)


@njit(nogil=True, cache=True)
def _log_upper_tail(values: Floats, shapes: Floats) -> float:
    """Log of P(sum >= 0) where the mean is negative and both signs occur."""
    values = values / values.max()
    saddle = _saddle(values, shapes)
    second, third = 1 / (saddle * saddle), -2 / saddle**3
    for j in range(values.size):
        ratio = values[j] / (1 - values[j] * saddle)
        second += shapes[j] * ratio * ratio
        third += 2 * shapes[j] * ratio**3
    width = 1 / math.sqrt(second)
    bend = third / ((6 if third > 0 else 12) * second)
    while True:
        found = _integral(values, shapes, saddle, bend, width)
        if not math.isnan(found):
            return min(found, 0.0)
        if bend == 0.0:
            return 0.0  # never seen; straight up the integrand always falls
        bend = bend / 2 if abs(bend) * width > 1e-3 else 0.0


@njit(nogil=True, cache=True)
def _binned(values: Floats, shapes: Floats) -> tuple[Floats, Floats]:
    """At most two grids of terms, one a sign, with the same mean."""
    grid = np.zeros(2 * _BINS)
    mass = np.zeros(2 * _BINS)
    for side in range(2):
        sign = 1.0 if side == 0 else -1.0
        most = 0.0
        for j in range(values.size):
            most = max(most, sign * values[j])
        offset = side * _BINS
        for b in range(_BINS):
            grid[offset + b] = sign * most * _GRID[b]
        if most == 0.0:
            continue
        for j in range(values.size):
            share = sign * values[j] / most
            if share <= 0:
                continue
            if share <= _LEAST:
                mass[offset] += shapes[j] * share / _LEAST  # the rest of its shape lies at 0
                continue
            b = min(int(math.log(share / _LEAST) / math.log(_STEP_RATIO)), _BINS - 2)
            upper = (share - _GRID[b]) / (_GRID[b + 1] - _GRID[b])
            mass[offset + b] += shapes[j] * (1 - upper)
            mass[offset + b + 1] += shapes[j] * upper
    kept = mass > 1e-12
    return grid[kept], mass[kept]


@njit(nogil=True, cache=True)
def log_probability_not_negative(values: Floats, shapes: Floats) -> float:
    """Log of the probability that ``sum(values * G) >= 0`` for independent ``G ~ Gamma(shapes, 1)``.

    Args:
        values: Weights of either sign, shape (m,); no more than ``DENSE`` are summed unbinned.
        shapes: Shapes, shape (m,); terms of shape 0 or value 0 count for nothing.
    """
    kept = (shapes > 0) & (values != 0)
    values, shapes = values[kept], shapes[kept]
    if values.size > DENSE:
        values, shapes = _binned(values, shapes)
    if values.size == 0 or values.min() > 0:
        return 0.0
    if values.max() < 0:
        return -math.inf
    mean = 0.0
    for j in range(values.size):
        mean += shapes[j] * values[j]
    if mean > 0:
        return math.log1p(-min(math.exp(_log_upper_tail(-values, shapes)), 1 - 1e-16))
    return _log_upper_tail(values, shapes)
