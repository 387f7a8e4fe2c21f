"""Tables of severities: the levels of the published benchmarks and the paper's four strengths.

The scale is the one of `Corruption.severity`. `LEVELS_…` hold the ten levels of the 30 candidates from which
Mintun et al. (2021) drew CIFAR-10-C̄ (32 pixels) and ImageNet-C̄ (224 pixels); `RELEASED_…` the five levels of
the ten corruptions that each released data set holds; `IMAGENET_C` and `IMAGENET_C_EXTRA` the 15 + 4 of
Hendrycks and Dietterich (2019) in the order of their tables, by group, whose levels are 1 to 5.

>>> LEVELS_IMAGENET["plasma_noise"].index(PAPER_STRENGTHS_IMAGENET["plasma_noise"]) + 1
2
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .base import CORRUPTIONS

LEVELS_IMAGENET: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "bleach_bypass": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "blue_noise": (0.7, 1.4, 2.1, 2.8, 3.5, 4.2, 4.9, 5.6, 6.3, 7.0),
        "blue_noise_sample": (0.8, 1.6, 2.4, 3.2, 4.0, 4.8, 5.6, 6.4, 7.2, 8.0),
        "brownish_noise": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "caustic_noise": (3.25, 4.0, 4.75, 5.5, 6.25, 7.0, 7.75, 8.5, 9.25, 10.0),
        "caustic_refraction": (2.35, 3.2, 4.05, 4.9, 5.75, 6.6, 7.45, 8.3, 9.15, 10.0),
        "checkerboard_cutout": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "chromatic_abberation": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "circular_motion_blur": (2.35, 3.2, 4.05, 4.9, 5.75, 6.6, 7.45, 8.3, 9.15, 10.0),
        "cocentric_sine_waves": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "color_balance": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "color_dither": (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0),
        "fish_eye": (0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8, 3.2, 3.6, 4.0),
        "hue_shift": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "inverse_sparkles": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "lines": (0.8, 1.6, 2.4, 3.2, 4.0, 4.8, 5.6, 6.4, 7.2, 8.0),
        "perlin_noise": (4.6, 5.2, 5.8, 6.4, 7.0, 7.6, 8.2, 8.8, 9.4, 10.0),
        "perspective_no_bars": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "pinch_and_twirl": (4.15, 4.8, 5.45, 6.1, 6.75, 7.4, 8.05, 8.7, 9.35, 10.0),
        "plasma_noise": (3.25, 4.0, 4.75, 5.5, 6.25, 7.0, 7.75, 8.5, 9.25, 10.0),
        "pseudocolor": (1.9, 2.8, 3.7, 4.6, 5.5, 6.4, 7.3, 8.2, 9.1, 10.0),
        "quadrilateral_no_bars": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "ripple": (3.25, 4.0, 4.75, 5.5, 6.25, 7.0, 7.75, 8.5, 9.25, 10.0),
        "scatter": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0),
        "single_frequency_greyscale": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0),
        "sparkles": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "technicolor": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "transverse_chromatic_abberation": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "voronoi_noise": (3.25, 4.0, 4.75, 5.5, 6.25, 7.0, 7.75, 8.5, 9.25, 10.0),
        "water_drop": (5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 8.5, 9.0, 9.5, 10.0),
    }
)
LEVELS_CIFAR: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "bleach_bypass": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "blue_noise": (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0),
        "blue_noise_sample": (0.7, 1.4, 2.1, 2.8, 3.5, 4.2, 4.9, 5.6, 6.3, 7.0),
        "brownish_noise": (2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0),
        "caustic_noise": (2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0),
        "caustic_refraction": (1.4, 1.8, 2.2, 2.6, 3.0, 3.4, 3.8, 4.2, 4.6, 5.0),
        "checkerboard_cutout": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "chromatic_abberation": (0.7, 1.4, 2.1, 2.8, 3.5, 4.2, 4.9, 5.6, 6.3, 7.0),
        "circular_motion_blur": (2.8, 3.6, 4.4, 5.2, 6.0, 6.8, 7.6, 8.4, 9.2, 10.0),
        "cocentric_sine_waves": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0),
        "color_balance": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "color_dither": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "fish_eye": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        "hue_shift": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "inverse_sparkles": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0),
        "lines": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0),
        "perlin_noise": (4.6, 5.2, 5.8, 6.4, 7.0, 7.6, 8.2, 8.8, 9.4, 10.0),
        "perspective_no_bars": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "pinch_and_twirl": (5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 8.5, 9.0, 9.5, 10.0),
        "plasma_noise": (0.7, 1.4, 2.1, 2.8, 3.5, 4.2, 4.9, 5.6, 6.3, 7.0),
        "pseudocolor": (0.7, 1.4, 2.1, 2.8, 3.5, 4.2, 4.9, 5.6, 6.3, 7.0),
        "quadrilateral_no_bars": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "ripple": (5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 8.5, 9.0, 9.5, 10.0),
        "scatter": (1.4, 1.8, 2.2, 2.6, 3.0, 3.4, 3.8, 4.2, 4.6, 5.0),
        "single_frequency_greyscale": (0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1, 2.4, 2.7, 3.0),
        "sparkles": (0.7, 1.4, 2.1, 2.8, 3.5, 4.2, 4.9, 5.6, 6.3, 7.0),
        "technicolor": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "transverse_chromatic_abberation": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
        "voronoi_noise": (1.4, 1.8, 2.2, 2.6, 3.0, 3.4, 3.8, 4.2, 4.6, 5.0),
        "water_drop": (2.8, 3.6, 4.4, 5.2, 6.0, 6.8, 7.6, 8.4, 9.2, 10.0),
    }
)

RELEASED_IMAGENET_C_BAR: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "blue_noise_sample": (0.8, 1.6, 2.4, 4.0, 5.6),
        "brownish_noise": (1.0, 2.0, 3.0, 4.0, 5.0),
        "caustic_refraction": (2.35, 3.2, 4.9, 6.6, 9.15),
        "checkerboard_cutout": (2.0, 3.0, 4.0, 5.0, 6.0),
        "cocentric_sine_waves": (3.0, 5.0, 8.0, 9.0, 10.0),
        "inverse_sparkles": (1.0, 2.0, 4.0, 9.0, 10.0),
        "perlin_noise": (4.6, 5.2, 5.8, 7.6, 8.8),
        "plasma_noise": (4.75, 7.0, 8.5, 9.25, 10.0),
        "single_frequency_greyscale": (1.0, 1.5, 2.0, 4.5, 5.0),
        "sparkles": (1.0, 2.0, 3.0, 5.0, 6.0),
    }
)
RELEASED_CIFAR_10_C_BAR: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "blue_noise_sample": (0.7, 1.4, 2.1, 3.5, 4.2),
        "brownish_noise": (2.5, 4.0, 5.5, 6.5, 7.0),
        "checkerboard_cutout": (1.0, 2.0, 3.0, 4.0, 5.0),
        "circular_motion_blur": (2.8, 3.6, 4.4, 5.2, 6.0),
        "inverse_sparkles": (1.0, 1.5, 2.5, 4.5, 5.0),
        "lines": (0.5, 1.0, 1.5, 2.0, 2.5),
        "pinch_and_twirl": (5.5, 6.0, 6.5, 8.5, 10.0),
        "ripple": (5.5, 6.0, 6.5, 7.5, 8.0),
        "sparkles": (0.7, 3.5, 5.6, 6.3, 7.0),
        "transverse_chromatic_abberation": (1.0, 2.0, 5.0, 9.0, 10.0),
    }
)

IMAGENET_C: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
        "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
        "weather": ("snow", "frost", "fog", "brightness"),
        "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    }
)
IMAGENET_C_EXTRA: tuple[str, ...] = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
IMAGENET_C_LEVELS: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 5.0)

# Levels 2, 4, 4 and 2 of each grid.
PAPER_STRENGTHS_IMAGENET: Mapping[str, float] = MappingProxyType(
    {"plasma_noise": 4.0, "checkerboard_cutout": 4.0, "water_drop": 7.0, "lines": 1.6}
)
PAPER_STRENGTHS_CIFAR: Mapping[str, float] = MappingProxyType(
    {"plasma_noise": 1.4, "checkerboard_cutout": 4.0, "water_drop": 5.2, "lines": 1.0}
)

SMALL_IMAGE = 64
"""Pixels: up to this side the levels for 32-pixel images are meant, beyond it those for 224."""


def levels_of(name: str, side: int) -> tuple[float, ...]:
    """The published levels of a corruption, of severities growing, for images of `side` pixels.

    Those of ImageNet-C are 1 to 5; a corruption from elsewhere brings its own (`Corruption.levels`).

    >>> levels_of("lines", 224)[:3], levels_of("fog", 32)
    ((0.8, 1.6, 2.4), (1.0, 2.0, 3.0, 4.0, 5.0))
    """
    published = LEVELS_CIFAR if side <= SMALL_IMAGE else LEVELS_IMAGENET
    name = CORRUPTIONS.aliases.get(name, name)
    if name in published:
        return published[name]
    return CORRUPTIONS[name].levels if name in CORRUPTIONS else IMAGENET_C_LEVELS
