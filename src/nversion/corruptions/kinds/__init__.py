"""One file per family of corruptions; importing this package registers them all."""

from . import blurs, checkerboard, lines, noise, pinch, plasma, ripple, scatter, sparkles, spectral, voronoi, water, waves

__all__ = ["blurs", "checkerboard", "lines", "noise", "pinch", "plasma", "ripple", "scatter", "sparkles", "spectral", "voronoi", "water", "waves"]
    "blurs",
    "checkerboard",
    "lines",
    "noise",
    "pinch",
    "plasma",
    "ripple",
    "scatter",
    "sparkles",
    "spectral",
    "water",
]
