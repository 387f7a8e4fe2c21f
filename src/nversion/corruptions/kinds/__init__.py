"""One file per family of corruptions; importing this package registers them all."""

from . import checkerboard, lines, noise, plasma, ripple, spectral, water

__all__ = ["checkerboard", "lines", "noise", "plasma", "ripple", "spectral", "water"]
