"""Simulated methodologies of known difficulty: the oracle of the estimators and of their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nversion.core import UserError

_NUM_TRAITS = 3  # of images, which models have their taste in


@dataclass(frozen=True)
class SimulatedMethodologies:
    """G methodologies whose difficulty is Beta(1, b_g) over images, joined by one common factor.

    θ_g(x) = 1 − (1 − Φ(z_g))^(1/b_g) with z_g = l_g·f(x) + √(1 − l_g²)·e_g(x), all normal: what is
    difficult for g is difficult for h where l_g·l_h > 0, and easy where it is negative.

    A model i fails on x where Φ(u_i(x)) < θ_g(x), u_i(x) = √ability·a_i + √taste·t_i·f'(x) + rest:
    over models, P(fail on x) is θ_g(x) exactly, whatever the shares. With both shares 0, models
    of one methodology differ by chance alone.

    Attributes:
        b: of the Beta(1, b_g) distribution of difficulty; its mean is 1/(1 + b).
        loadings: l_g in −1 … 1.
        ability: share of the latent variance by which models differ on all images alike.
        taste: share by which models differ on images of different traits.

    >>> pair = SimulatedMethodologies(b=(4.0, 3.0), loadings=(0.8, -0.8))
    >>> round(pair.moment((1, 0)), 6), round(pair.moment((2, 0)), 6)  # 1/5 and 2/(5·6)
    (0.2, 0.066667)
    >>> round(pair.covariance(0, 1), 4)
    -0.0176
    """

    b: tuple[float, ...]
    loadings: tuple[float, ...]
    ability: float = 0.0
    taste: float = 0.0

    def __post_init__(self) -> None:
        if len(self.b) != len(self.loadings) or not all(-1 <= loading <= 1 for loading in self.loadings):
            raise UserError(
                expected=f"{len(self.b)} loadings from -1 to 1",
                found=str(self.loadings),
                next_step="pass one loading a methodology",
            )
        if min(self.ability, self.taste) < 0 or self.ability + self.taste > 1:
            raise UserError(
                expected="shares of the latent variance, at most 1 together",
                found=f"ability {self.ability}, taste {self.taste}",
                next_step="pass fractions",
            )

    def moment(self, powers: Sequence[int]) -> float:
        """E[Π Θ_g^{powers_g}], by Gauss-Hermite quadrature of the factor and of the rest."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(96)
        weights = weights / weights.sum()
        product_F = np.ones_like(nodes)
        for b, loading, power in zip(self.b, self.loadings, powers, strict=True):
            z_FE = loading * nodes[:, None] + math.sqrt(1 - loading**2) * nodes[None, :]
            theta_FE = _difficulty(torch.from_numpy(z_FE), b).numpy()
            product_F = product_F * (theta_FE**power @ weights)
        return float(product_F @ weights)

    def covariance(self, a: int, b: int) -> float:
        """Cov(Θ_a, Θ_b); the variance where a = b."""
        one = np.eye(len(self.b), dtype=int)
        return self.moment(one[a] + one[b]) - self.moment(one[a]) * self.moment(one[b])

    def draw(self, num_models: Sequence[int], num_images: int, rng: torch.Generator) -> Tensor:
        """bool failures of new models, m_g of each methodology in turn, on new images; (M, N)."""
        factor_N = _normal(1, num_images, rng)
        rest_GN = _normal(len(self.b), num_images, rng)
        theta_GN = torch.cat(
            [
                _difficulty(loading * factor_N + math.sqrt(1 - loading**2) * rest_N, b)
                for b, loading, rest_N in zip(self.b, self.loadings, rest_GN, strict=True)
            ]
        )
        theta_MN = theta_GN.repeat_interleave(torch.tensor(list(num_models)), dim=0)
        num_all = len(theta_MN)
        traits_TN = torch.nn.functional.normalize(_normal(_NUM_TRAITS, num_images, rng), dim=0)
        latent_MN = (
            math.sqrt(self.ability) * _normal(num_all, 1, rng)
            + math.sqrt(self.taste) * _normal(num_all, _NUM_TRAITS, rng) @ traits_TN
            + math.sqrt(1 - self.ability - self.taste) * _normal(num_all, num_images, rng)
        )
        level_MN: Tensor = torch.special.ndtr(latent_MN)
        return level_MN < theta_MN


def _difficulty(z: Tensor, b: float) -> Tensor:
    # The quantile of Beta(1, b) at Φ(z); 1 − Φ(z) = Φ(−z) keeps its digits.
    easier: Tensor = torch.special.ndtr(-z)
    return 1 - easier ** (1 / b)


def _normal(rows: int, columns: int, rng: torch.Generator) -> Tensor:
    return torch.randn(rows, columns, generator=rng, dtype=torch.float64)
