"""caustic_noise and caustic_refraction: light as on the ground of a pool, added or as a lens of waves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.added import add_planes
from nversion.corruptions.pixels.bilinear import resample
from nversion.corruptions.pixels.columns import column_vector, plane, row_vector
from nversion.corruptions.pixels.cosine import in_turns
from nversion.corruptions.pixels.elementary import cosine_of_turns_, power_, sine_of_turns_
from nversion.corruptions.pixels.scratch import scratch

STEPS = 5
NEARLY_FLAT = 0.999  # a lens whose normal is closer than this to the line of sight does not refract
TRUNCATE = 4.0  # standard deviations of a Gaussian, as in SciPy


@CORRUPTIONS.register("caustic_noise")
class CausticNoise(Corruption):
    """Bright webs of light added to the image (Mintun et al. 2021, caustic noise).

    With p = 6.28318530718·frac((row, column)/size) − 250 and i = p, for step n = 1, …, 5: `t = time·(1 −
    3.5/n)`, `i = p + (cos(t − i₀) + sin(t + i₁), sin(t − i₁) + cos(t + i₀))` and `1/lₙ = 200/√((p₀/sin(i₀ +
    t))² + (p₁/cos(i₁ + t))²)`. The light is `(1.17 − ((1 + Σ 1/lₙ)/5)^1.4)⁸`, at most 1, and a pixel is
    `pixel + intensity·light`, cut to [0, 255].

    Parameters: time (radians, U(0.5, 2)), size (of a tile in pixels, U(0.75, 1.25) of the shorter side),
    intensity (grey levels, 25.5·severity).

    Limit: 16 sines and cosines a pixel, 15 passes each, since those of t ± i follow from those of i, and the
    first step's from rows and columns; 5 roots; one power.

    >>> CausticNoise(4.0).sample_parameters(np.random.default_rng(0), size=(224, 224))["intensity"]
    102.0
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "time": Parameter(),
        "size": Parameter(low=1e-3),
        "intensity": Parameter(),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {
            "time": rng.uniform(0.5, 2.0),
            "size": rng.uniform(0.75, 1.25) * min(height, width),
            "intensity": severity_share(self.severity, 255.0),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        light = _light(images_n3HW, columns)
        add_planes(images_n3HW, light.mul_(plane(columns["intensity"], light))[:, None], out_n3HW)


@CORRUPTIONS.register("caustic_refraction")
class CausticRefraction(Corruption):
    """The image through water whose surface is a blurred caustic (Mintun et al. 2021, caustic refraction).

    The light of `caustic_noise`, blurred by a Gaussian of `softening` pixels, is the height of the surface;
    g = (below − above, right − left) are its differences across two pixels, beyond the image it is 0. With
    cos = 1/√(1 + g²) and sin² = 1 − cos², a pixel reads from `(row, column) + lens_scale·g·cos·(√(1 −
    sin²/eta²) − cos/eta)`, rounded to 3 decimals, or from its own place where cos is at least 0.999;
    bilinear between four neighbours, black beyond the image; and gains `255·lighting_amount·(g₀ − g₁)` grey
    levels before it is cut to [0, 255].

    Parameters: time, size as of `caustic_noise`; eta (quotient of refractive indices, 4), lens_scale
    (pixels, severity/20 of the shorter side), lighting_amount (severity/5), softening (pixels, 1).

    Limit: that of `caustic_noise`, 26 passes for the blur, 2 roots, 2 divisions, and the bilinear reading,
    whose weights are whole numbers over 8192. An even area under flat water stays what it is, where the
    reference's rounding can lose 1. Refraction begins with a jump: where cos is 0.999 to 7 digits, a pixel
    may fall on the other side than in float64.

    >>> CausticRefraction(5.0).sample_parameters(np.random.default_rng(0), size=(224, 320))["lens_scale"]
    56.0
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "time": Parameter(),
        "size": Parameter(low=1e-3),
        "eta": Parameter(low=1.0),
        "lens_scale": Parameter(),
        "lighting_amount": Parameter(),
        "softening": Parameter(low=0.0, high=16.0),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        shorter = min(height, width)
        return {
            "time": rng.uniform(0.5, 2.0),
            "size": rng.uniform(0.75, 1.25) * shorter,
            "eta": 4.0,
            "lens_scale": severity_share(self.severity, 0.5 * shorter),
            "lighting_amount": severity_share(self.severity, 2.0),
            "softening": 1,
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        light = _light(images_n3HW, columns)
        num_samples, height, width = light.shape
        surface = scratch("surface", (num_samples, height + 2, width + 2), light.dtype, light.device).zero_()
        surface[:, 1:-1, 1:-1] = _blurred(light, columns["softening"])
        down, right, push = (scratch(name, light.shape, light.dtype, light.device) for name in "abc")
        torch.sub(surface[:, 2:, 1:-1], surface[:, :-2, 1:-1], out=down)
        torch.sub(surface[:, 1:-1, 2:], surface[:, 1:-1, :-2], out=right)
        torch.sub(down, right, out=light).mul_(plane(255.0 * columns["lighting_amount"], light))
        _refraction(down, right, columns, push)
        for shift in (down, right):
            shift.mul_(push).mul_(1000.0).round_().mul_(0.001)
        resample(images_n3HW, down, right, out_n3HW, light)


def _light(like_n3HW: Tensor, columns: Columns) -> Tensor:
    """The caustic of each image, in [0, 1]: float32 (n, H, W)."""
    num_samples, _, height, width = like_n3HW.shape

    def buffer(name: str, planes: int = 1) -> Tensor:
        return scratch(name, (planes, num_samples, height, width), torch.float32, like_n3HW.device)

    sines, cosines, turns = buffer("sines", 2), buffer("cosines", 2), buffer("turns", 2)
    total, product = buffer("total")[0], buffer("product")[0]
    places = [_places(columns["size"], num_pixels) for num_pixels in (height, width)]
    turned = [in_turns(place) for place in places]
    start = (column_vector(turned[0], total), row_vector(turned[1], total))
    squares = tuple(
        vector((0.005 * place) ** 2, total)
        for vector, place in zip((column_vector, row_vector), places, strict=True)
    )
    total.fill_(1.0)
    for step in range(STEPS):
        time = columns["time"] * (1.0 - 3.5 / (step + 1))
        if step == 0:
            _first_angles(places, time, sines, cosines, product)
        else:
            _next_angles(start, time, sines, cosines, turns, product)
        cosine, sine = plane(np.cos(time), total), plane(np.sin(time), total)
        s, c, d = turns[0], turns[1], product  # free until the next step
        torch.mul(sines[0], cosine, out=s).add_(torch.mul(cosines[0], sine, out=d))
        torch.mul(cosines[1], cosine, out=c).sub_(torch.mul(sines[1], sine, out=d))
        # 1/√(A/s² + B/c²) as √(s²c²/(Ac² + Bs²)), which is 0 where the one or the other is.
        s.mul_(s)
        c.mul_(c)
        torch.mul(c, squares[0], out=d)
        c.mul_(s)
        d.add_(s.mul_(squares[1])).clamp_(min=1e-20)
        total.add_(c.div_(d).sqrt_())
    light = power_(total.mul_(0.2), 1.4).neg_().add_(1.17)
    for _ in range(3):
        light.mul_(light)
    return light.clamp_(max=1.0)


def _places(size_n: NDArray[np.float64], num_pixels: int) -> NDArray[np.float64]:
    # The reference's constant for a whole turn is kept.
    return np.asarray(np.remainder(np.arange(num_pixels) / size_n[:, None], 1.0) * 6.28318530718 - 250.0)


def _first_angles(
    places: list[NDArray[np.float64]],
    time_n: NDArray[np.float64],
    sines: Tensor,
    cosines: Tensor,
    work: Tensor,
) -> None:
    # Sine and cosine of i after the first step, where i is the sum of a row's and a column's angle.
    time = time_n[:, None]
    row, column = places
    angles = (
        (row + np.cos(time - row), np.sin(time + column)),
        (np.cos(time + row), column + np.sin(time - column)),
    )
    for (down_nH, along_nW), sine, cosine in zip(angles, sines, cosines, strict=True):
        sine_nH1, cosine_nH1 = (column_vector(of(down_nH), work) for of in (np.sin, np.cos))
        sine_n1W, cosine_n1W = (row_vector(of(along_nW), work) for of in (np.sin, np.cos))
        torch.mul(sine_nH1, cosine_n1W, out=sine).add_(torch.mul(cosine_nH1, sine_n1W, out=work))
        torch.mul(cosine_nH1, cosine_n1W, out=cosine).sub_(torch.mul(sine_nH1, sine_n1W, out=work))


def _next_angles(
    start: tuple[Tensor, Tensor],
    time_n: NDArray[np.float64],
    sines: Tensor,
    cosines: Tensor,
    turns: Tensor,
    product: Tensor,
) -> None:
    """Replace sines and cosines of i by those of p + (cos(t − i₀) + sin(t + i₁), sin(t − i₁) + cos(t + i₀)).

    These sums are cos t·(cos i₀ + sin i₁) + sin t·(sin i₀ + cos i₁) and cos t·(cos i₀ − sin i₁) + sin t·(cos
    i₁ − sin i₀). Angles are in turns, where taking off whole ones is exact.
    """
    cosine, sine = (plane(of(time_n) / (2 * math.pi), product) for of in (np.cos, np.sin))
    torch.add(cosines[0], sines[1], out=turns[0])
    torch.sub(cosines[0], sines[1], out=turns[1])
    turns.mul_(cosine)
    turns[0].add_(torch.add(sines[0], cosines[1], out=product).mul_(sine)).add_(start[0])
    turns[1].add_(torch.sub(cosines[1], sines[0], out=product).mul_(sine)).add_(start[1])
    sine_of_turns_(sines.copy_(turns))
    cosine_of_turns_(cosines.copy_(turns))


def _blurred(plane_nHW: Tensor, sigma_n: NDArray[np.float64]) -> Tensor:
    """Filter by a Gaussian cut off at 4 sigma, the plane mirrored at its edges: products in a fixed order."""
    reach_n = (TRUNCATE * sigma_n + 0.5).astype(np.int64)
    offset_K = np.arange(int(reach_n.max(initial=0)) + 1)
    weight_nK = np.exp(-0.5 * (offset_K / np.maximum(sigma_n, 1e-9)[:, None]) ** 2)
    weight_nK *= offset_K <= reach_n[:, None]  # adding an exact zero leaves a sum as it is
    weight_nK /= (2 * np.cumsum(weight_nK, axis=1) - weight_nK[:, :1])[:, -1:]
    shape, device, reach = tuple(plane_nHW.shape), plane_nHW.device, len(offset_K) - 1
    total, pair = (scratch(name, shape, torch.float32, device) for name in ("blurred", "pair"))
    for axis in (1, 2):
        length = shape[axis]
        mirrored = torch.from_numpy(np.pad(np.arange(length), reach, mode="symmetric")).to(device)
        wide_shape = (*shape[:axis], length + 2 * reach, *shape[axis + 1 :])
        wide = scratch("wide", wide_shape, torch.float32, device)
        wide.narrow(axis, reach, length).copy_(plane_nHW)
        for edge in (0, reach + length):
            sources = mirrored[edge : edge + reach]
            wide.narrow(axis, edge, reach).copy_(plane_nHW.index_select(axis, sources))
        torch.mul(plane_nHW, plane(weight_nK[:, 0], total), out=total)
        for offset in range(1, reach + 1):
            before, after = (wide.narrow(axis, reach + side, length) for side in (-offset, offset))
            torch.add(before, after, out=pair).mul_(plane(weight_nK[:, offset], total))
            total.add_(pair)
        plane_nHW = total
    return total


def _refraction(down: Tensor, right: Tensor, columns: Columns, push: Tensor) -> None:
    # Write how many times g a pixel's source lies away, in pixels, to `push`.
    cosine, work = (scratch(name, down.shape, down.dtype, down.device) for name in ("cosine", "work"))
    one = torch.ones((), dtype=down.dtype, device=down.device)
    torch.mul(down, down, out=cosine).add_(torch.mul(right, right, out=work)).add_(1.0).sqrt_()
    torch.div(one, cosine, out=cosine)
    # √(1 − sin²/eta²), sin² = 1 − cos²
    torch.mul(cosine, cosine, out=push).sub_(1.0).mul_(plane(columns["eta"] ** -2, push)).add_(1.0).sqrt_()
    push.sub_(torch.mul(cosine, plane(1.0 / columns["eta"], push), out=work)).mul_(cosine)
    push.mul_(torch.lt(cosine, NEARLY_FLAT, out=work)).mul_(plane(columns["lens_scale"], push))
