"""blue_noise, brownish_noise, blue_noise_sample: noise of a given amplitude at each frequency."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, SEED, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.pixels.seeded import legacy_random

Power = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""The amplitude at a squared frequency, in cycles per shorter side."""

KEPT_PIXELS = 1 << 18  # spectra of larger images are computed each time: 16 bytes a pixel
TURN = 4096  # parts of the circle whose sine and cosine are looked up


def _blue(square_frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(square_frequency))


def _brownish(square_frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (square_frequency + 1.0))


class _SpectralNoise(Corruption):
    # A field for each channel, added. Subclasses say which.

    parameters: ClassVar[Mapping[str, Parameter]] = {"seed": SEED, "intensity": Parameter()}
    power: ClassVar[Power]
    most: ClassVar[float]

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {
            "seed": int(rng.integers(0, 2**32)),
            "intensity": severity_share(self.severity, self.most),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        height, width = images_n3HW.shape[2:]
        noise = scratch("noise", tuple(images_n3HW.shape), torch.float64, torch.device("cpu"))
        spectrum = _spectrum(height, width, type(self).power)
        for noise_3HW, seed, intensity in zip(
            noise.numpy(), columns["seed"], columns["intensity"], strict=True
        ):
            random = legacy_random(int(seed))
            for noise_HW in noise_3HW:
                np.multiply(_field(random, height, width, spectrum), intensity, out=noise_HW)
        total = noise.to(images_n3HW.device).add_(images_n3HW).clamp_(0.0, 255.0)
        whole = scratch("whole", tuple(total.shape), torch.int32, total.device)
        out_n3HW.copy_(whole.copy_(total))  # floating point to int32 truncates on every device


@CORRUPTIONS.register("blue_noise")
class BlueNoise(_SpectralNoise):
    """Fine-grained noise, whose amplitude grows with frequency, in each channel (Mintun et al. 2021).

    `pixel = trunc(pixel + intensity·field)`, cut to [0, 255]. A field is the real part of the inverse Fourier
    transform of `|frequency|·e^(i·phase)`, over its standard deviation; half of the phases are 2π times the
    next numbers of `RandomState(seed)`, row by row, the others mirror them in the centre of the spectrum
    without the change of sign of a real signal's, as in the reference. There, too, the zero of frequency of
    an odd side lies between two phases, so that a constant remains. Frequencies of oblong images are in
    cycles per shorter side. An image of one pixel has no deviation and gets no noise.

    Parameters: seed (whole, below 2³²), intensity (grey levels, 19.6·severity).

    Limit: per channel one real inverse Fourier transform in float64 and half a sine and cosine a pixel, on
    the host, since its random numbers are NumPy's.

    >>> BlueNoise(2.0).sample_parameters(np.random.default_rng(0), size=(224, 224))["intensity"]
    39.2
    """

    power: ClassVar[Power] = staticmethod(_blue)
    most: ClassVar[float] = 196.0


@CORRUPTIONS.register("brownish_noise")
class BrownishNoise(_SpectralNoise):
    """Cloudy noise, whose amplitude falls with frequency, in each channel (Mintun et al. 2021).

    `blue_noise` with the amplitude `1/(|frequency|² + 1)`: the constant part is the strongest and shifts the
    colour of the whole image.

    Parameters: seed (whole, below 2³²), intensity (grey levels, 6.4·severity).

    Limit: that of `blue_noise`.

    >>> BrownishNoise(2.5).sample_parameters(np.random.default_rng(0), size=(224, 224))["intensity"]
    16.0
    """

    power: ClassVar[Power] = staticmethod(_brownish)
    most: ClassVar[float] = 64.0


@CORRUPTIONS.register("blue_noise_sample")
class BlueNoiseSample(Corruption):
    """Pixels turn black where a field of blue noise is not above a threshold (Mintun et al. 2021).

    The field is `blue_noise`'s first. Its comparison is a jump and is made in float64.

    Parameters: seed (whole, below 2³²), threshold (standard deviations, 0.3·severity − 2.5: severity 0
    already cuts out 0.6 % of the pixels).

    Limit: one real inverse Fourier transform in float64 and half a sine and cosine a pixel, on the host.

    >>> BlueNoiseSample(5.0).sample_parameters(np.random.default_rng(0), size=(224, 224))["threshold"]
    -1.0
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"seed": SEED, "threshold": Parameter()}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {
            "seed": int(rng.integers(0, 2**32)),
            "threshold": severity_share(self.severity, 3.0) - 2.5,
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape
        kept = scratch("kept", (num_samples, 1, height, width), torch.bool, torch.device("cpu"))
        spectrum = _spectrum(height, width, _blue)
        for kept_1HW, seed, threshold in zip(
            kept.numpy(), columns["seed"], columns["threshold"], strict=True
        ):
            np.greater(_field(legacy_random(int(seed)), height, width, spectrum), threshold, out=kept_1HW[0])
        torch.mul(images_n3HW, kept.to(images_n3HW.device), out=out_n3HW)


class _Spectrum(NamedTuple):
    # Of the half of the frequencies that a real field has, (H, W//2 + 1): where in the drawn numbers the
    # phase of a frequency and of its opposite stand, and half of their amplitudes.
    here: NDArray[np.intp]
    opposite: NDArray[np.intp]
    amplitude_here: NDArray[np.float64]
    amplitude_opposite: NDArray[np.float64]


def _spectrum(height: int, width: int, power: Power) -> _Spectrum:
    return (_kept_spectrum if height * width <= KEPT_PIXELS else _make_spectrum)(height, width, power)


def _make_spectrum(height: int, width: int, power: Power) -> _Spectrum:
    left = np.arange(height * (width // 2)).reshape(height, width // 2)
    number = np.concatenate([left, _middle(height, width, left.size), left[::-1, ::-1]], axis=1)
    per_row, per_column = min(height, width) / height, min(height, width) / width  # 1 of a square image
    rows, columns = (np.arange(side) - side / 2 for side in (height, width))
    square_frequency = (rows * per_row)[:, None] ** 2 + (columns * per_column) ** 2
    return _Spectrum(*_halves(number), *_halves(power(square_frequency) / 2))


_kept_spectrum = lru_cache(maxsize=8)(_make_spectrum)


def _middle(height: int, width: int, first: int) -> NDArray[np.intp]:
    # The column of frequency zero of an odd width: drawn after all others; the last number is its middle.
    upper = np.arange(first, first + height // 2)
    column = np.concatenate([upper, [first + len(upper)] * (height % 2), upper[::-1]]).astype(np.intp)
    return column[:, None][:, : width % 2]


def _halves(plane_HW: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    # Frequency zero from the centre to the corner; then the columns up to the middle, and their opposites.
    height, width = plane_HW.shape
    rows, columns = np.arange(height), np.arange(width // 2 + 1)
    plane_HW = np.roll(plane_HW, (height // 2, width // 2), axis=(0, 1))
    opposite = plane_HW[np.ix_(-rows % height, -columns % width)]
    return plane_HW[:, : len(columns)].copy(), opposite


def _field(
    random: np.random.RandomState, height: int, width: int, spectrum: _Spectrum
) -> NDArray[np.float64]:
    """The next field of `random`, (H, W), of standard deviation 1.

    The real part of the inverse transform of F is that of (F(k) + conj F(−k))/2, which belongs to a real
    signal: half of it suffices.
    """
    count = height * (width // 2) + (width % 2) * (height // 2)
    turns = np.zeros(count + 1)  # the phase of the middle of two odd sides is zero
    turns[:count] = random.random_sample(count)
    direction = _on_circle(turns)
    here, opposite = direction.take(spectrum.here), direction.take(spectrum.opposite)
    here *= spectrum.amplitude_here
    np.conjugate(opposite, out=opposite)
    opposite *= spectrum.amplitude_opposite
    here += opposite
    field = np.asarray(scipy.fft.irfft2(here, s=(height, width), overwrite_x=True))
    field /= np.std(field) or np.inf
    return field


def _on_circle(turns: NDArray[np.float64]) -> NDArray[np.complex128]:
    """e^(2πi·turns) of turns in [0, 1], to 3e-16, in a fifth of the time of NumPy's sine and cosine.

    A table gives the point of the nearest 4096th; the rest, an angle r of at most 0.0008, is turned by
    `1 − r²/2 + r⁴/24 + i(r − r³/6)`.
    """
    part = turns * TURN
    nearest = np.rint(part)
    rest = np.subtract(part, nearest, out=part)
    rest *= 2 * math.pi / TURN
    square = rest * rest
    turned = np.empty(len(turns), dtype=np.complex128)
    turned.real = (square * (1 / 24) - 0.5) * square + 1.0
    turned.imag = (square * (-1 / 6) + 1.0) * rest
    turned *= _circle().take(nearest.astype(np.intp))
    return turned


@lru_cache(maxsize=1)
def _circle() -> NDArray[np.complex128]:
    angle = 2 * math.pi / TURN * np.arange(TURN + 1)
    return np.asarray(np.cos(angle) + 1j * np.sin(angle))
