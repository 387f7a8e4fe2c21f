"""Read the tables of a study folder and check, once, that they hold what the report draws."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from nversion.core import UserError

_TEXT, _WHOLE, _REAL, _FLAG, _BYTES = pl.String(), pl.Int64(), pl.Float64(), pl.Boolean(), pl.Binary()

SCHEMAS: dict[str, dict[str, pl.DataType]] = {
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
    },
    "ensembles": {
        "ensemble": _TEXT,
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
    },
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
REQUIRED = ("conditions", "models", "ensembles")
MEAN_ACCURACY = "mean_member_accuracy"


@dataclass(frozen=True)
class Study:
    """A study as it stands on disk, in the order it was written; undefined numbers are nan.

    The optional tables (diversity, correlations, samples, maps, metrics) have no rows when absent.
    """

    folder: Path
    manifest: dict[str, Any]
    conditions: pl.DataFrame
    models: pl.DataFrame
    ensembles: pl.DataFrame
    diversity: pl.DataFrame
    correlations: pl.DataFrame
    samples: pl.DataFrame
    maps: pl.DataFrame
    metrics: pl.DataFrame

    @property
    def name(self) -> str:
        for key in ("study", "name", "study_name"):
            if isinstance(self.manifest.get(key), str):
                return str(self.manifest[key])
        return self.folder.resolve().name

    @cached_property
    def model_names(self) -> list[str]:
        return self.models["model"].unique(maintain_order=True).to_list()

    @cached_property
    def condition_names(self) -> list[str]:
        """Conditions that the models were measured on, in the order of the conditions table."""
        measured = set(self.models["condition"])
        return [c for c in self.conditions["condition"] if c in measured]

    @cached_property
    def clean(self) -> list[str]:
        return [c for c in self.condition_names if self._fact(c, "corruption") is None]

    @cached_property
    def corrupted(self) -> list[str]:
        return [c for c in self.condition_names if self._fact(c, "corruption") is not None]

    @property
    def first_condition(self) -> str:
        """The first clean condition; the first one where none is clean."""
        return (self.clean or self.condition_names)[0]

    @cached_property
    def sizes(self) -> list[int]:
        """Numbers of members that ensembles have; a single model is no ensemble."""
        return sorted(size for size in self.ensembles["size"].unique() if size > 1)

    @property
    def default_size(self) -> int | None:
        """Three members, as in the paper, where there are such ensembles."""
        return 3 if 3 in self.sizes else (self.sizes[0] if self.sizes else None)

    @cached_property
    def consensus(self) -> list[str]:
        """Rules that can differ: the geometric mean is left out where averaging is there, its twin."""
        rules: list[str] = self.ensembles["consensus"].unique(maintain_order=True).to_list()
        return [r for r in rules if not (r == "geometric_mean" and "average" in rules)]

    @property
    def default_consensus(self) -> str | None:
        return "average" if "average" in self.consensus else (self.consensus[0] if self.consensus else None)

    @cached_property
    def metric_names(self) -> list[str]:
        """Measured diversity metrics, then the mean member accuracy that they compete with."""
        found = [m for m in self.diversity["metric"].unique(maintain_order=True) if m != MEAN_ACCURACY]
        return [*found, MEAN_ACCURACY] if self.sizes else found

    @property
    def attribution_metric(self) -> str | None:
        """The attribution metric to speak of: raw maps of the predicted class where there are such."""
        found = [m for m in self.metric_names if m.startswith("attribution_")]
        return next((m for m in found if m.endswith("_predicted_none")), found[0] if found else None)

    @property
    def headline_metrics(self) -> list[str]:
        """The paper's three rows (Figure 7): attribution, disagreement, mean member accuracy."""
        wanted = [self.attribution_metric, "disagreement", MEAN_ACCURACY]
        return [m for m in wanted if m is not None and m in self.metric_names]

    def clean_twin(self, condition: str) -> str | None:
        """The clean condition of the same data set; None for a clean one or where it was not run."""
        if condition in self.clean:
            return None
        data = self._fact(condition, "dataset")
        return next((c for c in self.clean if self._fact(c, "dataset") == data), None)

    def num_images(self, condition: str) -> int:
        return int(self._fact(condition, "n"))

    def fact(self, condition: str) -> dict[str, Any]:
        """The condition's row in the conditions table."""
        return self._facts[condition]

    @cached_property
    def _facts(self) -> dict[str, dict[str, Any]]:
        return {row["condition"]: row for row in self.conditions.iter_rows(named=True)}

    def _fact(self, condition: str, key: str) -> Any:
        return self._facts[condition][key]


def read_study(folder: Path) -> Study:
    """Read FOLDER/manifest.json and FOLDER/tables/*.parquet.

    Raises:
        UserError: the folder is no study, or a table lacks a column.
    """
    tables = folder / "tables"
    needed = [folder / "manifest.json", *(tables / f"{name}.parquet" for name in REQUIRED)]
    missing = [str(path.relative_to(folder)) for path in needed if not path.is_file()]
    if missing:
        raise UserError(
            expected=f"a finished study in {folder}",
            found="no such folder" if not folder.is_dir() else "no " + ", ".join(missing),
            next_step="run `nversion study run STUDY.toml` and give its folder",
        )
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            expected=f"JSON in {folder / 'manifest.json'}",
            found=str(error),
            next_step="run `nversion study run STUDY.toml` again: it writes the manifest anew",
        ) from error
    frames = {name: _read(tables / f"{name}.parquet", schema) for name, schema in SCHEMAS.items()}
    if frames["models"].is_empty() or frames["conditions"].is_empty():
        raise UserError(
            expected=f"at least one model on one condition in {tables}",
            found="an empty table",
            next_step="run `nversion study run STUDY.toml` to its end",
        )
    unlisted = sorted(set(frames["models"]["condition"]) - set(frames["conditions"]["condition"]))
    if unlisted:
        raise UserError(
            expected=f"every condition of {tables / 'models.parquet'} in conditions.parquet",
            found="no row for " + ", ".join(unlisted),
            next_step="run `nversion study run STUDY.toml` again: it writes all tables together",
        )
    return Study(folder, manifest, **frames)


def _read(path: Path, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    if not path.is_file():
        return pl.DataFrame(schema=schema)
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(
            expected=f"a parquet file at {path}",
            found=str(error).splitlines()[0],
            next_step="remove it and run `nversion study run STUDY.toml` again",
        ) from error
    lacking = [column for column in schema if column not in frame.columns]
    if lacking:
        raise UserError(
            expected=f"columns {', '.join(schema)} in {path}",
            found="no " + ", ".join(lacking),
            next_step="run `nversion study run STUDY.toml` again with this version",
        )
    frame = frame.with_columns(pl.col(column).cast(kind) for column, kind in schema.items())
    # Both null and nan say "undefined" in parquet files; one spelling makes one check enough.
    undefined_as_nan = [c for c, kind in schema.items() if kind == _REAL and c != "severity"]
    return frame.with_columns(pl.col(undefined_as_nan).fill_null(float("nan")))
