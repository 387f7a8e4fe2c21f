"""The architecture of an extracted subnet, as its weights file names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from nversion.elastic import Elasticity, ElasticNetwork, extract

from .weights import build_architecture


def subnet(
    *,
    arch: str,
    subnet: str,
    elasticity: dict[str, Any],
    num_classes: int | None = None,
    arch_args: dict[str, Any] | None = None,
) -> nn.Module:
    """An untrained subnet of an architecture.

    Args:
        arch: "timm:NAME", "torchvision:NAME" or "python:…".
        subnet: its notation.
        elasticity: the choices of the supernet.
        num_classes: of the architecture.
        arch_args: further arguments of the architecture.

    >>> network = subnet(arch="timm:resnet18", subnet="depth=1", elasticity={"max_skips": 1}, num_classes=3)
    >>> sum(p.numel() for p in network.parameters())
    4907331
    """
    built = build_architecture(arch, num_classes, arch_args, f"the subnet {subnet}", Path(), None)
    network = ElasticNetwork(built.module, Elasticity.model_validate(elasticity))
    return extract(network, network.space.parse(subnet))
