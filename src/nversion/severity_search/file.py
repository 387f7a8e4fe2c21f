"""The file of found severities: written by a severity search, read by studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

import nversion
from nversion.core.tables import FileKind, Table, read_toml
from nversion.core.toml import to_toml
from nversion.data.canonical import CanonicalTable

from .search import CONFIDENCE, FoundSeverity, Reference

SEVERITIES = FileKind("file of severities", "`nversion corruptions severities` writes one")


class SearchTable(Table):
    """`[search]` of a file of severities: the reference classifier and images that they were found with."""

    model: str
    model_fingerprint: str
    data: str
    images: str
    data_fingerprint: str
    num_images: int
    canonical: CanonicalTable
    seed: int
    drops: list[float]
    clean_accuracy: float
    confidence: float
    nversion: str


class SeveritiesSpec(Table):
    """A file of severities; studies read its `[corruptions]`."""

    corruptions: dict[str, list[float]]
    search: SearchTable | None = None  # None: written by hand
    found: list[dict[str, Any]] = Field(default_factory=list)  # a row for each corruption and drop


def read_severities(path: Path) -> SeveritiesSpec:
    """Read and check a file that `nversion corruptions severities` wrote.

    Raises:
        UserError: the file is missing, is no TOML, or says something that such a file does not hold.
    """
    missing = "write it with: nversion corruptions severities STUDY.toml --model NAME --drop 0.1 --out "
    content = read_toml(path, "a file of severities", missing + path.name)
    return SEVERITIES.checked(SeveritiesSpec, content, str(path))


def severities_toml(reference: Reference, rows: Sequence[FoundSeverity]) -> str:
    """The TOML text that studies take with `[conditions] severities`, with the facts of the search."""
    clean = rows[0].accuracy + rows[0].drop if rows else None
    strengths: dict[str, list[float]] = {}
    for row in rows:
        if row.severity is not None:
            strengths[row.corruption] = sorted({*strengths.get(row.corruption, []), row.severity})
    facts = {
        "model": reference.classifier.name,
        "model_fingerprint": reference.classifier.fingerprint,
        "data": reference.data,
        "images": reference.dataset.name,
        "data_fingerprint": reference.dataset.fingerprint,
        "num_images": rows[0].num_images if rows else 0,
        "canonical": {k: v for k, v in vars(reference.canonical).items() if v is not None},
        "seed": reference.seed,
        "drops": sorted({row.target for row in rows}),
        "clean_accuracy": clean,
        "confidence": CONFIDENCE,
        "nversion": nversion.__version__,
    }
    found = [{k: v for k, v in vars(row).items() if v not in (None, "")} for row in rows]
    return to_toml(
        {
            "corruptions": strengths,
            "search": {k: v for k, v in facts.items() if v is not None},
            "found": found,
        }
    )
