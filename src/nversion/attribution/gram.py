"""Inner products of all members' attribution maps: all that Eq. 7 needs to know of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nversion.core import chunk_length, did_you_mean, spans
from nversion.core.errors import UserError

NORMALISATIONS = ("none", "l2", "sum")
"""What a map is divided by: nothing, the root of its summed squares, the sum of its magnitudes."""

# Slices of this many values stay in the processor's cache; longer ones are no quicker.
_LONGEST_SLICE = 4096


def gram(
    maps_MN3HW: Tensor | Sequence[Tensor], normalise: str = "none", *, budget_bytes: int = 1 << 26
) -> Tensor:
    """`G_ij = <a_i − m, a_j − m>` of each sample, m the members' mean of the normalised maps.

    With it Eq. 7 of any ensemble S of K members is `A = trace(G_S)/K − sum(G_S)/K²` (population
    variance). Subtracting m changes no variance and keeps the digits where a common part is much larger
    than the differences. Each map is normalised by its own sums over channels and pixels:

    * none: as it is; the members with the steepest logits dominate A.
    * l2: `a / sqrt(Σ a²)`.
    * sum: `a / Σ |a|`.

    Undefined is nan: where a member's map is zero everywhere, l2 and sum do not exist, and the row and
    the column of that member are nan for that sample. The other members' entries stay right. `GramSums`
    counts these cases.

    Maps are float32, everything after them is float64: float32 products of maps whose scales differ by
    100 left the pairs of flat members with five digits, and float64 costs the same within the noise
    compared with the passes that make the maps. Peak memory is `budget_bytes`, whatever the size of the maps,
    which are read in slices and never stacked.

    Args:
        maps_MN3HW: one tensor, or M tensors of shape (N, 3, H, W), float32.
        normalise: one of `NORMALISATIONS`.
        budget_bytes: for the slices in work.

    Returns:
        gram_NMM: float64, symmetric, on the device of the maps.

    Raises:
        UserError: the normalisation is unknown.

    >>> maps_MN3HW = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1, 1).expand(2, 1, 3, 1, 1)
    >>> gram(maps_MN3HW).tolist()
    [[[3.0, -3.0], [-3.0, 3.0]]]
    """
    if normalise not in NORMALISATIONS:
        raise UserError(
            expected="a known normalisation of attribution maps",
            found=repr(normalise),
            next_step=did_you_mean(normalise, list(NORMALISATIONS)),
        )
    members = [maps_N3HW.flatten(1) for maps_N3HW in maps_MN3HW]
    num_members, (num_samples, num_values) = len(members), members[0].shape
    slice_length = chunk_length(24 * num_members * num_samples, budget_bytes, at_most=_LONGEST_SLICE)
    size_NM1 = _sizes(members, normalise, slice_length).unsqueeze(2)
    # Any common centre leaves the variances as they are, so a zero map may stay zero until the end.
    divisor_NM1 = torch.where(size_NM1 > 0, size_NM1, 1.0)
    gram_NMM = members[0].new_zeros((num_samples, num_members, num_members), dtype=torch.float64)
    for start, stop in spans(num_values, slice_length):
        maps_NMP = torch.stack([values_NP[:, start:stop] for values_NP in members], dim=1).double()
        if normalise != "none":
            maps_NMP /= divisor_NM1
        maps_NMP -= maps_NMP.mean(dim=1, keepdim=True)
        gram_NMM += torch.bmm(maps_NMP, maps_NMP.transpose(1, 2))
    gram_NMM = (gram_NMM + gram_NMM.transpose(1, 2)) / 2
    undefined_NM1 = size_NM1 == 0
    return gram_NMM.masked_fill(undefined_NM1 | undefined_NM1.transpose(1, 2), torch.nan)


def _sizes(members: Sequence[Tensor], normalise: str, slice_length: int) -> Tensor:
    """size_NM float64 that each map is divided by; ones for "none"."""
    if normalise == "none":
        return members[0].new_ones((len(members[0]), len(members)), dtype=torch.float64)
    order = 2 if normalise == "l2" else 1
    sizes = []
    for values_NP in members:
        powers_N = values_NP.new_zeros(len(values_NP), dtype=torch.float64)
        for start, stop in spans(values_NP.shape[1], slice_length):
            powers_N += torch.linalg.vector_norm(
                values_NP[:, start:stop], ord=order, dim=1, dtype=torch.float64
            ).pow(order)
        sizes.append(powers_N.pow(1 / order))
    return torch.stack(sizes, dim=1)
