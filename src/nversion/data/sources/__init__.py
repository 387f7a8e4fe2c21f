"""One file per source of data sets; importing this package registers them all."""

from . import digits, folder

__all__ = ["digits", "folder"]
