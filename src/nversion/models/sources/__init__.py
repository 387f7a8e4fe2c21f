"""One file per source of models; importing this package registers them all."""

from . import file, python, timm, torchvision

__all__ = ["file", "python", "timm", "torchvision"]
