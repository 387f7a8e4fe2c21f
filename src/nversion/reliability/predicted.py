"""Failure rates of ensembles predicted, from half of the images or from other models, and observed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nversion.core import UserError, chunk_length, spans
from nversion.ensembles import Ensembles

from .intervals import proportion_intervals
from .methodologies import Methodologies
from .systems import drawn_failing_distribution, majority, num_failing_distribution


@dataclass(frozen=True)
class PredictedFailures:
    """Predicted and observed failure rates of E ensembles as one kind of system; float64 tensors.

    Attributes:
        predicted_E: by the design-diversity model; nan where it cannot be predicted.
        independent_E: predicted from the rates alone, as if failures were independent.
        observed_E: share of `n` images on which the ensemble failed.
        observed_low_E, observed_high_E: its Clopper-Pearson interval.
        n: images observed.
        notes: one for each ensemble, empty where nothing is unusual.
    """

    predicted_E: Tensor
    independent_E: Tensor
    observed_E: Tensor
    observed_low_E: Tensor
    observed_high_E: Tensor
    n: int
    notes: tuple[str, ...]


def predict_from_half(
    right_MN: Tensor,
    first_half_N: Tensor,
    ensembles: Ensembles,
    *,
    confidence: float = 0.95,
    budget_bytes: int = 64 << 20,
) -> dict[str, PredictedFailures]:
    """Rates measured on one half of the images against those observed on the other.

    It asks whether joint failure is a property of the ensemble that carries over to new images. The
    line of independence multiplies the members' failure rates of the first half.

    Args:
        right_MN: bool, true where model m is right on image n.
        first_half_N: bool, the images to predict from; the others are observed.
        ensembles: E ensembles of K of the M models.
        confidence: of the observed rates' intervals.
        budget_bytes: memory of one chunk of ensembles.

    Returns:
        "all_fail": all members fail (1-out-of-K fails). "majority_fail": more than half of them do.

    Raises:
        UserError: shapes that do not fit, or a half without images.
    """
    _check(right_MN, ensembles)
    num_first = int(first_half_N.sum())
    if first_half_N.shape != right_MN.shape[1:] or not 0 < num_first < right_MN.shape[1]:
        raise UserError(
            expected=f"two halves of {right_MN.shape[1]} images, each with some",
            found=f"a mask of shape {tuple(first_half_N.shape)} with {num_first} in the first",
            next_step="pass a bool mask, true for about half of the images",
        )
    halves_N2 = torch.stack([first_half_N, ~first_half_N], 1).double()
    wrong_MP, halves_P2 = _patterns(right_MN, halves_N2)
    first_EK, second_EK = _failing_counts(wrong_MP, halves_P2, ensembles, budget_bytes).unbind(-1)
    rate_M = wrong_MP @ halves_P2[:, 0] / num_first
    return _systems(
        first_EK / num_first,
        num_failing_distribution(rate_M[ensembles.members_EK]),
        second_EK,
        ("",) * len(ensembles),
        confidence,
    )


def predict_from_other_models(
    right_MN: Tensor,
    ensembles: Ensembles,
    methodologies: Methodologies,
    *,
    confidence: float = 0.95,
    budget_bytes: int = 64 << 20,
) -> dict[str, PredictedFailures]:
    """Rates of other models of the same methodologies against those observed of the ensemble.

    For members of methodologies A, A, B the prediction is the mean over all choices of two different
    models of A and one of B, none of them in the ensemble: P(all fail) estimates E[Θ_A²Θ_B], without
    the ensemble's own failures. It asks whether the methodologies, not these very models, explain
    how often the ensemble fails. The images are the same ones. The line of independence takes the
    mean failure rates of the same other models. Both speak of a random ensemble of these
    methodologies: one of better than average members fails less often.

    Args:
        right_MN: bool, true where model m is right on image n.
        ensembles: E ensembles of K of the M models.
        methodologies: of the M models.
        confidence: of the observed rates' intervals.
        budget_bytes: memory of one chunk of ensembles.

    Returns:
        As `predict_from_half`; nan with a note where a methodology has too few other models or a
        member has none. The work is E·P·K³ for P different patterns of right and wrong, at most
        min(N, 2^M).

    Raises:
        UserError: shapes that do not fit, or no image.
    """
    _check(right_MN, ensembles)
    num_images = right_MN.shape[1]
    if methodologies.membership_GM.shape[1] != right_MN.shape[0] or not num_images:
        raise UserError(
            expected=f"methodologies of {right_MN.shape[0]} models and at least one image",
            found=f"{methodologies.membership_GM.shape[1]} models, {num_images} images",
            next_step="group the models that were measured",
        )
    all_N1 = torch.ones(num_images, 1, dtype=torch.float64, device=right_MN.device)
    wrong_MP, count_P1 = _patterns(right_MN, all_N1)
    others = _Others.of(ensembles, methodologies.membership_GM.to(right_MN.device))
    predicted_EK = count_P1.new_full((len(ensembles), ensembles.size + 1), torch.nan)
    independent_EK = predicted_EK.clone()

    length = chunk_length(8 * wrong_MP.shape[1] * 5 * (ensembles.size + 1), budget_bytes)
    # Ensembles that draw alike (2 + 1, 1 + 1 + 1, …) together: then no slot is wider than it must be.
    for drawn_K in torch.unique(others.drawn_EK, dim=0):
        rows_E = ((others.drawn_EK == drawn_K).all(1) & others.enough_E).nonzero().squeeze(1)
        for start, stop in spans(len(rows_E), length):
            part_E = rows_E[start:stop]
            failing_EPK, models_E1K = others.failing(part_E, wrong_MP), others.models_EK[part_E].unsqueeze(1)
            distribution_EPK = drawn_failing_distribution(failing_EPK, models_E1K, drawn_K)
            predicted_EK[part_E] = (distribution_EPK * count_P1).sum(1) / num_images
            rate_EK = (failing_EPK * count_P1).sum(1) / (models_E1K.squeeze(1) * num_images)
            independent_EK[part_E] = num_failing_distribution(rate_EK)

    observed_EK = _failing_counts(wrong_MP, count_P1, ensembles, budget_bytes).squeeze(-1)
    return _systems(predicted_EK, independent_EK, observed_EK, others.notes(methodologies), confidence)


@dataclass(frozen=True)
class _Others:
    """The models of each member's methodology that are not in the ensemble.

    Members of one methodology are drawn together, at the first of them: `drawn_EK` counts them
    there and is 0 at the rest.
    """

    members_EK: Tensor
    group_EK: Tensor  # −1: of no methodology
    same_EKK: Tensor  # bool: two members are of one methodology
    models_EK: Tensor  # others in the member's methodology
    drawn_EK: Tensor
    enough_E: Tensor
    membership_GM: Tensor

    @classmethod
    def of(cls, ensembles: Ensembles, membership_GM: Tensor) -> _Others:
        members_EK = ensembles.members_EK.to(membership_GM.device)
        group_M = torch.where(membership_GM.any(0), membership_GM.int().argmax(0), -1)
        group_EK = group_M[members_EK]
        same_EKK = group_EK.unsqueeze(-1) == group_EK.unsqueeze(-2)
        num_same_EK = same_EKK.sum(-1)
        is_first_EK = ~same_EKK.tril(-1).any(-1)
        models_EK = membership_GM.sum(1)[group_EK] - num_same_EK
        enough_E = ((models_EK >= num_same_EK) & (group_EK >= 0)).all(1)
        drawn_EK = torch.where(is_first_EK, num_same_EK, 0)
        return cls(members_EK, group_EK, same_EKK, models_EK, drawn_EK, enough_E, membership_GM)

    def failing(self, part_E: Tensor, wrong_MP: Tensor) -> Tensor:
        """Failing others of each member's methodology, int64 (E, P, K)."""
        of_group_GP = self.membership_GM.double() @ wrong_MP
        own_EKP = self.same_EKK[part_E].double() @ wrong_MP[self.members_EK[part_E]]
        return (of_group_GP[self.group_EK[part_E]] - own_EKP).long().mT

    def notes(self, methodologies: Methodologies) -> tuple[str, ...]:
        notes = [""] * len(self.enough_E)
        for row in (~self.enough_E).nonzero().squeeze(1).tolist():
            groups = self.group_EK[row].tolist()
            if -1 in groups:
                notes[row] = "not predicted: a member's methodology is unknown"
                continue
            needed = [groups.count(group) for group in groups]
            at = next(k for k, models in enumerate(self.models_EK[row].tolist()) if models < needed[k])
            name, found = methodologies.names[groups[at]], int(self.models_EK[row, at])
            notes[row] = f"not predicted: needs {needed[at]} other models of {name}, has {found}"
        return tuple(notes)


def _patterns(right_MN: Tensor, weights_NH: Tensor) -> tuple[Tensor, Tensor]:
    # The different columns of failures, float64 (M, P), and the summed weights of each, (P, H).
    # Columns become numbers, 30 models at a time: torch.unique over columns compares them one by one.
    index_N = torch.zeros(right_MN.shape[1], dtype=torch.int64, device=right_MN.device)
    for part_MN in torch.split(right_MN, 30):
        bit_M = 2 ** torch.arange(len(part_MN), device=right_MN.device)
        code_N = index_N * 2 ** len(part_MN) + (bit_M @ part_MN.long())
        index_N = torch.unique(code_N, return_inverse=True)[1]
    num_patterns = int(index_N.max()) + 1
    sample_N = torch.arange(len(index_N), device=right_MN.device)
    some_sample_P = torch.empty(num_patterns, dtype=torch.int64, device=right_MN.device)
    some_sample_P.scatter_(0, index_N, sample_N)
    weights_PH = weights_NH.new_zeros(num_patterns, weights_NH.shape[1]).index_add_(0, index_N, weights_NH)
    return (~right_MN[:, some_sample_P]).double(), weights_PH


def _failing_counts(wrong_MP: Tensor, weights_PH: Tensor, ensembles: Ensembles, budget_bytes: int) -> Tensor:
    # Weight of the images on which 0 … K members fail, (E, K + 1, H).
    length = chunk_length(8 * 3 * wrong_MP.shape[1], budget_bytes, at_most=len(ensembles))
    counts = []
    for start, stop in spans(len(ensembles), length):
        part = replace(ensembles, members_EK=ensembles.members_EK[start:stop])
        failing_EP = part.membership_EM(torch.float64).to(wrong_MP.device) @ wrong_MP
        counts.append(
            torch.stack([(failing_EP == k).double() @ weights_PH for k in range(ensembles.size + 1)], 1)
        )
    return torch.cat(counts)


def _systems(
    predicted_EK: Tensor,
    independent_EK: Tensor,
    observed_EK: Tensor,
    notes: tuple[str, ...],
    confidence: float,
) -> dict[str, PredictedFailures]:
    # Distributions of the number of failing members; the observed one as numbers of images.
    size = observed_EK.shape[1] - 1
    n = round(float(observed_EK[0].sum()))
    systems = {}
    for name, fewest in (("all_fail", size), ("majority_fail", majority(size))):
        failed_E = observed_EK[:, fewest:].sum(1)
        low_E, high_E = proportion_intervals(failed_E, n, confidence=confidence, method="clopper_pearson")
        systems[name] = PredictedFailures(
            predicted_EK[:, fewest:].sum(1),
            independent_EK[:, fewest:].sum(1),
            failed_E / n,
            low_E,
            high_E,
            n,
            notes,
        )
    return systems


def _check(right_MN: Tensor, ensembles: Ensembles) -> None:
    if right_MN.dtype != torch.bool or right_MN.ndim != 2 or right_MN.shape[0] != ensembles.num_models:
        raise UserError(
            expected=f"a bool matrix of {ensembles.num_models} models × images",
            found=f"{right_MN.dtype} of shape {tuple(right_MN.shape)}",
            next_step="pass right_MN of the models that the ensembles are made of",
        )
