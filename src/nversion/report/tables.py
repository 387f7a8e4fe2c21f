"""A study's tables as the report reads them: parquet by name, checked against the manifest's digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from nversion.core import UserError
from nversion.core.sealed import read_records
from nversion.core.study_files import SELECTION_LOG, StudyFiles, run_again

MEAN_ACCURACY = "mean_member_accuracy"
"""The baseline that diversity metrics compete with in the correlations; a column of the ensembles table."""
NORMALISE = {"l2": "unit length", "sum": "unit sum", "none": "raw"}
"""Normalisations of attribution maps in order of preference: raw maps differ in gradient scale first."""


@dataclass(frozen=True)
class Choice:
    """What `nversion select` chose on one half of the images, and its accuracy on the other half.

    Attributes:
        rows: the rows of the selection table that aggregate conditions by the rule's own criterion.
        facts: the settings, the names of the seen and the unseen conditions, the number of
            candidates, and drop, average_drop, optimism, regret_seen and regret_unseen as fractions.
    """

    rows: pl.DataFrame
    facts: dict[str, Any]

    def row(self, role: str, half: str, scope: str) -> dict[str, Any] | None:
        """The row of a contender on one part; None where it has none."""
        found = self.rows.filter(role=role, half=half, scope=scope)
        return found.row(0, named=True) if found.height else None


@dataclass(frozen=True)
class Study:
    """The tables of a study in the order in which they were written; undefined numbers are nan.

    Attributes:
        folder: of the study; figures and the page are written there.
        manifest: the content of manifest.json.
        tables: by name; "conditions", "models" and "ensembles" are always there.
        selection: the study's own selection; None where nothing was selected.
        selections: lines of the log of all selections made in the folder.
        damaged_selections: number of lines of that log that do not match their seal.
    """

    folder: Path
    manifest: dict[str, Any]
    tables: Mapping[str, pl.DataFrame]
    selection: Choice | None = None
    selections: tuple[dict[str, Any], ...] = ()
    damaged_selections: int = 0

    def table(self, name: str, *predicates: pl.Expr, **equals: Any) -> pl.DataFrame:
        """The rows of a table that meet all conditions; a frame without columns where it is missing."""
        frame = self.tables.get(name)
        if frame is None:
            return pl.DataFrame()
        return frame.filter(*predicates, **equals) if predicates or equals else frame

    def has(self, *names: str) -> bool:
        """Whether the study has all of these tables."""
        return all(name in self.tables for name in names)

    def values(self, name: str, column: str) -> list[Any]:
        """The distinct values of a column in order of appearance; none where the table is missing."""
        frame = self.tables.get(name)
        return [] if frame is None else frame[column].unique(maintain_order=True).to_list()

    def setting(self, *keys: str) -> Any:
        """A setting of the study, by the path of its keys; None where it is not set."""
        found: Any = self.manifest.get("settings")
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    @property
    def conditions(self) -> pl.DataFrame:
        return self.tables["conditions"]

    @property
    def models(self) -> pl.DataFrame:
        return self.tables["models"]

    @property
    def ensembles(self) -> pl.DataFrame:
        return self.tables["ensembles"]

    @property
    def name(self) -> str:
        return str(self.manifest.get("study") or self.folder.resolve().name)

    @cached_property
    def _members(self) -> dict[str, list[str]]:
        named = [self.table(name).select("ensemble", "members") for name in ("front",) if name in self.tables]
        named += [] if self.selection is None else [self.selection.rows.select("ensemble", "members")]
        everyone = pl.concat([self.ensembles.select("ensemble", "members"), *named], how="vertical_relaxed")
        models = {model: [model] for model in self.model_names}
        return models | dict(everyone.drop_nulls().unique("ensemble", maintain_order=True).iter_rows())

    def members(self, ensemble: str) -> list[str]:
        """The models of an ensemble by its name."""
        return self._members[ensemble]

    @cached_property
    def model_names(self) -> list[str]:
        return self.values("models", "model")

    @cached_property
    def condition_names(self) -> list[str]:
        return self.values("conditions", "condition")

    @cached_property
    def clean(self) -> list[str]:
        return [c for c in self.condition_names if self.fact(c)["corruption"] is None]

    @cached_property
    def corrupted(self) -> list[str]:
        return [c for c in self.condition_names if self.fact(c)["corruption"] is not None]

    @property
    def first_condition(self) -> str:
        """The first clean condition; the first one where none is clean."""
        return (self.clean or self.condition_names)[0]

    @cached_property
    def sizes(self) -> list[int]:
        """Numbers of members that ensembles have; a single model is no ensemble."""
        return sorted(size for size in self.values("ensembles", "size") if size > 1)

    @property
    def default_size(self) -> int | None:
        """Three members, as in the paper, where there are such ensembles."""
        return 3 if 3 in self.sizes else (self.sizes[0] if self.sizes else None)

    @cached_property
    def consensus(self) -> list[str]:
        """Rules that can differ: without the geometric mean where averaging is there, which it equals."""
        rules: list[str] = self.values("ensembles", "consensus")
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
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The rows of the metrics table by metric."""
        return {row["metric"]: row for row in self.table("metrics").iter_rows(named=True)}

    def metric(self, metric: str) -> Mapping[str, Any]:
        """A metric's row of the metrics table; empty for the mean member accuracy, which has none."""
        return self.metrics.get(metric, {})

    def is_conditioned(self, metric: str) -> bool:
        """Whether a metric is over the images that all, some or none of the members classify correctly."""
        return bool(self.metric(metric).get("subset"))

    def same_maps(self, metric: str, **changes: str | None) -> str | None:
        """The attribution metric that differs from another in these columns alone; None if not measured."""
        keys = ("method", "target", "normalise", "subset")
        wanted = [({**self.metric(metric), **changes}[key] or None) for key in keys]
        return next((m for m, row in self.metrics.items() if [row[k] or None for k in keys] == wanted), None)

    @cached_property
    def metric_names(self) -> list[str]:
        """Diversity metrics measured over all images, then the mean member accuracy."""
        measured = self.values("diversity", "metric")
        found = [m for m in measured if m != MEAN_ACCURACY and not self.is_conditioned(m)]
        return [*found, MEAN_ACCURACY] if self.sizes else found

    @property
    def attribution_metric(self) -> str | None:
        """The attribution metric of the findings: normalised maps, predicted class, saliency preferred.

        The paper's metric is of raw maps, whose variance is mostly the scale of the models' gradients.
        """
        order = list(NORMALISE)

        def preference(metric: str) -> tuple[int, bool, bool]:
            row = self.metric(metric)
            other = row["target"] != "predicted"
            return order.index(row["normalise"]), other or row["method"] != "saliency", other

        found = [m for m in self.metric_names if self.metric(m).get("method")]
        return min(found, key=preference, default=None)

    @property
    def headline_metrics(self) -> list[str]:
        """The paper's three rows (Figure 7): attribution, disagreement, mean member accuracy."""
        wanted = [self.attribution_metric, "disagreement", MEAN_ACCURACY]
        return [m for m in wanted if m is not None and m in self.metric_names]

    def clean_twin(self, condition: str) -> str | None:
        """The clean condition of the same data set; None for a clean one or where it was not run."""
        if condition in self.clean:
            return None
        data = self.fact(condition)["dataset"]
        return next((c for c in self.clean if self.fact(c)["dataset"] == data), None)

    def fact(self, condition: str) -> dict[str, Any]:
        """The condition's row in the conditions table."""
        return self._facts[condition]

    @cached_property
    def _facts(self) -> dict[str, dict[str, Any]]:
        return {row["condition"]: row for row in self.conditions.iter_rows(named=True)}


def read_study(folder: Path) -> Study:
    """Read the manifest of a study's folder and the tables that it names, and the log of selections.

    Raises:
        UserError: the folder is not a finished study of this version, or a table does not match the manifest.
    """
    files = StudyFiles.open(folder)
    tables = {name: _with_nan(files.read(name)) for name in files.digests}
    if any(name not in tables or tables[name].is_empty() for name in ("conditions", "models")):
        raise UserError(
            expected=f"at least one model on one condition in {folder / 'tables'}",
            found="an empty table",
            next_step=f"run the study to its end: {run_again(folder)}",
        )
    choice = None
    if "selection" in tables:
        facts = json.loads(files.facts("selection")["selection"])
        choice = Choice(tables["selection"].filter(statistic=facts["criterion"]), facts)
    selections, damaged = read_records(folder / SELECTION_LOG)
    return Study(folder, files.manifest, tables, choice, tuple(selections), damaged)


def _with_nan(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with nan for null numbers: both mean undefined, and one spelling makes one check enough."""
    return frame.with_columns(cs.float().exclude("severity").fill_null(float("nan")))
