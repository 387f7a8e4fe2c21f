"""Provenance: the manifest and the conditions of the study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nversion.report.blocks import Facts, Grid, Tables, quiet
from nversion.report.plain import plain_table, plain_text
from nversion.report.registry import Blocks, section
from nversion.report.tables import Study

# Shown among the notes or above the findings, or used by the program alone.
_NOT_FACTS = ("notes", "identities", "study", "question", "logits", "tables", "format")


@section("provenance", order=220, nav="Provenance", title="Provenance")
def provenance_section(study: Study) -> Blocks:
    facts, grids = provenance(study)
    return [
        Facts(facts),
        *(Tables([grid]) for grid in grids),
        *quiet(
            "All numbers are in tables/*.parquet of the study's folder; the data of figures is in figures/."
        ),
    ]


def provenance(study: Study) -> tuple[list[tuple[str, str]], list[Grid]]:
    """The manifest's facts in its order, and its lists and the conditions as tables of plain text."""
    grids, facts = [], []
    for key, value in study.manifest.items():
        if key in _NOT_FACTS:
            continue
        if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
            grids.append(plain_table(key, [_applied(entry) for entry in value]))
        elif isinstance(value, Mapping) and key in ("settings", "versions"):
            facts += [(f"{key}: {name}", plain_text(entry)) for name, entry in value.items()]
        elif isinstance(value, Mapping) and value and all(isinstance(v, Mapping) for v in value.values()):
            grids.append(plain_table(key, [{"name": name, **entry} for name, entry in value.items()]))
        elif key == "storage" and isinstance(value, Mapping):
            facts.append(("logits stored as", plain_text(value.get("dtype"))))
            facts.append(("top-1 answers changed by storage", plain_text(value.get("changed_top1"))))
        elif key == "seconds" and isinstance(value, int | float):
            facts.append(("computing time", f"{value:,.0f} s"))
        else:
            facts.append((key.replace("_", " "), plain_text(value)))
    conditions = [
        {
            "condition": row["condition"],
            "images": f"{row['n']:,}",
            "excluded": row["excluded"],
            "seed": row["seed"],
        }
        for row in study.conditions.iter_rows(named=True)
    ]
    return facts, [*grids, plain_table("conditions", conditions)]


def _applied(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """A model's facts without its authors' crop, which is recorded and not applied.

    The canonical image decides which part of a picture models see.
    """
    preprocessing = entry.get("preprocessing")
    if not isinstance(preprocessing, Mapping):
        return entry
    return {**entry, "preprocessing": {k: v for k, v in preprocessing.items() if k != "crop_pct"}}
