"""One file per family of corruptions; importing this package registers them all."""

from . import (
    blurs,
    checkerboard,
    chromatic,
    colour,
    lines,
    noise,
    pinch,
    plasma,
    ripple,
    scatter,
    sparkles,
    spectral,
    voronoi,
    water,
    waves,
)

__all__ = [
    "blurs",
    "checkerboard",
    "chromatic",
    "colour",
    "lines",
    "noise",
    "pinch",
    "plasma",
    "ripple",
    "scatter",
    "sparkles",
    "spectral",
    "voronoi",
    "water",
    "waves",
]
