"""One file per source of models; importing this package registers them all."""

from . import file, predictions, python, timm, torchvision

__all__ = ["file", "predictions", "python", "timm", "torchvision"]
