"""Where a measured curve first crosses a target: a grid, then halving between two of its points.

The search holds no state. Given what was measured so far it says what to measure next or where the
crossing is; measured anew or read from disk, the same points give the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SHORTEST = 0.01  # share of the grid's range: brackets below it are halved no more
CLOSE = 0.5  # standard errors: as near as this, more halving would follow the noise


@dataclass(frozen=True)
class Point:
    """The drop in accuracy at one severity, and its standard error."""

    drop: float
    stderr: float

    def is_close(self, target: float) -> bool:
        """Whether the measurement cannot tell the drop from the target."""
        return abs(self.drop - target) <= CLOSE * self.stderr


@dataclass(frozen=True)
class Wanted:
    """Severities that must be measured before the search can go on."""

    severities: tuple[float, ...]


@dataclass(frozen=True)
class Crossing:
    """A severity at which the drop is the target, the first one from the mildest.

    Attributes:
        severity: among those measured.
        slope: of the drop, per unit of severity, between the grid points beside it; nan where that
            does not rise.
        returns_at: the mildest grid severity beyond, at which the drop is below the target by more than
            its standard error: the curve is not monotone; None where there is none.
    """

    severity: float
    slope: float
    returns_at: float | None


@dataclass(frozen=True)
class NoCrossing:
    """The target lies outside what the grid spans.

    Attributes:
        severity: of the largest drop, or the mildest where even that one costs more than the target.
        is_beyond: the mildest severity costs more than the target.
    """

    severity: float
    is_beyond: bool


def first_crossing(
    points: Mapping[float, Point], grid: Sequence[float], target: float
) -> Wanted | Crossing | NoCrossing:
    """The first crossing from the mildest severity, or what to measure for it.

    The whole grid comes first. From its mildest point on, the first that is close to the target is the
    answer; the first beyond it closes a bracket, which is halved until a middle is close or the bracket
    is shorter than `SHORTEST` of the grid: then its nearer end is the answer. Severities have at most
    six significant digits.

    Args:
        points: what was measured, by severity; may hold more than this search asked for, which it ignores.
        grid: ascending, at least two.
        target: a drop in accuracy, above 0.

    >>> grid, halved = [0.0, 4.0, 8.0], {}
    >>> step = first_crossing(halved, grid, 0.3)
    >>> while isinstance(step, Wanted):
    ...     halved |= {s: Point(s / 20, 0.004) for s in step.severities}
    ...     step = first_crossing(halved, grid, 0.3)
    >>> step.severity, round(step.slope, 3), sorted(halved)
    (6.0, 0.05, [0.0, 4.0, 6.0, 8.0])
    """
    unmeasured = tuple(severity for severity in grid if severity not in points)
    if unmeasured:
        return Wanted(unmeasured)
    reached = [i for i, s in enumerate(grid) if points[s].is_close(target) or points[s].drop > target]
    if not reached:
        return NoCrossing(max(grid, key=lambda severity: points[severity].drop), is_beyond=False)
    beyond = reached[0]
    if points[grid[beyond]].is_close(target):
        return _crossing(points, grid, target, grid[beyond], beyond - 1, beyond + 1)
    if beyond == 0:
        return NoCrossing(grid[0], is_beyond=True)
    low, high = grid[beyond - 1], grid[beyond]
    while high - low >= SHORTEST * (grid[-1] - grid[0]):
        middle = float(f"{(low + high) / 2:.6g}")
        if not low < middle < high:
            break
        if middle not in points:
            return Wanted((middle,))
        if points[middle].is_close(target):
            return _crossing(points, grid, target, middle, beyond - 1, beyond)
        low, high = (low, middle) if points[middle].drop > target else (middle, high)
    nearer = min((low, high), key=lambda severity: abs(points[severity].drop - target))
    return _crossing(points, grid, target, nearer, beyond - 1, beyond)


def _crossing(
    points: Mapping[float, Point],
    grid: Sequence[float],
    target: float,
    severity: float,
    left: int,
    right: int,
) -> Crossing:
    start, stop = grid[max(left, 0)], grid[min(right, len(grid) - 1)]
    slope = (points[stop].drop - points[start].drop) / (stop - start)
    back = (s for s in grid if s > severity and points[s].drop < target - points[s].stderr)
    return Crossing(severity, slope if slope > 0 else math.nan, next(back, None))
