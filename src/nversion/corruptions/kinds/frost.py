"""frost: a frosted window before the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Parameter
from nversion.corruptions.levels import Levelled, cifar_variant
from nversion.corruptions.pixels.frost_textures import FILES, texture
from nversion.corruptions.pixels.scratch import scratch


# Every fifth pixel: the reference reduces the pictures to a fifth bilinearly, at places that fall on pixels.
@cifar_variant(((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)), step=5)
@CORRUPTIONS.register("frost")
class Frost(Levelled):
    """A part of a picture of frost is added to the dimmed image (Hendrycks & Dietterich 2019).

    `kept·image + share·picture`, cut to 255 and to a whole number. The picture is one of five, drawn by
    `frost_textures`, or one of the benchmark's photographs where the environment variable NVERSION_FROST
    names their folder: only then are the images those of ImageNet-C. `frost_textures.texture_fingerprint`
    says which are in use.

    Kept from the reference: of its six photographs the last is never taken, and the second and the third are
    the same. A picture is not scaled with the image; one that is smaller than the image goes on mirrored.

    Parameters: idx (picture, 0 to 4), x_start and y_start (where the part begins along the rows and along
    the columns, as a share of the room there is, U(0, 1)).

    Limit: reading the part, 3 bytes a pixel, and 6 passes over float64. The pictures in use are kept, 1.6 MB
    each; drawing one takes half a second.

    >>> sorted(Frost(1).sample_parameters(np.random.default_rng(0), size=(224, 224)))
    ['idx', 'x_start', 'y_start']
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "idx": Parameter(low=0, high=len(FILES) - 1, whole=True),
        "x_start": Parameter(low=0.0, high=1.0),
        "y_start": Parameter(low=0.0, high=1.0),
    }
    # kept, share
    table = (
        (1.0, 0.4),
        (0.8, 0.6),
        (0.7, 0.7),
        (0.65, 0.7),
        (0.6, 0.75),
    )
    step: ClassVar[int] = 1  # between the picture's pixels that are used

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {
            "idx": int(rng.integers(0, len(FILES))),
            "x_start": rng.uniform(0.0, 1.0),
            "y_start": rng.uniform(0.0, 1.0),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        height, width = images_n3HW.shape[2:]
        kept, share = self.row
        parts = np.empty(images_n3HW.shape, dtype=np.uint8)
        starts = zip(columns["idx"], columns["x_start"], columns["y_start"], strict=True)
        for part_3HW, (index, row, column) in zip(parts, starts, strict=True):
            picture = texture(int(index))[:, self.step // 2 :: self.step, self.step // 2 :: self.step]
            _cut(_cut(picture, 1, height, row), 2, width, column, out=part_3HW)
        shape, device = tuple(images_n3HW.shape), images_n3HW.device
        # float64, as in the reference: often the sum is whole, and then its last digit decides.
        image, frost = (scratch(name, shape, torch.float64, device) for name in ("image", "frost"))
        image.copy_(images_n3HW).mul_(kept).add_(frost.copy_(torch.from_numpy(parts)).mul_(share))
        out_n3HW.copy_(image.clamp_(max=255.0))


def _cut(
    picture: NDArray[np.uint8], axis: int, length: int, share: float, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """`length` pixels along an axis from the share of the room on, mirrored at the picture's ends."""
    size = picture.shape[axis]
    place = np.arange(length) + int(share * max(size - length, 0))
    place = np.mod(place, 2 * size)
    return picture.take(np.minimum(place, 2 * size - 1 - place), axis, out=out)
