"""Pillow's resize as tensors: the same bytes on any device, with the gradient of the resize without rounding.

Pillow resizes rows, rounds and clips to uint8, then columns, rounds and clips again, with weights in fixed
point of 22 bits (`Resample.c`). The sums are whole numbers below 2^53, which float64 holds exactly.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_BITS = 22  # 32 less 8 of a pixel and 2 of overshoot
_UNIT = 1 << _BITS


def _triangle(x: float) -> float:
    return max(0.0, 1.0 - abs(x))


def _cubic(x: float) -> float:
    a, x = -0.5, abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


_FILTERS: dict[str, tuple[Callable[[float], float], float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
}


def pillow_resize(images_N3HW: Tensor, size: int, interpolation: str) -> Tensor:
    """Square images in [0, 1] as `PIL.Image.resize` makes them of their uint8 pixels.

    Values between two of the 256 levels are rounded first. Gradients are those of the resize without
    rounding and clipping.

    Args:
        images_N3HW: floating-point, of any height and width.
        size: pixels per side.
        interpolation: "bilinear", "bicubic" or "nearest".

    Returns:
        (N, 3, size, size) of the images' dtype: whole numbers divided by 255.
    """
    resized: Tensor = _Resize.apply(images_N3HW, size, interpolation)
    return resized


class _Resize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images_N3HW: Tensor, size: int, interpolation: str) -> Tensor:
        ctx.shape, ctx.size, ctx.interpolation = images_N3HW.shape, size, interpolation
        pixels = (images_N3HW.double() * 255).round().clamp(0, 255)
        rows, columns = (_weights(side, size, interpolation).to(pixels.device) for side in pixels.shape[-2:])
        if interpolation == "nearest":
            pixels = rows @ (pixels @ columns.T)
        else:
            pixels = _level(rows @ _level(pixels @ columns.T))
        return (pixels / 255).to(images_N3HW.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        unit = 1 if ctx.interpolation == "nearest" else _UNIT
        rows, columns = (
            (_weights(side, ctx.size, ctx.interpolation) / unit).to(grad.device, grad.dtype)
            for side in ctx.shape[-2:]
        )
        return rows.T @ grad @ columns, None, None


def _level(sums: Tensor) -> Tensor:
    return ((sums + _UNIT // 2) / _UNIT).floor().clamp(0, 255)


@functools.lru_cache(maxsize=32)
def _weights(before: int, after: int, interpolation: str) -> Tensor:
    """(after, before) float64: whole numbers of units of 2^-22, or ones for the nearest pixel."""
    weights: Tensor = torch.zeros(after, before, dtype=torch.float64)
    scale = before / after
    if interpolation == "nearest":
        at = scale * 0.5  # summed up, with its rounding, as Pillow does
        for place in range(after):
            weights[place, min(before - 1, int(at))] = 1.0
            at += scale
        return weights
    if before == after:  # Pillow leaves the pass out
        weights.fill_diagonal_(_UNIT)
        return weights
    of, reach = _FILTERS[interpolation]
    wider = max(1.0, scale)
    for place in range(after):
        centre = (place + 0.5) * scale
        first = max(0, int(centre - reach * wider + 0.5))
        last = min(before, int(centre + reach * wider + 0.5))
        taps = [of((at - centre + 0.5) * (1.0 / wider)) for at in range(first, last)]
        total = sum(taps)
        fixed = [tap / total * _UNIT for tap in taps]
        weights[place, first:last] = torch.tensor(
            [math.trunc(f + math.copysign(0.5, f)) for f in fixed]
        ).double()
    return weights
