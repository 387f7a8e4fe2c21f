"""Elementary functions whose bytes are the same on every device: made only of correctly rounded operations.

Libraries' functions differ in the last bits between CPU and GPU, and between the vector body and the scalar
tail of one loop, so that a pixel would depend on its place in the batch. Those here take and give float32
tensors on any device and of any shape, work in place, and are accurate to a few units of the last place of
1. The sine and cosine with a gain, which need fewer passes, are in `cosine`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .cosine import SINE_OF_TURNS
from .scratch import scratch

# Polynomials of smallest greatest error (linear programmes on 3000 Chebyshev points).
# atan(a)/(2π), odd, 0 ≤ a ≤ 1: 6e-9 turns.
ARCTANGENT_IN_TURNS = (
    0.15915483678996295,
    -0.05304609668446224,
    0.031745691224174644,
    -0.02213509870380216,
    0.015343225399779494,
    -0.008895096849703505,
    0.0034772034250092885,
    -0.0006446705315704907,
)
# log2((1 + s)/(1 − s)), odd, |s| ≤ 0.1716: 2e-9 of its value.
LOGARITHM_2 = (2.8853900806434187, 0.9617986033531388, 0.5767311558734355, 0.4314117405486767)
# 2^f, |f| ≤ 1/2, after the 1: 2e-9.
POWER_OF_2 = (
    0.6931472061699411,
    0.24022651504658024,
    0.055503278514016714,
    0.00961798448953864,
    0.001340026880125311,
    0.00015481519949498925,
)
HALF_ROOT_BITS = 0x3F3504F3  # of sqrt(1/2) as float32


def sine_of_turns_(turns: Tensor) -> Tensor:
    """Replace t by sin(2πt); 14 passes.

    >>> sine_of_turns_(torch.tensor([0.0, 0.125, 0.25, -7.25])).round(decimals=4)
    tensor([ 0.0000,  0.7071,  1.0000, -1.0000])
    """
    square, folded = _planes(turns)
    turns.sub_(torch.round(turns, out=folded))  # in [−1/2, 1/2], exact
    torch.abs(turns, out=folded).sub_(0.25).abs_().sub_(0.25)  # −|sine| lies on a quarter turn
    torch.mul(folded, folded, out=square)
    total = scratch("elementary third", tuple(turns.shape), turns.dtype, turns.device)
    _polynomial(square, SINE_OF_TURNS, total)
    return torch.copysign(folded.mul_(total), turns, out=turns)


def cosine_of_turns_(turns: Tensor) -> Tensor:
    """Replace t by cos(2πt); 13 passes.

    >>> cosine_of_turns_(torch.tensor([0.0, 0.125, 0.5, 7.25])).round(decimals=4)
    tensor([ 1.0000,  0.7071, -1.0000, -0.0000])
    """
    square, total = _planes(turns)
    torch.round(turns, out=total)
    turns.sub_(total).abs_().sub_(0.25)
    torch.mul(turns, turns, out=square)
    _polynomial(square, SINE_OF_TURNS, total)
    return turns.mul_(total).neg_()


def arctangent2_(y: Tensor, x: Tensor) -> Tensor:
    """Replace y by the angle of (x, y) in turns, in [−1/2, 1/2]; x is overwritten; about 25 passes.

    The quadrants are those of NumPy's `arctan2`; (0, 0) gives 0 where x is +0, and ±1/2 where it is −0.

    >>> y, x = torch.tensor([0.0, 1.0, 1.0, 0.0, -1.0]), torch.tensor([0.0, 1.0, 0.0, -2.0, -1.0])
    >>> arctangent2_(y, x)
    tensor([ 0.0000,  0.1250,  0.2500,  0.5000, -0.3750])
    """
    quotient, total = _planes(y)
    shape = tuple(y.shape)
    square = scratch("elementary third", shape, y.dtype, y.device)
    behind = scratch("elementary fourth", shape, y.dtype, y.device)
    quarter = torch.full((), 0.25, dtype=y.dtype, device=y.device)
    torch.copysign(quarter, x, out=behind).neg_().add_(0.25)  # 1/2 where x is negative, else 0
    x.abs_()
    torch.abs(y, out=square)
    torch.maximum(x, square, out=total).clamp_(min=torch.finfo(torch.float32).tiny)
    torch.minimum(x, square, out=quotient).div_(total)
    steep = torch.gt(square, x, out=x).mul_(0.25)  # 1/4 where |y| > |x|, else 0
    torch.mul(quotient, quotient, out=square)
    _polynomial(square, ARCTANGENT_IN_TURNS, total)
    # 1/4 − q where steep, then 1/2 − q where behind; an absolute value where torch.where takes twice as long.
    quotient.mul_(total).sub_(steep).abs_().sub_(behind).abs_()
    return torch.copysign(quotient, y, out=y)


def logarithm2_(x: Tensor) -> Tensor:
    """Replace x by log2 x; x must be positive and at least 1.2e-38; 15 passes.

    >>> logarithm2_(torch.tensor([1.0, 8.0, 0.5, 10.0])).round(decimals=4)
    tensor([ 0.0000,  3.0000, -1.0000,  3.3219])
    """
    square, total = _planes(x)
    exponent = scratch("elementary whole", tuple(x.shape), torch.int32, x.device)
    bits = x.view(torch.int32)
    torch.sub(bits, HALF_ROOT_BITS, out=exponent).bitwise_right_shift_(23)
    bits.sub_(exponent.bitwise_left_shift_(23))  # x is now in [sqrt(1/2), sqrt 2)
    torch.add(x, 1.0, out=total)
    x.sub_(1.0).div_(total)
    torch.mul(x, x, out=square)
    _polynomial(square, LOGARITHM_2, total)
    return x.mul_(total).add_(exponent.bitwise_right_shift_(23))


def power_of_2_(x: Tensor) -> Tensor:
    """Replace x by 2^x; below −126 it gives 2^-126, above 127 2^127; 13 passes.

    >>> power_of_2_(torch.tensor([0.0, 3.0, -1.5])).round(decimals=4)
    tensor([1.0000, 8.0000, 0.3536])
    """
    whole, total = _planes(x)
    exponent = scratch("elementary whole", tuple(x.shape), torch.int32, x.device)
    x.clamp_(-126.0, 127.0)
    torch.round(x, out=whole)
    x.sub_(whole)
    _polynomial(x, POWER_OF_2, total)
    x.mul_(total).add_(1.0)
    exponent.copy_(whole).add_(127).bitwise_left_shift_(23)
    return x.mul_(exponent.view(torch.float32))


def power_(x: Tensor, exponent: Tensor | float) -> Tensor:
    """Replace x by x^exponent; x as for `logarithm2_`; relative error about 1e-7 · |exponent · log2 x|.

    >>> power_(torch.tensor([4.0, 2.0]), torch.tensor([0.5, -2.0]))
    tensor([2.0000, 0.2500])
    """
    return power_of_2_(logarithm2_(x).mul_(exponent))


def _polynomial(variable: Tensor, coefficients: tuple[float, ...], out: Tensor) -> None:
    torch.mul(variable, coefficients[-1], out=out)
    for coefficient in coefficients[-2:0:-1]:
        out.add_(coefficient).mul_(variable)
    out.add_(coefficients[0])


def _planes(like: Tensor) -> tuple[Tensor, Tensor]:
    shape = tuple(like.shape)
    return (
        scratch("elementary first", shape, like.dtype, like.device),
        scratch("elementary second", shape, like.dtype, like.device),
    )
