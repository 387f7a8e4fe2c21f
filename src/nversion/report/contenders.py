"""Whom the sections speak of: the mean over all ensembles, the chosen one, those a study names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from .frames import num_ensembles
from .labels import listed, plural
from .tables import Study
from .undefined import defined, or_nan


@dataclass(frozen=True)
class Contender:
    """An ensemble, or the mean over all of one size where `ensemble` is None."""

    label: str
    ensemble: str | None
    size: int


def chosen(study: Study) -> Contender | None:
    """The ensemble that was chosen on one half of the images; None where there was no choice.

    Where a single model was chosen, the one that the rule takes among ensembles.
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

    Where there is one ensemble of that size it stands for itself: a mean over it says nothing more.
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
    """The ensembles of `settings.report.ensembles`, whatever the order of their members' names."""
    settings = study.manifest.get("settings") or {}
    wanted = (settings.get("report") or {}).get("ensembles") or []
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


def leaning(study: Study) -> str:
    """What must be known of the chosen ensemble's numbers over all images; "" where none was chosen."""
    if chosen(study) is None:
        return ""
    return (
        "The chosen ensemble was picked by its accuracy on one half of these images, so what is said of it "
        "here, over all of them, leans its way; under “Held out” it is told by the other half alone."
    )


def absent(study: Study) -> str:
    """Who is not shown and why; "" where all are."""
    said = []
    if chosen(study) is None:
        said.append("the study has too few images or conditions to hold some out")
    return f"No chosen ensemble is shown: {listed(said)}." if said else ""
