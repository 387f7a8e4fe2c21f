"""What a number of images can show: the smallest gain that a paired test finds, and the images for a gain."""

from __future__ import annotations

import math
from functools import cache

import torch
from scipy import special
from torch import Tensor

from nversion.core import UserError
from nversion.core.normal import normal_quantile

_HALVINGS = 60  # of an interval of length 1: to the last bit


def images_to_show_gain(
    gain_E: Tensor, discordant_E: Tensor, *, power: float = 0.8, confidence: float = 0.95
) -> Tensor:
    """How many images McNemar's test needs to find a gain with this probability (Connor 1987, Eq. 3).

    With δ the gain and ψ the share of images that only one of the two classifiers gets right:

        n = (z_{1−α/2}·√ψ + z_{power}·√(ψ − δ²))² / δ²

    (R. J. Connor, Sample size for testing differences in proportions for the paired-sample design,
    Biometrics 43, 1987; the same as Miettinen's unconditional formula of 1968.) A gain cannot exceed the
    share of images that tell the two apart, so that share is taken to be δ at least.

    Args:
        gain_E: difference of two accuracies on the same images, in (0, 1]; nan for none.
        discordant_E: share of images that only one of the two gets right, in [0, 1].
        power: probability of finding the gain.
        confidence: one less the level of the two-sided test.

    Returns:
        Float64 numbers of images, not rounded.

    Raises:
        UserError: a power or confidence outside (0, 1).

    >>> round(images_to_show_gain(torch.tensor(0.01), torch.tensor(0.04)).item())
    3137
    """
    z, z_power = _quantiles(power, confidence)
    gain_E = torch.as_tensor(gain_E, dtype=torch.float64)
    apart_E = torch.maximum(torch.as_tensor(discordant_E, dtype=torch.float64), gain_E)
    return (z * apart_E.sqrt() + z_power * (apart_E - gain_E**2).clamp(min=0).sqrt()) ** 2 / gain_E**2


def smallest_gain(
    discordant_E: Tensor, n: Tensor | float, *, power: float = 0.8, confidence: float = 0.95
) -> Tensor:
    """The smallest gain that n images show with this probability: `images_to_show_gain` solved for the gain.

    A gain below it may be there and is more often missed than the power promises; it is not shown to be
    absent. nan where even a gain of 1 would need more images.

    Args:
        discordant_E: share of images that only one of the two classifiers gets right, in [0, 1].
        n: number of images, of the same shape or one for all.
        power, confidence: as for `images_to_show_gain`.

    >>> round(smallest_gain(torch.tensor(0.04), 3137).item(), 4)
    0.01
    """
    discordant_E = torch.as_tensor(discordant_E, dtype=torch.float64)
    n_E = torch.as_tensor(n, dtype=torch.float64).expand(discordant_E.shape)
    low_E, high_E = torch.zeros_like(discordant_E), torch.ones_like(discordant_E)
    settings = {"power": power, "confidence": confidence}
    enough_E = images_to_show_gain(high_E, discordant_E, **settings) <= n_E
    for _ in range(_HALVINGS):  # the number needed falls as the gain grows
        middle_E = (low_E + high_E) / 2
        shown_E = images_to_show_gain(middle_E, discordant_E, **settings) <= n_E
        low_E, high_E = torch.where(shown_E, low_E, middle_E), torch.where(shown_E, middle_E, high_E)
    return torch.where(enough_E & ~discordant_E.isnan(), high_E, math.nan)


@cache  # `smallest_gain` asks for the same ones in each halving
def _quantiles(power: float, confidence: float) -> tuple[float, float]:
    for name, value in (("power", power), ("confidence", confidence)):
        if not 0 < value < 1:
            raise UserError(
                expected=f"a {name} between 0 and 1",
                found=str(value),
                next_step="pass 0.8 for 80 %" if name == "power" else "pass 0.95 for 95 %",
            )
    return normal_quantile(confidence), float(special.ndtri(power))
