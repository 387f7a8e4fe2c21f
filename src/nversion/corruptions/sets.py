"""Published sets of corruptions by name: which corruptions at which levels each benchmark holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nversion.core import UserError, did_you_mean

from .severities import (
    IMAGENET_C,
    IMAGENET_C_EXTRA,
    IMAGENET_C_LEVELS,
    PAPER_STRENGTHS_CIFAR,
    PAPER_STRENGTHS_IMAGENET,
    RELEASED_CIFAR_10_C_BAR,
    RELEASED_IMAGENET_C_BAR,
    SMALL_IMAGE,
)

Strengths = Mapping[str, tuple[float, ...]]
"""The severities of each corruption."""

_MAIN = tuple(name for group in IMAGENET_C.values() for name in group)


def _at_all_levels(*names: str) -> Strengths:
    return dict.fromkeys(names, IMAGENET_C_LEVELS)


def _paper(side: int) -> Strengths:
    strengths = PAPER_STRENGTHS_CIFAR if side <= SMALL_IMAGE else PAPER_STRENGTHS_IMAGENET
    return {name: (severity,) for name, severity in strengths.items()}


SETS: Mapping[str, Callable[[int], Strengths]] = {
    "imagenet-c": lambda _: _at_all_levels(*_MAIN),
    "imagenet-c-extra": lambda _: _at_all_levels(*IMAGENET_C_EXTRA),
    "imagenet-c-bar": lambda _: RELEASED_IMAGENET_C_BAR,
    "cifar-10-c": lambda _: _at_all_levels(*(f"{name}_cifar" for name in _MAIN + IMAGENET_C_EXTRA)),
    "cifar-10-c-bar": lambda _: RELEASED_CIFAR_10_C_BAR,
    "paper": _paper,
}
"""From the name of a set to its corruptions and levels for images of so many pixels a side."""


def published(name: str, side: int) -> Strengths:
    """The corruptions of a published set with their severities.

    Args:
        name: "imagenet-c" (15 corruptions, levels 1 to 5), "imagenet-c-extra" (its 4 validation
            corruptions), "imagenet-c-bar", "cifar-10-c" (all 19, as they are defined for 32 pixels),
            "cifar-10-c-bar", or "paper": the paper's four at one strength each.
        side: pixels per side of the images; "paper" alone depends on it.

    Raises:
        UserError: no set has this name.

    >>> sum(map(len, published("imagenet-c", 224).values()))
    75
    >>> published("paper", 32)["lines"]
    (1.0,)
    """
    if name not in SETS:
        raise UserError(
            expected="a published set of corruptions",
            found=repr(name),
            next_step=did_you_mean(name, list(SETS)),
        )
    return SETS[name](side)


def united(sets: Sequence[str], own: Mapping[str, Sequence[float]], side: int) -> Strengths:
    """The severities of every corruption of `sets`, then of `own` where no set holds them.

    >>> united(["paper"], {"lines": [1.6, 3.2]}, 224)["lines"]
    (1.6, 3.2)
    """
    merged: dict[str, tuple[float, ...]] = {}
    for name in sets:
        for corruption, severities in published(name, side).items():
            merged[corruption] = tuple(dict.fromkeys((*merged.get(corruption, ()), *severities)))
    for corruption, asked in own.items():
        held = merged.get(corruption, ())
        merged[corruption] = held + tuple(float(s) for s in asked if s not in held)
    return merged
