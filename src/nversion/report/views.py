"""The page's tables and pictures as plain data: what the template only lays out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from .figures.deploy import COSTS
from .figures.trends import SAME, relation_rows
from .findings import selection_was_split
from .frames import (
    MAX_DRAWN,
    NORMAL_QUANTILE,
    num_ensembles,
    pareto_front,
    share_above_zero,
    worst_condition,
)
from .images import thumbnail_uri
from .labels import (
    coefficient,
    condition_label,
    consensus_label,
    corruption_label,
    count,
    interval,
    is_undefined,
    metric_label,
    percent,
    plural,
    points,
    statistic_label,
)
from .tables import Study

# Said among the notes, above the findings, or of use to the program alone.
_NOT_FACTS = ("notes", "identities", "study", "question", "logits")
MAX_PICTURED_IMAGES = 8
MAX_PICTURED_MODELS = 16


def resilience(study: Study) -> list[dict[str, Any]]:
    """The paper's Table 1, one table a data set: models down, conditions across, best in bold."""
    tables = []
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
        rows = []
        for facts in study.models.unique("model", keep="first", maintain_order=True).iter_rows(named=True):
            cells = []
            for c in conditions:
                row = measured.get((facts["model"], c))
                cells.append(_accuracy_cell(row, best[c, "top1"]))
                cells.append(_cell(row["top5"] if row else None, best[c, "top5"]))
            drop = _drop(study, {c: measured.get((facts["model"], c)) for c in conditions})
            rows.append({**facts, "params_text": count(facts["params"]), "cells": cells, "drop": drop})
        tables.append(
            {
                "dataset": dataset,
                "conditions": [corruption_label(study, c) for c in conditions],
                "rows": rows,
                "has_drop": any(r["drop"] is not None for r in rows),
            }
        )
    return tables


def _accuracy_cell(row: Mapping[str, Any] | None, best: float | None) -> dict[str, Any]:
    cell = _cell(row["top1"] if row else None, best)
    if row and not is_undefined(row["top1_low"]) and not is_undefined(row["top1_high"]):
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
    """One table a size, consensus and statistic: metrics down, conditions across."""
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
        shown = [m for m in metrics if any(key[0] == m for key in cells)]
        name = f"{statistic_label(str(statistic))}, {consensus_label(str(consensus))}"
        tables.append(
            {
                "name": f"{name}, {size} members" if several_sizes else name,
                "labels": labels,
                "rows": [
                    {
                        "label": metric_label(m),
                        "cells": [_relation_cell(cells.get((m, label))) for label in labels],
                    }
                    for m in shown
                ],
            }
        )
    return tables


def _relation_cell(row: Mapping[str, Any] | None) -> dict[str, Any]:
    if row is None:
        return {"text": "not measured", "small": "", "shade": "", "sure": False}
    if is_undefined(row["value"]):
        return {"text": "undefined", "small": "", "shade": "", "sure": False}
    colour = "11,93,128" if row["value"] > 0 else "179,69,11"
    return {
        "text": coefficient(row["value"]),
        "small": interval(row["low"], row["high"]),
        "shade": f"rgba({colour},{0.42 * min(1.0, abs(row['value'])):.2f})",
        "sure": row["zero"] == "excludes zero",
    }


def share_table(study: Study) -> dict[str, Any] | None:
    """Share above zero and median improvement: conditions down, size and consensus across."""
    if not study.sizes:
        return None
    shares = {
        (row["size"], row["consensus"], row["condition"]): row
        for row in share_above_zero(study).iter_rows(named=True)
    }
    columns = [(size, rule) for size in study.sizes for rule in study.consensus]
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


def fronts(study: Study) -> list[dict[str, Any]]:
    """The front's candidates as a table, one for each kind of cost, for the default consensus."""
    consensus = study.default_consensus
    if consensus is None or not study.sizes:
        return []
    candidates = worst_condition(study).filter(consensus=consensus)
    tables = []
    for cost, title in COSTS.items():
        front = pareto_front(candidates, cost)
        if front.is_empty():
            continue
        rows = [
            {
                "members": row["candidate"].split(" + ") if row["size"] > 1 else [row["candidate"]],
                "params": count(row["params"]),
                "macs": count(row["macs"]),
                "worst": percent(row["worst_top1"]),
                "worst_at": condition_label(study, row["worst_at"]),
                "mean": percent(row["mean_top1"]),
                "gain": _gain(row),
            }
            for row in front.iter_rows(named=True)
        ]
        tables.append({"title": title, "consensus": consensus_label(consensus), "rows": rows})
    return tables


def _gain(row: Mapping[str, Any]) -> str:
    if row["size"] == 1:
        return "single model"
    if is_undefined(row["improvement_stderr"]):
        return points(row["improvement"])
    return f"{points(row['improvement'])} ± {100 * NORMAL_QUANTILE * row['improvement_stderr']:.1f}"


def sample_grid(study: Study) -> dict[str, Any] | None:
    """Images down, conditions across; None without pictures."""
    conditions = [c for c in study.conditions["condition"] if c in set(study.samples["condition"])]
    if not conditions:
        return None
    ids = study.samples["sample_id"].unique(maintain_order=True).to_list()
    pictures = {(r["sample_id"], r["condition"]): r for r in study.samples.iter_rows(named=True)}
    rows = []
    for sample in ids[:MAX_PICTURED_IMAGES]:
        found = [pictures.get((sample, c)) for c in conditions]
        name = next((r["label_name"] for r in found if r), None) or sample
        cells = [
            {
                "uri": thumbnail_uri(row["png"]) if row else None,
                "alt": f"{name}, {condition_label(study, c)}",
                "said": None,
                "right": None,
            }
            for c, row in zip(conditions, found, strict=True)
        ]
        rows.append({"label": name, "id": sample, "cells": cells})
    columns = [{"label": condition_label(study, c), "small": ""} for c in conditions]
    return {"columns": columns, "rows": rows, "left_out": max(0, len(ids) - MAX_PICTURED_IMAGES)}


def map_grids(study: Study) -> list[dict[str, Any]]:
    """Images masked by attribution: images down, models across; one grid a condition."""
    grids = []
    for condition in study.maps["condition"].unique(maintain_order=True):
        part = study.maps.filter(condition=condition)
        models = part.select("model", "family").unique("model", keep="first", maintain_order=True)
        ids = part["sample_id"].unique(maintain_order=True).to_list()
        pictures = {(r["sample_id"], r["model"]): r for r in part.iter_rows(named=True)}
        labels = dict(study.samples.select("sample_id", "label_name").iter_rows())
        rows = []
        for sample in ids[:MAX_PICTURED_IMAGES]:
            cells = []
            for model in models["model"][:MAX_PICTURED_MODELS]:
                row = pictures.get((sample, model))
                said = None if row is None else row["predicted_name"]
                cells.append(
                    {
                        "uri": thumbnail_uri(row["png"]) if row else None,
                        "alt": f"{sample} masked by the attribution of {model}, which says {said}",
                        "said": said,
                        "right": bool(row["right"]) if row else None,
                    }
                )
            named = part.filter(sample_id=sample).row(0, named=True).get("label_name")
        rows.append({"label": named or labels.get(sample) or sample, "id": sample, "cells": cells})
        known = condition in set(study.conditions["condition"])
        grids.append(
            {
                "label": condition_label(study, condition) if known else condition,
                "columns": [
                    {"label": m, "small": f} for m, f in models.head(MAX_PICTURED_MODELS).iter_rows()
                ],
                "rows": rows,
                "left_out": max(0, len(ids) - MAX_PICTURED_IMAGES),
                "models_left_out": max(0, models.height - MAX_PICTURED_MODELS),
            }
        )
    return grids


def notes(study: Study) -> list[str]:
    """What a reader must know to read the numbers right."""
    said = []
    rules = set(study.ensembles["consensus"])
    if {"geometric_mean", "average"} <= rules:
        said.append(
            "The geometric mean of the members' probabilities picks the same winner as averaging their "
            "logits on every image: it is the same number by identity and is not drawn twice."
        )
    if "vote" in rules:
        ties = int(study.ensembles.filter(pl.col("consensus") == "vote")["ties"].sum())
        said.append(
            "The accuracy of a majority vote is the expected one when a tie is drawn by lot "
            f"(1/number tied if the label is among the tied); there were {plural(ties, 'tie')} over "
            "all images, ensembles and conditions."
        )
    said += [
        f"Scatter plots show {MAX_DRAWN:,} of the {num_ensembles(study, size):,} ensembles of {size}, drawn "
        "with a generator seeded by their size, and those on a front; the grid's lines, "
        "correlations, shares and fronts use all of them."
        for size in study.sizes
        if num_ensembles(study, size) > MAX_DRAWN
    ]
    if study.sizes and not selection_was_split(study):
        said.append(
            "Ensembles and the front were compared on the images they are reported on, so the best of many "
            "looks better than it will be; `nversion select` chooses on one half of the images and reports "
            "the other."
        )
    undefined = int(study.diversity["n_undefined"].fill_null(0).sum())
    if undefined:
        said.append(
            f"{plural(undefined, 'pair value')} behind the diversities are undefined (0/0); they are left "
            "out of the means and never counted as 0."
        )
    identities = [f"{k}: {text}" if k else text for k, text in _pairs(study.manifest.get("identities"))]
    said += [text for text in identities if not text.startswith("geometric_mean")]  # said above
    said += [f"{name}: {text}" if name else text for name, text in _pairs(study.manifest.get("notes"))]
    return said


def provenance(study: Study) -> dict[str, Any]:
    """Manifest and conditions as tables of plain text; whatever the manifest has, in its order."""
    tables = []
    facts = []
    for key, value in study.manifest.items():
        if key in _NOT_FACTS:
            continue
        if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
            tables.append(_table(key, value))
        elif isinstance(value, Mapping) and key in ("settings", "versions"):
            facts += [(f"{key}: {name}", _text(entry)) for name, entry in value.items()]
        elif isinstance(value, Mapping) and value and all(isinstance(v, Mapping) for v in value.values()):
            tables.append(_table(key, [{"name": name, **entry} for name, entry in value.items()]))
        elif key == "seconds" and isinstance(value, int | float):
            facts.append(("computing time", f"{value:,.0f} s"))
        else:
            facts.append((key.replace("_", " "), _text(value)))
    conditions = [
        {
            "condition": row["condition"],
            "images": f"{row['n']:,}",
            "excluded": row["excluded"],
            "seed": row["seed"],
        }
        for row in study.conditions.iter_rows(named=True)
    ]
    tables.append(_table("conditions", conditions))
    return {"facts": facts, "tables": tables}


def _table(name: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    columns = list(dict.fromkeys(key for entry in entries for key in entry))
    rows = [[_text(entry.get(column)) for column in columns] for entry in entries]
    return {"name": name.replace("_", " "), "columns": [c.replace("_", " ") for c in columns], "rows": rows}


def glossary(study: Study) -> dict[str, Any] | None:
    """The metrics table for readers."""
    if study.metrics.is_empty():
        return None
    entries = []
    for row in study.metrics.iter_rows(named=True):
        direction = row.get("higher_is_more_diverse")
        entries.append(
            {"metric": metric_label(row["metric"])}
            | ({"more diverse is": "unknown" if direction is None else "higher" if direction else "lower"})
            | {k: v for k, v in row.items() if k not in ("metric", "higher_is_more_diverse")}
        )
    return _table("metrics", entries)


def interval_words(study: Study) -> str:
    """How the intervals were made, in one paragraph."""
    models = len(study.model_names)
    return (
        "Intervals are 95 %. Those of a correlation add two variances on Fisher's z: the one over images, by "
        "leaving out one block of images at a time, and the one over models, by leaving out one model at a "
        "time, because ensembles that share members are not independent of each other; they use Student's t "
        f"with {models - 1} degrees of freedom, one fewer than the {plural(models, 'model')}. Those of an "
        "improvement are over images only, for these models. Those of a model's accuracy are over images. "
        "None is corrected for looking at many relations at once."
    )


def _pairs(value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [(str(name), _text(entry)) for name, entry in value.items()]
    if isinstance(value, list | tuple):
        return [("", _text(entry)) for entry in value]
    return [] if value is None else [("", _text(value))]


def _text(value: Any) -> str:
    """Plain data as words.

    >>> _text({"mean": [0.485, 0.456], "size": 224})
    'mean 0.485, 0.456; size 224'
    """
    if value is None or (isinstance(value, str | Mapping | Sequence) and not value):
        return "—"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_text(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, default=str)
