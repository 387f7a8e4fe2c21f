"""Labels as other programs store them, as one whole number for each image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nversion.core import UserError


def whole_numbers(array: NDArray[Any], num: int, where: str, next_step: str) -> NDArray[Any]:
    """The whole numbers (num,) of an array (num,) or (num, 1), in their own type.

    Args:
        array: as it was read.
        num: of images.
        where: the array stands, as it reads in an error ("the array 'y' of a.npz").
        next_step: where it is another array altogether.

    Raises:
        UserError: another shape, or numbers that are not whole by their type.
    """
    column = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if column.shape == (num,) and column.dtype.kind in "iu":
        return column
    found = f"{array.dtype} {array.shape}"
    if column.shape == (num,) and column.dtype.kind in "fb":
        missing = int(np.isnan(column).sum()) if column.dtype.kind == "f" else 0
        found += f", {missing:,} of them nan" if missing else ""
        next_step = "store each as a whole number: " + (
            "decide which class an image without one has" if missing else 'labels.astype("int64")'
        )
    elif column.ndim == 2 and column.shape[0] == num and column.dtype.kind in "iufb":
        next_step = (
            f"give one class to an image: labels.argmax(axis=1) where they are one-hot; or {next_step}"
        )
    raise UserError(expected=f"{num:,} whole numbers in {where}", found=found, next_step=next_step)
