"""The delete-one-block jackknife: standard errors over samples of any statistic."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nversion.core import UserError


class BlockJackknife(NamedTuple):
    """A standard error and what it rests on.

    Attributes:
        stderr_E: float64; nan where the full statistic or all but one of the replicates are undefined.
        num_undefined_E: int64 number of blocks without which the statistic is undefined.
    """

    stderr_E: Tensor
    num_undefined_E: Tensor


def block_jackknife(
    full_E: Tensor, leave_one_out_BE: Tensor, count_B: Tensor | None = None
) -> BlockJackknife:
    """The standard error of a statistic over samples, from its values without each block.

    With n samples, n_b in block b, h_b = n/n_b and pseudo-values τ_b = h_b·θ − (h_b − 1)·θ_(b):

        variance = mean over b of (τ_b − τ)² / (h_b − 1),   τ = Σ (n_b/n)·τ_b

    (delete-m_j jackknife: Busing, Meijer and van der Leeden 1999, eq. 8). With equal blocks this is
    the familiar (B−1)/B · Σ (θ_(b) − mean θ_(b))², in which θ itself cancels.

    A replicate that is nan is left out of both means and counted: the formula's mean over blocks
    stays unbiased if undefined blocks are like the others, which a high count makes doubtful. Where
    all that is left are replicates equal to the full statistic, one block holds all that it rests on:
    the error is unknown, not 0.

    Args:
        full_E: the statistic on all samples, any shape.
        leave_one_out_BE: the statistic without block b, blocks on the first axis.
        count_B: samples of each block; equal when left out. Blocks without samples are no
            replicates and are left out.

    Raises:
        UserError: fewer than two blocks with samples, or shapes that do not fit.

    >>> values = torch.tensor([1.0, 2.0, 4.0, 5.0])
    >>> mean, without = values.mean(), (values.sum() - values) / 3
    >>> round(block_jackknife(mean, without).stderr_E.item(), 6)  # the mean's s/√n
    0.912871
    """
    full_E, leave_one_out_BE = full_E.double(), leave_one_out_BE.double()
    if count_B is None:
        count_B = torch.ones(leave_one_out_BE.shape[0], dtype=torch.float64, device=full_E.device)
    _check_blocks(full_E, leave_one_out_BE, count_B)
    occupied_B = count_B > 0
    leave_one_out_BE, count_B = leave_one_out_BE[occupied_B], count_B[occupied_B].double()

    column_B = (-1,) + (1,) * full_E.ndim
    share_B = (count_B / count_B.sum()).view(column_B)
    # τ_b − θ, with h_b − 1 = (1 − share)/share; θ is subtracted first to keep the digits.
    shift_BE = (1 - share_B) / share_B * (full_E - leave_one_out_BE)
    defined_BE = shift_BE.isfinite()
    shift_BE = torch.where(defined_BE, shift_BE, 0.0)
    num_defined_E = defined_BE.sum(0)
    weight_BE = share_B * defined_BE
    centre_E = (weight_BE * shift_BE).sum(0) / weight_BE.sum(0)
    term_BE = torch.where(defined_BE, (shift_BE - centre_E) ** 2 * share_B / (1 - share_B), 0.0)
    stderr_E = torch.sqrt(term_BE.sum(0) / num_defined_E)
    num_undefined_E = len(count_B) - num_defined_E
    known_E = (num_defined_E >= 2) & ((num_undefined_E == 0) | (stderr_E > 0))
    return BlockJackknife(
        stderr_E=torch.where(known_E, stderr_E, torch.nan),
        num_undefined_E=num_undefined_E,
    )


def block_jackknife_stderr(full_E: Tensor, leave_one_out_BE: Tensor, count_B: Tensor | None = None) -> Tensor:
    """The standard errors of `block_jackknife` alone."""
    return block_jackknife(full_E, leave_one_out_BE, count_B).stderr_E


def _check_blocks(full_E: Tensor, leave_one_out_BE: Tensor, count_B: Tensor) -> None:
    if leave_one_out_BE.shape[1:] != full_E.shape or count_B.shape != leave_one_out_BE.shape[:1]:
        raise UserError(
            expected=f"replicates of shape (blocks, *{tuple(full_E.shape)}) and a count for each",
            found=f"replicates {tuple(leave_one_out_BE.shape)}, counts {tuple(count_B.shape)}",
            next_step="put the blocks on the first axis of the replicates",
        )
    if int((count_B > 0).sum()) < 2:
        raise UserError(
            expected="at least two blocks with samples",
            found=str(int((count_B > 0).sum())),
            next_step="use more samples or more blocks",
        )
