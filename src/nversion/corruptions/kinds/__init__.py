"""One file per family of corruptions; importing this package registers them all."""

from . import blurs, checkerboard, lines, noise, plasma, ripple, spectral, water

__all__ = ["blurs", "checkerboard", "lines", "noise", "plasma", "ripple", "spectral", "water"]
