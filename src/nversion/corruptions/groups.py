"""Groups of corruptions by the published set they come from."""

from __future__ import annotations

from collections.abc import Sequence

from .base import CORRUPTIONS
from .severities import (
    IMAGENET_C,
    IMAGENET_C_EXTRA,
    LEVELS_IMAGENET,
    RELEASED_CIFAR_10_C_BAR,
    RELEASED_IMAGENET_C_BAR,
    SMALL_IMAGE,
    levels_of,
)

IMAGENET_C_BAR, CANDIDATES, CIFAR_C, OTHERS = "imagenet-c-bar", "c-bar-candidates", "cifar-c", "others"
ABOUT = {
    IMAGENET_C_BAR: "ImageNet-C̄: the ten that Mintun, Kirillov, Xie released (NeurIPS 2021)",
    CANDIDATES: "The other twenty candidates of ImageNet-C̄ and CIFAR-10-C̄ (Mintun et al. 2021)",
    **{f"imagenet-c-{kind}": f"ImageNet-C, {kind} (Hendrycks, Dietterich, ICLR 2019)" for kind in IMAGENET_C},
    "imagenet-c-extra": "ImageNet-C, the four extra ones for validation (Hendrycks, Dietterich 2019)",
    CIFAR_C: "CIFAR-10-C: the nineteen with its tables, for 32 pixels (Hendrycks, Dietterich 2019)",
    OTHERS: "Corruptions from elsewhere",
}
"""The groups in the order they are shown, each in a line."""


def group_of(name: str) -> str:
    """The group of a registered corruption, a key of `ABOUT`.

    >>> group_of("sparkles"), group_of("lines"), group_of("fog"), group_of("fog_cifar")
    ('imagenet-c-bar', 'c-bar-candidates', 'imagenet-c-weather', 'cifar-c')
    """
    if name in LEVELS_IMAGENET:
        return IMAGENET_C_BAR if name in RELEASED_IMAGENET_C_BAR else CANDIDATES
    for kind, names in IMAGENET_C.items():
        if name in names:
            return f"imagenet-c-{kind}"
    if name in IMAGENET_C_EXTRA:
        return "imagenet-c-extra"
    published = {
        f"{base}_cifar" for base in (*IMAGENET_C_EXTRA, *(n for names in IMAGENET_C.values() for n in names))
    }
    return CIFAR_C if name in published else OTHERS


def grouped() -> dict[str, list[str]]:
    """Every registered corruption by its group; groups without any are left out."""
    groups: dict[str, list[str]] = {group: [] for group in ABOUT}
    for name in CORRUPTIONS:
        groups[group_of(name)].append(name)
    return {group: sorted(names) for group, names in groups.items() if names}


def shown_levels(name: str, side: int) -> Sequence[float]:
    """Five levels from mild to strong: those of the released data set, else every second of the ten.

    >>> shown_levels("plasma_noise", 224), shown_levels("lines", 224), shown_levels("fog", 224)[-1]
    ((4.75, 7.0, 8.5, 9.25, 10.0), (1.6, 3.2, 4.8, 6.4, 8.0), 5.0)
    """
    released = RELEASED_CIFAR_10_C_BAR if side <= SMALL_IMAGE else RELEASED_IMAGENET_C_BAR
    if name in released:
        return released[name]
    levels = levels_of(name, side)
    return levels[1::2] if len(levels) == 10 else levels
