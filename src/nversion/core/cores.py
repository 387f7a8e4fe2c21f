"""How many processor cores this process may use, and how much memory the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: "200000 100000" is two cores, "max 100000" all


def usable_cores(quota: Path = _QUOTA) -> int:
    """The cores that the system lets this process run on, within a container's share of time.

    Args:
        quota: the file that holds this share (cgroup v2); other systems have none.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        granted, period = quota.read_text().split()
        return max(1, min(cores, math.ceil(int(granted) / int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return cores


def memory_bytes() -> int | None:
    """The machine's memory; None where the system has no way to ask (Windows)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
