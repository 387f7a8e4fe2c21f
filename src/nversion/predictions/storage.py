"""Logits as they lie on disk: float32 as they are, float16 as differences from each row's maximum.

A part that all classes share moves no softmax, but it takes float16's eleven bits: at 4000 it knows even
numbers only. So rows are stored as what they lie below their maximum, and the maximum in float32 in an array
of its own. That is as precise as float16 can be where classes compete, and the logits come back for rules
that compare members' raw ones (`median_logits`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Storage = Literal["float16", "float32"]

OFFSETS = ".offsets"  # under the root of all logits; no data set has a name that starts with a dot


class StoredLogits:
    """Read-only logits (N, C) on disk; rows come back in float32.

    Args:
        stored_NC: float32, or differences from the row's maximum in float16.
        offsets_N: these maxima; None for float32.
    """

    def __init__(self, stored_NC: NDArray[Any], offsets_N: NDArray[Any] | None = None) -> None:
        self.stored_NC = stored_NC
        self.offsets_N = offsets_N

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.stored_NC.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Rows, or a column `[:, c]` of them."""
        values = np.asarray(self.stored_NC[key], np.float32)
        if self.offsets_N is None:
            return values
        of_rows = np.asarray(self.offsets_N[key[0] if isinstance(key, tuple) else key])
        found: NDArray[Any] = values + (of_rows if isinstance(key, tuple) else of_rows[..., None])
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All rows, for NumPy; takes the memory of all of them."""
        return np.asarray(self[:], dtype)


def to_storage(logits_NC: Tensor, storage: Storage) -> tuple[Tensor, Tensor | None]:
    """What is stored of float32 logits: the rows, and their offsets where they have any.

    >>> rows, offsets = to_storage(torch.tensor([[4001.0, 4000.0]]), "float16")
    >>> rows.tolist(), offsets.tolist()
    ([[0.0, -1.0]], [4001.0])
    """
    if storage == "float32":
        return logits_NC, None
    offsets_N = logits_NC.amax(-1)
    return (logits_NC - offsets_N[:, None]).to(torch.float16), offsets_N


def read_back(logits_NC: Tensor, storage: Storage) -> Tensor:
    """Logits as a study reads them after they were stored."""
    stored_NC, offsets_N = to_storage(logits_NC, storage)
    return stored_NC if offsets_N is None else stored_NC.float() + offsets_N[:, None]


def offsets_folder(folder: Path, condition: str) -> Path:
    """Where the offsets of the logits in `folder` are.

    >>> offsets_folder(Path("out/predictions/d/clean/a-12"), "d/clean").as_posix()
    'out/predictions/.offsets/d/clean/a-12'
    """
    root = folder.parents[len(Path(condition).parts)]
    return root / OFFSETS / folder.relative_to(root)
