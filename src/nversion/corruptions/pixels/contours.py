"""Edges, distances and histograms of planes of bytes, to the byte those of OpenCV.

All on whole numbers, so that batches and devices give the same bytes. Planes are int32 (n, H, W).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from .scratch import scratch

# Lengths of a step to a neighbour, to a diagonal one and of a knight's move, times 10000 (Borgefors 1986).
STRAIGHT, DIAGONAL, KNIGHT = 10_000, 14_000, 21_969
TANGENT = 13_573  # of 22.5 degrees, times 2^15


def windows(planes_nHW: Tensor, mirrored: bool | None) -> Callable[[int, int], Tensor]:
    """Views of the planes moved by one pixel: f(down, right), each −1, 0 or 1.

    Args:
        mirrored: beyond an edge the planes are mirrored at it, b | a b; or it is repeated, a | a b; or all is
            0 (None).
    """
    height, width = planes_nHW.shape[1:]
    if mirrored is None:
        padded = torch.nn.functional.pad(planes_nHW, (1, 1, 1, 1))
    else:
        inwards = 1 if mirrored else 0
        padded = planes_nHW.new_empty((len(planes_nHW), height + 2, width + 2))
        padded[:, 1:-1, 1:-1] = planes_nHW
        padded[:, 0, 1:-1] = planes_nHW[:, min(inwards, height - 1)]
        padded[:, -1, 1:-1] = planes_nHW[:, max(height - 1 - inwards, 0)]
        padded[..., 0] = padded[..., 1 + min(inwards, width - 1)]
        padded[..., -1] = padded[..., 1 + max(width - 1 - inwards, 0)]
    return lambda down, right: padded[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width]


def edges(planes_nHW: Tensor, low: int, high: int) -> Tensor:
    """Canny's edges with Sobel's gradients, bool; magnitudes above `low`, connected to one above `high`.

    A pixel is one if its magnitude |right| + |down| is a maximum along its gradient, of which four
    directions are told apart. What is connected to what is found on the host.
    """
    near = windows(planes_nHW.short(), mirrored=False)
    # Sobel: differences along one axis, of sums 1 2 1 along the other; below 2^10, and their sums below 2^11.
    rising, falling = near(1, 1) - near(-1, -1), near(-1, 1) - near(1, -1)
    right = (near(0, 1) - near(0, -1)).mul_(2).add_(rising).add_(falling)
    down = (near(1, 0) - near(-1, 0)).mul_(2).add_(rising).sub_(falling)
    opposite = torch.bitwise_xor(right, down) < 0
    size_x, size_y = right.abs_(), down.abs_()
    magnitude = size_x + size_y
    beside = windows(magnitude, mirrored=None)
    along_row = (magnitude > beside(0, -1)) & (magnitude >= beside(0, 1))
    along_column = (magnitude > beside(-1, 0)) & (magnitude >= beside(1, 0))
    along_rising = (magnitude > beside(-1, -1)) & (magnitude > beside(1, 1))
    along_falling = (magnitude > beside(-1, 1)) & (magnitude > beside(1, -1))
    peak = torch.where(opposite, along_falling, along_rising)
    # Which of the four directions the gradient takes: its angle against 22.5 and 67.5 degrees.
    wide, tall = size_x.int(), size_y.int().bitwise_left_shift_(15)
    peak = torch.where(tall > wide * (TANGENT + (1 << 16)), along_column, peak)
    peak = torch.where(tall < wide.mul_(TANGENT), along_row, peak)
    strength = ((magnitude > low) & peak).byte().add_((magnitude > high) & peak)
    return torch.from_numpy(_connected(strength.cpu().numpy())).to(planes_nHW.device)


def _connected(strength_nHW: NDArray[np.uint8]) -> NDArray[np.bool_]:
    # Pixels that are 1 or 2, in pieces (of neighbours and diagonal ones) that have a 2.
    in_plane = np.zeros((3, 3, 3), dtype=np.int8)
    in_plane[1] = 1
    piece_nHW, num_pieces = ndimage.label(strength_nHW, in_plane)
    kept = np.zeros(num_pieces + 1, dtype=np.bool_)
    kept[piece_nHW[strength_nHW == 2]] = True
    found: NDArray[np.bool_] = kept[piece_nHW]
    return found


def distances(edges_nHW: Tensor, farthest: int) -> Tensor:
    """Distance to the nearest edge, at most `farthest` (up to 30), in units of 1/10000 pixel.

    The shortest way by straight, diagonal and knight's steps. In a row only its nearest edge counts, so it
    is found for all rows first; then each pixel looks at the rows up to `farthest` above and below it.
    """
    height, width = edges_nHW.shape[1:]
    away = edges_nHW.logical_not().byte().mul_(200)
    for step in (1, 2, 4, 8, 16):
        if step < width:
            nearer = away + step
            torch.minimum(away[..., step:], nearer[..., :-step], out=away[..., step:])
            torch.minimum(away[..., :-step], nearer[..., step:], out=away[..., :-step])
    away.clamp_(max=farthest)
    lengths = torch.from_numpy(_lengths(farthest)).to(away.device)
    either = away.clone()
    index, length = (
        scratch(name, tuple(away.shape), torch.int32, away.device) for name in ("index", "length")
    )
    nearest = torch.full_like(index, farthest * STRAIGHT)
    for rows in range(min(farthest, height)):
        if rows > 0:
            either.fill_(farthest)
            either[:, rows:] = away[:, :-rows]
            torch.minimum(either[:, :-rows], away[:, rows:], out=either[:, :-rows])
        torch.index_select(lengths[rows], 0, index.copy_(either).view(-1), out=length.view(-1))
        torch.minimum(nearest, length, out=nearest)
    return nearest


@lru_cache(maxsize=4)
def _lengths(farthest: int) -> NDArray[np.int32]:
    # From one pixel to another so many rows and columns away; `farthest` columns stand for all from there on.
    rows, columns = np.mgrid[:farthest, : farthest + 1]
    longer, shorter = np.maximum(rows, columns), np.minimum(rows, columns)
    flat = KNIGHT * shorter + STRAIGHT * (longer - 2 * shorter)
    steep = KNIGHT * (longer - shorter) + DIAGONAL * (2 * shorter - longer)
    length = np.where(2 * shorter <= longer, flat, steep)
    nearest: NDArray[np.int32] = np.minimum(length, STRAIGHT * farthest).astype(np.int32)
    return nearest


def mean_3(planes_nHW: Tensor, cut: bool) -> Tensor:
    """Mean over 3×3 pixels, planes mirrored at their edges: int32.

    Args:
        cut: of distances: in pixels, cut to a whole number; otherwise of bytes, rounded.
    """
    near = windows(planes_nHW, mirrored=True)
    of_row = near(0, -1) + near(0, 0) + near(0, 1)
    near = windows(of_row, mirrored=True)
    total = (near(-1, 0) + near(0, 0) + near(1, 0)).float()  # below 2^24: exact
    if cut:
        return total.add_(0.5).mul_(1 / (9 * STRAIGHT)).int()
    return total.mul_(1 / 9).round_().int()


def equalized(values_nHW: Tensor, highest: int) -> Tensor:
    """OpenCV's histogram equalization of each plane, int32 from 0 to 255.

    Args:
        values_nHW: whole numbers from 0 to `highest`.
    """
    num_planes, bins = len(values_nHW), highest + 1
    own = torch.arange(num_planes, dtype=torch.int32, device=values_nHW.device)[:, None, None] * bins
    bin_nHW = values_nHW + own
    counts = torch.bincount(bin_nHW.view(-1), minlength=num_planes * bins).view(num_planes, bins)
    up_to = counts.cumsum(1)
    total = up_to[:, -1:]
    first = torch.where(up_to > 0, up_to, total).amin(dim=1, keepdim=True)  # pixels of the lowest value
    scale = torch.full_like(total, 255, dtype=torch.float32) / (total - first).clamp_(min=1).float()
    level = ((up_to - first).float() * scale).round_().clamp_(0, 255)
    # A plane of one value keeps it.
    level = torch.where(total == first, torch.arange(bins, device=level.device), level).int()
    return level.view(-1).index_select(0, bin_nHW.view(-1)).view(values_nHW.shape)
