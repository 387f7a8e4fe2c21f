"""Neighbouring samples of equal parameters, which are rendered together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def runs_of_equals(*columns: NDArray[Any]) -> Iterator[tuple[tuple[float, ...], slice]]:
    """The values of each run of samples that are equal in all `columns`, and where it lies.

    Args:
        columns: one number for each sample, (n,).

    >>> list(runs_of_equals(np.array([1, 1, 2]), np.array([0, 0, 0])))
    [((1.0, 0.0), slice(0, 2, None)), ((2.0, 0.0), slice(2, 3, None))]
    """
    values_nK = np.stack(columns, axis=1).astype(np.float64)
    changes = np.flatnonzero((values_nK[1:] != values_nK[:-1]).any(axis=1)) + 1
    ends = [0, *changes.tolist(), len(values_nK)]
    for start, stop in pairwise(ends):
        yield tuple(values_nK[start].tolist()), slice(start, stop)
