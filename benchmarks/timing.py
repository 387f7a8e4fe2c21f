"""How every benchmark measures: alternating repeats, medians, one ratio, the limit beside it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured comparison.

    Attributes:
        name: what is measured.
        ours_s, baseline_s: median seconds of one unit; None where the baseline is not installed.
        baseline: what it is compared with.
        goal: the ratio baseline/ours to reach, None where there is no goal.
        note: sizes, the limit (bytes or operations), anything a sceptic asks.
    """

    name: str
    ours_s: float
    baseline_s: float | None
    baseline: str
    goal: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return None if self.baseline_s is None else self.baseline_s / self.ours_s


def median_seconds(action: Callable[[], object], repeats: int) -> float:
    """Median wall time of `action` over `repeats` calls after one warm-up call."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def side_by_side(
    ours: Callable[[], object], baseline: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Median seconds of both, measured in turn so that a busy moment of the machine hits both."""
    ours(), baseline()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for action, taken in zip((ours, baseline), times, strict=True):
            start = time.perf_counter()
            action()
            taken.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])
