"""Read the tables of a study folder and check, once, that they hold what the report draws."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from nversion.core import UserError
from nversion.core.members import members_named
from nversion.core.reasons import reason_of
from nversion.core.sealed import read_records
from nversion.core.study_files import SELECTION_LOG, StudyFiles, run_again, table_path

from .names import attribution_parts
from .schemas import EXTRA, LATER_COLUMNS, MEAN_ACCURACY, REQUIRED, SCHEMAS, SELECTION, Schema


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
    None. `extra` holds the tables that a study may lack, those that are there; `table` gives any of
    them. `selections` are the lines of the log of all selections made in the folder, and
    `damaged_selections` counts the lines that do not match their seal.
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
    selections: tuple[dict[str, Any], ...] = ()
    damaged_selections: int = 0
    extra: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def table(self, name: str) -> pl.DataFrame:
        """A table that a study may lack; without rows where it does.

        Only rows of conditions that the models were measured on.
        """
        frame = self.extra.get(name)
        if frame is None:
            return pl.DataFrame(schema=EXTRA[name])
        if "condition" not in frame.columns:
            return frame
        return frame.filter(pl.col("condition").is_in(self.condition_names))

    @property
    def name(self) -> str:
        for key in ("study", "name", "study_name"):
            if isinstance(self.manifest.get(key), str):
                return str(self.manifest[key])
        return self.folder.resolve().name

    @cached_property
    def _members(self) -> dict[str, list[str]]:
        tables = [self.ensembles] if self.selection is None else [self.ensembles, self.selection.rows]
        named = pl.concat([table.select("ensemble", "members") for table in tables])
        return dict(named.drop_nulls().unique("ensemble", maintain_order=True).iter_rows())

    def members(self, ensemble: str) -> list[str]:
        """The models of an ensemble, by its name; of one that is not measured, as the name says them."""
        return self._members.get(ensemble) or members_named(ensemble, self.model_names)

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

    def rules(self, size: int) -> list[str]:
        """Rules that can differ, and win, for ensembles of a size.

        The median of two members is their mean, and a vote of two is on average as often right as its
        members are, so it never beats the better one: both are left out where averaging is there.
        """
        if size > 2 or "average" not in self.consensus:
            return self.consensus
        return [rule for rule in self.consensus if rule not in ("median", "vote")]

    @property
    def default_consensus(self) -> str | None:
        return "average" if "average" in self.consensus else (self.consensus[0] if self.consensus else None)

    @cached_property
    def metric_names(self) -> list[str]:
        """Measured diversity metrics, then the mean member accuracy that they compete with.

        Those conditioned on who is right are left to their own table.
        """
        measured = self.diversity["metric"].unique(maintain_order=True)
        found = [m for m in measured if m != MEAN_ACCURACY and not is_conditioned(m)]
        return [*found, MEAN_ACCURACY] if self.sizes else found

    @property
    def attribution_metric(self) -> str | None:
        """The attribution metric to speak of: of maps at unit length, of the predicted class, by saliency.

        The paper's is of raw maps, whose variance is mostly the scale of the models' gradients.
        """
        found = [m for m in self.metric_names if m.startswith("attribution_")]
        first = ("_saliency_predicted", "_predicted", "")
        wanted = [f"{end}_{scale}" for scale in ("l2", "sum", "none") for end in first]
        return next((m for ending in wanted for m in found if m.endswith(ending)), None)

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


def is_conditioned(metric: str) -> bool:
    """Whether a metric is over the images that all, some or none of the members classify rightly."""
    parts = attribution_parts(metric)
    return parts is not None and parts.who != ""


def read_study(folder: Path) -> Study:
    """Read the manifest, the tables and the log of selections of a study's folder.

    Raises:
        UserError: the folder is no finished study, or a table does not match the manifest or lacks a column.
    """
    files = StudyFiles.open(folder)
    for name in REQUIRED:
        files.check(name)
    frames = {
        name: _read(files, name, schema) if files.has(name) else _empty(name)
        for name, schema in SCHEMAS.items()
    }
    if frames["models"].is_empty() or frames["conditions"].is_empty():
        raise UserError(
            expected=f"at least one model on one condition in {folder / 'tables'}",
            found="an empty table",
            next_step=f"run the study to its end: {run_again(folder)}",
        )
    unlisted = sorted(map(str, set(frames["models"]["condition"]) - set(frames["conditions"]["condition"])))
    if unlisted:
        raise UserError(
            expected=f"every condition of {table_path(folder, 'models')} in conditions.parquet",
            found="no row for " + ", ".join(unlisted),
            next_step=f"{run_again(folder)} writes all tables together",
        )
    extra = {name: _read(files, name, schema) for name, schema in EXTRA.items() if files.has(name)}
    selections, damaged = read_records(folder / SELECTION_LOG)
    return Study(
        folder,
        files.manifest,
        **frames,
        selection=_read_selection(files),
        extra=extra,
        selections=tuple(selections),
        damaged_selections=damaged,
    )


def _read_selection(files: StudyFiles) -> Choice | None:
    if not files.has("selection"):
        return None
    frame = _read(files, "selection", SELECTION)
    try:
        facts = json.loads(files.facts("selection")["selection"])
        return Choice(frame.filter(statistic=facts["criterion"]), facts)
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            expected=f"settings in the metadata of {table_path(files.folder, 'selection')}",
            found=repr(error),
            next_step=f"{run_again(files.folder)} makes it again",
        ) from error


def _empty(name: str) -> pl.DataFrame:
    return pl.DataFrame(schema=SCHEMAS[name] | LATER_COLUMNS.get(name, {}))


def _read(files: StudyFiles, name: str, schema: Schema) -> pl.DataFrame:
    """A table as its schema has it; columns that came later are filled in where it lacks them."""
    frame, path = files.read(name), table_path(files.folder, name)
    lacking = [column for column in schema if column not in frame.columns]
    if lacking:
        raise UserError(
            expected=f"columns {', '.join(schema)} in {path}",
            found="no " + ", ".join(lacking),
            next_step=f"{run_again(files.folder)} with this version writes them",
        )
    later = LATER_COLUMNS.get(name, {})
    frame = frame.with_columns(pl.lit(None).alias(column) for column in later if column not in frame.columns)
    try:
        frame = frame.with_columns(pl.col(column).cast(kind) for column, kind in (schema | later).items())
    except pl.exceptions.PolarsError as error:
        raise UserError(
            expected=f"columns of the types of this version in {path}",
            found=reason_of(error),
            next_step=f"{run_again(files.folder)} with this version writes them",
        ) from error
    # Both null and nan say "undefined" in parquet files; one spelling makes one check enough.
    undefined_as_nan = [c for c, kind in (schema | later).items() if kind.is_float() and c != "severity"]
    unknown_as_empty = [c for c, kind in later.items() if kind == pl.String()]
    return frame.with_columns(
        pl.col(undefined_as_nan).fill_null(float("nan")), pl.col(unknown_as_empty).fill_null("")
    )
