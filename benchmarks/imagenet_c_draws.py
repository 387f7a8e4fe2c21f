"""The random fields that our parameters name, in the order in which ImageNet-C's reference asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nversion.corruptions import create
from nversion.corruptions.levels import at
from nversion.corruptions.pixels.fields import normal_fields, uniform_fields

Draws = Callable[[Mapping[str, Any], float, int], list[NDArray[Any]]]
"""(parameters, severity, side) to standard normal or uniform [0, 1) fields, one for each call."""

DRAWS: dict[str, Draws] = {}
"""By corruption; one without an entry draws nothing."""


def field(
    kind: Callable[..., torch.Tensor], parameters: Mapping[str, Any], stream: int, *shape: int
) -> NDArray[np.float64]:
    """One field of an image: `kind` is `normal_fields` or `uniform_fields`."""
    drawn = kind(np.array([parameters["seed"]]), stream, shape, torch.device("cpu"))[0]
    return drawn.numpy().astype(np.float64)


def _values(kind: Callable[..., torch.Tensor], num_fields: int = 1) -> Draws:
    """A number for every value of the image; ours are drawn channel by channel."""

    def draw(parameters: Mapping[str, Any], severity: float, side: int) -> list[NDArray[Any]]:
        fields = (field(kind, parameters, stream, 3, side, side) for stream in range(num_fields))
        return [np.moveaxis(drawn, 0, 2) for drawn in fields]

    return draw


DRAWS |= {
    "gaussian_noise": _values(normal_fields),
    "speckle_noise": _values(normal_fields),
    "shot_noise": _values(uniform_fields),
    "impulse_noise": _values(uniform_fields, 2),
}


def _elastic(parameters: Mapping[str, Any], severity: float, side: int) -> list[NDArray[Any]]:
    kind = create("elastic_transform_cifar" if side == 32 else "elastic_transform", severity)
    greatest = kind._lengths(side, side)[2]  # type: ignore[attr-defined]
    moved = (np.asarray(parameters["shift"]) / greatest + 1) / 2
    return [moved, *(field(uniform_fields, parameters, stream, side, side) for stream in range(2))]


DRAWS["elastic_transform"] = _elastic


def _fog(parameters: Mapping[str, Any], severity: float, side: int) -> list[NDArray[Any]]:
    """Three fields for each doubling of the map's grid, one after the other of a single stream."""
    map_side = 1 << (side - 1).bit_length()
    numbers = field(uniform_fields, parameters, 0, map_side**2 - 1)
    grids = [1 << step for step in range(map_side.bit_length() - 1) for _ in range(3)]
    parts = np.split(numbers, np.cumsum([grid**2 for grid in grids])[:-1])
    return [part.reshape(grid, grid) for part, grid in zip(parts, grids, strict=True)]


DRAWS |= {"fog": _fog, "fog_cifar": _fog}


def _snow(parameters: Mapping[str, Any], severity: float, side: int) -> list[NDArray[Any]]:
    """Ours draws the middle part of the first field alone."""
    kind = create("snow_cifar" if side == 32 else "snow", severity)
    shown = -(-side // at(kind.table, severity)[2])  # type: ignore[attr-defined]
    start, shown = int((side - shown) // 2), int(shown)
    flakes = np.zeros((side, side))
    flakes[start : start + shown, start : start + shown] = field(normal_fields, parameters, 0, shown, shown)
    return [flakes, np.asarray((parameters["angle"] + 135) / 90)]


DRAWS["snow"] = _snow


def _direction(parameters: Mapping[str, Any], severity: float, side: int) -> list[NDArray[Any]]:
    return [np.asarray((parameters["angle"] + 45) / 90)]


DRAWS["motion_blur"] = _direction


def _glass(parameters: Mapping[str, Any], severity: float, side: int) -> list[NDArray[Any]]:
    inner = side - 2 * parameters["max_delta"]
    fields = (field(uniform_fields, parameters, i, inner, inner, 2) for i in range(parameters["iterations"]))
    return [pair for drawn in fields for pair in drawn.reshape(-1, 2)]


DRAWS["glass_blur"] = _glass


def _spatter(parameters: Mapping[str, Any], severity: float, side: int) -> list[NDArray[Any]]:
    return [field(normal_fields, parameters, 0, side, side)]


DRAWS["spatter"] = _spatter


def _frost(parameters: Mapping[str, Any], severity: float, side: int) -> list[NDArray[Any]]:
    picture = (parameters["idx"] + 0.5) / 5
    return [np.asarray(share) for share in (picture, parameters["x_start"], parameters["y_start"])]


DRAWS["frost"] = _frost
