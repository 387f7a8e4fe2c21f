"""Severities in use: raw strengths by corruption, the paper's four and the reference's ten levels.

The scale is the one of `Corruption.severity`. The levels are those of the candidate pools from which Mintun
et al. (2021) drew CIFAR-10-C̄ (32 pixels) and ImageNet-C̄ (224 pixels); `lines` and `water_drop` are not
among the released ImageNet-C̄ files.

>>> LEVELS_IMAGENET["plasma_noise"].index(PAPER_STRENGTHS_IMAGENET["plasma_noise"]) + 1
2
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LEVELS_IMAGENET: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "plasma_noise": (3.25, 4.0, 4.75, 5.5, 6.25, 7.0, 7.75, 8.5, 9.25, 10.0),
        "checkerboard_cutout": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "water_drop": (5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 8.5, 9.0, 9.5, 10.0),
        "lines": (0.8, 1.6, 2.4, 3.2, 4.0, 4.8, 5.6, 6.4, 7.2, 8.0),
    }
)
LEVELS_CIFAR: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "plasma_noise": (0.7, 1.4, 2.1, 2.8, 3.5, 4.2, 4.9, 5.6, 6.3, 7.0),
        "checkerboard_cutout": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "water_drop": (2.8, 3.6, 4.4, 5.2, 6.0, 6.8, 7.6, 8.4, 9.2, 10.0),
        "lines": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0),
    }
)

# Levels 2, 4, 4 and 2 of each grid.
PAPER_STRENGTHS_IMAGENET: Mapping[str, float] = MappingProxyType(
    {"plasma_noise": 4.0, "checkerboard_cutout": 4.0, "water_drop": 7.0, "lines": 1.6}
)
PAPER_STRENGTHS_CIFAR: Mapping[str, float] = MappingProxyType(
    {"plasma_noise": 1.4, "checkerboard_cutout": 4.0, "water_drop": 5.2, "lines": 1.0}
)
