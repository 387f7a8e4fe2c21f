"""Frames that several sections share: joined, normalised, and sampled by a stated rule."""

from __future__ import annotations

from typing import Any

import polars as pl

from nversion.core import generator, normal

from .labels import condition_label
from .tables import MEAN_ACCURACY, NORMALISE, Study
from .undefined import defined, number, or_nan

MAX_DRAWN = 1000
"""Ensembles of one size that a scatter plot shows; trends and correlations use all of them."""
NORMAL_QUANTILE = normal.normal_quantile(0.95)
"""Half width of a 95 % interval, in standard errors."""
FEWEST_TO_RELATE = 8
"""Models that correlations over ensembles need: with fewer, intervals contain nearly all values.

The coverage of these intervals was measured from so many models on (`reliability/relation_intervals.py`).
"""
FEWEST_FOR_A_LINE = 5
"""Models that a regression line needs: with fewer, intervals are wider than accuracies differ."""


def with_labels(study: Study, frame: pl.DataFrame, to: str = "label") -> pl.DataFrame:
    """Add the label of each row's condition."""
    labels = {c: condition_label(study, c) for c in study.condition_names}
    return frame.with_columns(pl.col("condition").replace_strict(labels, default=None).alias(to))


def keyed(frame: pl.DataFrame, column: str) -> dict[Any, dict[str, Any]]:
    """The rows of a frame by the values of a column that are all different."""
    return {row[column]: row for row in frame.iter_rows(named=True)}


def conditions_in(study: Study, frame: pl.DataFrame) -> list[str]:
    """The conditions of a frame in the study's order."""
    present = set(frame["condition"])
    return [c for c in study.condition_names if c in present]


def has_a_line(study: Study) -> bool:
    """Whether there are enough models for the regression line of effective robustness."""
    if not study.has("robustness", "robustness_groups"):
        return False
    known = study.table("robustness", pl.col("residual_points").is_not_nan())
    return known["model"].n_unique() >= FEWEST_FOR_A_LINE


def diversity_values(study: Study) -> pl.DataFrame:
    """Columns ensemble, size, condition, metric, raw: the diversity table and the mean member accuracy."""
    keys = ["ensemble", "size", "condition", "metric", pl.col("value").alias("raw")]
    measured = study.table("diversity", pl.col("metric") != MEAN_ACCURACY, pl.col("size") > 1)
    accuracy = (
        study.ensembles.filter(pl.col("size") > 1)
        .unique(["ensemble", "size", "condition"], keep="first", maintain_order=True)
        .with_columns(pl.lit(MEAN_ACCURACY).alias("metric"), pl.col("mean_member_top1").alias("value"))
        .select(keys)
    )
    return accuracy if measured.is_empty() else pl.concat([measured.select(keys), accuracy])


def with_normalised(values: pl.DataFrame) -> pl.DataFrame:
    """Add `x`: raw, min-max over the ensembles of one size, condition and metric.

    nan where raw is nan and where all ensembles have the same value: the scale is then undefined.
    """
    group = ["size", "condition", "metric"]
    raw = defined("raw")
    low, span = raw.min().over(group), (raw.max() - raw.min()).over(group)
    return values.with_columns(or_nan(pl.when(span > 0).then((raw - low) / span)).alias("x"))


def drawn_ensembles(study: Study, limit: int = MAX_DRAWN) -> pl.DataFrame:
    """Columns ensemble, size: at most `limit` of each size, drawn with a generator seeded by the size."""
    ensembles = (
        study.ensembles.select("ensemble", "size").unique(maintain_order=True).filter(pl.col("size") > 1)
    )
    parts = []
    for size in study.sizes:
        part = ensembles.filter(pl.col("size") == size)
        if part.height > limit:
            rng = generator("ensembles drawn in a report", size)
            part = part[sorted(rng.choice(part.height, limit, replace=False).tolist())]
        parts.append(part)
    return pl.concat(parts) if parts else ensembles


def unit_length_first(agreement: pl.DataFrame) -> pl.DataFrame:
    """The table with normalised maps before raw ones."""
    rank = pl.col("normalise").replace_strict({n: i for i, n in enumerate(NORMALISE)}, default=len(NORMALISE))
    return agreement.sort(rank, maintain_order=True)


def share_of_one_model(study: Study, metric: str, size: int, condition: str) -> tuple[str, float] | None:
    """The model whose presence explains most of a metric's variance over ensembles, and that share (R²).

    With n of N ensembles holding the model, whose mean lies d from the mean of all: n·d²·N/(N − n) of the
    sum of squares. None where the metric does not vary, or all ensembles hold the same models.
    """
    rows = study.table(
        "diversity", pl.col("value").is_not_nan(), metric=metric, size=size, condition=condition
    )
    mean, num = rows["value"].mean(), rows.height
    if not isinstance(mean, float):
        return None
    squares = float(((rows["value"] - mean) ** 2).sum())
    shares = (
        rows.select("value", pl.col("members").alias("model"))
        .explode("model")
        .group_by("model", maintain_order=True)
        .agg(pl.len().alias("n"), (pl.col("value").mean() - mean).alias("d"))
        .filter(pl.col("n") < num)
        .with_columns((pl.col("n") * pl.col("d") ** 2 * num / (num - pl.col("n"))).alias("between"))
        .sort("between", descending=True)
    )
    if shares.is_empty() or squares <= 1e-24 * num * mean**2:
        return None
    model, *_, between = shares.row(0)
    return str(model), between / squares


def num_ensembles(study: Study, size: int) -> int:
    return study.ensembles.filter(pl.col("size") == size)["ensemble"].n_unique()


def has_several(study: Study) -> bool:
    """Whether there are several ensembles of some size, so that they can be compared with each other."""
    return any(num_ensembles(study, size) > 1 for size in study.sizes)


def can_relate(study: Study) -> bool:
    """Whether there are enough models for correlations over ensembles."""
    return len(study.model_names) >= FEWEST_TO_RELATE


def relation(study: Study, **where: Any) -> dict[str, Any] | None:
    """One row of the correlations table; None where there is none.

    `condition=` stands for the same diversity_condition and accuracy_condition.
    """
    condition = where.pop("condition", None)
    if condition is not None:
        where |= {"diversity_condition": condition, "accuracy_condition": condition}
    rows = study.table("correlations", **where)
    return rows.row(0, named=True) if rows.height else None


def share_above_zero(study: Study) -> pl.DataFrame:
    """Columns size, consensus, condition, num, above, clearly_above, clearly_below, median.

    Shares of ensembles. "Clearly" means that an interval of the improvement excludes zero: the one
    corrected for comparing all ensembles of that size, rule and condition where the study has compared
    them, else 95 % for each alone, over images and for fixed models.
    """
    gain, half = pl.col("improvement"), NORMAL_QUANTILE * defined("improvement_stderr")
    known = study.ensembles.filter(pl.col("size") > 1, gain.is_not_nan())
    keys = ["size", "consensus", "condition"]
    shares = known.group_by(keys, maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("num"),
        (gain > 0).mean().alias("above"),
        (number(gain - half > 0) / pl.len()).alias("clearly_above"),
        (number(gain + half < 0) / pl.len()).alias("clearly_below"),
        gain.median().alias("median"),
    )
    corrected = compared(study)
    if corrected.is_empty():
        return shares
    corrected = corrected.select(
        *keys, *((pl.col(kind) / pl.col("num")).alias(f"{kind}_share") for kind in ("better", "worse"))
    )
    return (
        shares.join(corrected, on=keys, how="left", maintain_order="left")
        .with_columns(
            pl.coalesce("better_share", "clearly_above").alias("clearly_above"),
            pl.coalesce("worse_share", "clearly_below").alias("clearly_below"),
        )
        .drop("better_share", "worse_share")
    )


def compared(study: Study) -> pl.DataFrame:
    """Columns size, consensus, condition, num, known, better, worse, tested: numbers of ensembles.

    Better or worse than the best member by the corrected interval, of the `known` ones that have it;
    `tested` by the corrected p-value below 0.05. No rows where the study has not compared them.
    """
    rows = study.table("comparisons", pl.col("size") > 1)
    if rows.is_empty():
        return rows
    return rows.group_by("size", "consensus", "condition", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("num"),
        number((defined("low_corrected") + defined("high_corrected")).is_not_null()).alias("known"),
        number(defined("low_corrected") > 0).alias("better"),
        number(defined("high_corrected") < 0).alias("worse"),
        number(defined("p_corrected") < 0.05).alias("tested"),
    )


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of n images; nan where the share is undefined.

    >>> low, high = wilson(0.5, 100)
    >>> round(low, 3), round(high, 3)
    (0.404, 0.596)
    """
    low, high = normal.wilson(share * n, n)
    return float(low), float(high)
