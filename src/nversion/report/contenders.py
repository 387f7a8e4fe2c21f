"""The contenders that tables show: the mean over all ensembles, the selected one, those a study names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from .frames import num_ensembles, wilson
from .labels import plural
from .tables import Study
from .undefined import defined, or_nan


@dataclass(frozen=True)
class Contender:
    """An ensemble, or the mean over all of one size where `ensemble` is None."""

    label: str
    ensemble: str | None
    size: int


def chosen(study: Study) -> Contender | None:
    """The ensemble that was selected on one half of the images; None where nothing was selected.

    Where a single model was selected, the best ensemble by the same rule.
    """
    if study.selection is None:
        return None
    for role, label in (("best_ensemble", "Best ensemble, not chosen"), ("chosen", "Chosen ensemble")):
        row = study.selection.row(role, "held_out", "seen")
        if row is not None:
            return Contender(label, row["ensemble"], row["size"])
    return None


def contenders(study: Study) -> list[Contender]:
    """The mean over all ensembles of the default size, the chosen one, and those named in the settings.

    A single ensemble of that size is shown as itself, without a mean.
    """
    if study.default_size is None:
        return []
    of_size = study.ensembles.filter(size=study.default_size)["ensemble"].unique(maintain_order=True)
    best = chosen(study)
    found = [mean_of_all(study)]
    if len(of_size) == 1:
        found = [Contender(f"The only ensemble of {study.default_size}", of_size[0], study.default_size)]
        if best is not None and best.ensemble == of_size[0]:
            found = []
    if best is not None:
        found.append(best)
    for named in _named(study):
        if all(named.ensemble != other.ensemble for other in found):
            found.append(named)
    return found


def mean_of_all(study: Study) -> Contender:
    """All ensembles of the default size; there must be some."""
    size = study.default_size
    assert size is not None
    return Contender(f"Mean over all {plural(num_ensembles(study, size), 'ensemble')} of {size}", None, size)


def _named(study: Study) -> list[Contender]:
    """The ensembles of the setting `report.ensembles`, whatever the order of their members' names."""
    wanted = study.setting("report", "ensembles") or []
    known = study.ensembles.select("ensemble", "size").unique(maintain_order=True)
    by_members = {frozenset(study.members(name)): (name, size) for name, size in known.iter_rows()}
    found = [by_members[frozenset(members)] for members in wanted if frozenset(members) in by_members]
    return [Contender("Named in the study", name, size) for name, size in found]


def of(frame: pl.DataFrame, who: Contender, keys: Sequence[str], values: Sequence[str]) -> pl.DataFrame:
    """Columns `keys` and `values` of a contender; for the mean, over the ensembles where each is defined.

    For the mean, `COLUMN_p05` and `COLUMN_p95` are quantiles over the ensembles; else they are nan.
    """
    if who.ensemble is not None:
        own = frame.filter(ensemble=who.ensemble, size=who.size).select(*keys, *values)
        return own.with_columns(
            pl.lit(float("nan")).alias(f"{column}_{end}") for column in values for end in ("p05", "p95")
        )
    return (
        frame.filter(size=who.size)
        .group_by(keys, maintain_order=True)
        .agg(
            *(or_nan(defined(c).mean()).alias(c) for c in values),
            *(or_nan(defined(c).quantile(0.05)).alias(f"{c}_p05") for c in values),
            *(or_nan(defined(c).quantile(0.95)).alias(f"{c}_p95") for c in values),
        )
    )


def title_of(who: Contender) -> str:
    """A contender as the caption of its own table."""
    return who.label if who.ensemble is None else f"{who.label}: {who.ensemble}"


def ends_of(row: Mapping[str, Any], column: str, who: Contender) -> tuple[float, float]:
    """The interval of a share: the range over ensembles for the mean, COLUMN_low and _high, or Wilson's."""
    if who.ensemble is None:
        return row[f"{column}_p05"], row[f"{column}_p95"]
    if f"{column}_low" in row:
        return row[f"{column}_low"], row[f"{column}_high"]
    return wilson(row[column], row["n"])


def leaning(study: Study) -> str:
    """The bias of the selected ensemble's numbers over all images; "" where none was selected."""
    if chosen(study) is None:
        return ""
    return (
        "The chosen ensemble was selected by its accuracy on one half of these images, so its numbers here, "
        "over all images, are biased in its favour; under “Held out” they are from the other half alone."
    )


def absent(study: Study) -> str:
    """Why no selected ensemble is shown; "" where one is."""
    if chosen(study) is not None:
        return ""
    return "No chosen ensemble is shown: the study has too few images or conditions to hold some out."
