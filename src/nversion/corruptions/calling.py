"""Images of any usual kind, corrupted and returned as the same kind.

An image without an id is known by its content: what is drawn for it is a function of its pixels and the seed,
and so depends on no batch, order, worker or global generator.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nversion.core import UserError, fingerprint, generator

if TYPE_CHECKING:
    from .base import Corruption

_FORMS = (
    "NumPy (H, W, 3) or (N, H, W, 3), torch (3, H, W) or (N, 3, H, W), uint8 or floats in [0, 1], or PIL RGB"
)


def corrupted(corruption: Corruption, images: Any, seed: int, ids: str | Sequence[str] | None) -> Any:
    """The images under a corruption, of the kind, shape, dtype and device that they have.

    Args:
        seed: of what is drawn.
        ids: of the images; what is drawn for an id is what a study draws for the sample of this id. None:
            a digest of each image's bytes.

    Raises:
        UserError: images of another kind or shape, floats outside [0, 1], or not one id for each image.
    """
    if isinstance(images, list | tuple):
        each: list[Any] = [None] * len(images) if ids is None else _checked_ids(ids, len(images))
        found = (corrupted(corruption, one, seed, its) for one, its in zip(images, each, strict=True))
        return type(images)(found)
    images_N3HW, restore = as_bytes(images)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise UserError(
            expected="a whole number as the seed", found=repr(seed), next_step="pass seed=0, 1, ..."
        )
    names = _content(images_N3HW) if ids is None else _checked_ids(ids, len(images_N3HW))
    size = (images_N3HW.shape[-2], images_N3HW.shape[-1])
    parameters = [
        corruption.sample_parameters(generator(corruption.name, corruption.severity, int(seed), name), size)
        for name in names
    ]
    return restore(corruption.apply(images_N3HW, parameters))


def as_bytes(images: Any) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """The images as uint8 (N, 3, H, W), and what makes their own kind of corrupted ones."""
    if type(images).__module__.partition(".")[0] == "PIL":
        if getattr(images, "mode", "") != "RGB":
            raise _refusal(f"a PIL image of mode {getattr(images, 'mode', '?')}", 'call image.convert("RGB")')
        return _of_array(np.asarray(images), _pil)
    if isinstance(images, np.ndarray):
        return _of_array(images, lambda array: array)
    if isinstance(images, Tensor):
        return _of_tensor(images)
    raise _refusal(f"a {type(images).__name__}", "pass an array, a tensor, a PIL image, or a list of them")


def _pil(array_HW3: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(array_HW3)


def _of_array(
    images: np.ndarray, make: Callable[[np.ndarray], Any]
) -> tuple[Tensor, Callable[[Tensor], Any]]:
    if images.ndim not in (3, 4) or images.shape[-1] != 3 or 0 in images.shape[-3:]:
        step = "put channels last, as NumPy images have them"
        if images.ndim in (3, 4) and images.shape[-3] == 3:
            step += ": np.moveaxis(images, -3, -1)"
        elif images.ndim == 2 or images.shape[-1:] == (1,):
            step = "repeat a grey image three times on the last axis"
        elif images.shape[-1:] == (4,):
            step = "drop the alpha channel: images[..., :3]"
        raise _refusal(f"an array {images.dtype} of shape {images.shape}", step)
    native = images.astype(images.dtype.newbyteorder("="), copy=False)
    tensor = torch.from_numpy(np.array(native)) if native.dtype.kind in "uif" else None
    if tensor is None:
        raise _refusal(
            f"an array of {images.dtype}", "make it uint8: (images * 255).round().astype(np.uint8)"
        )
    bytes_, restore = _quantised(tensor.movedim(-1, -3))

    def back(found: Tensor) -> Any:
        array = restore(found).movedim(-3, -1).contiguous().numpy()
        return make(array.astype(images.dtype, copy=False))

    return bytes_, back


def _of_tensor(images: Tensor) -> tuple[Tensor, Callable[[Tensor], Any]]:
    if images.ndim not in (3, 4) or images.shape[-3] != 3 or 0 in images.shape[-2:]:
        step = "put channels before rows, as tensors of images have them"
        if images.ndim in (3, 4) and images.shape[-1] == 3:
            step += ": images.movedim(-1, -3)"
        elif images.ndim == 2 or (images.ndim > 2 and images.shape[-3] == 1):
            step = "make a grey image RGB: images.expand(3, -1, -1)"
        elif images.ndim > 2 and images.shape[-3] == 4:
            step = "drop the alpha channel: images[..., :3, :, :]"
        found = f"{str(images.dtype).removeprefix('torch.')} of shape {tuple(images.shape)}"
        raise _refusal(f"a tensor {found}", step)
    bytes_, restore = _quantised(images.detach().as_subclass(Tensor))
    tv_tensors = sys.modules.get("torchvision.tv_tensors")
    if tv_tensors is not None and isinstance(images, tv_tensors.TVTensor):
        return bytes_, lambda found: tv_tensors.wrap(restore(found), like=images)
    return bytes_, restore


def _quantised(images: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """uint8 (N, 3, H, W) of one image or several; floats in [0, 1] are rounded to 256 levels."""
    batch = images if images.ndim == 4 else images[None]

    def shaped(found: Tensor) -> Tensor:
        return found if images.ndim == 4 else found[0]

    if images.dtype == torch.uint8:
        return batch, shaped
    if not images.is_floating_point():
        kind = str(images.dtype).removeprefix("torch.")
        raise _refusal(f"values of {kind}", "make them bytes: clamp to 0 to 255, then uint8")
    if images.numel():
        low, high = images.aminmax()
        if not (low >= 0 and high <= 1):  # nan is outside, too
            step = "corrupt images before they are normalised"
            if low >= 0 and high > 2:
                step = "divide bytes by 255, or pass them as uint8"
            elif bool(images.isnan().any()):
                step = "decide what nan stands for, for example torch.nan_to_num(images)"
            raise _refusal(f"floats from {float(low):.3g} to {float(high):.3g}", step)
    bytes_ = batch.float().mul(255).round_().to(torch.uint8)
    return bytes_, lambda found: shaped(found.to(torch.float32).div_(255).to(images.dtype))


def _content(images_N3HW: Tensor) -> list[str]:
    return [fingerprint(image_3HW) for image_3HW in images_N3HW.cpu().numpy()]


def _checked_ids(ids: str | Sequence[str], count: int) -> list[str]:
    given = [ids] if isinstance(ids, str) else list(ids)
    if len(given) != count or not all(isinstance(one, str) for one in given):
        raise UserError(
            expected=f"one id, a text, for each of {count} images",
            found=repr(ids) if len(given) == count else f"{len(given)} ids",
            next_step="leave `ids` out: an image is then known by its content",
        )
    return given


def _refusal(found: str, next_step: str) -> UserError:
    return UserError(expected=f"images as {_FORMS}", found=found, next_step=next_step)
