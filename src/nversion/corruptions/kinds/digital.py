"""contrast, pixelate, jpeg_compression: what cameras and files do to a picture."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Parameter
from nversion.corruptions.levels import Levelled, cifar_variant, whole_at
from nversion.corruptions.pixels.cutting import LOST_DIGITS, cut_to_bytes
from nversion.corruptions.pixels.scratch import scratch

if TYPE_CHECKING:
    from PIL.Image import Image


@cifar_variant((0.75, 0.5, 0.4, 0.3, 0.15))
@CORRUPTIONS.register("contrast")
class Contrast(Levelled):
    """Every channel shrinks towards its mean (Hendrycks & Dietterich 2019).

    A byte becomes clip(mean + factor·(byte − mean), 0, 255), cut; the mean is that of its channel.

    Parameters: factor (no unit; by level 0.4, 0.3, 0.2, 0.1, 0.05, linear between).

    Limit: a sum of bytes; 9 bytes a pixel read and written, 6 passes over float32 planes. An even area stays
    what it is, where the reference's rounding can lose 1.

    >>> Contrast(5).sample_parameters(np.random.default_rng(0), size=(8, 8))
    {'factor': 0.05}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"factor": Parameter(low=0.0, high=1e3)}
    table = (0.4, 0.3, 0.2, 0.1, 0.05)

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"factor": self.value}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        height, width = images_n3HW.shape[2:]
        factor = torch.from_numpy(columns["factor"]).to(images_n3HW.device)[:, None, None, None]
        total = images_n3HW.sum(dim=(2, 3), keepdim=True, dtype=torch.int64)
        mean = total.double().div_(torch.full_like(total, height * width, dtype=torch.float64))
        bytes_n3HW = scratch("bytes", tuple(images_n3HW.shape), torch.float32, images_n3HW.device)
        bytes_n3HW.copy_(images_n3HW).mul_(factor.float())
        bytes_n3HW.add_(mean.mul_(1.0 - factor).add_(LOST_DIGITS).float()).clamp_(0.0, 255.0)
        cut_to_bytes(bytes_n3HW, out_n3HW)


@cifar_variant((0.95, 0.9, 0.85, 0.75, 0.65))
@CORRUPTIONS.register("pixelate")
class Pixelate(Levelled):
    """Large pixels: made smaller by averaging boxes, then larger by repeating (Hendrycks & Dietterich 2019).

    H×W shrinks to max(int(share·H), 1)×max(int(share·W), 1) by Pillow's BOX filter. Growing with that filter
    takes, for row i, row floor((i + 1/2)·small/H), and so for columns.

    Parameters: share (of the side; by level 0.6, 0.5, 0.4, 0.3, 0.25, linear between).

    Limit: Pillow's averages on the host, one image after another: weights of 22 bits, sums of whole numbers.
    To enlarge is a gather here, which takes a third of Pillow's time.

    >>> Pixelate(5).sample_parameters(np.random.default_rng(0), size=(8, 8))
    {'share': 0.25}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"share": Parameter(low=0.0, high=1.0)}
    table = (0.6, 0.5, 0.4, 0.3, 0.25)

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"share": self.value}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        from PIL.Image import Resampling

        height, width = images_n3HW.shape[2:]
        result_n3HW = out_n3HW.cpu()  # on a CPU out itself
        for picture, share, result_3HW in zip(
            _pictures(images_n3HW), columns["share"], result_n3HW.numpy(), strict=True
        ):
            small_height, small_width = (max(int(side * share), 1) for side in (height, width))
            small = picture.resize((small_width, small_height), Resampling.BOX)
            small_3hw = np.empty((3, small_height, small_width), dtype=np.uint8)
            _write_planes(small, small_3hw)
            wide_3hW = small_3hw.take(_nearest(width, small_width), axis=2)
            np.take(wide_3hW, _nearest(height, small_height), axis=1, out=result_3HW, mode="clip")
        out_n3HW.copy_(result_n3HW)


@lru_cache(maxsize=64)
def _nearest(length: int, small: int) -> NDArray[np.intp]:
    return ((np.arange(length) + 0.5) * (small / length)).astype(np.intp)


@cifar_variant((80, 65, 58, 50, 40))
@CORRUPTIONS.register("jpeg_compression")
class JpegCompression(Levelled):
    """Blocks and halos of a JPEG file of low quality (Hendrycks & Dietterich 2019).

    Written and read by Pillow, colour at half the resolution: libjpeg-turbo's arithmetic is of whole numbers.

    Parameters: quality (Pillow's, whole, 1 … 100; by level 25, 18, 15, 10, 7, linear between, rounded).

    Limit: one JPEG written and read on the host, image after image; sides of at most 65 500 pixels.

    >>> JpegCompression(1.5).sample_parameters(np.random.default_rng(0), size=(8, 8))
    {'quality': 22}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"quality": Parameter(low=1, high=100, whole=True)}
    table = (25, 18, 15, 10, 7)

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"quality": whole_at(self.table, self.severity)}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        from PIL import Image

        result_n3HW = out_n3HW.cpu()  # on a CPU out itself
        for picture, quality, result_3HW in zip(
            _pictures(images_n3HW), columns["quality"].tolist(), result_n3HW.numpy(), strict=True
        ):
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=quality)
            # The decoder alone: Image.open would first look for the file's format and read its header.
            read = Image.frombytes("RGB", picture.size, file.getvalue(), "jpeg", "RGB", "")
            _write_planes(read, result_3HW)
        out_n3HW.copy_(result_n3HW)


def _pictures(images_n3HW: Tensor) -> Iterator[Image]:
    """The images as Pillow's, one after another."""
    from PIL import Image

    height, width = images_n3HW.shape[2:]
    for image_3HW in images_n3HW.cpu().numpy():
        planes = (
            Image.frombuffer("L", (width, height), plane_HW, "raw", "L", 0, 1) for plane_HW in image_3HW
        )
        yield Image.merge("RGB", list(planes))


def _write_planes(picture: Image, out_3HW: NDArray[np.uint8]) -> None:
    # Pillow keeps 4 bytes a pixel: shifts of whole pixels take half as long as reading every third byte.
    packed_HW = np.frombuffer(picture.tobytes("raw", "RGBX"), dtype="<u4").reshape(out_3HW.shape[1:])
    out_3HW[0] = packed_HW  # the cast keeps the low 8 bits
    shifted_HW = packed_HW >> 8
    out_3HW[1] = shifted_HW
    out_3HW[2] = np.right_shift(shifted_HW, 8, out=shifted_HW)
