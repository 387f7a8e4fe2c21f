"""Attribution diversity: how far the members' attribution maps differ, from their Gram matrix."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nversion.core import UserError, chunk_length, spans
from nversion.ensembles import Ensembles, Replicated

from .means import ensemble_mean
from .metric import Metric
from .statistics import leave_one_block_out

STRATA = ("all", "some", "none")
"""The samples that all members of an ensemble classify correctly, some but not all, or none."""
TARGETS = {"predicted": "predicted class", "label": "true class", "ensemble": "ensemble's class"}
NORMALISE = {"none": "raw", "l2": "unit length", "sum": "unit sum"}
_SCALES = {"none": "as they are", "l2": "of unit Euclidean norm", "sum": "of unit sum of magnitudes"}
_METHODS = {"input_x_gradient": "input × gradient", "grad_cam": "Grad-CAM"}
_SUBSETS = {
    None: ("", "mean over images"),
    "all": (", all members right", "mean over the images that all members classify correctly"),
    "some": (", some members right", "mean over the images that some members, not all, classify correctly"),
    "none": (", no member right", "mean over the images that no member classifies correctly"),
}


def attribution_metric(
    method: str, target: str, normalise: str, subset: str | None = None, *, absolute: bool = True
) -> Metric:
    """Eq. 7 of one kind of attribution maps, over all images or a subset of them.

    Args:
        method: name of the attribution method, with its number of passes if it has one.
        target: a key of `TARGETS`: the class that the maps explain.
        normalise: a key of `NORMALISE`.
        subset: one of `STRATA`; None: all images.
        absolute: whether the maps are magnitudes.

    >>> attribution_metric("integrated_gradients-10", "label", "l2", "some").label
    'Attribution (integrated gradients ×10, true class, unit length, some members right)'
    """
    name, _, passes = method.partition("-")
    of_method = _METHODS.get(name, name.replace("_", " ")) + (f" ×{passes}" if passes else "")
    of_subset, over = _SUBSETS[subset]
    kind = "absolute" if absolute else "signed"
    return Metric(
        name=f"attribution_{method}_{target}_{normalise}" + (f"_{subset}_right" if subset else ""),
        label=f"Attribution ({of_method}, {TARGETS[target]}, {NORMALISE[normalise]}{of_subset})",
        group=f"Attribution, {TARGETS[target]}",
        of="maps",
        low=0.0,
        high=math.inf,
        higher_is_more_diverse=True,
        formula=f"Eq. 7: variance over members, summed over channels and pixels, of {kind} {method} maps "
        f"of the {target} class, {_SCALES[normalise]}; {over}",
        undefined_when="there is no such image"
        if normalise == "none"
        else "a map is zero everywhere, or there is no such image",
        method=method,
        target=target,
        normalise=normalise,
        subset=subset,
    )


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


@dataclass(frozen=True)
class ConditionalSums:
    """Sums of A over the samples of each stratum and block, for every ensemble; additive.

    A sample on which the map of any model is undefined is left out for all ensembles, as in the
    unconditional mean; so the means of the three strata, weighted by their counts, are that mean.

    Memory: 48·B·E bytes.

    Attributes:
        diversity_SBE: float64, strata in the order of `STRATA`.
        count_SBE: float64 number of samples.
        left_out_B: int64 samples with an undefined map.

    >>> gram_NMM = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[9.0, 3.0], [3.0, 1.0]]])
    >>> right_MN = torch.tensor([[True, False], [True, False]])
    >>> sums = conditional_attribution_sums(gram_NMM, right_MN, torch.arange(2), 2, Ensembles.all_of(2, 2))
    >>> {name: value.full_E.item() for name, value in sums.result().items()}
    {'all': 0.5, 'some': nan, 'none': 1.0}
    """

    diversity_SBE: Tensor
    count_SBE: Tensor
    left_out_B: Tensor

    def __add__(self, other: ConditionalSums) -> ConditionalSums:
        return ConditionalSums(
            self.diversity_SBE + other.diversity_SBE,
            self.count_SBE + other.count_SBE,
            self.left_out_B + other.left_out_B,
        )

    def result(self) -> dict[str, Replicated]:
        """The mean A over the samples of each stratum, by the names of `STRATA`; nan where there are none."""
        return {
            name: Replicated(
                diversity_BE.sum(0) / count_BE.sum(0),
                leave_one_block_out(diversity_BE) / leave_one_block_out(count_BE),
                self.left_out_B.sum().expand(diversity_BE.shape[1]),
            )
            for name, diversity_BE, count_BE in zip(STRATA, self.diversity_SBE, self.count_SBE, strict=True)
        }


def conditional_attribution_sums(
    gram_NMM: Tensor,
    right_MN: Tensor,
    blocks_N: Tensor,
    num_blocks: int,
    ensembles: Ensembles,
    *,
    budget_bytes: int = 64 << 20,
) -> ConditionalSums:
    """Attribution diversity by how many members are right, for every ensemble, from stored Grams.

    With D the squared distances of two maps, A of an ensemble on a sample is the sum of D over its
    pairs, divided by K²; the number of right members says to which stratum the sample belongs. Both
    are one matrix product for all samples and ensembles of a chunk.

    Args:
        gram_NMM: of each sample, nan where a map is undefined.
        right_MN: bool, whether model m is right on sample n.
        blocks_N: int64, the block of each sample.
        num_blocks: B.
        ensembles: E ensembles of K ≥ 2 of the M models.
        budget_bytes: for one chunk of samples and ensembles; beside it stand the sums.

    Raises:
        UserError: the numbers of models or samples do not fit each other, or K < 2.
    """
    num_samples, num_models = gram_NMM.shape[:2]
    if right_MN.shape != (num_models, num_samples) or num_models != ensembles.num_models:
        raise UserError(
            expected=f"{num_samples} Grams of {ensembles.num_models} models, and right or wrong of each",
            found=f"shapes {tuple(gram_NMM.shape)} and {tuple(right_MN.shape)}",
            next_step="pass the same models and samples as the ensembles'",
        )
    if ensembles.size < 2:
        raise UserError(
            expected="ensembles of at least 2 members",
            found=f"size {ensembles.size}",
            next_step="the maps of a single model have no variance: leave size 1 out",
        )
    shape = (len(STRATA), num_blocks, len(ensembles))
    diversity_SBE = torch.zeros(shape, dtype=torch.float64, device=gram_NMM.device)
    count_SBE = torch.zeros_like(diversity_SBE)
    left_out_N = ~gram_NMM.isfinite().flatten(1).all(dim=1)
    left_out_B = torch.bincount(blocks_N[left_out_N], minlength=num_blocks)
    # Samples of one block side by side, so that sums per block are sums of runs of rows.
    order_n = torch.argsort(blocks_N, stable=True)
    order_n = order_n[~left_out_N[order_n]]
    first_P, second_P = torch.triu_indices(num_models, num_models, offset=1, device=gram_NMM.device)

    # A chunk of samples and ensembles holds A, the votes, and a stratum's mask and product with A.
    num_pairs = max(1, len(first_P))
    ensemble_length = min(len(ensembles), chunk_length(8 * num_pairs, budget_bytes // 4))
    sample_length = chunk_length(8 * (4 * ensemble_length + 4 * num_models**2), budget_bytes)
    for first, last in spans(len(ensembles), ensemble_length):
        part = dataclasses.replace(ensembles, members_EK=ensembles.members_EK[first:last])
        membership_ME = part.membership_EM(torch.float64).to(gram_NMM.device).T
        has_pair_PE = membership_ME[first_P] * membership_ME[second_P]
        for start, stop in spans(len(order_n), sample_length):
            rows_n = order_n[start:stop]
            gram_nMM = gram_NMM[rows_n].double()
            norm_nM = gram_nMM.diagonal(dim1=1, dim2=2)
            both_nP = gram_nMM[:, first_P, second_P] + gram_nMM[:, second_P, first_P]
            distance_nP = (norm_nM[:, first_P] + norm_nM[:, second_P] - both_nP).clamp(min=0.0)
            diversity_nE = distance_nP @ has_pair_PE / part.size**2
            num_right_nE = right_MN[:, rows_n].T.double() @ membership_ME
            all_nE, none_nE = num_right_nE == part.size, num_right_nE == 0
            lengths_B = torch.bincount(blocks_N[rows_n], minlength=num_blocks).tolist()
            for stratum, inside_nE in enumerate((all_nE, ~(all_nE | none_nE), none_nE)):
                for values_nE, sums_SBE in (
                    (diversity_nE * inside_nE, diversity_SBE),
                    (inside_nE, count_SBE),
                ):
                    for block, of_block_nE in enumerate(torch.split(values_nE, lengths_B)):
                        sums_SBE[stratum, block, first:last] += of_block_nE.sum(0)
    return ConditionalSums(diversity_SBE, count_SBE, left_out_B)
