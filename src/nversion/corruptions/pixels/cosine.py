"""A cosine whose bytes are the same on every device: made only of correctly rounded operations.

Libraries' cosines differ in the last bits between CPU and GPU, and between the vector body and the scalar
tail of one loop, so that a pixel would depend on its place in the batch. Angles here are in turns, where
taking off whole turns is exact in floating point.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .columns import plane

# Odd polynomial for sin(2πd), |d| ≤ 1/4, of smallest greatest error (linear programme on 4000 points): the
# error of the polynomial is 4e-9, in float32 arithmetic 2e-7.
SINE_OF_TURNS = (
    6.283185159820103,
    -41.341654833356394,
    81.6009907797334,
    -76.54948792714845,
    39.53459940024098,
)


def scaled_cosine(gain_n: NDArray[np.float64], like: Tensor) -> list[Tensor]:
    """Coefficients for `cosine_of_turns_`, times a gain for each sample: 5 float32 tensors of (n, 1, 1)."""
    return [plane(-gain_n * coefficient, like) for coefficient in SINE_OF_TURNS]


def cosine_of_turns_(turns: Tensor, coefficients: list[Tensor], square: Tensor, out: Tensor) -> Tensor:
    """Write gain · cos(2π turns) to `out`; `turns` and `square` are overwritten.

    13 passes over float32 planes. cos(2πt) = −sin(2π(|t − round t| − 1/4)); the sign is in the coefficients.

    >>> turns = torch.tensor([[[0.0, 0.125, 0.5, 7.25]]])
    >>> gain = scaled_cosine(np.array([10.0]), turns)
    >>> cosine_of_turns_(turns, gain, torch.empty_like(turns), torch.empty_like(turns)).round(decimals=4)
    tensor([[[ 10.0000,   7.0711, -10.0000,  -0.0000]]])
    """
    torch.round(turns, out=out)
    turns.sub_(out).abs_().sub_(0.25)
    torch.mul(turns, turns, out=square)
    torch.mul(square, coefficients[-1], out=out)
    for coefficient in coefficients[-2:0:-1]:
        out.add_(coefficient).mul_(square)
    return out.add_(coefficients[0]).mul_(turns)


def in_turns(radians: NDArray[np.float64]) -> NDArray[np.float64]:
    """An angle in turns, whole turns taken off, in [−1/2, 1/2].

    >>> in_turns(np.array([5 * math.pi / 2]))
    array([0.25])
    """
    turns = radians / (2 * math.pi)
    return np.asarray(turns - np.round(turns))
