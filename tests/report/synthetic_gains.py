"""The made-up tables of gains: the ten best, power, the voter's rival, images on which all fail."""

from __future__ import annotations

from typing import Any

import polars as pl


def gain_tables(
    world: Any, comparisons: pl.DataFrame, png: bytes, selection: bool
) -> dict[str, pl.DataFrame]:
    """By name; without an ensemble there is nothing of the first three."""
    tables = {"all_fail": _all_fail(world, png)}
    if comparisons.height:
        tables |= {"gains": _gains(comparisons), "power": _power(comparisons)}
        if selection:
            tables["rival"] = _rival(world)
    return tables


def _gains(comparisons: pl.DataFrame) -> pl.DataFrame:
    """Those of the ten highest gains over the best member, as if that was the best model of all."""
    keys = ["size", "consensus", "condition"]
    rank = pl.col("difference").rank("ordinal", descending=True).over(keys).cast(pl.Int64)
    return (
        comparisons.with_columns(rank.alias("rank"))
        .filter(pl.col("rank") <= 10)
        .sort(*keys, "rank")
        .rename({"best_member": "best_model", "only_member": "only_model"})
        .drop("p_value", "p_corrected")
    )


def _power(comparisons: pl.DataFrame) -> pl.DataFrame:
    return comparisons.group_by("size", "consensus", "condition", maintain_order=True).agg(
        pl.col("n").first(),
        pl.col("num_compared").first(),
        pl.lit(0.04).alias("discordant"),
        pl.lit(0.0312).alias("smallest_gain"),
        pl.lit(0.0451).alias("smallest_gain_corrected"),
        pl.lit(3137.0).alias("images_for_a_point"),
    )


def _rival(world: Any) -> pl.DataFrame:
    first = next(iter(world.members.values()))[0]
    rows = []
    for condition in world.conditions:
        of_model = {"condition": condition["condition"], "system": "model", "size": 1, "n": 150}
        rows += [
            of_model
            | {"name": world.models[0]["model"], "agreeing": None, "accepted": 30 * k, "coverage": k / 5}
            | {"confidence": 1 - k / 10, "silent_wrong": 0.04 * k, "low": 0.03 * k, "high": 0.05 * k}
            | {"difference": None, "difference_low": None, "difference_high": None}
            for k in range(1, 6)
        ]
        rows.append(
            of_model
            | {"system": "voter", "size": len(first), "name": world.name(first), "agreeing": len(first)}
            | {"accepted": 90, "coverage": 0.6, "confidence": 0.7, "silent_wrong": 0.05, "low": 0.02}
            | {"high": 0.09, "difference": -0.07, "difference_low": -0.12, "difference_high": -0.02}
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _all_fail(world: Any, png: bytes) -> pl.DataFrame:
    schema = {
        "group": pl.String, "members": pl.List(pl.String), "dataset": pl.String, "sample_id": pl.String,
        "label": pl.Int64, "label_name": pl.String, "num_conditions": pl.Int64, "of_conditions": pl.Int64,
        "condition": pl.String, "answers": pl.String, "png": pl.Binary,
    }  # fmt: skip
    first = world.conditions[0]
    names = [model["model"] for model in world.models]
    rest = (first["condition"], "screen (2 of 3), dog (1 of 3)")
    return pl.DataFrame(
        [
            ("all models", names, first["dataset"], f"{k}.jpg", k, f"class {k}", 2 - k, 2, *rest, picture)
            for k, picture in enumerate((png, None))
        ],
        schema=schema,
        orient="row",
    )
