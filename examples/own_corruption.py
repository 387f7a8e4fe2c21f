"""A corruption of your own in twenty lines; studies, sheets and the command line then know its name.

Run: python examples/own_corruption.py
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nversion.core import generator
from nversion.corruptions import CORRUPTIONS, Corruption, create
from nversion.corruptions.base import Columns, Parameter


@CORRUPTIONS.register("darkness")
class Darkness(Corruption):
    """The image at `1 / (1 + severity)` of its brightness or a little less."""

    name: ClassVar[str] = "darkness"
    parameters: ClassVar[Mapping[str, Parameter]] = {"brightness": Parameter(low=0.0, high=1.0)}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"brightness": rng.uniform(0.8, 1.0) / (1 + self.severity)}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        brightness_n = torch.from_numpy(columns["brightness"]).to(images_n3HW.device)
        out_n3HW.copy_(images_n3HW * brightness_n.view(-1, 1, 1, 1))


white_13HW = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
darkness = create("darkness", severity=1.0)
parameters = [darkness.sample_parameters(generator("darkness", "a"), (8, 8))]
print("white becomes", int(darkness.apply(white_13HW, parameters).float().mean()))
