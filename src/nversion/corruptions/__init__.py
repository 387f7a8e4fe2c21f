"""Image corruptions: one interface, a module for each, pixels that depend on image and parameters only."""

from .base import CORRUPTIONS, Corruption, create
from .checkerboard import CheckerboardCutout
from .lines import Lines
from .plasma import PlasmaNoise
from .severities import LEVELS_CIFAR, LEVELS_IMAGENET, PAPER_STRENGTHS_CIFAR, PAPER_STRENGTHS_IMAGENET
from .sheet import contact_sheet
from .water import WaterDrop

__all__ = [
    "CORRUPTIONS",
    "LEVELS_CIFAR",
    "LEVELS_IMAGENET",
    "PAPER_STRENGTHS_CIFAR",
    "PAPER_STRENGTHS_IMAGENET",
    "CheckerboardCutout",
    "Corruption",
    "Lines",
    "PlasmaNoise",
    "WaterDrop",
    "contact_sheet",
    "create",
]
