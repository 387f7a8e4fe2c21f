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
        "nll": _REAL,
        "ece": _REAL,
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
SELECTION: dict[str, pl.DataType] = {
    "role": _TEXT,
    "ensemble": _TEXT,
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
}
REQUIRED = ("conditions", "models", "ensembles")
OPTIONAL = ("samples", "maps", "selection")
"""Tables that a report can do without: those of another run are left out, and that is said."""
MEAN_ACCURACY = "mean_member_accuracy"


@dataclass(frozen=True)
class Choice:
    """What `nversion select` chose on one half of the images, and how good that is on the other.

    Attributes:
        rows: the rows of its table that sum conditions up by the rule's own criterion.
        facts: the settings, the names of the seen and the unseen conditions, the number of
            candidates, and drop, average_drop, optimism, regret_seen and regret_unseen as fractions.
    """

    rows: pl.DataFrame
    facts: dict[str, Any]

    def row(self, role: str, half: str, scope: str) -> dict[str, Any] | None:
        """A contender's row of one part; None where it has none."""
        found = self.rows.filter(role=role, half=half, scope=scope)
        return found.row(0, named=True) if found.height else None


@dataclass(frozen=True)
class Study:
    """A study as it stands on disk, in the order it was written; undefined numbers are nan.

    The tables besides conditions, models and ensembles have no rows when absent; `selection` is then
    None. `left_out` names the tables that are there but of another run.
    """

    folder: Path
    manifest: dict[str, Any]
    conditions: pl.DataFrame
    models: pl.DataFrame
    ensembles: pl.DataFrame
    diversity: pl.DataFrame
    correlations: pl.DataFrame
    pairs: pl.DataFrame
    samples: pl.DataFrame
    maps: pl.DataFrame
    metrics: pl.DataFrame
    selection: Choice | None = None
    left_out: tuple[str, ...] = ()

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
        UserError: the folder is no study, a table lacks a column, or a table is of another run than the
            manifest (one that was ended between the two).
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
    left_out = _of_another_run(tables, manifest.get("study_hash"))
    frames = {
        name: pl.DataFrame(schema=schema) if name in left_out else _read(tables / f"{name}.parquet", schema)
        for name, schema in SCHEMAS.items()
    }
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
    selection = None if "selection" in left_out else _read_selection(tables / "selection.parquet")
    return Study(folder, manifest, **frames, selection=selection, left_out=left_out)


def _of_another_run(tables: Path, study_hash: str | None) -> tuple[str, ...]:
    """The optional tables whose study is not the manifest's; raises for any other such table."""
    others = []
    for name in (*SCHEMAS, "selection"):
        path = tables / f"{name}.parquet"
        if not path.is_file() or (found := _metadata(path).get("study_hash")) == study_hash:
            continue
        if name not in OPTIONAL:
            raise UserError(
                expected=f"all tables of the run that wrote {tables.parent / 'manifest.json'} "
                f"(study {study_hash or 'unnamed'})",
                found=f"tables/{name}.parquet of {f'study {found}' if found else 'an unnamed study'}",
                next_step="run the study again: nversion study run STUDY.toml",
            )
        others.append(name)
    return tuple(others)


def _read_selection(path: Path) -> Choice | None:
    if not path.is_file():
        return None
    frame = _read(path, SELECTION)
    try:
        facts = json.loads(_metadata(path)["selection"])
        return Choice(frame.filter(statistic=facts["criterion"]), facts)
    except (KeyError, ValueError) as error:
        raise UserError(
            expected=f"the settings of the selection in the metadata of {path}",
            found=repr(error),
            next_step=f"make it again: nversion select {path.parents[1]}",
        ) from error


def _metadata(path: Path) -> dict[str, str]:
    try:
        return pl.read_parquet_metadata(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _no_parquet(path, error) from error


def _read(path: Path, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    if not path.is_file():
        return pl.DataFrame(schema=schema)
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _no_parquet(path, error) from error
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


def _no_parquet(path: Path, error: Exception) -> UserError:
    return UserError(
        expected=f"a parquet file at {path}",
        found=str(error).splitlines()[0],
        next_step="remove it and run `nversion study run STUDY.toml` again",
    )
