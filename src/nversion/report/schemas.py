"""The columns that the report reads, of tables that every study has and of those that it may lack."""

from __future__ import annotations

import polars as pl

_TEXT, _WHOLE, _REAL, _FLAG, _BYTES = pl.String(), pl.Int64(), pl.Float64(), pl.Boolean(), pl.Binary()
_TEXTS = pl.List(pl.String())

Schema = dict[str, pl.DataType]

SCHEMAS: dict[str, Schema] = {
    "conditions": {
        "condition": _TEXT,
        "dataset": _TEXT,
        "corruption": _TEXT,
        "severity": _REAL,
        "seed": _WHOLE,
        "n": _WHOLE,
        "excluded": _WHOLE,
    },
    "models": {
        "model": _TEXT,
        "family": _TEXT,
        "training": _TEXT,
        "params": _WHOLE,
        "macs": _WHOLE,
        "condition": _TEXT,
        "n": _WHOLE,
        "top1": _REAL,
        "top1_low": _REAL,
        "top1_high": _REAL,
        "top5": _REAL,
        "nll": _REAL,
        "ece": _REAL,
    },
    "ensembles": {
        "ensemble": _TEXT,
        "members": _TEXTS,
        "size": _WHOLE,
        "consensus": _TEXT,
        "condition": _TEXT,
        "top1": _REAL,
        "best_member_top1": _REAL,
        "mean_member_top1": _REAL,
        "improvement": _REAL,
        "improvement_stderr": _REAL,
        "ties": _WHOLE,
        "params": _WHOLE,
        "macs": _WHOLE,
    },
    "diversity": {
        "ensemble": _TEXT,
        "size": _WHOLE,
        "condition": _TEXT,
        "metric": _TEXT,
        "value": _REAL,
        "n_undefined": _WHOLE,
    },
    "correlations": {
        "metric": _TEXT,
        "size": _WHOLE,
        "consensus": _TEXT,
        "diversity_condition": _TEXT,
        "accuracy_condition": _TEXT,
        "statistic": _TEXT,
        "value": _REAL,
        "low": _REAL,
        "high": _REAL,
        "n_ensembles": _WHOLE,
        "note": _TEXT,
    },
    "pairs": {"model_a": _TEXT, "model_b": _TEXT, "condition": _TEXT, "metric": _TEXT, "value": _REAL},
    "samples": {"sample_id": _TEXT, "label_name": _TEXT, "condition": _TEXT, "png": _BYTES},
    "maps": {
        "sample_id": _TEXT,
        "condition": _TEXT,
        "model": _TEXT,
        "family": _TEXT,
        "predicted_name": _TEXT,
        "right": _FLAG,
        "png": _BYTES,
    },
    "metrics": {"metric": _TEXT},
}
SELECTION: Schema = {
    "role": _TEXT,
    "ensemble": _TEXT,
    "members": _TEXTS,
    "size": _WHOLE,
    "consensus": _TEXT,
    "half": _TEXT,
    "scope": _TEXT,
    "statistic": _TEXT,
    "n": _WHOLE,
    "top1": _REAL,
    "top1_low": _REAL,
    "top1_high": _REAL,
    "difference": _REAL,
    "difference_low": _REAL,
    "difference_high": _REAL,
    "params": _WHOLE,
    "macs": _WHOLE,
}


def _schema(
    text: str = "", real: str = "", whole: str = "", flag: str = "", binary: str = "", texts: str = ""
) -> Schema:
    """Names of columns, parted by blanks, by what they hold."""
    named: tuple[tuple[str, pl.DataType], ...] = (
        (text, _TEXT),
        (real, _REAL),
        (whole, _WHOLE),
        (flag, _FLAG),
        (binary, _BYTES),
        (texts, _TEXTS),
    )
    return {name: kind for names, kind in named for name in names.split()}


EXTRA: dict[str, Schema] = {
    "comparisons": _schema(
        text="ensemble consensus condition",
        real="difference low high low_corrected high_corrected p_corrected",
        whole="size n num_compared",
    ),
    "gains": _schema(
        text="ensemble consensus condition best_model",
        real="difference low high low_corrected high_corrected",
        whole="size rank n num_compared",
    ),
    "power": _schema(
        text="consensus condition",
        real="discordant smallest_gain smallest_gain_corrected images_for_a_point",
        whole="size n num_compared",
    ),
    "calibration": _schema(
        text="ensemble condition", real="nll nll_stderr brier brier_stderr ece ece_debiased", whole="size"
    ),
    "agreement": _schema(
        text="ensemble condition",
        real="coverage risk risk_low risk_high",
        whole="size agreeing n accepted",
    ),
    "votes": _schema(
        text="ensemble condition voter",
        real="right safe_stop silent_wrong silent_wrong_low silent_wrong_high",
        whole="size n",
    ),
    "rival": _schema(
        text="condition system name",
        real="coverage confidence silent_wrong low high difference difference_low difference_high",
        whole="size agreeing n accepted",
    ),
    "all_fail": _schema(
        text="group dataset sample_id label_name condition answers",
        whole="num_conditions of_conditions",
        binary="png",
    ),
    "joint_failures": _schema(
        text="ensemble condition subset",
        real="all_fail all_fail_low all_fail_high all_fail_independent majority_fail "
        "majority_fail_independent vote_fail identical_wrong beta beta_stderr beta_independent",
        whole="size n",
    ),
    "methodologies": _schema(
        text="condition subset grouping methodology_a methodology_b quantity note",
        real="value low high",
        whole="m_a m_b",
    ),
    "properties": _schema(
        text="condition grouping methodology_a methodology_b property note",
        real="value low high margin",
        flag="holds",
    ),
    "predicted_failures": _schema(
        text="condition ensemble system predicted_from grouping note",
        real="predicted independent observed observed_low observed_high",
        whole="size n",
    ),
    "robustness": _schema(
        text="condition model family training",
        real="clean_top1 top1 expected_top1 residual_points low high",
        whole="n_models",
    ),
    "robustness_groups": _schema(
        text="condition kind group note", real="residual_points low high", whole="n_models"
    ),
    "suspects": _schema(
        text="dataset sample_id condition label_name agreed_name",
        real="agreed_share",
        whole="num_wrong num_models",
        binary="png",
    ),
    "lineage": _schema(text="model_a model_b kind value"),
    "hazards": _schema(
        text="ensemble condition kind name",
        real="joint_failure low high failure expected_cost",
        whole="size n",
    ),
    "cka": _schema(
        text="condition model_a layer_a model_b layer_b note",
        real="value stderr",
        whole="depth_a depth_b n_images",
    ),
    "attribution_agreement": _schema(
        text="condition target normalise method_a method_b", real="pearson spearman low high", whole="n_pairs"
    ),
    "benchmark": _schema(
        text="dataset set stored ensemble consensus quantity baseline note",
        real="value low high",
        whole="size corruptions of_corruptions levels of_levels",
        flag="complete",
    ),
    "benchmark_corruptions": _schema(
        text="dataset set stored corruption ensemble quantity note",
        real="value low high",
        whole="size levels of_levels",
    ),
    "benchmark_differences": _schema(
        text="dataset set stored quantity ensemble against", real="value low high", whole="size"
    ),
    "severities": _schema(
        text="dataset corruption stored ensemble quantity note",
        real="value low high first last",
        whole="size levels",
    ),
    "front": _schema(
        text="consensus ensemble",
        real="chosen_top1 top1 top1_low top1_high unseen_top1 unseen_low unseen_high",
        whole="size params macs",
        flag="is_single",
    ),
    "selection_splits": _schema(
        text="ensemble consensus best_single_model",
        texts="members",
        whole="split size",
        real="gain_chosen gain_held_out gain_unseen",
    ),
}
"""Tables that a study may lack, as one of an earlier version does."""

LATER_COLUMNS: dict[str, Schema] = {
    "conditions": _schema(text="stored"),
    "models": _schema(
        text="architecture initial_weights teacher",
        texts="training_data",
        real="brier ece_debiased",
        flag="family_declared training_declared",
    ),
    "ensembles": _schema(text="best_member shared_lineage"),
    "diversity": _schema(real="stderr"),
}
"""Columns of the tables above that an earlier study lacks: "" and nan there."""
REQUIRED = ("conditions", "models", "ensembles")
MEAN_ACCURACY = "mean_member_accuracy"
