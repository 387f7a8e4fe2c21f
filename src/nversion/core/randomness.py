"""torch's global generators, seeded for a block and given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def forked_randomness(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's global generators inside the block and give them back untouched after it.

    Construction of modules, dropout and stochastic depth accept no generator of their own; this is
    the way to make them a function of `seed` without an effect on the caller's random state.

    >>> with forked_randomness(3):
    ...     first = torch.rand(2)
    >>> with forked_randomness(3):
    ...     again = torch.rand(2)
    >>> torch.equal(first, again)
    True
    """
    device = torch.device(device)
    accelerators = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=accelerators):
        # torch.manual_seed would also seed accelerators that are not forked here.
        torch.default_generator.manual_seed(seed)
        if accelerators:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
