"""Numbers of samples, rows or columns as tensors that broadcast over planes of pixels."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def plane(values: NDArray[Any], like: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """One number for each sample, (n,) to (n, 1, 1), on the device of `like`."""
    return torch.from_numpy(values).to(device=like.device, dtype=dtype).view(-1, 1, 1)


def column_vector(values_nH: NDArray[Any], like: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """One number for each row, (n, H) to (n, H, 1), on the device of `like`."""
    return torch.from_numpy(values_nH).to(device=like.device, dtype=dtype)[:, :, None]


def row_vector(values_nW: NDArray[Any], like: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """One number for each column, (n, W) to (n, 1, W), on the device of `like`."""
    return torch.from_numpy(values_nW).to(device=like.device, dtype=dtype)[:, None, :]
