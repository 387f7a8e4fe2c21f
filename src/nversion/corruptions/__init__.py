"""Image corruptions: pixels depend on the image, the severity and the drawn parameters alone."""

from . import kinds
from .base import CORRUPTIONS, Corruption, Parameter, corrupt, create
from .groups import grouped, shown_levels
from .ingredients import ingredients
from .picture import picture
from .sets import SETS, published, united
from .severities import (
    IMAGENET_C,
    IMAGENET_C_EXTRA,
    IMAGENET_C_LEVELS,
    LEVELS_CIFAR,
    LEVELS_IMAGENET,
    PAPER_STRENGTHS_CIFAR,
    PAPER_STRENGTHS_IMAGENET,
    RELEASED_CIFAR_10_C_BAR,
    RELEASED_IMAGENET_C_BAR,
    levels_of,
)
from .sheet import contact_sheet
from .wrapping import wrap

__all__ = [
    "CORRUPTIONS",
    "IMAGENET_C",
    "IMAGENET_C_EXTRA",
    "IMAGENET_C_LEVELS",
    "LEVELS_CIFAR",
    "LEVELS_IMAGENET",
    "PAPER_STRENGTHS_CIFAR",
    "PAPER_STRENGTHS_IMAGENET",
    "RELEASED_CIFAR_10_C_BAR",
    "RELEASED_IMAGENET_C_BAR",
    "SETS",
    "Corruption",
    "Parameter",
    "contact_sheet",
    "corrupt",
    "create",
    "grouped",
    "ingredients",
    "kinds",
    "levels_of",
    "picture",
    "published",
    "shown_levels",
    "united",
    "wrap",
]
