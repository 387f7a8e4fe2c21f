"""The benchmark tables by published set, and their rows for a model or contender."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import polars as pl

from .blocks import NOT_MEASURED, Cell, points_cell, share_cell
from .contenders import Contender, contenders, of
from .labels import in_dataset, plural
from .tables import Study

_ORDER = ("mce", "relative_mce", "mean_error")


@dataclass(frozen=True)
class BenchmarkSet:
    """One published set of corruptions on one data set from one source, as far as a study covers it.

    Attributes:
        key: dataset, set and stored.
        rows, of_corruptions, differences: its rows of the three tables.
    """

    study: Study
    key: Mapping[str, str]
    rows: pl.DataFrame
    of_corruptions: pl.DataFrame
    differences: pl.DataFrame

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The row that holds how many corruptions and levels the errors are over."""
        return self.rows.filter(pl.col("quantity").str.ends_with("mean_error")).row(0, named=True)

    @cached_property
    def quantities(self) -> list[str]:
        """Those that are defined, corruption errors first."""
        defined = set(self.rows.filter(pl.col("value").is_not_nan())["quantity"])
        return [name for q in _ORDER for name in (q, f"partial_{q}") if name in defined]

    @property
    def sorted_by(self) -> str:
        """The quantity that tables are sorted by, and whose differences are known."""
        return self.quantities[0] if self.quantities else "partial_mean_error"

    @property
    def name(self) -> str:
        """The set's name, with its source on disk and its data set where there are several."""
        stored = f" ({self.key['stored']})" if self.key["stored"] else ""
        name = "Other corruptions" if self.key["set"] == "other" else self.key["set"]
        return in_dataset(self.study, self.key["dataset"], name + stored)

    def over(self, quantity: str) -> str:
        """How many of how many corruptions and levels a mean is over."""
        row = self.rows.filter(quantity=quantity).row(0, named=True)
        if row["of_corruptions"] is None:
            severities = "1 severity" if row["levels"] == 1 else f"{row['levels']} severities"
            return f"over {plural(row['corruptions'], 'corruption')} at {severities}"
        return (
            f"over {row['corruptions']} of {row['of_corruptions']} corruptions and {row['levels']} of "
            f"{row['of_levels']} levels"
        )

    def difference(self, name: str, other: str) -> Cell:
        """Difference of two contenders on the same images, from the rows of either."""
        for ensemble, against, sign in ((name, other, 1), (other, name, -1)):
            rows = self.differences.filter(ensemble=ensemble, against=against)
            if rows.height:
                row = rows.row(0, named=True)
                low, high = sorted((sign * row["low"], sign * row["high"]))
                return points_cell(sign * row["value"], low, high)
        return Cell("not compared")


def benchmark_sets(study: Study) -> list[BenchmarkSet]:
    """Every set that the study covers in part, in the order of its conditions; other corruptions last."""
    keys = ["dataset", "set", "stored"]
    names = ["benchmark", "benchmark_corruptions", "benchmark_differences"]
    if not study.has(*names):
        return []
    rows, of_corruptions, differences = map(study.table, names)
    seen = rows.select(keys).unique(maintain_order=True).sort(pl.col("set") == "other", maintain_order=True)
    return [
        BenchmarkSet(study, key, rows.filter(**key), of_corruptions.filter(**key), differences.filter(**key))
        for key in seen.iter_rows(named=True)
    ]


def models_and_contenders(study: Study) -> list[tuple[str, str, Contender]]:
    """Label, the name set small below it, and the contender: ensembles, then all models."""
    ensembles = [(who.label, who.ensemble or "", who) for who in contenders(study)]
    return ensembles + [(m, "", Contender(m, m, 1)) for m in study.model_names]


def values_of(frame: pl.DataFrame, who: Contender, *keys: str) -> pl.DataFrame:
    """Columns quantity, `keys`, value, low, high, note; for the mean, low and high are quantiles."""
    if who.ensemble is not None:
        return frame.filter(ensemble=who.ensemble, size=who.size)
    mean = of(frame, who, ["quantity", *keys], ["value"])
    return mean.with_columns(
        pl.col("value_p05").alias("low"), pl.col("value_p95").alias("high"), pl.lit("").alias("note")
    )


def percent_cell(row: Mapping[str, Any] | None) -> Cell:
    """A value in percent over its interval, or over the range of the ensembles that it is the mean of."""
    if row is None:
        return NOT_MEASURED
    cell = share_cell(row["value"], row["low"], row["high"], 1, spread="value_p05" in row)
    return replace(cell, note=row["note"] or "")
