"""bleach_bypass, technicolor, pseudocolor, color_balance: film, false colour, colours weak and strong.

Whole multiples of a power of two below 2²⁴ of them are exact in float32, also by way of a fused multiply-add:
lightness, a weighted sum of bytes, is taken in 10 000ths or 65 536ths and has no rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.columns import plane
from nversion.corruptions.pixels.cutting import cut_and_wrap, cut_to_bytes
from nversion.corruptions.pixels.scratch import scratch

LUMA = (2126.0, 7152.0, 722.0)  # ITU-R BT.709, in 10 000ths
WHITE = 10_000 * 255.0
PILLOW_LUMA = (19595 / 65536, 38470 / 65536, 7471 / 65536)  # ITU-R BT.601


@CORRUPTIONS.register("bleach_bypass")
class BleachBypass(Corruption):
    """Film whose silver was not bleached: harder contrast, paler colours (Mintun et al. 2021).

    With y the lightness (BT.709, 0 … 1), p a byte over 255 and l = clip(10·(y − 0.45), 0, 1), the look is
    `255·((1 − l)·2py + l·(1 − 2(1 − y)(1 − p)))`; a byte becomes trunc((1 − amount)·byte + amount·look).

    Kept faults of the reference: it doubles the byte itself, so that 2p is 2p − 256/255 from 128 on; and the
    look lies down to 3.2 below zero where y is 0.45 to 0.5, which wraps around to 253 … 255.

    Parameters: amount (severity/10, no unit).

    Limit: 6 bytes a pixel read and written, 40 passes over float32 planes.

    >>> BleachBypass(5.0).sample_parameters(np.random.default_rng(0), size=(8, 8))
    {'amount': 0.5}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"amount": Parameter()}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"amount": severity_share(self.severity, 1.0)}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        bytes_n3HW = _bytes(images_n3HW)
        y = _lightness(bytes_n3HW, LUMA).mul_(1 / WHITE)
        amount = plane(columns["amount"], y)
        bright, doubled, level, change = _planes(images_n3HW, "bright", "doubled", "level", "change")
        torch.sub(y, 0.45, out=bright).mul_(10.0).clamp_(0.0, 1.0)
        # amount·(look − byte) = doubled·(2·byte mod 256) + slope·byte + level with three planes for all
        # channels; white stays white, because there the last two take each other away.
        torch.neg(bright, out=doubled).add_(1.0).mul_(y).mul_(amount)
        torch.mul(y, 2.0, out=level).sub_(1.0).mul_(bright).mul_(255.0).mul_(amount)
        slope = y.neg_().add_(1.0).mul_(2.0).mul_(bright).sub_(1.0).mul_(amount)
        for channel, byte in enumerate(bytes_n3HW.unbind(1)):
            byte.add_(torch.mul(byte, slope, out=change).add_(level))
            byte.add_(change.copy_(images_n3HW[:, channel] << 1).mul_(doubled))
        cut_and_wrap(bytes_n3HW, out_n3HW)


@CORRUPTIONS.register("technicolor")
class Technicolor(Corruption):
    """Early colour film: a channel shines where the other two are weak (Mintun et al. 2021).

    With mattes m = 1 − p + (q + s)/2, p the channel and q, s the others over 255, red becomes
    `red·m_green·m_blue`, and so on; a byte becomes trunc((1 − amount)·byte + amount·that). Greys stay.

    Kept fault of the reference: what is above 255 (pure red times 2.25) wraps around.

    Parameters: amount (severity/10, no unit).

    Limit: 6 bytes a pixel read and written, 33 passes over float32 planes. Against float64 one byte in
    10 000 may be cut to the next number; where that is the 256th, they are 255 apart.

    >>> Technicolor(5.0).sample_parameters(np.random.default_rng(0), size=(8, 8))
    {'amount': 0.5}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"amount": Parameter()}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"amount": severity_share(self.severity, 1.0)}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        bytes_n3HW = _bytes(images_n3HW)
        total = _lightness(bytes_n3HW, (1.0, 1.0, 1.0)).add_(510.0)
        amount = plane(columns["amount"] / 510**2, total)
        # 510 times a matte is 510 + red + green + blue − 3·channel, a whole number.
        red, green, blue = (
            torch.mul(byte, -3.0, out=matte).add_(total)
            for byte, matte in zip(
                bytes_n3HW.unbind(1), _planes(images_n3HW, "red", "green", "blue"), strict=True
            )
        )
        for byte, others in zip(
            bytes_n3HW.unbind(1), ((green, blue), (red, blue), (red, green)), strict=True
        ):
            change = torch.mul(*others, out=total).sub_(510.0**2)
            byte.add_(change.mul_(amount).mul_(byte))
        cut_and_wrap(bytes_n3HW, out_n3HW)


@CORRUPTIONS.register("pseudocolor")
class Pseudocolor(Corruption):
    """Lightness shown as a colour of a map through five random colours (Mintun et al. 2021).

    Between colour c at lightness y = k/4 and the next, d, at t = 4y − k (k = 0 … 3), the map is
    `c + (1 − smoothness)·t·(d − c) + smoothness·(3t² − 2t³)·((d − c) mod 256)`; a byte becomes
    trunc(clip((1 − amount)·byte + amount·map, 0, 255)).

    Kept fault of the reference: its smooth part takes differences of bytes, so that a fall from c to d is a
    rise by 256 less; where it ends the map jumps by smoothness·256.

    Parameters: smoothness (U(0.25, 0.75), no unit), color0 … color4 (red, green, blue, whole, 0 … 254),
    amount (severity/20, no unit).

    Limit: 9 look-ups of four numbers a pixel; 6 bytes read and written. The lightness of the reference has
    rounding, so that a pixel of lightness k/4 exactly may take the other side of a jump.

    >>> Pseudocolor(5.0).sample_parameters(np.random.default_rng(0), size=(8, 8))["amount"]
    0.25
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "smoothness": Parameter(),
        **{f"color{k}": Parameter(low=0, high=255, whole=True, shape=(3,)) for k in range(5)},
        "amount": Parameter(),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {
            "smoothness": rng.uniform(0.25, 0.75),
            **{f"color{k}": tuple(rng.integers(0, 255, size=3).tolist()) for k in range(5)},
            "amount": severity_share(self.severity, 0.5),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        bytes_n3HW = _bytes(images_n3HW)
        t, quarter = _lightness(bytes_n3HW, LUMA), WHITE / 4
        k, smooth, term = _planes(images_n3HW, "k", "smooth", "term")
        # Lightness is whole: half a step beside it, a product is as good as the quotient.
        torch.add(t, 0.5, out=k).mul_(1 / quarter).floor_().clamp_(max=3.0)
        t.sub_(torch.mul(k, quarter, out=smooth)).mul_(1 / quarter)
        torch.mul(t, -2.0, out=smooth).add_(3.0).mul_(t).mul_(t)
        step = scratch("step", tuple(k.shape), torch.int32, k.device).copy_(k)
        step.add_(plane(4 * np.arange(len(k)), step, torch.int32))
        starts_3N4, slopes_3N4, smooths_3N4 = _colour_map(columns, t)
        bytes_n3HW.mul_(plane(1.0 - columns["amount"], t)[:, None])
        for channel, byte in enumerate(bytes_n3HW.unbind(1)):
            for table_3N4, factor in ((starts_3N4, None), (slopes_3N4, t), (smooths_3N4, smooth)):
                torch.index_select(table_3N4[channel], 0, step.view(-1), out=term.view(-1))
                byte.add_(term if factor is None else term.mul_(factor))
        cut_to_bytes(bytes_n3HW.clamp_(0.0, 255.0), out_n3HW)


def _colour_map(columns: Columns, like: Tensor) -> Tensor:
    # amount times the map's start, linear rise and smooth rise: (3 of these, channel, sample·4 + step).
    colours_N53 = np.stack([columns[f"color{k}"] for k in range(5)], axis=1)
    rise_N43 = np.diff(colours_N53, axis=1)
    smoothness, amount = (columns[name][:, None, None] for name in ("smoothness", "amount"))
    parts = np.stack([colours_N53[:, :4] + 0.0, (1.0 - smoothness) * rise_N43, smoothness * (rise_N43 % 256)])
    tables = np.ascontiguousarray((parts * amount).transpose(0, 3, 1, 2)).reshape(3, 3, -1)
    return torch.from_numpy(tables).to(device=like.device, dtype=torch.float32)


@CORRUPTIONS.register("color_balance")
class ColorBalance(Corruption):
    """Colours too weak or too strong, lightness kept (Mintun et al. 2021).

    A byte becomes trunc(clip(y + factor·(byte − y), 0, 255)) with y the whole-number grey of Pillow,
    (19595·red + 38470·green + 7471·blue + 32768) >> 16: the bytes of `PIL.ImageEnhance.Color`. The reference
    names that class without importing it and raises a NameError; this does what it means.

    Parameters: factor (1 ± severity/10, either sign with probability 1/2; 0 is grey, 1 the image).

    Limit: 6 bytes a pixel read and written, 26 passes over float32 planes.

    >>> ColorBalance(4.0).sample_parameters(np.random.default_rng(0), size=(8, 8))
    {'factor': 1.4}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"factor": Parameter()}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        shift = severity_share(self.severity, 1.0)
        return {"factor": 1.0 - shift if rng.uniform() < 0.5 else 1.0 + shift}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        bytes_n3HW = _bytes(images_n3HW)
        grey = _lightness(bytes_n3HW, PILLOW_LUMA).add_(0.5).floor_()[:, None]
        bytes_n3HW.sub_(grey).mul_(plane(columns["factor"], grey)[:, None]).add_(grey)
        cut_to_bytes(bytes_n3HW.clamp_(0.0, 255.0), out_n3HW)


def _bytes(images_n3HW: Tensor) -> Tensor:
    return scratch("bytes", tuple(images_n3HW.shape), torch.float32, images_n3HW.device).copy_(images_n3HW)


def _planes(images_n3HW: Tensor, *names: str) -> Iterator[Tensor]:
    num_samples, _, height, width = images_n3HW.shape
    for name in names:
        yield scratch(name, (num_samples, height, width), torch.float32, images_n3HW.device)


def _lightness(bytes_n3HW: Tensor, weights: tuple[float, float, float]) -> Tensor:
    red, green, blue = bytes_n3HW.unbind(1)
    (lightness,) = _planes(bytes_n3HW, "lightness")
    torch.mul(red, weights[0], out=lightness)
    return lightness.add_(green, alpha=weights[1]).add_(blue, alpha=weights[2])
