"""hue_shift, brightness, saturate: one of hue, saturation and value changes, the others stay.

With V the largest and m the least byte of a pixel and δ = V − m, its saturation is δ/V and each channel is
V − δ·w, w a function of the hue that is 0 in the channel of V and 1 in that of m (A. R. Smith, "Color Gamut
Transform Pairs", 1978). Therefore a new value scales the pixel, a new saturation scales V − channel, and only
a new hue asks for the hue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.levels import Levelled, cifar_variant
from nversion.corruptions.pixels.columns import plane
from nversion.corruptions.pixels.cutting import LOST_DIGITS, cut_to_bytes
from nversion.corruptions.pixels.scratch import scratch


@CORRUPTIONS.register("hue_shift")
class HueShift(Corruption):
    """All hues turn by one angle; greys stay (Mintun et al. 2021).

    Hue h, in sixths of a turn from red, becomes h + 6·amount modulo 6, and with it red m + δ·w(|h − 3| − 1),
    green m + δ·w(2 − |h − 2|), blue m + δ·w(2 − |h − 4|), w(x) = clip(x, 0, 1), cut to bytes.

    Parameters: amount (turns, ±severity/20, either sign with probability 1/2).

    Limit: one division a pixel; 6 bytes read and written, 48 passes over planes. The largest and the least
    byte of a pixel stay what they are, where the reference's rounding can lose 1.

    >>> HueShift(4.0).sample_parameters(np.random.default_rng(0), size=(8, 8))
    {'amount': 0.2}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"amount": Parameter()}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        amount = severity_share(self.severity, 0.5)
        return {"amount": -amount if rng.uniform() < 0.5 else amount}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        hue, least, spread, part = _planes(images_n3HW, torch.float32, "hue", "least", "spread", "part")
        least.copy_(images_n3HW.amin(dim=1))
        spread.copy_(images_n3HW.amax(dim=1)).sub_(least)
        least.add_(LOST_DIGITS)
        _write_hue(images_n3HW, spread, part, hue)
        hue.add_(plane(6.0 * (columns["amount"] % 1.0), hue))
        hue.sub_(torch.mul(hue, 1 / 6, out=part).floor_().mul_(6.0))
        # The distance of the hue from blue-green, green and blue; red is furthest from blue-green.
        for channel, (middle, sign, offset) in enumerate(
            ((3.0, 1.0, -1.0), (2.0, -1.0, 2.0), (4.0, -1.0, 2.0))
        ):
            torch.sub(hue, middle, out=part).abs_().mul_(sign).add_(offset).clamp_(0.0, 1.0)
            cut_to_bytes(part.mul_(spread).add_(least), out_n3HW[:, channel])


def _write_hue(images_n3HW: Tensor, spread: Tensor, part: Tensor, hue: Tensor) -> None:
    """Write the hue in sixths of a turn from red, −1 … 5, to `hue`; 0 for greys. `part` is overwritten.

    It is 0, 2 or 4 for the channel of the largest byte, plus the difference of the channel after it and the
    channel before it over the spread. With two largest bytes, both say the same up to a whole turn.
    """
    red, green, blue, of_red, of_green, of_blue = _planes(
        images_n3HW, torch.int16, "red", "green", "blue", "of red", "of green", "of blue"
    )
    for channel, byte in enumerate((red, green, blue)):
        byte.copy_(images_n3HW[:, channel])
    # Arithmetic with ones and zeros: on a CPU one torch.where costs more than all of it.
    largest = images_n3HW.amax(dim=1)
    blue_is, green_is = images_n3HW[:, 2] == largest, images_n3HW[:, 1] == largest
    of_blue.copy_(blue_is)
    of_green.copy_(green_is & ~blue_is)
    of_red.copy_(~(green_is | blue_is))
    difference = of_red.mul_(green - blue).add_(of_green * (blue - red)).add_(of_blue * (red - green))
    sector = of_green.add_(of_blue.mul_(2)).mul_(2)
    torch.clamp(spread, min=1.0, out=part)
    hue.copy_(difference).div_(part).add_(part.copy_(sector))


@cifar_variant((0.05, 0.1, 0.15, 0.2, 0.3))
@CORRUPTIONS.register("brightness")
class Brightness(Levelled):
    """The value V of every pixel grows, hue and saturation stay (Hendrycks & Dietterich 2019).

    A channel becomes channel·V'/V, cut to a byte, V' = min(V + 255·shift, 255); black becomes the grey V'.

    Parameters: shift (of the value from 0 to 1; by level 0.1, 0.2, 0.3, 0.4, 0.5, linear between).

    Limit: one division a pixel; 6 bytes read and written, 18 passes over planes. A byte is the exact
    one at every level, where the reference's rounding can lose 1.

    >>> Brightness(2).sample_parameters(np.random.default_rng(0), size=(8, 8))
    {'shift': 0.2}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"shift": Parameter(low=-1.0, high=1.0)}
    table = (0.1, 0.2, 0.3, 0.4, 0.5)

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"shift": self.value}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        value, black, target = _planes(images_n3HW, torch.float32, "value", "black", "target")
        bytes_n3HW = scratch("bytes", tuple(images_n3HW.shape), torch.float32, images_n3HW.device)
        value.copy_(images_n3HW.amax(dim=1))
        torch.add(value, plane(255.0 * columns["shift"], value), out=target).clamp_(0.0, 255.0)
        torch.neg(value, out=black).add_(1.0).clamp_(min=0.0)  # 1 for V = 0: black is rendered like (1, 1, 1)
        target.div_(value.add_(black))
        bytes_n3HW.copy_(images_n3HW).add_(black[:, None]).mul_(target[:, None]).add_(LOST_DIGITS)
        cut_to_bytes(bytes_n3HW, out_n3HW)


@cifar_variant(((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2)))
@CORRUPTIONS.register("saturate")
class Saturate(Levelled):
    """Colours fade or glow: saturation times a factor plus a shift (Hendrycks & Dietterich 2019).

    With s' = clip(factor·δ/V + shift, 0, 1) a channel becomes V − s'·V·(V − channel)/δ, cut to a byte.

    Kept fault of the reference: a grey has the hue of red and no saturation, so that a shift makes greys red.

    Parameters: factor and shift (no units; by level (0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2), linear
    between).

    Limit: one division a pixel; 6 bytes read and written, 26 passes over planes. A byte is the exact
    one at every level, where the reference's rounding can lose 1.

    >>> Saturate(4).sample_parameters(np.random.default_rng(0), size=(8, 8))
    {'factor': 5.0, 'shift': 0.1}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "factor": Parameter(low=-1e3, high=1e3),
        "shift": Parameter(low=-1.0, high=1.0),
    }
    table = (
        (0.3, 0.0),
        (0.1, 0.0),
        (2.0, 0.0),
        (5.0, 0.1),
        (20.0, 0.2),
    )

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        factor, shift = self.row
        return {"factor": factor, "shift": shift}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        value, spread, grey, gain, away = _planes(
            images_n3HW, torch.float32, "value", "spread", "grey", "gain", "away"
        )
        value.copy_(images_n3HW.amax(dim=1))
        torch.sub(value, spread.copy_(images_n3HW.amin(dim=1)), out=spread)
        torch.mul(spread, plane(columns["factor"], spread), out=gain)
        gain.add_(torch.mul(value, plane(columns["shift"], value), out=grey))
        torch.minimum(gain.clamp_(min=0.0), value, out=gain)
        torch.neg(spread, out=grey).add_(1.0).clamp_(min=0.0)  # 1 for δ = 0: rendered as a red, δ = 1
        gain.div_(spread.add_(grey))
        for channel in range(3):
            torch.sub(value, away.copy_(images_n3HW[:, channel]), out=away)
            if channel > 0:
                away.add_(grey)
            torch.sub(value, away.mul_(gain), out=away).add_(LOST_DIGITS)
            cut_to_bytes(away, out_n3HW[:, channel])


def _planes(images_n3HW: Tensor, dtype: torch.dtype, *names: str) -> Iterator[Tensor]:
    num_samples, _, height, width = images_n3HW.shape
    for name in names:
        yield scratch(name, (num_samples, height, width), dtype, images_n3HW.device)
