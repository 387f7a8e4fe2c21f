"""The page's tables of numbers as plain data: what the template only lays out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from nversion.report.figures.trends import SAME, relation_rows

from .blocks import LeftOut, left_out
from .cards import card_text
from .frames import can_relate, share_above_zero
from .labels import (
    coefficient,
    condition_label,
    consensus_label,
    corruption_label,
    count,
    interval,
    is_undefined,
    percent,
    plural,
    points,
    statistic_label,
)
from .names import metric_label
from .tables import Study


def resilience(study: Study) -> list[dict[str, Any]]:
    """The paper's Table 1: for each data set top-1, then top-5; models down, conditions across, best in bold.

    The accuracies stand next to the model's name, what its card says behind them: on a narrow screen the
    numbers are what is seen.
    """
    tables: list[dict[str, Any]] = []
    for dataset in study.conditions["dataset"].unique(maintain_order=True):
        conditions = [c for c in study.condition_names if study.fact(c)["dataset"] == dataset]
        if not conditions:
            continue
        measured = {
            (row["model"], row["condition"]): row
            for row in study.models.filter(pl.col("condition").is_in(conditions)).iter_rows(named=True)
        }
        best = {
            (c, key): max(
                (r[key] for (_, at), r in measured.items() if at == c and not is_undefined(r[key])),
                default=None,
            )
            for c in conditions
            for key in ("top1", "top5")
        }
        for key, name in (("top1", "Top-1"), ("top5", "Top-5")):
            rows = []
            for facts in study.models.unique("model", keep="first", maintain_order=True).iter_rows(
                named=True
            ):
                found = {c: measured.get((facts["model"], c)) for c in conditions}
                cells = [_accuracy_cell(found[c], key, best[c, key]) for c in conditions]
                drop = _drop(study, found) if key == "top1" else None
                card = {fact: card_text(facts, fact) for fact in ("family", "training")}
                params = count(facts["params"])
                rows.append({**facts, **card, "params_text": params, "cells": cells, "drop": drop})
            tables.append(
                {
                    "dataset": dataset,
                    "leading": key == "top1",
                    "name": f"{name} accuracy on {dataset}, %",
                    "conditions": [corruption_label(study, c) for c in conditions],
                    "rows": rows,
                    "has_drop": any(r["drop"] is not None for r in rows),
                }
            )
    return tables


def _accuracy_cell(row: Mapping[str, Any] | None, key: str, best: float | None) -> dict[str, Any]:
    cell = _cell(row[key] if row else None, best)
    if row and key == "top1" and not is_undefined(row["top1_low"]) and not is_undefined(row["top1_high"]):
        cell["small"] = f"{100 * row['top1_low']:.1f}–{100 * row['top1_high']:.1f}"
    return cell


def _cell(value: float | None, best: float | None) -> dict[str, Any]:
    if is_undefined(value):
        return {"text": "undefined", "sort": "", "best": False, "small": ""}
    assert value is not None
    return {"text": f"{100 * value:.1f}", "sort": f"{value:.6f}", "best": value == best, "small": ""}


def _drop(study: Study, measured: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """Mean over the corrupted conditions minus their clean one; None where either is missing."""
    changes = [
        row["top1"] - base["top1"]
        for condition, row in measured.items()
        if (twin := study.clean_twin(condition)) is not None and row and (base := measured.get(twin))
    ]
    changes = [c for c in changes if not is_undefined(c)]
    if not changes:
        return None
    mean = sum(changes) / len(changes)
    return {"text": points(mean), "sort": f"{mean:.6f}"}


def correlation_tables(study: Study) -> list[dict[str, Any]]:
    """One table a size, consensus and statistic: metrics down, conditions across.

    Metrics of which some interval excludes zero, and those that the report speaks of; the others decide
    nothing and are counted. None where there are too few models for any to.
    """
    if not can_relate(study):
        return []
    other_size = pl.col("size") != (study.default_size or 0)  # the size that the findings speak of is first
    rows = relation_rows(study).filter(measured_on=SAME).sort(other_size, maintain_order=True)
    labels = [condition_label(study, c) for c in study.condition_names]
    metrics = rows["metric"].unique(maintain_order=True).to_list()
    several_sizes = rows["size"].n_unique() > 1
    tables = []
    for (size, consensus, statistic), part in rows.group_by(
        "size", "consensus", "statistic", maintain_order=True
    ):
        cells = {(row["metric"], row["label"]): row for row in part.iter_rows(named=True)}
        sure = {row["metric"] for row in part.iter_rows(named=True) if row["zero"] == "excludes zero"}
        measured = [m for m in metrics if any(key[0] == m for key in cells)]
        shown = [m for m in measured if m in sure or m in study.headline_metrics]
        rest = part.filter(~pl.col("metric").is_in(shown))
        spoken_of = part.filter(pl.col("metric").is_in(shown))
        notes = list(dict.fromkeys(note for note in spoken_of["note"] if note))
        marks = {note: str(i) for i, note in enumerate(notes, 1)}
        name = f"{statistic_label(str(statistic))}, {consensus_label(str(consensus))}"
        tables.append(
            {
                "name": f"{name}, {size} members" if several_sizes else name,
                "labels": labels,
                "rows": [
                    {
                        "label": metric_label(m),
                        "cells": [_relation_cell(cells.get((m, label)), marks) for label in labels],
                    }
                    for m in shown
                ],
                "notes": [(mark, note) for note, mark in marks.items()],
                "left_out": _left_out(len(measured) - len(shown), len(measured), rest),
            }
        )
    return tables


def _left_out(number: int, of: int, rows: pl.DataFrame) -> LeftOut | None:
    if not number:
        return None
    text = (
        f"{number} of {plural(of, 'metric')} {'is' if number == 1 else 'are'} left out: under no condition "
        "does an interval exclude zero."
    )
    return left_out(
        text, "undecided-correlations", rows.select("metric", "label", "value", "low", "high", "note")
    )


def _relation_cell(row: Mapping[str, Any] | None, marks: Mapping[str, str]) -> dict[str, Any]:
    cell = {"text": "not measured", "small": "", "shade": "", "sure": False, "mark": "", "note": ""}
    if row is None:
        return cell
    cell |= {"mark": marks.get(row["note"], ""), "note": row["note"]}
    if is_undefined(row["value"]):
        return cell | {"text": "undefined"}
    # Shaded by evidence: how far the interval stays from zero, not how large the estimate happens to be.
    sure = row["zero"] == "excludes zero"
    away = max(row["low"], -row["high"]) if sure else 0.0
    colour = "11,93,128" if row["value"] > 0 else "179,69,11"
    return cell | {
        "text": coefficient(row["value"]),
        "small": interval(row["low"], row["high"]),
        "shade": f"rgba({colour},{0.1 + 0.4 * min(1.0, away):.2f})" if sure else "",
        "sure": sure,
    }


def share_table(study: Study) -> dict[str, Any] | None:
    """Share above zero and median improvement: conditions down, size and consensus across."""
    if not study.sizes:
        return None
    shares = {
        (row["size"], row["consensus"], row["condition"]): row
        for row in share_above_zero(study).iter_rows(named=True)
    }
    columns = [(size, rule) for size in study.sizes for rule in study.rules(size)]
    several = len(study.sizes) > 1
    rows = []
    for condition in study.condition_names:
        found = [shares.get((size, rule, condition)) for size, rule in columns]
        cells = [
            {"text": percent(row["above"], 0), "small": f"median {points(row['median'])}"}
            if row
            else {"text": "not measured", "small": ""}
            for row in found
        ]
        rows.append({"label": condition_label(study, condition), "cells": cells})
    names = [consensus_label(rule) + (f", {size} members" if several else "") for size, rule in columns]
    return {"columns": names, "rows": rows}
