"""Tables of evidence about one condition: comparisons, calibration, voters and joint failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl
import torch
from torch import Tensor

from nversion.ensembles import CREDITS
from nversion.reliability import compare_with_best_member, joint_failures, proportion_intervals

from .measure import Answers, ConditionResult, EnsembleResult
from .registry import FLOAT, INT, TEXT, TEXTS, table
from .tables import named_ensembles

CONSENSUS_OF_CALIBRATION = "average"


@table("comparisons", of="condition", schema={
    "ensemble": TEXT, "members": TEXTS, "size": INT, "consensus": TEXT, "condition": TEXT,
    "best_member": TEXT, "n": INT, "only_ensemble": FLOAT, "only_member": FLOAT,
    "difference": FLOAT, "low": FLOAT, "high": FLOAT, "low_corrected": FLOAT,
    "high_corrected": FLOAT, "p_value": FLOAT, "p_corrected": FLOAT, "num_compared": INT,
})  # fmt: skip
def comparisons_table(result: ConditionResult, model_names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Each ensemble against its best member, corrected for how many of them are compared."""
    for size in result.sizes:
        for consensus, evaluation in size.evaluations.items():
            found = compare_with_best_member(
                evaluation.credits_BE.sum(0),
                result.models.right_BM.sum(0) * CREDITS,
                evaluation.credits_with_model_EM,
                result.num_samples,
                size.ensembles.members_EK,
                unit=CREDITS,
            )
            columns = {
                "best_member": [model_names[i] for i in found.best_member_E.tolist()],
                "only_ensemble": found.only_ensemble_E.tolist(),
                "only_member": found.only_member_E.tolist(),
                "difference": found.difference_E.tolist(),
                "low": found.low_E.tolist(),
                "high": found.high_E.tolist(),
                "low_corrected": found.low_corrected_E.tolist(),
                "high_corrected": found.high_corrected_E.tolist(),
                "p_value": found.p_value_E.tolist(),
                "p_corrected": found.p_corrected_E.tolist(),
            }
            constants = {
                "consensus": consensus,
                "n": result.num_samples,
                "num_compared": found.num_compared,
            }
            yield _frame(columns, constants, size, result.condition, model_names)


@table("calibration", of="condition", schema={
    "ensemble": TEXT, "members": TEXTS, "size": INT, "consensus": TEXT, "condition": TEXT,
    "nll": FLOAT, "nll_stderr": FLOAT, "brier": FLOAT, "brier_stderr": FLOAT, "ece": FLOAT,
    "ece_debiased": FLOAT, "mean_member_nll": FLOAT, "ambiguity": FLOAT,
})  # fmt: skip
def calibration_table(result: ConditionResult, model_names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """How good the probabilities of each ensemble's averaged logits are."""
    for size in result.sizes:
        found = size.calibration
        columns = {
            "nll": found.nll.full_E.tolist(),
            "nll_stderr": found.nll.stderr().tolist(),
            "brier": found.brier.full_E.tolist(),
            "brier_stderr": found.brier.stderr().tolist(),
            "ece": found.ece_E.tolist(),
            "ece_debiased": found.ece_debiased_E.tolist(),
            "mean_member_nll": found.mean_member_nll.full_E.tolist(),
            "ambiguity": found.ambiguity.full_E.tolist(),
        }
        constants = {"consensus": CONSENSUS_OF_CALIBRATION}
        yield _frame(columns, constants, size, result.condition, model_names)


@table("agreement", of="condition", schema={
    "ensemble": TEXT, "members": TEXTS, "size": INT, "condition": TEXT, "agreeing": INT, "n": INT,
    "accepted": INT, "coverage": FLOAT, "risk": FLOAT, "risk_low": FLOAT, "risk_high": FLOAT,
})  # fmt: skip
def agreement_table(result: ConditionResult, model_names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Risk and coverage of answering only where at least so many members name one class."""
    for size in result.sizes:
        found = size.votes.agreement()
        for level in range(size.ensembles.size):
            accepted_E = found.accepted_KE[level].round().long().tolist()
            low_E, high_E = proportion_intervals(found.wrong_KE[level], found.accepted_KE[level])
            columns = {
                "accepted": accepted_E,
                "coverage": found.coverage.full_E[level].tolist(),
                "risk": found.risk.full_E[level].tolist(),
                "risk_low": low_E.tolist(),
                "risk_high": high_E.tolist(),
            }
            constants = {"agreeing": level + 1, "n": result.num_samples}
            yield _frame(columns, constants, size, result.condition, model_names)


@table("votes", of="condition", schema={
    "ensemble": TEXT, "members": TEXTS, "size": INT, "condition": TEXT, "voter": TEXT,
    "right": FLOAT, "safe_stop": FLOAT, "silent_wrong": FLOAT, "silent_wrong_low": FLOAT,
    "silent_wrong_high": FLOAT, "n": INT,
})  # fmt: skip
def votes_table(result: ConditionResult, model_names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Right, safe stop or silent wrong: what a majority voter and a unanimous one come to."""
    for size in result.sizes:
        for voter in ("majority", "unanimous"):
            found = size.votes.voter(voter)
            low_E, high_E = proportion_intervals(
                (found.silent_wrong.full_E * result.num_samples).round(),
                result.num_samples,
                method="clopper_pearson",
            )
            columns = {
                "right": found.right.full_E.tolist(),
                "safe_stop": found.safe_stop.full_E.tolist(),
                "silent_wrong": found.silent_wrong.full_E.tolist(),
                "silent_wrong_low": low_E.tolist(),
                "silent_wrong_high": high_E.tolist(),
            }
            constants = {"voter": voter, "n": result.num_samples}
            yield _frame(columns, constants, size, result.condition, model_names)


@table("joint_failures", of="condition", schema={
    "ensemble": TEXT, "members": TEXTS, "size": INT, "condition": TEXT, "subset": TEXT, "n": INT,
    "all_fail": FLOAT, "all_fail_low": FLOAT, "all_fail_high": FLOAT,
    "all_fail_independent": FLOAT, "majority_fail": FLOAT, "majority_fail_independent": FLOAT,
    "vote_fail": FLOAT, "identical_wrong": FLOAT, "beta": FLOAT, "beta_stderr": FLOAT,
    "beta_independent": FLOAT,
})  # fmt: skip
def joint_failures_table(
    result: ConditionResult, suspects_N: Tensor, model_names: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """How ensembles fail together, on all images and without those whose label is suspected.

    Args:
        suspects_N: bool, the suspected images of the condition.
    """
    for subset, answers in subsets(result.answers, suspects_N).items():
        wrong_BM = _wrong_BM(answers)
        for size in result.sizes:
            family = size.ensembles
            whole = subset == "all"
            failures = size.failures if whole else answers.failure_counts(family)
            votes = size.votes if whole else answers.votes(family)
            found = joint_failures(failures.counts_BEK1, wrong_BM, family.members_EK)
            columns = {
                "all_fail": found.all_fail_E.tolist(),
                "all_fail_low": found.all_fail_low_E.tolist(),
                "all_fail_high": found.all_fail_high_E.tolist(),
                "all_fail_independent": found.all_fail_independent_E.tolist(),
                "majority_fail": found.majority_fail_E.tolist(),
                "majority_fail_independent": found.majority_fail_independent_E.tolist(),
                "vote_fail": votes.vote_fail().full_E.tolist(),
                "identical_wrong": votes.identical_wrong().full_E.tolist(),
                "beta": found.beta_E.tolist(),
                "beta_stderr": found.beta_stderr_E.tolist(),
                "beta_independent": found.beta_independent_E.tolist(),
            }
            constants = {"subset": subset, "n": found.n}
            yield _frame(columns, constants, size, result.condition, model_names)


def subsets(answers: Answers, suspects_N: Tensor) -> dict[str, Answers]:
    """All images, and those that are left without the suspects where there are some of both."""
    if not bool(suspects_N.any()) or bool(suspects_N.all()):
        return {"all": answers}
    return {"all": answers, "without_suspects": answers.only(~suspects_N)}


def _wrong_BM(answers: Answers) -> Tensor:
    wrong_BM = torch.zeros(answers.num_blocks, len(answers.right_MN), dtype=torch.float64)
    return wrong_BM.index_add_(0, answers.blocks_N, (~answers.right_MN).T.double())


def _frame(
    columns: Mapping[str, object],
    constants: Mapping[str, object],
    size: EnsembleResult,
    condition: str,
    model_names: Sequence[str],
) -> pl.DataFrame:
    named = {**named_ensembles(size.ensembles.members_EK.tolist(), model_names), **columns}
    constants = {"size": size.ensembles.size, "condition": condition, **constants}
    return pl.DataFrame(named).with_columns(**{name: pl.lit(value) for name, value in constants.items()})
