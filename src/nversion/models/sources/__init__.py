"""One file per source of models; importing this package registers them all."""

from . import file, python, supernet, timm, torchvision

__all__ = ["file", "python", "supernet", "timm", "torchvision"]
