"""Numbers cut to bytes: what follows the point is dropped, as NumPy's `astype(uint8)` does."""

from __future__ import annotations

import torch
from torch import Tensor

from .scratch import scratch

# Added before a cut, so that a whole number whose arithmetic lost its last digits is not cut to the next one
# below. float32 loses 5e-5 of 255; quotients of small whole numbers are 4e-4 or more from the next one.
LOST_DIGITS = 2.0**-12


def cut_to_bytes(values: Tensor, out: Tensor) -> None:
    """Write numbers from 0 to below 256, cut to whole ones, to the uint8 `out`.

    By way of int16, which takes a third of the time of the cast from float32 to uint8.

    >>> out = torch.empty(2, dtype=torch.uint8)
    >>> cut_to_bytes(torch.tensor([0.9, 255.5]), out)
    >>> out
    tensor([  0, 255], dtype=torch.uint8)
    """
    out.copy_(scratch("cut", tuple(values.shape), torch.int16, values.device).copy_(values))


def cut_and_wrap(values: Tensor, out: Tensor) -> None:
    """Write numbers within ±2³¹, cut towards zero, to the uint8 `out`; the low 8 bits stay.

    >>> out = torch.empty(3, dtype=torch.uint8)
    >>> cut_and_wrap(torch.tensor([-0.9, -2.5, 573.75]), out)
    >>> out
    tensor([  0, 254,  61], dtype=torch.uint8)
    """
    out.copy_(scratch("cut", tuple(values.shape), torch.int32, values.device).copy_(values))
