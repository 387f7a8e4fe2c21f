"""A generated picture to show corruptions on: colours, gradients, texture, letters, hard and soft edges."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw as Draw

CANVAS = 960  # drawn at this side, then made smaller

SKY_TOP, SKY_LOW = (64, 128, 224), (255, 214, 178)
SEED = 20  # of leaves and grass


def picture(side: int) -> Tensor:
    """A landscape of `side` pixels, uint8 (3, side, side); the same every time.

    >>> picture(32).shape, picture(32).equal(picture(32))
    (torch.Size([3, 32, 32]), True)
    """
    from PIL import Image, ImageDraw

    # A generator of a fixed seed: leaves and grass are part of the drawing.
    rng = np.random.default_rng(SEED)
    canvas = Image.fromarray(_sky(CANVAS))
    draw = ImageDraw.Draw(canvas)
    _landscape(draw)
    for paint in (_grass, _tree):
        paint(draw, rng)
    _house(draw)
    _sign(draw)
    _colour_bar(canvas)
    small = canvas.resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).contiguous()


def _sky(side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """From blue down to peach, a soft sun and two soft clouds."""
    y, x = np.mgrid[0:side, 0:side] / side
    share = np.clip(y / 0.62, 0, 1)[..., None]
    sky_HW3 = (1 - share) * np.array(SKY_TOP, float) + share * np.array(SKY_LOW, float)
    sun = np.clip(1.6 - np.hypot(x - 0.78, y - 0.17) / 0.07, 0, 1)[..., None]
    sky_HW3 = (1 - sun) * sky_HW3 + sun * np.array((255.0, 240, 120))
    for left, top, width in ((0.22, 0.14, 0.13), (0.34, 0.18, 0.1), (0.56, 0.3, 0.09)):
        cloud = np.exp(-(((x - left) / width) ** 2 + ((y - top) / (0.35 * width)) ** 2))[..., None]
        sky_HW3 = (1 - 0.9 * cloud) * sky_HW3 + 0.9 * cloud * 255.0
    return np.asarray(np.round(sky_HW3), np.uint8)


def _at(*points: tuple[float, float]) -> list[tuple[float, float]]:
    return [(x * CANVAS, y * CANVAS) for x, y in points]


def _landscape(draw: Draw) -> None:
    draw.polygon(_at((-0.1, 0.62), (0.22, 0.27), (0.55, 0.62)), fill=(104, 96, 148))
    draw.polygon(_at((0.145, 0.352), (0.22, 0.27), (0.3, 0.355), (0.25, 0.34), (0.2, 0.37)), fill="white")
    draw.polygon(_at((0.3, 0.62), (0.62, 0.36), (1.1, 0.62)), fill=(132, 124, 172))
    draw.polygon(_at((0, 0.6), (1, 0.56), (1, 1), (0, 1)), fill=(88, 160, 64))
    draw.polygon(_at((0.44, 0.59), (0.5, 0.59), (0.8, 1), (0.3, 1)), fill=(120, 116, 112))
    for step in range(6):
        top = 0.61 + 0.4 * (step / 6) ** 1.4
        half = 0.003 + 0.012 * (step / 6)
        middle = 0.47 + 0.08 * (top - 0.6) / 0.4
        draw.polygon(
            _at(
                (middle - half, top),
                (middle + half, top),
                (middle + half, top + 0.03),
                (middle - half, top + 0.03),
            ),
            fill="white",
        )


def _grass(draw: Draw, rng: np.random.Generator) -> None:
    for _ in range(700):
        x, y = rng.uniform(0, 1), 0.62 + 0.38 * rng.uniform(0, 1) ** 0.7
        if 0.44 - 0.4 * (y - 0.59) < x < 0.5 + 0.75 * (y - 0.59):
            continue  # the road
        length = 0.01 + 0.05 * (y - 0.6)
        green = int(rng.integers(90, 220))
        draw.line(
            _at((x, y), (x + rng.uniform(-0.3, 0.3) * length, y - length)),
            fill=(green // 2, green, 40),
            width=3,
        )


def _tree(draw: Draw, rng: np.random.Generator) -> None:
    draw.polygon(_at((0.845, 0.78), (0.86, 0.55), (0.885, 0.55), (0.9, 0.78)), fill=(96, 60, 32))
    for _ in range(260):
        turn, reach = rng.uniform(0, 2 * math.pi), 0.125 * math.sqrt(rng.uniform())
        x, y = 0.872 + reach * math.cos(turn), 0.48 + 1.1 * reach * math.sin(turn)
        shade = int(rng.integers(50, 190))
        box = _at((x - 0.014, y - 0.011), (x + 0.014, y + 0.011))
        draw.ellipse(box, fill=(shade // 3, shade, shade // 4))


def _house(draw: Draw) -> None:
    draw.rectangle(_at((0.08, 0.56), (0.36, 0.78)), fill=(216, 64, 48))
    for row in range(8):  # bricks
        y = 0.56 + 0.0275 * row
        draw.line(_at((0.08, y), (0.36, y)), fill=(240, 150, 130), width=2)
        for column in range(7):
            x = 0.08 + 0.04 * column + 0.02 * (row % 2)
            draw.line(_at((x, y), (x, y + 0.0275)), fill=(240, 150, 130), width=2)
    draw.polygon(_at((0.05, 0.57), (0.22, 0.43), (0.39, 0.57)), fill=(88, 48, 40))
    for left in (0.11, 0.27):
        draw.rectangle(_at((left, 0.6), (left + 0.06, 0.66)), fill=(250, 236, 150), outline="white", width=5)
        draw.line(_at((left + 0.03, 0.6), (left + 0.03, 0.66)), fill="white", width=4)
    draw.rectangle(_at((0.195, 0.66), (0.245, 0.78)), fill=(40, 72, 168))


def _sign(draw: Draw) -> None:
    """A round sign whose letters are bars, so that no font is needed."""
    draw.rectangle(_at((0.612, 0.66), (0.628, 0.88)), fill=(70, 70, 76))
    draw.ellipse(_at((0.53, 0.5), (0.71, 0.68)), fill="white", outline=(210, 16, 32), width=22)
    strokes: tuple[tuple[tuple[float, float], ...], ...] = (
        ((0, 1), (0, 0), (1, 1), (1, 0)),  # N
        ((1.5, 0), (2, 1), (2.5, 0)),  # V
    )
    for stroke in strokes:
        points = _at(*((0.569 + 0.041 * x, 0.56 + 0.06 * y) for x, y in stroke))
        draw.line(points, fill="black", width=13, joint="curve")


def _colour_bar(canvas: object) -> None:
    """At the lower edge: all hues, a grey ramp, a fine checkerboard."""
    from PIL import Image

    assert isinstance(canvas, Image.Image)
    width, height = CANVAS, round(0.1 * CANVAS)
    x = np.arange(width) / width
    hue_W3 = 127.5 + 127.5 * np.cos(2 * np.pi * (x[:, None] - np.array([0, 1 / 3, 2 / 3])))
    bar_HW3 = np.repeat(hue_W3[None], height, axis=0)
    bar_HW3[height // 2 :] = (255 * x)[None, :, None]
    row, column = np.mgrid[0 : height // 2, 0 : width // 3]
    checks = 255 * ((row // 12 + column // 12) % 2)
    bar_HW3[height // 2 :, width // 3 : 2 * (width // 3)] = checks[..., None]
    canvas.paste(Image.fromarray(np.round(bar_HW3).astype(np.uint8)), (0, CANVAS - height))
