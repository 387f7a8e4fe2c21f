"""The frames that figures, tables and findings share: joined, normalised, and thinned by a stated rule."""

from __future__ import annotations

from typing import Any

import polars as pl

from nversion.core import generator

from .tables import MEAN_ACCURACY, Study

MAX_DRAWN = 1000
"""Ensembles of one size that a scatter plot shows; trends and correlations use all of them."""
NORMAL_QUANTILE = 1.959963984540054
"""Half width of a 95 % interval, in standard errors."""


def diversity_values(study: Study) -> pl.DataFrame:
    """Columns ensemble, size, condition, metric, raw: the diversity table and the mean member accuracy."""
    keys = ["ensemble", "size", "condition", "metric", pl.col("value").alias("raw")]
    measured = study.diversity.filter(pl.col("metric") != MEAN_ACCURACY, pl.col("size") > 1).select(keys)
    accuracy = (
        study.ensembles.filter(pl.col("size") > 1)
        .unique(["ensemble", "size", "condition"], keep="first", maintain_order=True)
        .with_columns(pl.lit(MEAN_ACCURACY).alias("metric"), pl.col("mean_member_top1").alias("value"))
        .select(keys)
    )
    return pl.concat([measured, accuracy])


def with_normalised(values: pl.DataFrame) -> pl.DataFrame:
    """Add `x`: raw, min-max over the ensembles of one size, condition and metric.

    nan where raw is nan and where all ensembles have the same value: the scale is then undefined.
    """
    group = ["size", "condition", "metric"]
    defined = pl.when(pl.col("raw").is_not_nan()).then(pl.col("raw"))
    low, span = defined.min().over(group), (defined.max() - defined.min()).over(group)
    return values.with_columns(
        pl.when(span > 0)
        .then((pl.col("raw") - low) / span)
        .otherwise(float("nan"))
        .fill_null(float("nan"))
        .alias("x")
    )


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


def num_ensembles(study: Study, size: int) -> int:
    return study.ensembles.filter(pl.col("size") == size)["ensemble"].n_unique()


def relation(study: Study, **where: Any) -> dict[str, Any] | None:
    """One row of the correlations table; None where there is none.

    `condition=` stands for the same diversity_condition and accuracy_condition.
    """
    condition = where.pop("condition", None)
    if condition is not None:
        where |= {"diversity_condition": condition, "accuracy_condition": condition}
    rows = study.correlations.filter(**where)
    return rows.row(0, named=True) if rows.height else None


def share_above_zero(study: Study) -> pl.DataFrame:
    """Columns size, consensus, condition, num, above, clearly_above, clearly_below: shares of ensembles.

    "Clearly" means that the 95 % interval of the improvement excludes zero (its standard error is the
    one over images, for fixed models).
    """
    half = NORMAL_QUANTILE * pl.col("improvement_stderr")
    defined = study.ensembles.filter(pl.col("size") > 1, pl.col("improvement").is_not_nan())
    return defined.group_by("size", "consensus", "condition", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("num"),
        (pl.col("improvement") > 0).mean().alias("above"),
        (half.is_not_nan() & (pl.col("improvement") - half > 0)).mean().alias("clearly_above"),
        (half.is_not_nan() & (pl.col("improvement") + half < 0)).mean().alias("clearly_below"),
        pl.col("improvement").median().alias("median"),
    )


def worst_condition(study: Study) -> pl.DataFrame:
    """Every candidate to deploy with its lowest accuracy over all conditions.

    Columns candidate, size, consensus, worst_top1, worst_at, mean_top1, improvement, improvement_stderr
    (both at the worst condition; nan for a single model), params, macs. Single models stand under
    every consensus.
    """
    columns = ["candidate", "size", "consensus", "condition", "top1"]
    columns += ["improvement", "improvement_stderr", "params", "macs"]
    measured = study.ensembles.filter(
        pl.col("consensus").is_in(study.consensus), pl.col("condition").is_in(study.condition_names)
    )
    ensembles = measured.filter(pl.col("size") > 1).rename({"ensemble": "candidate"}).select(columns)
    alone = study.models.rename({"model": "candidate"}).with_columns(
        pl.lit(1, pl.Int64).alias("size"),
        pl.lit(float("nan")).alias("improvement"),
        pl.lit(float("nan")).alias("improvement_stderr"),
    )
    rules = pl.DataFrame({"consensus": study.consensus}, schema={"consensus": pl.String})
    singles = alone.join(rules, how="cross").select(columns)
    everything = pl.concat([singles, ensembles]).filter(pl.col("top1").is_not_nan())
    key = ["candidate", "size", "consensus"]
    return (
        everything.with_columns(
            pl.col("top1").mean().over(key).alias("mean_top1"), pl.len().over(key).alias("num_conditions")
        )
        # One that misses a condition would look better than it is.
        .filter(pl.col("num_conditions") == len(study.condition_names))
        .sort("top1", maintain_order=True)
        .unique(key, keep="first", maintain_order=True)
        .rename({"top1": "worst_top1", "condition": "worst_at"})
        .drop("num_conditions")
        .sort("consensus", "size", "candidate")
    )


def pareto_front(candidates: pl.DataFrame, cost: str) -> pl.DataFrame:
    """The candidates of one consensus that no cheaper or equally cheap one matches, by rising cost."""
    known = candidates.filter(pl.col(cost).is_not_null())
    ordered = known.sort([cost, "worst_top1", "size", "candidate"], descending=[False, True, False, False])
    best_so_far = ordered["worst_top1"].cum_max().shift(1).fill_null(float("-inf"))
    return ordered.filter(ordered["worst_top1"] > best_so_far)
