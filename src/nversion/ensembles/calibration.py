"""How good the averaged probabilities of every ensemble are: loss, Brier score, calibration, cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nversion.core import UserError, chunk_length, spans

from .accuracy import NUM_BINS, calibration_errors
from .chunk import Chunk
from .evaluate import DEFAULT_BUDGET_BYTES, evaluate
from .membership import Ensembles
from .replicates import Replicated

_TINY = 1e-12
"""A normaliser below it is computed plainly: its square, and that of its terms, must stay within float32."""

_TABLE_RATIO = 12
"""A table of all left with all right halves is made up to so many entries for each that is needed.
Measured: 12 for the 7-member ensembles of 14 models, a quarter quicker; at 16 it was twice as slow."""

_PRODUCTS_AT_ONCE = 1 << 17  # 512 KiB of float32: stays in the cache

_SAMPLES_AT_ONCE = 16  # of 14 models, triples and 1000 classes: 12 MiB


@dataclass(frozen=True)
class EnsembleCalibration:
    """How good the softmax of the mean logits, g, is for E ensembles; nan where no sample was seen.

    Attributes:
        n: number of samples.
        nll: mean of −ln g_label, in nats; inf where a member excludes the label.
        brier: mean of Σ_c (g_c − 1{c = label})², from 0 to 2 (Brier 1950; some libraries halve it).
        mean_member_nll: mean over members and samples of the members' own losses.
        ambiguity: mean over samples of −ln Σ_c exp(mean_i ln p_ic), at least 0 but for rounding of about
            1e-7. It is mean_member_nll − nll = mean_i KL(g, p_i): what averaging gains, whatever the
            labels are (Heskes 1998). inf where the members exclude all classes between them.
        expected_cost: mean cost of taking the winning class; None without a cost matrix.
        ece_E: plug-in expected calibration error of the winning class, an L1 error over 15 bins of
            equal width (Guo et al. 2017, Eq. 3).
        ece_debiased_E: see `calibration_errors`; an L2 error, so not comparable with `ece_E` in size.
    """

    n: int
    nll: Replicated
    brier: Replicated
    mean_member_nll: Replicated
    ambiguity: Replicated
    expected_cost: Replicated | None
    ece_E: Tensor
    ece_debiased_E: Tensor


class CalibrationStatistics:
    """Float64 sums behind `EnsembleCalibration`: `update` with chunks, ask for the `result`.

    The mean logits' normaliser needs no exponential an ensemble: with r_ic = exp((z_ic − max_c z_ic) / K)
    it is Σ_c Π_i r_ic, a product of two matrices: of the left halves of the ensembles (products of their
    first members' r) and of the right halves (of the others'). Products are float32 and differ from the
    plain softmax by about 1e-6 of the value; sums over samples are float64.

    Where many left halves stand with many right halves, as in all ensembles of a pool, all of their
    products are computed at once; where they do not, as in a draw from a large pool, each ensemble's
    alone: K multiplications a class, 2 to 3 ns of one core for each sample, ensemble and class.

    With several accepted labels (`Chunk.known_right_MN`) the loss, Brier score and cost are those of
    `labels_N`; the winning class is right if it is the label, or a model that is right names it.

    Args:
        ensembles: E ensembles of K members.
        num_blocks: B.
        cost_CC: cost[label, class taken], for the expected cost.
        budget_bytes: for intermediate results of a few samples; beside them stand 4 × B × E × 8 bytes of
            sums and E × 15 × 24 of bins. Where one sample of all ensembles does not fit, they are computed
            in parts.

    >>> logits_MNC = torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]]])
    >>> statistics = CalibrationStatistics(Ensembles.all_of(2, 2), num_blocks=1)
    >>> statistics.update(Chunk(0, logits_MNC, torch.tensor([0]), torch.tensor([0])))
    >>> result = statistics.result()
    >>> [round(value.full_E.item(), 4) for value in (result.nll, result.brier, result.ambiguity)]
    [0.6931, 0.5, 0.4338]
    """

    def __init__(
        self,
        ensembles: Ensembles,
        num_blocks: int,
        *,
        cost_CC: Tensor | None = None,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
    ) -> None:
        num_ensembles = len(ensembles)
        self.ensembles = ensembles
        self.cost_CC = cost_CC
        self.budget_bytes = budget_bytes
        self.count_B = torch.zeros(num_blocks, dtype=torch.float64)
        self.nll_BE = torch.zeros(num_blocks, num_ensembles, dtype=torch.float64)
        self.log_total_BE = torch.zeros_like(self.nll_BE)
        self.brier_BE = torch.zeros_like(self.nll_BE)
        self.cost_BE = torch.zeros_like(self.nll_BE)
        self.member_nll_BM = torch.zeros(num_blocks, ensembles.num_models, dtype=torch.float64)
        self.member_log_total_BM = torch.zeros_like(self.member_nll_BM)
        self.bin_count_EQ = torch.zeros(num_ensembles, NUM_BINS, dtype=torch.float64)
        self.bin_right_EQ = torch.zeros_like(self.bin_count_EQ)
        self.bin_confidence_EQ = torch.zeros_like(self.bin_count_EQ)
        self._parts: list[_Part] = []
        self._exact_enough: bool | None = None

    def update(self, chunk: Chunk, winners_NE: Tensor | None = None) -> None:
        """Add a chunk's samples.

        Args:
            chunk: logits of the ensembles' models.
            winners_NE: the winning classes of the rule "average", where an `Evaluator` has them already;
                otherwise they are found here by the same means.

        Raises:
            UserError: what `Evaluator.update` refuses; a cost matrix of another number of classes.
        """
        num_models, num_samples, num_classes = chunk.logits_MNC.shape
        if winners_NE is None:
            winners_NE = self._winners(chunk)
        if self.cost_CC is not None and tuple(self.cost_CC.shape) != (num_classes, num_classes):
            raise UserError(
                expected=f"a cost matrix of {num_classes} × {num_classes} classes",
                found=f"shape {tuple(self.cost_CC.shape)}",
                next_step="give the cost of every pair of label and class taken",
            )
        if not self._parts:
            self._parts = list(_parts(self.ensembles, num_classes, self.budget_bytes // 4))
        per_sample = max(part.bytes_per_sample(num_classes) for part in self._parts)
        per_sample += 12 * num_models * num_classes
        length = chunk_length(per_sample, self.budget_bytes, at_most=_SAMPLES_AT_ONCE)
        predicted_MN = chunk.logits_MNC.argmax(-1) if chunk.known_right_MN is not None else None
        for first, last in spans(num_samples, length):
            cut = slice(first, last)
            batch = _Batch(
                logits_MNC=chunk.logits_MNC[:, cut].float(),
                labels_N=chunk.labels_N[cut],
                blocks_N=chunk.blocks_N[cut].cpu(),
                predicted_MN=None if predicted_MN is None else predicted_MN[:, cut],
                right_MN=None if predicted_MN is None else chunk.right_MN[:, cut],
            )
            self._add(batch, winners_NE[cut])

    def _winners(self, chunk: Chunk) -> Tensor:
        num_blocks = len(self.count_B)
        found = evaluate(
            [chunk],
            self.ensembles,
            ["average"],
            num_blocks,
            keep_winners=True,
            budget_bytes=self.budget_bytes,
        )
        winners_NE = found["average"].winners_NE
        assert winners_NE is not None
        return winners_NE

    def _add(self, batch: _Batch, winners_NE: Tensor) -> None:
        highest_MN1 = batch.logits_MNC.amax(-1, keepdim=True)
        below_MNC = batch.logits_MNC - highest_MN1
        label_below_MN = below_MNC.gather(-1, batch.labels_N.expand(len(below_MNC), -1).unsqueeze(-1))
        label_below_MN = label_below_MN.squeeze(-1).double()
        log_total_MN = below_MNC.exp().sum(-1, dtype=torch.float64).log()
        self.count_B += torch.bincount(batch.blocks_N, minlength=len(self.count_B))
        self.member_log_total_BM.index_add_(0, batch.blocks_N, log_total_MN.T.cpu())
        self.member_nll_BM.index_add_(0, batch.blocks_N, (log_total_MN - label_below_MN).T.cpu())
        roots_NMC = (below_MNC / self.ensembles.size).exp_().transpose(0, 1).contiguous()
        for part in self._parts:
            self._add_part(part, batch, below_MNC, label_below_MN, roots_NMC, winners_NE)

    def _add_part(
        self,
        part: _Part,
        batch: _Batch,
        below_MNC: Tensor,
        label_below_MN: Tensor,
        roots_NMC: Tensor,
        winners_NE: Tensor,
    ) -> None:
        members_KE = part.members_KE.to(below_MNC.device)
        winners_NE = winners_NE[:, part.span].to(below_MNC.device)
        total_NE, squares_NE = self._normalisers(part, roots_NMC)
        _mend(total_NE, squares_NE, below_MNC, members_KE, self.budget_bytes)

        log_total_NE = total_NE.log()
        label_NE = _mean_of_columns(label_below_MN.T, members_KE)
        label_log_NE = label_NE - log_total_NE
        confidence_NE = (_mean_at(below_MNC, members_KE, winners_NE) - log_total_NE).exp_().clamp_(max=1.0)
        brier_NE = squares_NE / total_NE**2 - 2 * label_log_NE.exp() + 1
        span = part.span
        self.log_total_BE[:, span].index_add_(0, batch.blocks_N, log_total_NE.cpu())
        self.nll_BE[:, span].index_add_(0, batch.blocks_N, -label_log_NE.cpu())
        self.brier_BE[:, span].index_add_(0, batch.blocks_N, brier_NE.cpu())
        if self.cost_CC is not None:
            cost_NE = self.cost_CC.to(winners_NE.device)[batch.labels_N.unsqueeze(1), winners_NE]
            self.cost_BE[:, span].index_add_(0, batch.blocks_N, cost_NE.double().cpu())
        self._add_bins(span, confidence_NE.cpu(), batch.right_NE(winners_NE).cpu())

    def _normalisers(self, part: _Part, roots_NMC: Tensor) -> tuple[Tensor, Tensor]:
        """float64 Σ_c Π_i r_ic and Σ_c Π_i r_ic², each of shape (N, E)."""
        if self._exact_enough is None:
            # A process may have set its float32 products to TF32 or bfloat16: a first product is checked.
            few_NMC, one = roots_NMC[:1], part.first(64)
            found, exact = one.normalisers(few_NMC), one.normalisers(few_NMC.double())
            self._exact_enough = all(
                torch.allclose(a, b, rtol=1e-5, atol=1e-30) for a, b in zip(found, exact, strict=True)
            )
        return part.normalisers(roots_NMC if self._exact_enough else roots_NMC.double())

    def _add_bins(self, span: slice, confidence_NE: Tensor, right_NE: Tensor) -> None:
        bins_NE = (confidence_NE * NUM_BINS).ceil_().nan_to_num_(1).long().sub_(1).clamp_(0, NUM_BINS - 1)
        place_NE = bins_NE + NUM_BINS * torch.arange(bins_NE.shape[1])
        num_places = NUM_BINS * bins_NE.shape[1]
        for sums_EQ, weights_NE in (
            (self.bin_count_EQ, None),
            (self.bin_right_EQ, right_NE.double().flatten()),
            (self.bin_confidence_EQ, confidence_NE.flatten()),
        ):
            added = torch.bincount(place_NE.flatten(), weights_NE, minlength=num_places)
            sums_EQ[span] += added.view(-1, NUM_BINS)

    def result(self) -> EnsembleCalibration:
        """The means of everything seen so far."""
        members_KE = self.ensembles.members_EK.T.cpu()
        member_nll_BE = _mean_of_columns(self.member_nll_BM, members_KE)
        # Of the members' values below their own maximum, the label's cancels: no label stands in it.
        ambiguity_BE = _mean_of_columns(self.member_log_total_BM, members_KE) - self.log_total_BE
        ece_E, ece_debiased_E = calibration_errors(
            self.bin_count_EQ, self.bin_right_EQ, self.bin_confidence_EQ
        )
        return EnsembleCalibration(
            n=int(self.count_B.sum()),
            nll=Replicated.mean(self.nll_BE, self.count_B),
            brier=Replicated.mean(self.brier_BE, self.count_B),
            mean_member_nll=Replicated.mean(member_nll_BE, self.count_B),
            ambiguity=Replicated.mean(ambiguity_BE, self.count_B),
            expected_cost=None if self.cost_CC is None else Replicated.mean(self.cost_BE, self.count_B),
            ece_E=ece_E,
            ece_debiased_E=ece_debiased_E,
        )


@dataclass(frozen=True)
class _Batch:
    """A few samples; `predicted_MN` and `right_MN` only where several labels may be right."""

    logits_MNC: Tensor
    labels_N: Tensor
    blocks_N: Tensor
    predicted_MN: Tensor | None
    right_MN: Tensor | None

    def right_NE(self, winners_NE: Tensor) -> Tensor:
        """Whether the winning classes are right."""
        right_NE = winners_NE == self.labels_N.unsqueeze(1)
        if self.predicted_MN is not None and self.right_MN is not None:
            for predicted_N, right_N in zip(self.predicted_MN, self.right_MN, strict=True):
                right_NE |= (winners_NE == predicted_N.unsqueeze(1)) & right_N.unsqueeze(1)
        return right_NE


@dataclass(frozen=True)
class _Part:
    """A span of the ensembles, each cut into a left and a right half of its members.

    Attributes:
        span: of the ensembles.
        members_KE: their members.
        left_HL, right_HR: the members of every different half; a single member has no right half.
        left_E, right_E: which halves an ensemble has.
    """

    span: slice
    members_KE: Tensor
    left_HL: Tensor
    right_HR: Tensor
    left_E: Tensor
    right_E: Tensor

    @classmethod
    def of(cls, span: slice, members_EK: Tensor) -> _Part:
        half = (members_EK.shape[1] + 1) // 2
        left_LH, left_E = torch.unique(members_EK[:, :half], dim=0, return_inverse=True)
        if members_EK.shape[1] > 1:
            right_RH, right_E = torch.unique(members_EK[:, half:], dim=0, return_inverse=True)
        else:
            right_RH, right_E = members_EK.new_empty(1, 0), torch.zeros_like(left_E)
        return cls(span, members_EK.T.contiguous(), left_LH.T, right_RH.T, left_E, right_E)

    def first(self, count: int) -> _Part:
        """The first ensembles alone."""
        return _Part.of(slice(0, count), self.members_KE[:, :count].T)

    @property
    def _as_table(self) -> bool:
        return self.left_HL.shape[1] * self.right_HR.shape[1] <= _TABLE_RATIO * len(self.left_E)

    def bytes_per_sample(self, num_classes: int) -> int:
        """Products of the halves and their tables, where there are any; the results."""
        num_left, num_right, num_ensembles = self.left_HL.shape[1], self.right_HR.shape[1], len(self.left_E)
        table = 8 * (num_left + num_right) * num_classes + 8 * num_left * num_right
        return (table if self._as_table else 0) + 128 * num_ensembles

    def normalisers(self, roots_NMC: Tensor) -> tuple[Tensor, Tensor]:
        """float64 Σ_c Π_i r_ic and Σ_c Π_i r_ic², each of shape (N, E)."""
        if not self._as_table:
            return _sums_of_products(roots_NMC, self.members_KE.to(roots_NMC.device))
        left_NLC, right_NRC = _products(roots_NMC, self.left_HL), _products(roots_NMC, self.right_HR)
        place_E = (self.left_E * right_NRC.shape[1] + self.right_E).to(roots_NMC.device)
        total_NLR = torch.bmm(left_NLC, right_NRC.mT)
        squares_NLR = torch.bmm(left_NLC.square_(), right_NRC.square_().mT)
        total_NE, squares_NE = (
            table_NLR.flatten(1).index_select(1, place_E).double() for table_NLR in (total_NLR, squares_NLR)
        )
        return total_NE, squares_NE


def _sums_of_products(roots_NMC: Tensor, members_KE: Tensor) -> tuple[Tensor, Tensor]:
    """Each ensemble's product alone, a few at a time: fresh pages cost more than the arithmetic."""
    num_samples, _, num_classes = roots_NMC.shape
    shape = (num_samples, members_KE.shape[1])
    total_NE = torch.empty(shape, dtype=torch.float64, device=roots_NMC.device)
    squares_NE = torch.empty_like(total_NE)
    for start, stop in spans(shape[1], chunk_length(num_classes, _PRODUCTS_AT_ONCE)):
        first_E, *others_E = members_KE[:, start:stop]
        for n, roots_MC in enumerate(roots_NMC):
            product_EC = roots_MC.index_select(0, first_E)
            for members_E in others_E:
                product_EC *= roots_MC.index_select(0, members_E)
            total_NE[n, start:stop] = product_EC.sum(-1)
            squares_NE[n, start:stop] = product_EC.square_().sum(-1)
    return total_NE, squares_NE


def _parts(ensembles: Ensembles, num_classes: int, budget_bytes: int) -> Iterator[_Part]:
    length = chunk_length(20 * num_classes + 128, budget_bytes, at_most=len(ensembles))
    members_EK = ensembles.members_EK.cpu()
    for start, stop in spans(len(ensembles), length):
        yield _Part.of(slice(start, stop), members_EK[start:stop])


def _products(roots_NMC: Tensor, members_HL: Tensor) -> Tensor:
    """The product over the members of each half; ones where there is none."""
    num_samples, _, num_classes = roots_NMC.shape
    if not len(members_HL):
        return roots_NMC.new_ones(num_samples, 1, num_classes)
    members_HL = members_HL.to(roots_NMC.device)
    product_NLC = roots_NMC.index_select(1, members_HL[0])
    for members_L in members_HL[1:]:
        product_NLC *= roots_NMC.index_select(1, members_L)
    return product_NLC


def _mean_of_columns(values_NM: Tensor, members_KE: Tensor) -> Tensor:
    """The mean over each ensemble's members."""
    # Not a product with the membership: -inf of a model that is no member would turn to nan.
    total_NE = values_NM.new_zeros(len(values_NM), members_KE.shape[1])
    for members_E in members_KE:
        total_NE += values_NM[:, members_E]
    return total_NE / len(members_KE)


def _mean_at(values_MNC: Tensor, members_KE: Tensor, classes_NE: Tensor) -> Tensor:
    """float64 mean over each ensemble's members of their values of the given class."""
    _, num_samples, num_classes = values_MNC.shape
    own_NE = torch.arange(num_samples, device=classes_NE.device).unsqueeze(1) * num_classes + classes_NE
    total_NE = torch.zeros(classes_NE.shape, dtype=torch.float64, device=classes_NE.device)
    for members_E in members_KE:
        total_NE += values_MNC.flatten()[members_E * (num_samples * num_classes) + own_NE]
    return total_NE / len(members_KE)


def _mend(
    total_NE: Tensor, squares_NE: Tensor, below_MNC: Tensor, members_KE: Tensor, budget_bytes: int
) -> None:
    """Compute the pairs plainly whose members disagree so far that products of float32 vanish."""
    rows_R, ensembles_R = (total_NE < _TINY).nonzero().unbind(1)
    at_once = chunk_length(8 * (len(members_KE) + 2) * below_MNC.shape[-1], budget_bytes)
    for low, high in spans(len(rows_R), at_once):
        rows, columns = rows_R[low:high], ensembles_R[low:high]
        mean_RC = below_MNC[members_KE[:, columns], rows].double().mean(0)
        total_NE[rows, columns] = mean_RC.exp().sum(-1)
        squares_NE[rows, columns] = (2 * mean_RC).exp().sum(-1)
