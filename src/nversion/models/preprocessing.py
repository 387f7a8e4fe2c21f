"""What a classifier does to the canonical image before its first layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nversion.core import UserError
from nversion.core.registry import did_you_mean
from nversion.core.settings import call_with_settings

from .resizing import pillow_resize

LARGEST_INPUT = 4096  # pixels per side, as of canonical images
_MODES = {"bilinear": "bilinear", "bicubic": "bicubic", "nearest": "nearest-exact"}
_RESIZES = ("tensor", "pillow")


@dataclass(frozen=True)
class Preprocessing:
    """Resize to a square input, then normalise; differentiable, on the images' device and dtype.

    Args:
        input_size: pixels per side that the network expects.
        mean: of R, G, B in [0, 1].
        std: of R, G, B in [0, 1].
        interpolation: "bilinear", "bicubic" (both antialiased) or "nearest".
        resize: "tensor", which is smooth and rounds nothing, or "pillow", the bytes of Pillow's resize, with
            which most published weights were evaluated; see `resizing.py`.
        crop_pct: the centre crop with which the weights were evaluated by their authors. Recorded
            only: which part of the photograph is seen is decided once, for all classifiers, by the
            canonical image.

    Raises:
        UserError: a value out of range.
    """

    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear"
    crop_pct: float | None = None
    resize: str = "tensor"

    def __post_init__(self) -> None:
        if not 1 <= self.input_size <= LARGEST_INPUT:
            raise _error(
                f"an input_size from 1 to {LARGEST_INPUT}", str(self.input_size), "give the pixels per side"
            )
        if self.interpolation not in _MODES:
            step = did_you_mean(self.interpolation, list(_MODES))
            raise _error("an interpolation", repr(self.interpolation), step)
        if self.resize not in _RESIZES:
            raise _error("a resize", repr(self.resize), did_you_mean(self.resize, list(_RESIZES)))
        if not all(math.isfinite(m) for m in self.mean) or not all(0 < s < math.inf for s in self.std):
            raise _error(
                "a finite mean and a std above 0",
                f"mean {self.mean} and std {self.std}",
                "give them for pixels in [0, 1]",
            )
        if max(map(abs, self.mean)) > 2 or max(self.std) > 2:
            raise _error(
                "mean and std of pixels in [0, 1]",
                f"mean {self.mean} and std {self.std}",
                "divide them by 255",
            )

    def __call__(self, images_N3HW: Tensor) -> Tensor:
        """Images in [0, 1] to network input (N, 3, input_size, input_size).

        Bicubic interpolation overshoots: with "tensor" the result is clamped to [0, 1] at the end, and the
        gradient through a clamped pixel is 0. Pillow rounds and clips to uint8 between its two passes as
        well. Images of the right size are only normalised.

        >>> half = Preprocessing(2, mean=(0.5,) * 3, std=(0.5,) * 3)
        >>> half(torch.ones(1, 3, 4, 4)).tolist()[0][0]
        [[1.0, 1.0], [1.0, 1.0]]
        """
        size = (self.input_size, self.input_size)
        if images_N3HW.shape[-2:] != size and self.resize == "pillow":
            images_N3HW = pillow_resize(images_N3HW, self.input_size, self.interpolation)
        elif images_N3HW.shape[-2:] != size:
            smooth = self.interpolation != "nearest"
            images_N3HW = F.interpolate(
                images_N3HW,
                size,
                mode=_MODES[self.interpolation],
                antialias=smooth,
                align_corners=False if smooth else None,
            )
            if self.interpolation == "bicubic":
                images_N3HW = images_N3HW.clamp(0, 1)
        mean, std = (
            torch.tensor(values, dtype=images_N3HW.dtype).to(images_N3HW.device, non_blocking=True)
            for values in (self.mean, self.std)
        )
        return (images_N3HW - mean[:, None, None]) / std[:, None, None]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as manifests and weight files keep it; `read_preprocessing` reads it."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


def read_preprocessing(settings: Mapping[str, Any], what: str) -> Preprocessing:
    """Preprocessing from a table of settings.

    Raises:
        UserError: an unknown or missing setting, or a value out of range.

    >>> read_preprocessing({"input_size": 32, "mean": [0, 0, 0], "std": [1, 1, 1]}, "a test").std
    (1.0, 1.0, 1.0)
    """
    return call_with_settings(_preprocessing, settings, f"the preprocessing of {what}")


def _preprocessing(
    *,
    input_size: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    interpolation: str = "bilinear",
    crop_pct: float | None = None,
    resize: str = "tensor",
) -> Preprocessing:
    return Preprocessing(input_size, mean, std, interpolation, crop_pct, resize)


def _error(expected: str, found: str, next_step: str) -> UserError:
    return UserError(expected=f"{expected} in the preprocessing", found=found, next_step=next_step)
