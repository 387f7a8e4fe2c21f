"""How differently two models answer: other labels, and divergences of their softmax outputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nversion.core import UserError, chunk_length, spans
from nversion.ensembles import Chunk, EnsembleCalibration, Replicated, log_probabilities

from .metric import metric

GROUP = "Answers and probabilities"

_FLOOR = -1e30
"""Stands for the logarithm of 0, which a product with a probability of 0 would turn into nan."""
_SMALLEST = 1e-37
_SAMPLES_AT_ONCE = 32
_CACHE_BYTES = 1 << 20


class OutputSums:
    """Float64 sums over samples, per block, behind the tables; `update` with chunks.

    KL is a product of matrices: with P the softmax outputs and L their logarithms, P·Lᵀ holds
    −H(p_a, p_b) of all pairs of a sample, and −H(p_a) on its diagonal. JS needs a logarithm a pair and
    class, the one costly step (M(M−1)/2 × C a sample). Products are float32, exact to about 1e-6.

    Args:
        num_models: M.
        num_blocks: B.
        budget_bytes: for intermediate results; beside them stand 4 × B × M² × 8 bytes.

    >>> sums = OutputSums(num_models=2, num_blocks=1)
    >>> logits_MNC = torch.tensor([[[9.0, 9.0]], [[9.0, -90.0]]])
    >>> sums.update(Chunk(0, logits_MNC, torch.tensor([0]), torch.tensor([0])))
    >>> [round(of(sums).full_E[0, 1].item(), 4) for of in (label_disagreement, kl, js, cosine)]
    [0.0, 24.75, 0.2158, 0.7071]
    """

    def __init__(self, num_models: int, num_blocks: int, *, budget_bytes: int = 64 << 20) -> None:
        shape = (num_blocks, num_models, num_models)
        self.budget_bytes = budget_bytes
        self.count_B = torch.zeros(num_blocks, dtype=torch.float64)
        self.differ_BMM = torch.zeros(shape, dtype=torch.float64)
        self.kl_BMM = torch.zeros(shape, dtype=torch.float64)
        """KL(p_row ‖ p_column), not symmetric."""
        self.second_P, self.first_P = torch.tril_indices(num_models, num_models, -1)
        self.js_BP = torch.zeros(num_blocks, len(self.first_P), dtype=torch.float64)
        self.cosine_BMM = torch.zeros(shape, dtype=torch.float64)

    def update(self, chunk: Chunk) -> None:
        """Add a chunk's samples.

        Raises:
            UserError: logits of another number of models.
        """
        num_models, num_samples, num_classes = chunk.logits_MNC.shape
        if num_models != self.kl_BMM.shape[1]:
            raise UserError(
                expected=f"logits of {self.kl_BMM.shape[1]} models",
                found=f"logits of {num_models}",
                next_step="keep one OutputSums for each pool of models",
            )
        # Of a sample: log-softmax, softmax and their copies; tables of M² in float32 and float64.
        bytes_per_sample = 20 * num_models * num_classes + 40 * num_models**2
        length = chunk_length(bytes_per_sample, self.budget_bytes // 2, at_most=_SAMPLES_AT_ONCE)
        for first, last in spans(num_samples, length):
            logits_NMC = chunk.logits_MNC[:, first:last].transpose(0, 1).contiguous()
            self._add(logits_NMC, chunk.predicted_MN[:, first:last].T, chunk.blocks_N[first:last].cpu())

    def _add(self, logits_NMC: Tensor, predicted_NM: Tensor, blocks_N: Tensor) -> None:
        log_p_NMC = log_probabilities(logits_NMC).clamp_(min=_FLOOR)
        p_NMC = log_p_NMC.exp()
        minus_cross_NMM = torch.bmm(p_NMC, log_p_NMC.mT)
        minus_entropy_NM = minus_cross_NMM.diagonal(dim1=1, dim2=2)
        kl_NMM = (minus_entropy_NM.unsqueeze(2) - minus_cross_NMM).clamp_(min=0)
        kl_NMM.masked_fill_(minus_cross_NMM < _FLOOR * 1e-10, torch.inf)
        direction_NMC = p_NMC / p_NMC.norm(dim=-1, keepdim=True)
        cosine_NMM = torch.bmm(direction_NMC, direction_NMC.mT).clamp_(0, 1)

        self.count_B += torch.bincount(blocks_N, minlength=len(self.count_B))
        differ_NMM = predicted_NM.unsqueeze(2) != predicted_NM.unsqueeze(1)
        for sums_BMM, values_NMM in (
            (self.differ_BMM, differ_NMM),
            (self.kl_BMM, kl_NMM),
            (self.cosine_BMM, cosine_NMM),
        ):
            sums_BMM.index_add_(0, blocks_N, values_NMM.double().cpu())
        self._add_js(p_NMC, minus_entropy_NM, blocks_N)

    def _add_js(self, p_NMC: Tensor, minus_entropy_NM: Tensor, blocks_N: Tensor) -> None:
        num_samples, num_models, num_classes = p_NMC.shape
        p_NMC *= 0.5  # the mean of two is then a sum: one pass less
        height = chunk_length(8 * num_models * num_classes, min(self.budget_bytes // 2, _CACHE_BYTES))
        shape = (2, min(height, num_samples), num_models, num_classes)
        mean, log = torch.empty(shape, dtype=p_NMC.dtype, device=p_NMC.device)
        first_P, second_P = self.first_P.to(p_NMC.device), self.second_P.to(p_NMC.device)
        minus_mixed_NP = p_NMC.new_empty(num_samples, len(first_P))
        for low, high in spans(num_samples, height):
            halves_NMC, stop = p_NMC[low:high], 0
            for a in range(1, num_models):  # with all models before it
                start, stop = stop, stop + a
                mean_NAC, log_NAC = (
                    x.flatten(0, 1)[: (high - low) * a].view(-1, a, num_classes) for x in (mean, log)
                )
                torch.add(halves_NMC[:, :a], halves_NMC[:, a : a + 1], out=mean_NAC)
                # 0·ln 0 is 0; xlogy knows it, at six times the price.
                torch.clamp(mean_NAC, min=_SMALLEST, out=log_NAC).log_().mul_(mean_NAC)
                torch.sum(log_NAC, -1, out=minus_mixed_NP[low:high, start:stop])
        ends_NP = (minus_entropy_NM[:, first_P] + minus_entropy_NM[:, second_P]) / 2
        js_NP = (ends_NP - minus_mixed_NP).double().clamp_(0, math.log(2.0)).cpu()
        self.js_BP.index_add_(0, blocks_N, js_NP)

    def kl_directions(self) -> Replicated:
        """Mean KL(p_row ‖ p_column), which is not symmetric, of shapes (M, M) and (B, M, M)."""
        return Replicated.mean(self.kl_BMM, self.count_B)


@metric(
    "label_disagreement",
    of="outputs",
    group=GROUP,
    low=0.0,
    high=1.0,
    higher_is_more_diverse=True,
    formula="share of samples on which the two name different classes, right or wrong",
    undefined_when="there is no sample",
)
def label_disagreement(sums: OutputSums) -> Replicated:
    """Of all pairs, (M, M)."""
    return Replicated.mean(sums.differ_BMM, sums.count_B)


@metric(
    "kl",
    of="outputs",
    label="Kullback–Leibler divergence",
    group=GROUP,
    low=0.0,
    high=math.inf,
    higher_is_more_diverse=True,
    formula="mean over samples of (KL(p_a ‖ p_b) + KL(p_b ‖ p_a)) / 2, in nats",
    undefined_when="there is no sample, or one gives probability 0 where the other does not",
)
def kl(sums: OutputSums) -> Replicated:
    """Of all pairs, (M, M), both directions averaged."""
    return Replicated.mean((sums.kl_BMM + sums.kl_BMM.mT) / 2, sums.count_B)


@metric(
    "js",
    of="outputs",
    label="Jensen–Shannon divergence",
    group=GROUP,
    low=0.0,
    high=math.log(2.0),
    higher_is_more_diverse=True,
    formula="mean over samples of H((p_a + p_b) / 2) − (H(p_a) + H(p_b)) / 2, in nats",
    undefined_when="there is no sample",
)
def js(sums: OutputSums) -> Replicated:
    """Of all pairs, (M, M)."""
    js_BMM = torch.zeros_like(sums.kl_BMM)
    js_BMM[:, sums.first_P, sums.second_P] = sums.js_BP
    js_BMM[:, sums.second_P, sums.first_P] = sums.js_BP
    return Replicated.mean(js_BMM, sums.count_B)


@metric(
    "cosine",
    of="outputs",
    label="Cosine of probabilities",
    group=GROUP,
    low=0.0,
    high=1.0,
    higher_is_more_diverse=False,
    formula="mean over samples of p_a·p_b / (‖p_a‖ ‖p_b‖), a similarity: diversity = 1 − cosine",
    undefined_when="there is no sample",
)
def cosine(sums: OutputSums) -> Replicated:
    """Of all pairs, (M, M)."""
    return Replicated.mean(sums.cosine_BMM, sums.count_B)


@metric(
    "ambiguity",
    of="likelihood",
    label="Ambiguity of the likelihood",
    group=GROUP,
    low=0.0,
    high=math.inf,
    higher_is_more_diverse=True,
    formula="mean over members of the NLL − NLL of the mean logits = mean of −ln Σ_c exp(mean_i ln p_ic)",
    undefined_when="there is no sample, or the members exclude all classes between them",
)
def ambiguity(calibration: EnsembleCalibration) -> Replicated:
    """Of all ensembles; see `nversion.ensembles.EnsembleCalibration`."""
    return calibration.ambiguity
