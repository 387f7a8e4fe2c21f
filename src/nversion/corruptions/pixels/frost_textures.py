"""The pictures of frost that `frost` lays over images: drawn here, or the benchmark's photographs from files.

ImageNet-C's photographs are not part of this package. Without them five pictures are drawn, ferns of ice
under slanting light, whose channels have about the photographs' means and deviations; images with them are
alike, but not those of the published benchmark. With the photographs in a folder that the environment
variable NVERSION_FROST names (worker processes inherit it) they are.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nversion.core import UserError, fingerprint
from nversion.core.reasons import reason_of

FOLDER = "NVERSION_FROST"
FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")

HEIGHT, WIDTH = 600, 900
# Of each picture: layers of ferns (number, length in pixels, bend, branches' share of the length), the
# weights of clouds, ice and its relief, and the mean and deviation of red, green and blue.
_Layer = tuple[int, int, float, float]
DRAWINGS: tuple[tuple[tuple[_Layer, ...], tuple[float, ...], tuple[int, ...], tuple[int, ...]], ...] = (
    (((90, 120, 0.01, 0.3), (1500, 30, 0.02, 0.25)), (1.0, 0.4, 0.6), (78, 149, 166), (27, 16, 15)),
    (((150, 160, 0.008, 0.3), (700, 60, 0.01, 0.3)), (0.5, 0.5, 1.0), (201, 205, 214), (21, 22, 23)),
    (((60, 260, 0.006, 0.35), (900, 50, 0.01, 0.3)), (0.5, 0.5, 1.0), (201, 205, 214), (21, 22, 23)),
    (((500, 60, 0.01, 0.45), (3000, 20, 0.02, 0.3)), (0.9, 0.6, 0.7), (138, 153, 165), (28, 28, 30)),
    (((200, 110, 0.01, 0.4), (400, 50, 0.01, 0.4)), (0.6, 1.0, 0.6), (112, 123, 135), (44, 43, 42)),
)
_Numbers = float | NDArray[np.float64]
BRANCHES, TWIGS = 5, 3  # pixels between two branches of a stem, two twigs of a branch


def texture(index: int) -> NDArray[np.uint8]:
    """Picture `index`, 0 to 4: (3, H, W), red, green, blue; five drawn ones and five of files are kept.

    Raises:
        UserError: NVERSION_FROST names a folder that lacks it.
    """
    return _from_file(os.environ[FOLDER], index) if os.environ.get(FOLDER) else _drawn(index)


def texture_fingerprint() -> str:
    """Which pictures are in use: "drawn" or "files", and a fingerprint of their pixels; draws or reads all.

    >>> texture_fingerprint().split()[0]
    'drawn'
    """
    kind = "files" if os.environ.get(FOLDER) else "drawn"
    return f"{kind} {fingerprint([texture(index) for index in range(len(FILES))])}"


@lru_cache(maxsize=5)
def _from_file(folder: str, index: int) -> NDArray[np.uint8]:
    from PIL import Image

    path = Path(folder) / FILES[index]
    if not path.is_file():
        raise UserError(
            expected=f"the pictures {', '.join(FILES)} of ImageNet-C in the folder that {FOLDER} names",
            found=f"no file {path}",
            next_step=f"copy them there, or unset {FOLDER} for drawn ones",
        )
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:  # whatever the bytes say: nothing else
            return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
    except Exception as error:  # Pillow's parsers raise whatever they meet in damaged bytes
        raise UserError(
            expected=f"a whole PNG or JPEG picture in {path}",
            found=reason_of(error).replace(f" {str(path)!r}", ""),
            next_step="copy it from the code of ImageNet-C again",
        ) from error


@lru_cache(maxsize=5)
def _drawn(index: int) -> NDArray[np.uint8]:
    # Only operations that IEEE 754 rounds correctly, and whole numbers: the same picture on every machine.
    layers, (of_clouds, of_ice, of_relief), means, deviations = DRAWINGS[index]
    random = np.random.RandomState(index)
    clouds = _box(_box(random.randint(0, 256, (HEIGHT, WIDTH)), 60), 20)
    clouds += _box(_box(random.randint(0, 256, (HEIGHT, WIDTH)), 15), 5) * 1000
    ice = np.sum([_ferns(random, *layer) for layer in layers], axis=0)
    thick = _box(ice, 1)
    relief = np.roll(thick, (1, 1), (0, 1)) - np.roll(thick, (-1, -1), (0, 1))  # lit from one corner
    bright = 1000 * thick // (thick + 12)
    height = of_clouds * _standard(clouds) + of_ice * _standard(bright)
    height += of_relief * np.clip(_standard(relief), -3.0, 3.0)
    plane = _standard(np.rint(1000 * height).astype(np.int64))
    channels = [mean + deviation * plane for mean, deviation in zip(means, deviations, strict=True)]
    return np.clip(np.floor(np.stack(channels)), 0, 255).astype(np.uint8)


def _standard(plane: NDArray[np.int64]) -> NDArray[np.float64]:
    """The plane with mean 0 and deviation 1; its moments from whole numbers, whose sums have no order."""
    centered = plane - int(plane.sum()) // plane.size
    scale = max(1, int(np.abs(centered).max()) // 10**5)  # squares must fit 63 bits
    variance = int(((centered // scale) ** 2).sum()) / plane.size
    found: NDArray[np.float64] = centered / (scale * max(np.sqrt(variance), 1e-9))
    return found


def _box(plane: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """Sums over squares of side 2·reach + 1, the plane repeated beyond its edges."""
    for axis in (0, 1):
        widths = [(0, 0), (0, 0)]
        widths[axis] = (reach + 1, reach)
        sums = np.cumsum(np.pad(plane, widths, mode="wrap"), axis=axis, dtype=np.int64)
        length = plane.shape[axis]
        plane = sums.take(range(2 * reach + 1, 2 * reach + 1 + length), axis) - sums.take(range(length), axis)
    return plane


def _ferns(
    random: np.random.RandomState, number: int, length: int, bend: float, spread: float
) -> NDArray[np.int64]:
    """Bent stems with branches to both sides at 60 degrees, these with twigs: how much ice on each pixel."""
    x, y = random.uniform(0, WIDTH, number), random.uniform(0, HEIGHT, number)
    right, down = random.uniform(-1, 1, (2, number))
    size = np.sqrt(right * right + down * down) + 1e-9
    right, down = right / size, down / size
    slope = random.uniform(-bend, bend, number)
    cosine = 1 / np.sqrt(1 + slope * slope)
    length_s = length * random.uniform(0.35, 1.0, number)
    stem = []
    for _ in range(length):
        stem.append((x, y, right, down))
        x, y = x + right, y + down
        right, down = _turned(right, down, cosine, slope * cosine)
    x, y, right, down = np.moveaxis(np.array(stem), 1, 0)  # (length, number) each
    on_stem = np.arange(length)[:, None] < length_s
    ice = _splat(x[on_stem], y[on_stem], 3)

    starts = slice(2, length, BRANCHES)
    share = np.arange(length)[starts, None] / length_s
    reach = np.maximum(np.minimum(4 * share, 1) * (1 - share), 0) * length_s * spread
    for side in (1, -1):
        length_b = (reach * random.uniform(0.6, 1.1, reach.shape)).ravel()
        along = _turned(right[starts].ravel(), down[starts].ravel(), 0.5, side * 0.8660254037844386)
        branches = np.stack([x[starts].ravel(), y[starts].ravel(), *along])[:, length_b > 1]
        length_b = length_b[length_b > 1]
        ice += _strokes(branches, length_b, 2)
        twig_of, place = _steps(length_b // TWIGS)
        twigs, left = branches[:, twig_of], length_b[twig_of] - TWIGS * place
        twigs[:2] += TWIGS * place * twigs[2:]
        for side_of_branch in (1, -1):
            turned = _turned(twigs[2], twigs[3], 0.5, side_of_branch * 0.8660254037844386)
            length_t = np.minimum(0.35 * left, 9) * random.uniform(0.5, 1.0, len(left))
            ice += _strokes(np.stack([*twigs[:2], *turned]), length_t, 1)
    return ice


def _turned(
    right: NDArray[np.float64], down: NDArray[np.float64], cosine: _Numbers, sine: _Numbers
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return right * cosine - down * sine, right * sine + down * cosine


def _strokes(
    strokes_4S: NDArray[np.float64], length_S: NDArray[np.float64], weight: int
) -> NDArray[np.int64]:
    """Straight strokes from (x, y) along (right, down), a pixel a step."""
    stroke, step = _steps(length_S)
    x, y, right, down = strokes_4S[:, stroke]
    return _splat(x + step * right, y + step * down, weight)


def _steps(length_S: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each whole number from 0 to below each length: whose it is, and the number."""
    count_S = np.ceil(length_S).astype(np.int64)
    owner = np.repeat(np.arange(len(count_S)), count_S)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(count_S) - count_S, count_S)


def _splat(x: NDArray[np.float64], y: NDArray[np.float64], weight: int) -> NDArray[np.int64]:
    # What leaves the picture on one side enters on the other.
    place = np.mod(np.floor(y).astype(np.int64), HEIGHT) * WIDTH + np.mod(np.floor(x).astype(np.int64), WIDTH)
    return weight * np.bincount(place.ravel(), minlength=HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
