"""The base class of corruptions and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import Registry, UserError, chunk_length, did_you_mean, spans

from .calling import corrupted

# About 50 thousand pixels keep a corruption's planes in a core's second-level cache (one 224×224 image, 49 of
# 32×32); a GPU wants more work per launch. The bytes of a sample do not depend on either number.
PIXELS_PER_CHUNK_CPU = 50_176
PIXELS_PER_CHUNK_GPU = 1 << 21

LARGEST_SEVERITY = 1000.0

Columns = Mapping[str, NDArray[Any]]
"""The parameters of n samples: one float64 or int64 array of shape (n, *shape) for each name."""


@dataclass(frozen=True)
class Parameter:
    """What values a parameter may take: numbers of at least `low` and at most `high`.

    Attributes:
        shape: () for one number, (2,) for a pair, (5, 2) for five pairs; None for any length on that axis.
    """

    low: float = -1e6
    high: float = 1e6
    whole: bool = False
    shape: tuple[int | None, ...] = ()

    def read(self, value: Any) -> NDArray[Any] | None:
        """`value` as an array of this shape, None when it is not such a value."""
        try:
            array = np.asarray(value)
        except ValueError:  # a ragged sequence
            return None
        if array.dtype.kind not in "iuf" or array.ndim != len(self.shape):
            return None
        if any(asked not in (None, found) for asked, found in zip(self.shape, array.shape, strict=True)):
            return None
        if not bool(np.all((array >= self.low) & (array <= self.high))):  # nan is outside, too
            return None
        if self.whole and not bool(np.all(array == np.floor(array))):
            return None
        return array.astype(np.int64 if self.whole else np.float64)

    def __str__(self) -> str:
        kind = "whole number" if self.whole else "number"
        sides = "×".join("any" if side is None else str(side) for side in self.shape)
        many = f"{sides} {kind}s" if self.shape else f"a {kind}"
        return f"{many} from {self.low:g} to {self.high:g}"


SEED = Parameter(low=0, high=2**32 - 1, whole=True)
"""Of a corruption that draws fields of random numbers from it."""


@dataclass(frozen=True)
class Corruption(ABC):
    """One corruption at one severity. Randomness lives in `sample_parameters`, pixels in `apply`.

    A subclass states its parameters, draws them and renders a chunk of images; checks, batches and chunks
    are done here. To add one: a module with a registered subclass; the tests run over the registry.

    Attributes:
        severity: strength, from `lowest` to `highest`. Of the corruptions of ImageNet-C̄ it is the raw scale
            of Mintun, Kirillov, Xie, "On Interaction Between Augmentations and Corruptions in Natural
            Corruption Robustness" (NeurIPS 2021), whose levels lie between 0.1 and 12; of those of ImageNet-C
            the level, 1 to 5.

    Raises:
        UserError: the severity is not such a number.
    """

    severity: float

    name: ClassVar[str]  # under which the class is registered
    parameters: ClassVar[Mapping[str, Parameter]]
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = LARGEST_SEVERITY
    levels: ClassVar[tuple[float, ...]] = (1.0, 2.0, 3.0, 4.0, 5.0)
    """In use, from mild to strong; published tables (`severities.levels_of`) go before them."""

    def __post_init__(self) -> None:
        given = self.severity
        number = isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool)
        if not number or not self.lowest <= given <= self.highest:
            raise UserError(
                expected=f"a severity from {self.lowest:g} to {self.highest:g} for {self.name}",
                found=repr(given),
                next_step="see the levels in use with: nversion corruptions ls",
            )
        object.__setattr__(self, "severity", float(given))

    def sample_parameters(self, rng: np.random.Generator, size: tuple[int, int]) -> dict[str, Any]:
        """Draw the parameters of one image of `size` (H, W): plain numbers, names and units of the reference.

        Positions are drawn per axis; lengths (scale, radius, wavelength) follow the shorter side.

        Raises:
            UserError: `size` is not two positive whole numbers, or `rng` no generator of NumPy.
        """
        whole = isinstance(size, Sequence) and all(isinstance(side, int | np.integer) for side in size)
        if not whole or len(size) != 2 or min(size) < 1:
            raise UserError(
                expected="a size of two positive whole numbers (H, W)",
                found=repr(size),
                next_step="pass the height and width of the image in pixels",
            )
        if not isinstance(rng, np.random.Generator):
            raise UserError(
                expected="a NumPy generator to draw from",
                found=type(rng).__name__,
                next_step="pass nversion.core.generator(NAME, …) or numpy.random.default_rng(SEED)",
            )
        return self._draw(rng, int(size[0]), int(size[1]))

    def apply(self, images_N3HW: Tensor, parameters: Sequence[Mapping[str, Any]]) -> Tensor:
        """Corrupt image n with `parameters[n]`; uint8 in, new uint8 tensor of the same shape and device out.

        The bytes of a sample are a function of its image and its parameters: equal in every batch, chunk,
        thread count and worker. All per-pixel arithmetic is made of operations that IEEE 754 rounds
        correctly (add, multiply, divide, square root, round; no fused ones) or of integers, so they are the
        same on CPU and GPU, too. Memory beyond the output is bounded by the chunk: one image or
        `PIXELS_PER_CHUNK_…` pixels, whichever is more, times at most about 250 bytes.

        Raises:
            UserError: images that are not uint8 N×3×H×W with H, W ≥ 1; not one mapping for each image; a
                parameter that is missing, unknown or out of range.
        """
        _check_images(images_N3HW)
        num_samples, _, height, width = images_N3HW.shape
        if isinstance(parameters, Mapping) or not all(isinstance(one, Mapping) for one in parameters):
            raise UserError(
                expected=f"a list of {num_samples} parameter mappings, one for each image",
                found="one mapping alone" if isinstance(parameters, Mapping) else _kinds(parameters),
                next_step="pass a list of what sample_parameters gives",
            )
        if len(parameters) != num_samples:
            raise UserError(
                expected=f"{num_samples} parameter mappings, one for each image",
                found=str(len(parameters)),
                next_step="call sample_parameters once for each image",
            )
        columns = self._columns(parameters)
        corrupted_N3HW = torch.empty_like(images_N3HW, memory_format=torch.contiguous_format)
        on_cpu = images_N3HW.device.type == "cpu"
        pixels = PIXELS_PER_CHUNK_CPU if on_cpu else PIXELS_PER_CHUNK_GPU
        with torch.no_grad():
            for start, stop in spans(num_samples, chunk_length(height * width, pixels)):
                chunk = {name: column[start:stop] for name, column in columns.items()}
                self._render(images_N3HW[start:stop].contiguous(), chunk, corrupted_N3HW[start:stop])
        return corrupted_N3HW

    def __call__(
        self, images: Any, *targets: Any, seed: int = 0, ids: str | Sequence[str] | None = None
    ) -> Any:
        """Corrupt one image or several; what comes back has the kind, shape, dtype and device of `images`.

        Kinds: NumPy arrays (H, W, 3) or (N, H, W, 3); tensors (3, H, W) or (N, 3, H, W), on any device;
        PIL images in RGB; lists of these. Values: uint8, or floats in [0, 1], which are rounded to 256
        levels. No gradient flows. As a transform of torchvision (`v2.Compose`) it returns further inputs,
        such as the label, unchanged.

        Each image has draws of its own, a function of the corruption, the severity, the seed and the image's
        id. Without ids that is a digest of its pixels, so that an image is corrupted in one way whatever
        the batch, order, worker and kind, and `corruption(images)[i]` is `corruption(images[i])`.

        Args:
            targets: returned after the images, unchanged.
            seed: another seed, other draws.
            ids: one for each image; those of a data set give what a study renders with this seed.

        Raises:
            UserError: images of another kind, shape or range, or not one id for each.

        >>> import nversion
        >>> fog = nversion.corruptions.create("fog", 3)
        >>> images_NHW3 = np.zeros((2, 32, 32, 3), np.uint8)
        >>> fog(images_NHW3).shape, bool((fog(images_NHW3)[1] == fog(images_NHW3[1])).all())
        ((2, 32, 32, 3), True)
        """
        found = corrupted(self, images, seed, ids)
        return (found, *targets) if targets else found

    @abstractmethod
    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        """The parameters of one image, drawn from `rng`."""

    @abstractmethod
    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        """Write the corrupted chunk to `out_n3HW`; all tensors contiguous, `columns` already checked."""

    def _columns(self, parameters: Sequence[Mapping[str, Any]]) -> Columns:
        for given in parameters:
            for name in given:
                if name not in self.parameters:
                    raise UserError(
                        expected=f"the parameters {', '.join(self.parameters)} of {self.name}",
                        found=f"the unknown {name!r}",
                        next_step=did_you_mean(name, list(self.parameters)),
                    )
        return {name: self._column(name, parameters) for name in self.parameters}

    def _column(self, name: str, parameters: Sequence[Mapping[str, Any]]) -> NDArray[Any]:
        kind = self.parameters[name]
        values = []
        for position, given in enumerate(parameters):
            if name not in given:
                raise UserError(
                    expected=f"the parameter {name!r} of {self.name}",
                    found=f"none for image {position}",
                    next_step="pass what sample_parameters gives",
                )
            value = kind.read(given[name])
            if value is None:
                raise UserError(
                    expected=f"{kind} for the parameter {name!r} of {self.name}",
                    found=f"{given[name]!r} for image {position}",
                    next_step="pass what sample_parameters gives",
                )
            values.append(value)
        if len({value.shape for value in values}) > 1:
            raise UserError(
                expected=f"the parameter {name!r} of {self.name} in one shape for all images of a batch",
                found=" and ".join(sorted({str(value.shape) for value in values})),
                next_step="pass images of differing shapes of parameters in separate batches",
            )
        return np.array(values)


Kind = TypeVar("Kind", bound=type[Corruption])


class _Corruptions(Registry[type[Corruption]]):
    """Registers classes, which get the name that they are registered under."""

    def register(self, name: str) -> Callable[[Kind], Kind]:
        file = super().register(name)

        def named(kind: Kind) -> Kind:
            kind.name = name
            file(kind)
            return kind

        return named


CORRUPTIONS = _Corruptions("corruption", "nversion.corruptions")


def create(name: str, severity: float) -> Corruption:
    """The corruption `name` at `severity`.

    Raises:
        UserError: an unknown name or a severity that is no number from 0 to 1000.

    >>> create("lines", severity=1.6)
    Lines(severity=1.6)
    """
    return CORRUPTIONS[name](severity)


def corrupt(
    images: Any, name: str, severity: float, *, seed: int = 0, ids: str | Sequence[str] | None = None
) -> Any:
    """Images under the corruption `name` at `severity`; see `Corruption.__call__`.

    Args:
        images: NumPy (N, H, W, 3) or (H, W, 3), tensors (N, 3, H, W) or (3, H, W), PIL, or a list; uint8 or
            floats in [0, 1].
        name: as in `nversion corruptions ls`.
        severity: its range depends on the corruption.
        seed: of what is drawn.
        ids: of the images; None: what is drawn depends on each image's content.

    Raises:
        UserError: an unknown name, a severity out of range, or images of another kind.

    >>> import nversion as nv
    >>> nv.corrupt(np.full((8, 8, 3), 100, np.uint8), "brightness", severity=3)[0, 0].tolist()
    [176, 176, 176]
    """
    return create(name, severity)(images, seed=seed, ids=ids)


def _kinds(things: Sequence[Any]) -> str:
    return "a list of " + ", ".join(sorted({type(thing).__name__ for thing in things}))


def _check_images(images: Any) -> None:
    if not isinstance(images, Tensor):
        found, cures = _without_tensor(images)
    elif images.is_meta:
        found, cures = "a tensor on the device meta, which holds no pixels", ["load the images"]
    elif images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        found = f"{str(images.dtype).removeprefix('torch.')} of shape {tuple(images.shape)}"
        if images.is_floating_point() and bool(images.isnan().any()):
            found += " with nan"
        cures = [*_towards_bytes(images), *_towards_rgb(tuple(images.shape))]
    else:
        return
    raise UserError(
        expected="a uint8 tensor of shape (N, 3, H, W) with H and W of at least 1",
        found=found,
        next_step=", then ".join(cures) or "pass images as bytes from 0 to 255, channels before rows",
    )


def _without_tensor(images: Any) -> tuple[str, list[str]]:
    """What was found in place of a tensor, and how to make one of it."""
    if not isinstance(images, np.ndarray):
        return type(images).__name__, []
    dtype, shape = images.dtype, images.shape
    found = f"an ndarray, {dtype} of shape {shape}"
    return found, ["make it a tensor: torch.from_numpy(images)", *_towards_rgb(shape)]


def _towards_bytes(images: Tensor) -> list[str]:
    """How values of another dtype become bytes."""
    if images.dtype == torch.uint8:
        return []
    if images.is_floating_point():
        missing = ["decide what nan stands for: images.nan_to_num(0)"] if bool(images.isnan().any()) else []
        scale = "" if images.numel() and float(images.nan_to_num(0).max()) > 1 else " * 255"
        return [*missing, f"make it bytes: (images{scale}).round().clamp(0, 255).to(torch.uint8)"]
    if images.dtype in (torch.uint16, torch.int16, torch.int32, torch.uint32):
        return ["make it bytes, from 16 bits: (images.long() // 257).to(torch.uint8)"]
    return ["make it bytes: images.clamp(0, 255).to(torch.uint8)"] if images.dtype == torch.int64 else []


def _towards_rgb(shape: tuple[int, ...]) -> list[str]:
    """How images of another shape become (N, 3, H, W)."""
    if 0 in shape[-2:]:
        return []
    match shape:
        case (_, _):
            return ["make a grey image RGB: images.expand(1, 3, -1, -1)"]
        case (_, 1, _, _):
            return ["make grey images RGB: images.expand(-1, 3, -1, -1)"]
        case (_, 4, _, _):
            return ["lay RGBA over a background, or drop its alpha: images[:, :3]"]
        case (_, _, _, 3):
            return ["put channels before rows: images.permute(0, 3, 1, 2)"]
        case (3, _, _):
            return ["add the axis of images: images[None]"]
        case (_, _, 3):
            return ["put channels before rows and add the axis of images: images.permute(2, 0, 1)[None]"]
        case (_, _, _):
            return ["make grey images RGB: images[:, None].expand(-1, 3, -1, -1)"]
    return []


def severity_share(severity: float, maximum: float) -> float:
    """`severity`/10 of `maximum`, the reference's scale.

    >>> severity_share(4.0, 64.0)
    25.6
    """
    return severity * maximum / 10.0
