"""Other libraries' transforms as corruptions: torchvision's, albumentations', or any of an image tensor."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nversion.core import UserError

from .base import CORRUPTIONS, SEED, Columns, Corruption, Parameter

Factory = Callable[[float], Callable[..., Any]]
"""From a severity to a transform."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_GLOBAL_STATE = threading.RLock()
COMPUTING = (
    *("albucore", "numpy", "scipy", "scikit-image", "pillow", "torch", "torchvision", "kornia"),
    *("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
)
"""Packages that transforms compute with. All that are installed count, since a transform does not say which
it uses: OpenCV 4.13 and 5 differ in up to a quarter of the values of a rotation."""


class Wrapped(Corruption):
    """A corruption whose pixels come from another library's transform; `wrap` makes its subclasses.

    Parameters: seed (whole, below 2³²), of all random numbers that the transform draws.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = MappingProxyType({"seed": SEED})
    factory: ClassVar[Factory]

    def __post_init__(self) -> None:
        super().__post_init__()
        with _seeded(0):
            self._transform()  # what cannot be made fails now, not in the middle of a run

    def __reduce__(self) -> tuple[Callable[..., Corruption], tuple[str, str, float]]:
        # No module holds the class under its name: a worker finds it in the registry.
        return _found_again, (type(self).__module__, self.name, self.severity)

    @classmethod
    def ingredients(cls) -> str:
        """Names and versions of what can change its pixels: its transform's library and `COMPUTING`."""
        mildest = cls(cls.levels[0])
        with _seeded(0):
            packages = (_library(mildest._transform()), *COMPUTING)
        return ", ".join(filter(None, map(_with_version, dict.fromkeys(packages))))

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"seed": int(rng.integers(0, 2**32))}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        for image_3HW, seed, out_3HW in zip(images_n3HW.cpu(), columns["seed"], out_n3HW, strict=True):
            with _seeded(int(seed)):
                # A transform of its own for each image: none carries state to the next.
                out_3HW.copy_(self._checked(_applied(self._transform(), image_3HW, int(seed)), image_3HW))

    def _transform(self) -> Callable[..., Any]:
        try:
            transform = type(self).factory(self.severity)
        except ImportError as error:
            package = (error.name or str(error)).partition(".")[0]
            extra = "nversion[albumentations]" if package == "albumentations" else package
            raise UserError(
                expected=f"the package {package}, which {self.name} is made with",
                found="none installed",
                next_step=f"install it with: pip install '{extra}'",
            ) from error
        if not callable(transform):
            raise UserError(
                expected=f"a transform from the factory of {self.name}",
                found=type(transform).__name__,
                next_step="return an object that is called with an image",
            )
        return transform

    def _checked(self, found: Any, image_3HW: Tensor) -> Tensor:
        if isinstance(found, Tensor) and found.dtype == torch.uint8 and found.shape == image_3HW.shape:
            return found
        what = type(found).__name__
        if isinstance(found, Tensor):
            what = f"{str(found.dtype).removeprefix('torch.')} of shape {tuple(found.shape)}"
        raise UserError(
            expected=f"uint8 of shape {tuple(image_3HW.shape)} from the transform of {self.name}",
            found=what,
            next_step="let it end with bytes of the size that it was given",
        )


def wrap(
    transform_factory: Factory, *, name: str, low: float, high: float, levels: Sequence[float] | None = None
) -> type[Corruption]:
    """Register another library's transform as the corruption `name`, and give its class.

    The bytes of an image are a function of the image and the parameter `seed`. torchvision draws from
    torch's global generator, others from Python's or NumPy's: all three are seeded for the image, under a
    lock, and given back as they were. A transform with `set_random_state` (albumentations ≥ 2) gets
    generators of that seed, which all transforms inside it share: seeded by itself, a Compose gives each of
    them the same numbers. Another thread that draws from a global generator in that moment is not kept out
    by the lock. Images go one by one, on the CPU. That a transform gives the same bytes with any number of
    threads is its own affair.

    Results computed with it belong to the file that defines the factory and to the versions of the
    transform's library and of what it computes with (`COMPUTING`). `examples/own_corruption.py`
    wraps one of each.

    Args:
        transform_factory: makes the transform of a severity, once for each image: it should be quick.
            Import the library inside it, and nothing is imported unless it is used. A transform of
            albumentations gets `image=`, an H×W×3 uint8 array, and gives a mapping with `image`; any other
            gets a 3×H×W uint8 tensor and gives one. Set its own probability (`p`) to 1.
        name: letters, digits and _, as study files and the command line name it.
        low, high: the range of the severity.
        levels: those in use, from mild to strong, for sheets and severity searches; None: five even steps.

    Raises:
        UserError: a name that is taken or has other characters, or no range.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            expected="a name of letters, digits and _ for a corruption",
            found=repr(name),
            next_step="choose another: it stands in names of files",
        )
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise UserError(
            expected=f"a range of severities for {name}, low below high",
            found=f"{low!r} to {high!r}",
            next_step="pass two finite numbers",
        )
    steps = levels if levels is not None else [low + (high - low) * step / 5 for step in range(1, 6)]
    inner = transform_factory
    while isinstance(inner, partial):
        inner = inner.func
    about = (getattr(inner, "__doc__", None) or "").strip() if not isinstance(inner, type) else ""
    made = type(
        f"Wrapped_{name}",
        (Wrapped,),
        {
            "__module__": getattr(inner, "__module__", type(inner).__module__),
            "__doc__": about or f"A transform by {getattr(inner, '__qualname__', type(inner).__qualname__)}.",
            "name": name,
            "lowest": float(low),
            "highest": float(high),
            "levels": tuple(float(f"{level:.6g}") for level in steps),
            "factory": staticmethod(transform_factory),
        },
    )
    return CORRUPTIONS.register(name)(made)


def _found_again(module: str, name: str, severity: float) -> Corruption:
    if name not in CORRUPTIONS:
        import_module(module)  # which wraps it
    return CORRUPTIONS[name](severity)


def _applied(transform: Callable[..., Any], image_3HW: Tensor, seed: int) -> Any:
    set_random_state = getattr(transform, "set_random_state", None)
    if set_random_state is not None:
        # Not set_random_seed: it gives every transform of a Compose generators of the same seed.
        set_random_state(np.random.default_rng(seed), random.Random(seed))
    if _library(transform) != "albumentations":
        return transform(image_3HW.clone())
    image_HW3 = np.ascontiguousarray(image_3HW.permute(1, 2, 0).numpy().copy())
    found = np.ascontiguousarray(transform(image=image_HW3)["image"])
    return torch.from_numpy(found).permute(2, 0, 1) if found.ndim == 3 else torch.from_numpy(found)


def _library(transform: Callable[..., Any]) -> str:
    """The library whose class the transform is of, by its nearest base outside user code.

    >>> _library(torch.nn.Identity())
    'torch'
    """
    for package in ("albumentations", "torchvision"):
        if any(base.__module__.partition(".")[0] == package for base in type(transform).__mro__):
            return package
    return type(transform).__module__.partition(".")[0]


def _with_version(package: str) -> str:
    try:
        # Without the build ("2.15.0+cpu"): what a device computed is no part of what results are.
        return f"{package} {version(package).partition('+')[0]}"
    except PackageNotFoundError:  # not installed, or a module of the user's own, which is known by its bytes
        return ""


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch's CPU, Python and NumPy, and give them back as they were."""
    with _GLOBAL_STATE, torch.random.fork_rng(devices=[]):
        python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
        try:
            # torch.manual_seed would also seed accelerators, which are not forked here.
            torch.default_generator.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002
