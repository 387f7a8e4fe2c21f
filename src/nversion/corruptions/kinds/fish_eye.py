"""fish_eye: hundreds of small glass spheres lie on the image, one over the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import chunk_length, spans
from nversion.corruptions.base import (
    CORRUPTIONS,
    PIXELS_PER_CHUNK_CPU,
    PIXELS_PER_CHUNK_GPU,
    SEED,
    Columns,
    Corruption,
    Parameter,
    severity_share,
)
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.pixels.seeded import legacy_random


@CORRUPTIONS.register("fish_eye")
class FishEye(Corruption):
    """`int(density·side²)` spheres at random places, each magnifies what is below it (Mintun et al. 2021).

    Sphere i is centred on (u·H, v·W), u and v the next numbers of `RandomState(seed)`. A pixel (dy, dx) from
    the centre, inside the radius R, looks into the sphere at its height z = √(R² − dy² − dx²), where the ray
    bends by the index of refraction eta, on each axis by itself: with r = 1/eta and φ = atan(dx/z) it reads
    `tan(φ − asin(r·sin φ))·z` nearer to the centre, which is `dx·(w − r·z²)/(w + r·dx²)` with `w = z·√(z² +
    (1 − r²)·dx²)`; bilinear between its four neighbours, black beyond the image. The next sphere lies on the
    result, which is cut to a byte after the last. The side is the shorter one.

    Parameters: seed (whole, below 2³²), density (spheres per pixel of the side's square, 501.76/side²: 501 of
    them on any image), eta (no unit, severity/5 + 1), radius (pixels, a twentieth of the shorter side, at
    least 3).

    Limit: spheres cover a pixel 3.9 times at 224, 14 times at 32; 4 gathers of 16 bytes each
    time. Of spheres that touch the later one waits, so they are drawn in about 30 turns at 224, 75 at 32, all
    of a chunk's images at once. In float32, as the reference keeps the image between spheres.

    >>> FishEye(2.0).sample_parameters(np.random.default_rng(0), size=(224, 320))["density"]
    0.01
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "seed": SEED,
        "density": Parameter(low=0.0, high=1e3),
        "eta": Parameter(low=1.0),
        "radius": Parameter(low=1e-3),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        side = min(height, width)
        return {
            "seed": int(rng.integers(0, 2**32)),
            "density": 0.01 * 224**2 / side**2,
            "eta": severity_share(self.severity, 2.0) + 1.0,
            "radius": max(0.05 * side, 3.0),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        canvas = _Canvas.of(images_n3HW, float(columns["radius"].max()))
        turn_Q, spheres_Q5 = _spheres(columns, canvas.height, canvas.width)
        on_cpu = images_n3HW.device.type == "cpu"
        pixels = PIXELS_PER_CHUNK_CPU if on_cpu else PIXELS_PER_CHUNK_GPU
        offsets_O2 = _offsets(float(columns["radius"].max()), canvas)
        for start, stop in spans(len(turn_Q), chunk_length(len(offsets_O2), pixels)):
            sizes = np.unique(turn_Q[start:stop], return_counts=True)[1] * len(offsets_O2)
            looks = _looks(spheres_Q5[start:stop], offsets_O2, canvas)
            for look in zip(*(torch.split(of_all, sizes.tolist()) for of_all in looks), strict=True):
                canvas.draw(*look)
        out_n3HW.copy_(
            scratch("whole", tuple(out_n3HW.shape), torch.int32, out_n3HW.device).copy_(canvas.image_n3HW)
        )


@dataclass(frozen=True)
class _Canvas:
    """The chunk in float32 with margins, black below and to the right, into which spheres reach.

    Attributes:
        pixels_nYX4: red, green, blue and a spare of each pixel side by side, so that a gather brings all;
            with margins of `reach` pixels above and to the left, one more below and to the right.
        reach: rows and columns from the pixel of a sphere's centre to its furthest one.
    """

    pixels_nYX4: Tensor
    height: int
    width: int
    reach: tuple[int, int]

    @staticmethod
    def of(images_n3HW: Tensor, radius: float) -> _Canvas:
        num_samples, _, height, width = images_n3HW.shape
        reach = (min(math.ceil(radius), height), min(math.ceil(radius), width))
        shape = (num_samples, height + 2 * reach[0] + 1, width + 2 * reach[1] + 1, 4)
        pixels = scratch("canvas", shape, torch.float32, images_n3HW.device).zero_()
        canvas = _Canvas(pixels, height, width, reach)
        canvas.image_n3HW.copy_(images_n3HW)
        return canvas

    @property
    def image_n3HW(self) -> Tensor:
        rows, columns = (
            slice(at, at + n) for at, n in zip(self.reach, (self.height, self.width), strict=True)
        )
        return self.pixels_nYX4[:, rows, columns, :3].permute(0, 3, 1, 2)

    @property
    def row_stride(self) -> int:
        return self.pixels_nYX4.shape[2]

    def draw(self, place_p: Tensor, source_p: Tensor, down_p: Tensor, right_p: Tensor) -> None:
        """Give places what lies between four neighbours, the first at `source`; shares in [0, 1]."""
        # The four numbers of a pixel as one complex number: nothing is calculated with it, only moved.
        flat_P = torch.view_as_complex(self.pixels_nYX4.view(torch.float64)).view(-1)
        above, above_right, below, below_right = (
            torch.view_as_real(torch.index_select(flat_P[offset:], 0, source_p)).view(torch.float32)
            for offset in (0, 1, self.row_stride, self.row_stride + 1)
        )
        above.add_(above_right.sub_(above).mul_(right_p[:, None]))
        below.add_(below_right.sub_(below).mul_(right_p[:, None]))
        above.add_(below.sub_(above).mul_(down_p[:, None]))
        flat_P.index_copy_(0, place_p, torch.view_as_complex(above.view(torch.float64)))


# Columns of a sphere.
SAMPLE, ROW, COLUMN, RADIUS, REFRACTION = range(5)


def _spheres(columns: Columns, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of the spheres of all samples, turn by turn: the turn, (Q,), and the sphere, (Q, 5)."""
    turns, spheres = [np.empty(0, dtype=np.int64)], [np.empty((0, 5))]
    for sample, (seed, density, eta, radius) in enumerate(
        zip(*(columns[name] for name in ("seed", "density", "eta", "radius")), strict=True)
    ):
        count = int(density * min(height, width) ** 2)
        centres_C2 = legacy_random(int(seed)).uniform(size=(count, 2)) * (height, width)
        turns.append(_turns(centres_C2, radius))
        alike = np.broadcast_to((sample, radius, 1.0 / eta), (count, 3))
        spheres.append(np.concatenate([alike[:, :1], centres_C2, alike[:, 1:]], axis=1))
    turn_Q = np.concatenate(turns)
    order = np.argsort(turn_Q, kind="stable")
    return turn_Q[order], np.concatenate(spheres)[order]


def _turns(centres_C2: NDArray[np.float64], radius: float) -> NDArray[np.int64]:
    """The turn of each sphere: 0, or one after the last turn of the earlier ones that touch it.

    A sphere writes within its radius. It reads pixels that are, on each axis, no further from its centre than
    the pixel it writes, or less than 1 from it: within √(radius² + 1), or √2.
    """
    from scipy.spatial import cKDTree

    if len(centres_C2) == 0:
        return np.empty(0, dtype=np.int64)
    touching = radius + math.hypot(max(radius, 1.0), 1.0)
    pairs_P2 = cKDTree(centres_C2).query_pairs(touching, output_type="ndarray")  # the earlier one first
    earlier, later = pairs_P2[np.argsort(pairs_P2[:, 1], kind="stable")].T.tolist()
    turns = [0] * len(centres_C2)
    for before, after in zip(earlier, later, strict=True):
        if turns[before] >= turns[after]:
            turns[after] = turns[before] + 1
    return np.array(turns)


def _offsets(radius: float, canvas: _Canvas) -> NDArray[np.int64]:
    """Rows and columns from the pixel of a centre to all that a sphere can cover, (O, 2)."""
    rows, columns = (np.arange(-reach, reach + 1) for reach in canvas.reach)
    # The centre lies up to one pixel below and to the right of its pixel's.
    down, right = (np.maximum(np.abs(steps) - (steps > 0), 0) for steps in (rows, columns))
    return np.argwhere(down[:, None] ** 2 + right**2 < radius**2) - canvas.reach


def _looks(
    spheres_Q5: NDArray[np.float64], offsets_O2: NDArray[np.int64], canvas: _Canvas
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each pixel that spheres cover, sphere by sphere: place, source, and shares below and to the right.

    Pixels of `offsets_O2` that a sphere does not cover, and those below and to the right of the image, whose
    black is read, have place 0: a corner of the margin that nobody reads.
    """
    device, stride = canvas.pixels_nYX4.device, canvas.row_stride
    shape = (len(spheres_Q5), len(offsets_O2))
    buffer = partial(scratch, shape=shape, dtype=torch.float32, device=device)

    def on_device(values: NDArray[Any], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.from_numpy(values).to(device=device, dtype=dtype)

    centre_Q2 = spheres_Q5[:, [ROW, COLUMN]]
    pixel_Q2 = np.floor(centre_Q2)
    first_Q = (
        spheres_Q5[:, SAMPLE] * canvas.pixels_nYX4.shape[1] + pixel_Q2[:, 0] + canvas.reach[0]
    ) * stride
    first_Q += pixel_Q2[:, 1] + canvas.reach[1]
    place = scratch("place", shape, torch.int64, device)
    torch.add(
        on_device(first_Q, torch.int64)[:, None], on_device(offsets_O2 @ (stride, 1), torch.int64), out=place
    )
    radius_Q1 = on_device(spheres_Q5[:, RADIUS, None])
    r = spheres_Q5[:, REFRACTION, None]
    r_Q1, rest_Q1 = on_device(r), on_device(1.0 - r * r)

    steps, squares = [], []
    for axis, name in enumerate(("down", "right")):
        fraction_Q1 = on_device((centre_Q2 - pixel_Q2)[:, axis, None])
        steps.append(torch.sub(fraction_Q1, on_device(offsets_O2[:, axis]), out=buffer(name)))
        squares.append(torch.mul(steps[axis], steps[axis], out=buffer(f"{name} squared")))
    height2 = torch.sub(radius_Q1 * radius_Q1, squares[0], out=buffer("height squared")).sub_(squares[1])
    bare = torch.le(height2, 0.0, out=scratch("bare", shape, torch.bool, device))
    for axis, side in enumerate((canvas.height, canvas.width)):
        beyond_Q1 = on_device(side - pixel_Q2[:, axis, None])
        bare.logical_or_(on_device(offsets_O2[:, axis]) >= beyond_Q1)
    height2.clamp_(min=1e-12)
    bent_height2 = torch.mul(height2, r_Q1, out=buffer("bent height squared"))
    source = scratch("source", shape, torch.int64, device).copy_(place)
    w, whole = buffer("w"), scratch("whole", shape, torch.int32, device)
    for step, square, step_stride in zip(steps, squares, (stride, 1), strict=True):
        torch.mul(square, rest_Q1, out=w).add_(height2).mul_(height2).sqrt_()
        square.mul_(r_Q1).add_(w)
        step.mul_(w.sub_(bent_height2).div_(square))
        torch.floor(step, out=w)
        step.sub_(w)
        source.add_(whole.copy_(w).mul_(step_stride))
    place.masked_fill_(bare, 0)
    return place.view(-1), source.view(-1), steps[0].view(-1), steps[1].view(-1)
