"""Corruptions of your own: a kernel in twenty lines, and transforms of torchvision and albumentations.

Studies, sheets and the command line know their names once the module is imported; a package announces its
module with the entry point group "nversion.corruptions". The last one needs
pip install "nversion[albumentations]".

Run: python examples/own_corruption.py
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nversion.core import generator
from nversion.corruptions import CORRUPTIONS, Corruption, create, wrap
from nversion.corruptions.base import Columns, Parameter


@CORRUPTIONS.register("darkness")
class Darkness(Corruption):
    """The image at `1 / (1 + severity)` of its brightness or a little less."""

    name: ClassVar[str] = "darkness"
    levels: ClassVar[tuple[float, ...]] = (0.25, 0.5, 1.0, 2.0, 4.0)
    parameters: ClassVar[Mapping[str, Parameter]] = {"brightness": Parameter(low=0.0, high=1.0)}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"brightness": rng.uniform(0.8, 1.0) / (1 + self.severity)}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        brightness_n = torch.from_numpy(columns["brightness"]).to(images_n3HW.device)
        out_n3HW.copy_(images_n3HW * brightness_n.view(-1, 1, 1, 1))


def posterized(severity: float) -> Any:
    """Few levels a channel, by torchvision: 8 - severity bits."""
    from torchvision.transforms import v2

    return v2.RandomPosterize(bits=8 - int(severity), p=1)


def raindrops(severity: float) -> Any:
    """Rain, by albumentations: streaks of up to 10 × severity pixels."""
    import albumentations

    return albumentations.RandomRain(drop_length=int(10 * severity), brightness_coefficient=1, p=1)


wrap(posterized, name="posterized", low=1, high=7)
wrap(raindrops, name="raindrops", low=0.5, high=5)

for name in ("darkness", "posterized", "raindrops"):
    corruption = create(name, severity=2.0)
    images_N3HW = torch.full((2, 3, 64, 64), 199, dtype=torch.uint8)
    parameters = [corruption.sample_parameters(generator(name, sample_id), (64, 64)) for sample_id in "ab"]
    both_N3HW = corruption.apply(images_N3HW, parameters)
    alone = corruption.apply(images_N3HW[1:], parameters[1:]).equal(both_N3HW[1:])
    print(f"{name}: mean {both_N3HW.float().mean():.0f}, the same alone: {alone}")
