"""The mean of a pairwise table over the pairs of every ensemble, all ensembles at once."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from nversion.core import UserError, chunk_length, spans
from nversion.ensembles import Ensembles


def ensemble_mean(
    values_MM: Tensor, ensembles: Ensembles, *, budget_bytes: int = 64 << 20
) -> tuple[Tensor, Tensor]:
    """The mean over the K(K−1)/2 pairs of each ensemble, and how many pairs were undefined.

    With U the 0/1 membership matrix (E×M) and S the table with zero diagonal:
    `((U @ S) * U).sum(-1)`, divided by the same product on the mask of defined pairs.

    Args:
        values_MM: table of shape (..., M, M), nan (or infinite) where undefined. The diagonal is
            not read. Where a table is not symmetric, both directions are averaged, and a pair is
            undefined if either direction is.
        ensembles: E ensembles of K ≥ 2 of the M models.
        budget_bytes: memory of one chunk of ensembles; beside it stands the result.

    Returns:
        mean_E: float64, shape (..., E); nan where no pair is defined.
        num_undefined_E: int64, shape (..., E), out of K(K−1)/2.

    Raises:
        UserError: the table's size is not the ensembles' number of models, or K < 2.

    >>> table_MM = torch.tensor([[0.0, 0.1, 0.2], [0.1, 0.0, 0.6], [0.2, 0.6, 0.0]])
    >>> mean_E, num_undefined_E = ensemble_mean(table_MM, Ensembles.all_of(3, 3))
    >>> round(mean_E.item(), 6), num_undefined_E.item()
    (0.3, 0)
    """
    _check_table(values_MM, ensembles)
    num_models, size = ensembles.num_models, ensembles.size
    symmetric_MM = (values_MM.double() + values_MM.double().mT) / 2
    off_diagonal_MM = ~torch.eye(num_models, dtype=torch.bool, device=values_MM.device)
    defined_MM = symmetric_MM.isfinite() & off_diagonal_MM
    filled_MM = torch.where(defined_MM, symmetric_MM, 0.0)

    num_tables = max(1, values_MM.numel() // num_models**2)
    length = chunk_length(3 * 8 * num_models * num_tables, budget_bytes, at_most=len(ensembles))
    means, undefined = [], []
    for start, stop in spans(len(ensembles), length):
        part = dataclasses.replace(ensembles, members_EK=ensembles.members_EK[start:stop])
        membership_EM = part.membership_EM(torch.float64).to(values_MM.device)
        num_defined_E = _sum_over_pairs(defined_MM.double(), membership_EM)
        means.append(_sum_over_pairs(filled_MM, membership_EM) / num_defined_E)
        undefined.append(size * (size - 1) // 2 - num_defined_E.long())
    return torch.cat(means, dim=-1), torch.cat(undefined, dim=-1)


def _sum_over_pairs(table_MM: Tensor, membership_EM: Tensor) -> Tensor:
    return ((membership_EM @ table_MM) * membership_EM).sum(-1) / 2


def _check_table(values_MM: Tensor, ensembles: Ensembles) -> None:
    expected_shape = (ensembles.num_models, ensembles.num_models)
    if tuple(values_MM.shape[-2:]) != expected_shape:
        raise UserError(
            expected=f"a table of {expected_shape[0]} × {expected_shape[1]} models",
            found=f"shape {tuple(values_MM.shape)}",
            next_step="pass the table of the same models as the ensembles'",
        )
    if ensembles.size < 2:
        raise UserError(
            expected="ensembles of at least 2 members",
            found=f"size {ensembles.size}",
            next_step="a single model has no pairs: leave size 1 out",
        )
