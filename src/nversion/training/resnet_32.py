"""ResNet50 for images of 32 pixels: `python:nversion.training.resnet_32:resnet50`."""

from __future__ import annotations

from torch import nn


def resnet50(num_classes: int) -> nn.Module:
    """Torchvision's ResNet50 with a first convolution of 3×3 at full resolution and no pooling after it.

    So its stages see 32, 16, 8 and 4 pixels (as in He et al. 2016, section 4.2); the stem for 224 pixels
    would leave 8, 4, 2 and 1. 1.3 billion MACs. Initial weights are drawn from torch's global generator.

    >>> import torch
    >>> resnet50(10).eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """
    from torchvision import models

    network: nn.Module = models.resnet50(num_classes=num_classes)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's
    network.maxpool = nn.Identity()
    return network
