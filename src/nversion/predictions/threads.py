"""The threads that torch computes with, for as long as some work takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nversion.core import usable_cores


@contextmanager
def torch_threads(asked: int | None) -> Iterator[None]:
    """Let torch compute with so many threads during the block.

    Args:
        asked: None: torch's own number (the cores, or OMP_NUM_THREADS), but no more than the cores that
            this process may use, which torch does not know of a container.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(asked or min(before, usable_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
