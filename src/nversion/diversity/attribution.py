"""Attribution diversity: how far the members' attribution maps differ, from their Gram matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from nversion.ensembles import Ensembles

from .means import ensemble_mean


def attribution_diversity(gram_MM: Tensor, ensembles: Ensembles, *, unbiased: bool = False) -> Tensor:
    """`A = Σ_p Var_i(a_i[p])` over the members' maps, for every ensemble, without the maps.

    With G_ik = <a_i, a_k>, `A = trace(G_S)/K − sum(G_S)/K²`. Computed as the equal
    `A = (K−1)/(2K) · mean over pairs of (G_ii + G_kk − 2·G_ik)`, the mean squared distance of two
    maps: identical maps then give 0 exactly, and no large trace is subtracted from a large sum.

    Args:
        gram_MM: shape (..., M, M), positive semidefinite; a Gram summed over samples gives A summed
            over samples, so divide it by their number first to get the mean.
        ensembles: E ensembles of K ≥ 2 of the M models.
        unbiased: divide by K − 1 in place of K, so that sizes can be compared.

    Returns:
        float64 of shape (..., E), at least 0; nan where an entry of the members is not finite.

    Raises:
        UserError: the Gram's size is not the ensembles' number of models, or K < 2.

    >>> maps_MP = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    >>> attribution_diversity(maps_MP @ maps_MP.T, Ensembles.all_of(2, 2)).tolist()
    [1.0]
    """
    gram_MM = gram_MM.double()
    norm_M = gram_MM.diagonal(dim1=-2, dim2=-1)
    squared_distance_MM = norm_M.unsqueeze(-1) + norm_M.unsqueeze(-2) - gram_MM - gram_MM.mT
    # Rounding may leave a distance of −1e-17; clamp keeps nan.
    mean_E, num_undefined_E = ensemble_mean(squared_distance_MM.clamp(min=0.0), ensembles)
    size = ensembles.size
    scale = 0.5 if unbiased else (size - 1) / (2 * size)
    return torch.where(num_undefined_E == 0, scale * mean_E, torch.nan)
