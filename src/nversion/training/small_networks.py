"""Networks for 32×32 images with any number of classes: `python:nversion.training.small_networks:build`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from nversion.core import Registry

INPUT_SIZE = 32
PREPROCESSING: dict[str, Any] = {"input_size": INPUT_SIZE, "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}

SMALL_NETWORKS: Registry[Callable[[int], nn.Module]] = Registry("small network", "nversion.small_networks")


def build(name: str, num_classes: int) -> tuple[nn.Module, dict[str, Any]]:
    """The untrained network called `name` and its preprocessing.

    Its initial weights are drawn from torch's global generator.

    >>> import torch
    >>> build("resnet", 43)[0].eval()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 43])
    """
    return SMALL_NETWORKS[name](num_classes), dict(PREPROCESSING)


@SMALL_NETWORKS.register("resnet")
def resnet(num_classes: int) -> nn.Module:
    """Basic residual blocks at 16, 8 and 4 pixels, 16, 32 and 64 channels; 2.9 million MACs."""
    from torchvision.models.resnet import BasicBlock

    return _residual(num_classes, [(BasicBlock, 16, {}), (BasicBlock, 32, {}), (BasicBlock, 64, {})])


def _residual(
    num_classes: int, stages: list[tuple[Any, int, dict[str, Any]]], dropout: float = 0.0
) -> nn.Module:
    # A stem that halves the image, where the one for 224 pixels divides it by four; then torchvision's blocks
    # (class, width, settings), each after the first halving the image again.
    width = stages[0][1]
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
    previous = 0
    for block, planes, settings in stages:
        stride = 2 if previous and planes != previous else 1
        out = planes * block.expansion
        shortcut = None
        if stride != 1 or width != out:
            shortcut = nn.Sequential(nn.Conv2d(width, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))
        layers.append(block(width, planes, stride, shortcut, **settings))
        width, previous = out, planes
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(width, num_classes)]
    network = nn.Sequential(*layers)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return network
