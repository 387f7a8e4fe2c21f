"""One file per source of data sets; importing this package registers them all."""

from . import digits, folder, imagefolder, imagenet, imagenetv2, npz, parquet, torchvision

__all__ = ["digits", "folder", "imagefolder", "imagenet", "imagenetv2", "npz", "parquet", "torchvision"]
