"""The page's grids of pictures: corrupted images, and images masked by their attribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from .images import thumbnail_uri
from .labels import condition_label, corruption_label
from .tables import Study

MAX_PICTURED_IMAGES = 8
MAX_PICTURED_MODELS = 16


def sample_grids(study: Study) -> list[dict[str, Any]]:
    """Images down, conditions across; one grid a data set that has pictures."""
    pictured = set(study.samples["condition"])
    grids = []
    for dataset in study.conditions["dataset"].unique(maintain_order=True):
        own = study.conditions.filter(dataset=dataset)["condition"]
        conditions = [c for c in own if c in pictured]
        if not conditions:
            continue
        part = study.samples.filter(pl.col("condition").is_in(conditions))
        pictures = {(r["sample_id"], r["condition"]): r for r in part.iter_rows(named=True)}
        ids = part["sample_id"].unique(maintain_order=True).to_list()
        rows = []
        for sample in ids[:MAX_PICTURED_IMAGES]:
            found = {c: pictures.get((sample, c)) for c in conditions}
            name = next((r["label_name"] for r in found.values() if r), None) or sample
            cells = [_cell(row, f"{name}, {condition_label(study, c)}") for c, row in found.items()]
            rows.append({"label": name, "id": sample, "cells": cells})
        grids.append(
            {
                "label": dataset,
                "columns": [{"label": corruption_label(study, c), "small": ""} for c in conditions],
                "rows": rows,
                "left_out": max(0, len(ids) - MAX_PICTURED_IMAGES),
            }
        )
    return grids


def map_grids(study: Study) -> list[dict[str, Any]]:
    """Images masked by attribution: images down, models across; one grid a condition."""
    known = set(study.conditions["condition"])
    labels = dict(study.samples.select("sample_id", "label_name").iter_rows())
    grids = []
    for condition in study.maps["condition"].unique(maintain_order=True):
        part = study.maps.filter(condition=condition)
        models = part.select("model", "family").unique("model", keep="first", maintain_order=True)
        shown = models["model"][:MAX_PICTURED_MODELS].to_list()
        ids = part["sample_id"].unique(maintain_order=True).to_list()
        pictures = {(r["sample_id"], r["model"]): r for r in part.iter_rows(named=True)}
        rows = []
        for sample in ids[:MAX_PICTURED_IMAGES]:
            found = {model: pictures.get((sample, model)) for model in shown}
            cells = [
                _cell(row, f"{sample} masked by the attribution of {model}") for model, row in found.items()
            ]
            named = next((row.get("label_name") for row in found.values() if row), None)
            rows.append({"label": named or labels.get(sample) or sample, "id": sample, "cells": cells})
        grids.append(
            {
                "label": condition_label(study, condition) if condition in known else condition,
                "columns": [
                    {"label": m, "small": f} for m, f in models.head(MAX_PICTURED_MODELS).iter_rows()
                ],
                "rows": rows,
                "left_out": max(0, len(ids) - MAX_PICTURED_IMAGES),
                "models_left_out": max(0, models.height - MAX_PICTURED_MODELS),
            }
        )
    return grids


def _cell(row: Mapping[str, Any] | None, alt: str) -> dict[str, Any]:
    """A picture, and beside one of a model what the model says and whether that is right."""
    said = row.get("predicted_name") if row else None
    return {
        "uri": thumbnail_uri(row["png"]) if row else None,
        "alt": f"{alt}, which says {said}" if said else alt,
        "said": said,
        "right": bool(row["right"]) if row and said else None,
    }
