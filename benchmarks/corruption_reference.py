"""The reference implementations of the corruptions, loaded from the user's own checkouts.

- ImageNet-C̄: `facebookresearch/augmentation-corruption`, file imagenet_c_bar/corrupt.py, all 30 classes.
- ImageNet-C: `hendrycks/robustness`, file ImageNet-C/imagenet_c/imagenet_c/corruptions.py, all 19 functions.
  Their calls of NumPy's global random generator are answered with the fields that our parameters name
  (`imagenet_c_draws`): the same noise, so that pixels can be compared.
- CIFAR-10-C: the same functions with other tables, for 32 pixels, of the same checkout's file
  ImageNet-C/create_c/make_cifar_c.py; their names end in `_cifar`.

Frost lays the pictures that ours lays: the drawn ones, or, read by OpenCV, those that NVERSION_FROST names.

Only what the current libraries lack is given to them here: `np.int`, `np.float_`, `multichannel`, the import
of `ImageEnhance` that the first forgot. They need scikit-image; ImageNet-C needs OpenCV, too, and
ImageMagick with Wand for motion_blur and snow.
"""

from __future__ import annotations

import ast
import ctypes
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from benchmarks.imagenet_c_draws import DRAWS
from nversion.corruptions import IMAGENET_C, IMAGENET_C_EXTRA, LEVELS_IMAGENET
from nversion.corruptions.pixels.frost_textures import FILES, FOLDER, texture

Pixels = NDArray[np.uint8]
Reference = Callable[[float, Pixels, Mapping[str, Any]], Pixels]
"""(severity, square image (side, side, 3), our parameters) to the reference's image."""


def load_imagenet_c_bar(checkout: Path) -> dict[str, Reference]:
    """The 30 candidates by name.

    Args:
        checkout: of augmentation-corruption, or its folder imagenet_c_bar.

    Raises:
        FileNotFoundError: no imagenet_c_bar/corrupt.py there.
    """
    from scipy.fftpack import ifft2
    from scipy.ndimage import gaussian_filter, rotate, shift, zoom
    from skimage.color import hsv2rgb, rgb2hsv
    from skimage.draw import line_aa

    folder = checkout if (checkout / "corrupt.py").is_file() else checkout / "imagenet_c_bar"
    names: dict[str, Any] = {
        **{"np": _Numpy(), "Image": Image, "ImageEnhance": ImageEnhance, "Transform": object},
        **{"ifft2": ifft2, "gaussian_filter": gaussian_filter, "rotate": rotate, "shift": shift},
        **{"zoom": zoom, "hsv2rgb": hsv2rgb, "rgb2hsv": rgb2hsv, "line_aa": line_aa, "__name__": "reference"},
    }
    for file in ("utils/image.py", "utils/perlin_noise.py", "corrupt.py"):
        _execute(folder / file, names)
    classes = {
        thing.name: thing
        for thing in names.values()
        if isinstance(thing, type) and getattr(thing, "name", None) in LEVELS_IMAGENET
    }

    def reference(of: Any) -> Reference:
        def pixels(severity: float, image_HW3: Pixels, parameters: Mapping[str, Any]) -> Pixels:
            corruption = of()
            corruption.severity, corruption.im_size = severity, len(image_HW3)
            return np.asarray(corruption.transform(image_HW3, **_as_arrays(parameters)))

        return pixels

    return {name: reference(of) for name, of in classes.items()}


def load_imagenet_c(checkout: Path) -> dict[str, Reference]:
    """The 15 + 4 by name; motion_blur and snow only where Wand finds ImageMagick.

    Args:
        checkout: of hendrycks/robustness, or its folder ImageNet-C.

    Raises:
        FileNotFoundError: no imagenet_c/imagenet_c/corruptions.py there.
    """
    return _load_hendrycks(checkout, "imagenet_c/imagenet_c/corruptions.py", "")


def load_cifar_10_c(checkout: Path) -> dict[str, Reference]:
    """`load_imagenet_c` for 32 pixels: the 15 + 4 by name, each with the suffix `_cifar`."""
    return _load_hendrycks(checkout, "create_c/make_cifar_c.py", "_cifar")


def _load_hendrycks(checkout: Path, file: str, suffix: str) -> dict[str, Reference]:
    import cv2
    import skimage as sk
    import skimage.color
    import skimage.util
    from scipy.ndimage import map_coordinates
    from scipy.ndimage import zoom as scizoom

    folder = checkout if (checkout / "imagenet_c").is_dir() else checkout / "ImageNet-C"
    random = _Random()
    opencv = _Namespace(**vars(cv2))
    opencv.imread = lambda path: _frost(Path(path).name, cv2.imread)
    names: dict[str, Any] = {
        **{"np": _Numpy(random), "PILImage": Image, "BytesIO": io.BytesIO, "cv2": opencv, "scizoom": scizoom},
        **{"map_coordinates": map_coordinates, "gaussian": _gaussian, "__name__": "reference"},
        "sk": _Namespace(color=sk.color, util=_Namespace(random_noise=random.salt_and_pepper)),
        "resource_filename": lambda _, path: path,
    }
    published = [*(name for group in IMAGENET_C.values() for name in group), *IMAGENET_C_EXTRA]
    try:
        from wand.api import library
        from wand.image import Image as WandImage
    except ImportError:
        published = [name for name in published if name not in ("motion_blur", "snow")]
        names["WandImage"] = object
    else:
        library.MagickMotionBlurImage.argtypes = (ctypes.c_void_p, *(ctypes.c_double,) * 3)
        names |= {"WandImage": WandImage, "wandlibrary": library}
    _execute(folder / file, names)

    def reference(name: str) -> Reference:
        def pixels(severity: float, image_HW3: Pixels, parameters: Mapping[str, Any]) -> Pixels:
            draws = DRAWS.get(name + suffix, DRAWS.get(name, lambda *_: []))
            random.fields = iter(draws(parameters, severity, len(image_HW3)))
            result = names[name](Image.fromarray(image_HW3), int(severity))
            return np.uint8(result)  # cut, as make_imagenet_c.py does before it saves

        return pixels

    return {name + suffix: reference(name) for name in published}


class _Namespace:
    def __init__(self, **names: Any) -> None:
        self.__dict__.update(names)


class _Numpy:
    """numpy with the names of old, and a random generator of ours where one is given."""

    int = int
    float_ = np.float64

    def __init__(self, random: Any = np.random) -> None:
        self.random = random

    @staticmethod
    def fromstring(content: bytes, dtype: Any) -> NDArray[Any]:
        return np.frombuffer(content, dtype)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class _Random:
    """Answers the reference's calls of `np.random` with prepared standard fields, one a call."""

    fields: Iterator[NDArray[Any]]

    def _next(self, size: Any) -> NDArray[Any]:
        field = np.asarray(next(self.fields), dtype=np.float64)
        assert size is None or field.shape == tuple(np.atleast_1d(size)), "a field of the size asked for"
        return field

    def normal(self, loc: float = 0.0, scale: float = 1.0, size: Any = None) -> NDArray[Any]:
        return loc + scale * self._next(size)

    def uniform(self, low: float = 0.0, high: float = 1.0, size: Any = None) -> NDArray[Any]:
        return low + (high - low) * self._next(size)

    def randint(self, low: int, high: int | None = None, size: Any = None) -> NDArray[Any]:
        low, high = (0, low) if high is None else (low, high)
        return np.floor(low + self._next(size) * (high - low)).astype(np.int64)

    def poisson(self, lam: NDArray[Any]) -> NDArray[Any]:
        from scipy.stats import poisson

        return np.asarray(poisson.ppf(self._next(lam.shape), lam))

    def salt_and_pepper(self, image: NDArray[Any], mode: str, amount: float) -> NDArray[Any]:
        from skimage.util import random_noise

        outer = self

        class Generator(np.random.Generator):
            def random(self, size: Any = None, *_: Any, **__: Any) -> Any:
                return outer._next(size)

        return np.asarray(random_noise(image, mode=mode, amount=amount, rng=Generator(np.random.PCG64(0))))


def _frost(file: str, read: Callable[[str], Pixels]) -> Pixels:
    """A picture of frost, blue first."""
    if folder := os.environ.get(FOLDER):
        return read(str(Path(folder) / file))
    return np.ascontiguousarray(texture(FILES.index(file))[::-1].transpose(1, 2, 0))


def _gaussian(image: NDArray[Any], sigma: Any, multichannel: bool = False, **options: Any) -> NDArray[Any]:
    from skimage.filters import gaussian

    return np.asarray(gaussian(image, sigma, channel_axis=-1 if multichannel else None, **options))


def _as_arrays(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: np.asarray(value) if isinstance(value, tuple | list) else value
        for name, value in parameters.items()
    }


def _execute(file: Path, names: dict[str, Any]) -> None:
    tree = ast.parse(file.read_text(), filename=str(file))
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    exec(compile(tree, str(file), "exec"), names)
