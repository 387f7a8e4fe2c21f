"""The columns of every table of a study, in one place. Fractions lie in [0, 1]; undefined is nan."""

from __future__ import annotations

import polars as pl

_S, _I, _F, _L = pl.String, pl.Int64, pl.Float64, pl.List(pl.String)
Schema = dict[str, pl.DataType | type[pl.DataType]]

MODELS: Schema = {
    "model": _S, "family": _S, "training": _S, "family_declared": pl.Boolean, "training_declared":
    pl.Boolean, "architecture": _S, "initial_weights": _S, "teacher": _S, "training_data": _L, "params": _I,
    "macs": _I, "condition": _S, "n": _I, "top1": _F, "top1_low": _F, "top1_high": _F, "top5": _F, "nll": _F,
    "brier": _F, "ece": _F, "ece_debiased": _F, "changed_top1": _I,
}  # fmt: skip
ENSEMBLES: Schema = {
    "ensemble": _S, "members": _L, "size": _I, "consensus": _S, "condition": _S, "top1": _F, "best_member":
    _S, "best_member_top1": _F, "mean_member_top1": _F, "improvement": _F, "improvement_stderr": _F, "ties":
    _I, "params": _I, "macs": _I, "shared_lineage": _S,
}  # fmt: skip
PAIRS: Schema = {"model_a": _S, "model_b": _S, "condition": _S, "metric": _S, "value": _F}
DIVERSITY: Schema = {
    "ensemble": _S, "members": _L, "size": _I, "condition": _S, "metric": _S, "value": _F, "stderr": _F,
    "n_undefined": _I,
}  # fmt: skip
CORRELATIONS: Schema = {
    "metric": _S, "size": _I, "consensus": _S, "diversity_condition": _S, "accuracy_condition": _S,
    "statistic": _S, "value": _F, "low": _F, "high": _F, "n_ensembles": _I, "note": _S,
}  # fmt: skip
CONDITIONS: Schema = {
    "condition": _S, "dataset": _S, "corruption": _S, "severity": _F, "seed": _I, "stored": _S, "n": _I,
    "excluded": _I,
}  # fmt: skip
LABELS: Schema = {"dataset": _S, "sample_id": _S, "label": _I, "accepted": pl.List(_I)}
NEAR_TIES: Schema = {
    "ensemble": _S, "members": _L, "size": _I, "consensus": _S, "condition": _S, "sample_id": _S,
}  # fmt: skip
SAMPLES: Schema = {"sample_id": _S, "label": _I, "label_name": _S, "condition": _S, "png": pl.Binary}
MAPS: Schema = {
    "sample_id": _S, "condition": _S, "model": _S, "family": _S, "label_name": _S, "predicted_name": _S,
    "right": pl.Boolean, "png": pl.Binary,
}  # fmt: skip
METRICS: Schema = {
    "metric": _S, "low_bound": _F, "high_bound": _F, "higher_is_more_diverse": pl.Boolean, "formula": _S,
    "undefined_when": _S,
}  # fmt: skip
COMPARISONS: Schema = {
    "ensemble": _S, "members": _L, "size": _I, "consensus": _S, "condition": _S, "best_member": _S, "n": _I,
    "only_ensemble": _F, "only_member": _F, "difference": _F, "low": _F, "high": _F, "low_corrected": _F,
    "high_corrected": _F, "p_value": _F, "p_corrected": _F, "num_compared": _I,
}  # fmt: skip
GAINS: Schema = {
    "ensemble": _S, "members": _L, "size": _I, "consensus": _S, "condition": _S, "rank": _I, "best_model":
    _S, "n": _I, "only_ensemble": _F, "only_model": _F, "difference": _F, "low": _F, "high": _F,
    "low_corrected": _F, "high_corrected": _F, "num_compared": _I,
}  # fmt: skip
POWER: Schema = {
    "size": _I, "consensus": _S, "condition": _S, "n": _I, "num_compared": _I, "discordant": _F,
    "smallest_gain": _F, "smallest_gain_corrected": _F, "images_for_a_point": _F,
}  # fmt: skip
CALIBRATION: Schema = {
    "ensemble": _S, "members": _L, "size": _I, "consensus": _S, "condition": _S, "nll": _F, "nll_stderr": _F,
    "brier": _F, "brier_stderr": _F, "ece": _F, "ece_debiased": _F, "mean_member_nll": _F, "ambiguity": _F,
}  # fmt: skip
AGREEMENT: Schema = {
    "ensemble": _S, "members": _L, "size": _I, "condition": _S, "agreeing": _I, "n": _I, "accepted": _I,
    "coverage": _F, "risk": _F, "risk_low": _F, "risk_high": _F,
}  # fmt: skip
VOTES: Schema = {
    "ensemble": _S, "members": _L, "size": _I, "condition": _S, "voter": _S, "right": _F, "safe_stop": _F,
    "silent_wrong": _F, "silent_wrong_low": _F, "silent_wrong_high": _F, "n": _I,
}  # fmt: skip
RIVAL: Schema = {
    "condition": _S, "system": _S, "name": _S, "size": _I, "agreeing": _I, "n": _I, "accepted": _I,
    "coverage": _F, "confidence": _F, "silent_wrong": _F, "low": _F, "high": _F, "difference": _F,
    "difference_low": _F, "difference_high": _F,
}  # fmt: skip
ALL_FAIL: Schema = {
    "group": _S, "members": _L, "dataset": _S, "sample_id": _S, "label": _I, "label_name": _S,
    "num_conditions": _I, "of_conditions": _I, "condition": _S, "answers": _S, "png": pl.Binary,
}  # fmt: skip
JOINT_FAILURES: Schema = {
    "ensemble": _S, "members": _L, "size": _I, "condition": _S, "subset": _S, "n": _I, "all_fail": _F,
    "all_fail_low": _F, "all_fail_high": _F, "all_fail_independent": _F, "majority_fail": _F,
    "majority_fail_independent": _F, "vote_fail": _F, "identical_wrong": _F, "beta": _F, "beta_stderr": _F,
    "beta_independent": _F,
}  # fmt: skip
METHODOLOGIES: Schema = {
    "condition": _S, "subset": _S, "grouping": _S, "methodology_a": _S, "methodology_b": _S, "m_a": _I,
    "m_b": _I, "quantity": _S, "value": _F, "low": _F, "high": _F, "note": _S,
}  # fmt: skip
PROPERTIES: Schema = {
    "condition": _S, "grouping": _S, "methodology_a": _S, "methodology_b": _S, "property": _S, "value": _F,
    "low": _F, "high": _F, "margin": _F, "holds": pl.Boolean, "note": _S,
}  # fmt: skip
PREDICTED_FAILURES: Schema = {
    "condition": _S, "ensemble": _S, "members": _L, "size": _I, "system": _S, "predicted_from": _S,
    "grouping": _S, "predicted": _F, "independent": _F, "observed": _F, "observed_low": _F, "observed_high":
    _F, "n": _I, "note": _S,
}  # fmt: skip
ROBUSTNESS: Schema = {
    "condition": _S, "model": _S, "family": _S, "training": _S, "clean_top1": _F, "top1": _F,
    "expected_top1": _F, "residual_probit": _F, "residual_points": _F, "low": _F, "high": _F, "n_models": _I,
}  # fmt: skip
ROBUSTNESS_GROUPS: Schema = {
    "condition": _S, "kind": _S, "group": _S, "n_models": _I, "residual_points": _F, "low": _F, "high": _F,
    "note": _S,
}  # fmt: skip
SUSPECTS: Schema = {
    "dataset": _S, "sample_id": _S, "condition": _S, "label": _I, "label_name": _S, "num_wrong": _I,
    "num_models": _I, "agreed_label": _I, "agreed_name": _S, "agreed_share": _F, "png": pl.Binary,
}  # fmt: skip
LINEAGE: Schema = {"model_a": _S, "model_b": _S, "kind": _S, "value": _S}
HAZARDS: Schema = {
    "ensemble": _S, "members": _L, "size": _I, "condition": _S, "kind": _S, "name": _S, "n": _I,
    "joint_failure": _F, "low": _F, "high": _F, "failure": _F, "expected_cost": _F,
}  # fmt: skip
CKA: Schema = {
    "condition": _S, "model_a": _S, "layer_a": _S, "depth_a": _I, "model_b": _S, "layer_b": _S, "depth_b":
    _I, "value": _F, "stderr": _F, "n_images": _I, "note": _S,
}  # fmt: skip
ATTRIBUTION_AGREEMENT: Schema = {
    "condition": _S, "target": _S, "normalise": _S, "method_a": _S, "method_b": _S, "n_pairs": _I, "pearson":
    _F, "spearman": _F, "low": _F, "high": _F,
}  # fmt: skip
BENCHMARK: Schema = {
    "dataset": _S, "set": _S, "stored": _S, "ensemble": _S, "members": _L, "size": _I, "consensus": _S,
    "quantity": _S, "value": _F, "low": _F, "high": _F, "corruptions": _I, "of_corruptions": _I, "levels":
    _I, "of_levels": _I, "complete": pl.Boolean, "baseline": _S, "note": _S,
}  # fmt: skip
BENCHMARK_CORRUPTIONS: Schema = {
    "dataset": _S, "set": _S, "stored": _S, "corruption": _S, "ensemble": _S, "members": _L, "size": _I,
    "consensus": _S, "quantity": _S, "value": _F, "low": _F, "high": _F, "levels": _I, "of_levels": _I,
    "baseline": _S, "note": _S,
}  # fmt: skip
BENCHMARK_DIFFERENCES: Schema = {
    "dataset": _S, "set": _S, "stored": _S, "quantity": _S, "ensemble": _S, "members": _L, "size": _I,
    "consensus": _S, "against": _S, "value": _F, "low": _F, "high": _F,
}  # fmt: skip
SEVERITIES: Schema = {
    "dataset": _S, "corruption": _S, "stored": _S, "ensemble": _S, "members": _L, "size": _I, "consensus":
    _S, "quantity": _S, "value": _F, "low": _F, "high": _F, "first": _F, "last": _F, "levels": _I, "note":
    _S,
}  # fmt: skip
SELECTION_SPLITS: Schema = {
    "split": _I, "ensemble": _S, "members": _L, "size": _I, "consensus": _S, "best_single_model": _S,
    "gain_chosen": _F, "gain_held_out": _F, "gain_unseen": _F,
}  # fmt: skip
"""A row for each repeated split of the images into halves. Chosen on one half: the contender of the rule
(`consensus` is null for a single model) and the best single model. `gain_*`: the criterion of the first less
that of the second, on the half that chose, on the other, and there under the unseen conditions."""
