"""The metrics of a training: one row for each value, written as parquet and kept in checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nversion.core import whole_file

COLUMNS = ("stage", "epoch", "step", "split", "metric", "member", "value")
"""stage: its number. epoch, step: of the stage that are done. split: "train" (means over the epoch, dropout
and augmentation on) or "validation". metric: a term of the loss, "loss", "accuracy", "ensemble_accuracy",
"disagreement" (fractions), "cross_entropy", "ensemble_cross_entropy" (nats), "images_per_second",
"learning_rate". member: its name, or "" of all. value: float."""


@dataclass
class Record:
    """Rows in the order in which they were measured."""

    rows: list[list[Any]] = field(default_factory=list)

    def add(
        self, stage: int, epoch: float, step: int, split: str, metric: str, value: float, member: str = ""
    ) -> None:
        """Append one value."""
        self.rows.append([stage, epoch, step, split, metric, member, float(value)])

    def write(self, path: Path) -> None:
        """Write all rows to a parquet file; whole or not at all."""
        import polars as pl

        types = {
            **{"stage": pl.Int64, "epoch": pl.Float64, "step": pl.Int64, "split": pl.String},
            **{"metric": pl.String, "member": pl.String, "value": pl.Float64},
        }
        with whole_file(path) as temporary:
            pl.DataFrame(self.rows, schema=types, orient="row").write_parquet(temporary)
