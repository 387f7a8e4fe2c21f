"""Random weights that depend on a seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the initial weights inside the block from `seed`; torch's own random state stays as it was.

    >>> with seeded(3): first = torch.rand(2)
    >>> with seeded(3): again = torch.rand(2)
    >>> torch.equal(first, again)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
