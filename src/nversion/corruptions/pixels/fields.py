"""Random fields drawn where the images are: the same bytes on every device, in every batch.

A counter-based generator: value i of a field is a hash of (seed, stream, i), so that no value depends on
another, on the order, or on any state. The hash is SplitMix64's output function (Steele, Lea, Flood, "Fast
Splittable Pseudorandom Number Generators", 2014), in 64-bit whole numbers; normals are Box and Muller's.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .elementary import cosine_of_turns_, logarithm2_, sine_of_turns_
from .scratch import scratch

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_ALL = (1 << 64) - 1
BITS = 24  # of a value: what float32 holds


def uniform_fields(
    seeds_n: NDArray[np.int64], stream: int, shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """Independent uniform values k/2^24 in [0, 1), float32 (n, *shape).

    Args:
        seeds_n: of each sample, at least 0.
        stream: which field of the sample; other numbers give independent fields.
        shape: of one sample's field.
        device: where to draw.

    >>> fields = uniform_fields(np.array([1, 2, 1]), 0, (2, 3), torch.device("cpu"))
    >>> fields.shape, torch.equal(fields[0], fields[2]), torch.equal(fields[0], fields[1])
    (torch.Size([3, 2, 3]), True, False)
    """
    values = _pairs(seeds_n, stream, math.prod(shape), device).mul_(2.0**-BITS)
    return values[:, : math.prod(shape)].reshape(len(seeds_n), *shape)


def normal_fields(
    seeds_n: NDArray[np.int64], stream: int, shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """Independent standard normal values, float32 (n, *shape); none beyond 5.8.

    Args as for `uniform_fields`. About 60 passes over half as many values.
    """
    count = math.prod(shape)
    values = _pairs(seeds_n, stream, count, device)
    half = values.shape[1] // 2
    radius = scratch("field radius", (len(seeds_n), half), torch.float32, device)
    turns = scratch("field turns", (len(seeds_n), half), torch.float32, device)
    # log2 of (k + 1)/2^24 in (0, 1]; k + 1 is whole and at most 2^24, exact in float32.
    logarithm2_(radius.copy_(values[:, :half]).add_(1.0)).sub_(float(BITS)).mul_(-2 * math.log(2)).sqrt_()
    second = values[:, half:].mul_(2.0**-BITS)
    cosine = cosine_of_turns_(turns.copy_(second))
    values[:, :half] = cosine.mul_(radius)
    second.copy_(sine_of_turns_(turns.copy_(second)).mul_(radius))
    return values[:, :count].reshape(len(seeds_n), *shape)


def _pairs(seeds_n: NDArray[np.int64], stream: int, count: int, device: torch.device) -> Tensor:
    # Whole numbers below 2^24 as float32, (n, 2·ceil(count/2)): each hash gives its high and its middle bits.
    half = (count + 1) // 2
    keys = [_mixed(_mixed(int(seed)) + stream * _GOLDEN & _ALL) for seed in seeds_n]
    key_n1 = torch.from_numpy(np.array(keys, dtype=np.uint64).view(np.int64)).to(device)[:, None]
    hashed, shifted = (
        scratch(name, (len(seeds_n), half), torch.int64, device) for name in ("field hash", "field shifted")
    )
    hashed.copy_(torch.arange(1, half + 1, device=device)[None]).mul_(_signed(_GOLDEN)).add_(key_n1)
    _shift_xor_(hashed, 30, shifted).mul_(_signed(_FIRST))
    _shift_xor_(hashed, 27, shifted).mul_(_signed(_SECOND))
    _shift_xor_(hashed, 31, shifted)
    values = torch.empty(len(seeds_n), 2 * half, dtype=torch.float32, device=device)
    mask = (1 << BITS) - 1
    values[:, :half] = torch.bitwise_right_shift(hashed, 64 - BITS, out=shifted).bitwise_and_(mask)
    values[:, half:] = hashed.bitwise_right_shift_(64 - 2 * BITS).bitwise_and_(mask)
    return values


def _shift_xor_(values: Tensor, bits: int, shifted: Tensor) -> Tensor:
    # PyTorch's right shift keeps the sign; the mask makes it the logical one.
    torch.bitwise_right_shift(values, bits, out=shifted).bitwise_and_((1 << (64 - bits)) - 1)
    return values.bitwise_xor_(shifted)


def _mixed(number: int) -> int:
    number = number + _GOLDEN & _ALL
    number = (number ^ number >> 30) * _FIRST & _ALL
    number = (number ^ number >> 27) * _SECOND & _ALL
    return number ^ number >> 31


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number
