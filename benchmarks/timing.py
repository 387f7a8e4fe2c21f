"""How every benchmark measures: alternating repeats, medians, one ratio, the limit beside it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


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


def median_seconds(
    action: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Median seconds, of wall time if not told, of `repeats` calls of `action` after one warm-up call."""
    action()
    times = []
    for _ in range(repeats):
        start = clock()
        action()
        times.append(clock() - start)
    return statistics.median(times)


def side_by_side(
    ours: Callable[[], object],
    baseline: Callable[[], object],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Median seconds of both, measured in turn so that a busy moment of the machine hits both.

    Args:
        clock: `time.process_time` for work on one thread that waits for nothing: other processes then
            show only in the caches.
    """
    ours(), baseline()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for action, taken in zip((ours, baseline), times, strict=True):
            start = clock()
            action()
            taken.append(clock() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def peak_kibibytes() -> int:
    """The peak of this process' resident memory since its start, or since `forget_peak` (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def forget_peak() -> None:
    """Let the peak start again from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
