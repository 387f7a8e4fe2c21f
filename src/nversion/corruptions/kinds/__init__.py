"""One file per family of corruptions; importing this package registers them all."""

from . import checkerboard, lines, plasma, water

__all__ = ["checkerboard", "lines", "plasma", "water"]
