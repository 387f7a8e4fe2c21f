"""color_dither: few levels a channel, the error of each pixel carried to the next one of its row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter
from nversion.corruptions.pixels.scratch import scratch

# What a pixel carries on, in 16ths of its error: in the first row, in the last, in those between, and in an
# image's only row. Each number is a carry of its own, cut to a byte.
CARRIES = ((1,), (7,), (7, 1), ())
FIRST, LAST, BETWEEN, ONLY = range(len(CARRIES))
REACH = 128  # a carry is from −64 to 63
STRIDE = 256 + 2 * REACH


@CORRUPTIONS.register("color_dither")
class ColorDither(Corruption):
    """Dithering with few levels a channel: flat areas and stripes of wrong colours (Mintun et al. 2021).

    Byte b is shown as q(b) = floor(255·floor(levels·b/256)/(levels − 1)); its error e = b − q(b) is carried
    along the row: the next byte becomes clip(byte + floor(7e/16) + floor(e/16), 0, 255) before it is shown.

    Kept faults of the reference, which means Floyd and Steinberg's (1976) algorithm: what belongs to the next
    row is added to the same one, where only its 1/16 to the right has an effect, so that rows know nothing of
    each other. The first row carries 1/16 alone, the last 7/16 alone, a single row nothing.

    Parameters: levels (14 − int(severity), at least 2, hence a severity below 13; 14 at severity 0, which
    changes the image, too).

    Limit: W steps one after another, each a look-up and an addition for all images, channels and rows.

    >>> ColorDither(5.0).sample_parameters(np.random.default_rng(0), size=(8, 8))
    {'levels': 9}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"levels": Parameter(low=2, high=256, whole=True)}
    highest: ClassVar[float] = 12.99

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"levels": 14 - math.floor(self.severity)}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape
        rows, device = num_samples * 3 * height, images_n3HW.device
        different, which_n = np.unique(columns["levels"], return_inverse=True)
        carried, shown = (
            torch.from_numpy(np.concatenate([tables[side] for tables in map(_tables, different.tolist())]))
            for side in (0, 1)
        )
        carried, shown = carried.to(device), shown.to(device)
        # A byte and what is carried to it, from −REACH to 255 + REACH, is a place in both tables; a pixel's
        # place for nothing carried is its byte plus the place of its row's table.
        kind_H = np.full(height, BETWEEN)
        kind_H[0], kind_H[-1] = FIRST, LAST if height > 1 else ONLY
        table_n1H = (which_n.reshape(-1, 1, 1) * len(CARRIES) + kind_H) * STRIDE + REACH
        place_Wr = scratch("place", (width, rows), torch.int32, device)
        place_Wn3H = place_Wr.view(width, num_samples, 3, height)
        place_Wn3H.copy_(images_n3HW.permute(3, 0, 1, 2))
        place_Wn3H.add_(torch.from_numpy(table_n1H).to(device=device, dtype=torch.int32))
        carry_r = scratch("carry", (rows,), torch.int32, device)
        columns_r = place_Wr.unbind()
        for before, here in pairwise(columns_r):
            here.add_(torch.index_select(carried, 0, before, out=carry_r))
        shown_Wr = scratch("shown", (width * rows,), torch.uint8, device)
        torch.index_select(shown, 0, place_Wr.view(-1), out=shown_Wr)
        out_n3HW.copy_(shown_Wr.view(place_Wn3H.shape).permute(1, 2, 3, 0))


@cache
def _tables(levels: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """What is carried on and what is shown, by (kind of row, byte + carry + REACH), flat; 10 KB."""
    byte = np.clip(np.arange(-REACH, 256 + REACH), 0, 255)
    shown = 255 * (levels * byte // 256) // (levels - 1)
    error = byte - shown
    carried = [sum((share * error // 16 for share in shares), np.zeros_like(error)) for shares in CARRIES]
    return np.concatenate(carried).astype(np.int32), np.tile(shown, len(CARRIES)).astype(np.uint8)
