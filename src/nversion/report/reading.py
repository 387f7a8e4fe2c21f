"""What a reader must know besides the figures: notes, where the numbers come from, what metrics are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from .frames import MAX_DRAWN, num_ensembles
from .labels import condition_label, listed, plural
from .names import metric_label, short_metric_label
from .tables import Study, is_conditioned

# Said among the notes, above the findings, or of use to the program alone.
_NOT_FACTS = ("notes", "identities", "study", "question", "logits", "tables", "format")


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
        "with a generator seeded by their size; the grid's lines, correlations and shares use all of them."
        for size in study.sizes
        if num_ensembles(study, size) > MAX_DRAWN
    ]
    if study.sizes:
        instead = (
            "What is said of the chosen ensemble under “Held out” is free of that."
            if study.selection is not None
            else "`nversion select` chooses on one half of the images and reports the other."
        )
        said.append(
            "Points and tables of all ensembles are of the images that they are reported on, so the best of "
            f"many looks better there than it will be. {instead}"
        )
    said += _undefined(study)
    identities = [f"{k}: {text}" if k else text for k, text in _pairs(study.manifest.get("identities"))]
    said += [text for text in identities if not text.startswith("geometric_mean")]  # said above
    said += [f"{name}: {text}" if name else text for name, text in _pairs(study.manifest.get("notes"))]
    return said


def _undefined(study: Study) -> list[str]:
    """Pairs whose metric is 0/0, each counted once, and images that no attribution metric could use."""
    said = []
    ratios = ~pl.col("metric").str.starts_with("attribution_") & (pl.col("metric") != "cka")
    pairs = study.pairs.filter(ratios)
    by_metric = pairs.filter(pl.col("value").is_nan()).group_by("metric", maintain_order=True).len()
    if by_metric.height:
        counts = listed([f"{n:,} of {short_metric_label(metric)}" for metric, n in by_metric.iter_rows()])
        said.append(
            f"{plural(int(by_metric['len'].sum()), 'pair value')} out of {pairs.height:,} (two models "
            f"under one condition) {'is' if by_metric['len'].sum() == 1 else 'are'} undefined (0/0): "
            f"{counts}. They are left out of the ensembles' means and never counted as 0."
        )
    left_out = (
        study.diversity.filter(pl.col("metric").str.starts_with("attribution_"))
        .group_by("condition", maintain_order=True)
        .agg(pl.col("n_undefined").max())
        .filter(pl.col("n_undefined") > 0)
    )
    known = set(study.conditions["condition"])
    if left_out.height:
        counts = listed(
            [f"{n:,} under {condition_label(study, c) if c in known else c}" for c, n in left_out.iter_rows()]
        )
        said.append(
            "Images that an attribution metric left out because a model's map was zero everywhere and could "
            f"not be normalised: up to {counts}."
        )
    return said


def provenance(study: Study) -> dict[str, Any]:
    """Manifest and conditions as tables of plain text; whatever the manifest has, in its order."""
    tables = []
    facts = []
    for key, value in study.manifest.items():
        if key in _NOT_FACTS:
            continue
        if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
            tables.append(_table(key, [_applied(entry) for entry in value]))
        elif isinstance(value, Mapping) and key in ("settings", "versions"):
            facts += [(f"{key}: {name}", _text(entry)) for name, entry in value.items()]
        elif isinstance(value, Mapping) and value and all(isinstance(v, Mapping) for v in value.values()):
            tables.append(_table(key, [{"name": name, **entry} for name, entry in value.items()]))
        elif key == "storage" and isinstance(value, Mapping):
            facts.append(("logits stored as", _text(value.get("dtype"))))
            facts.append(("top-1 answers that storing changed", _text(value.get("changed_top1"))))
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


def _applied(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """A model's facts without what is recorded of its weights and not applied: the crop of their authors.

    The canonical image decides which part of a picture models see.
    """
    preprocessing = entry.get("preprocessing")
    if not isinstance(preprocessing, Mapping):
        return entry
    return {**entry, "preprocessing": {k: v for k, v in preprocessing.items() if k != "crop_pct"}}


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
        if is_conditioned(row["metric"]):  # the same metric on fewer images
            continue
        direction = row.get("higher_is_more_diverse")
        entries.append(
            {"metric": metric_label(row["metric"])}
            | ({"more diverse is": "unknown" if direction is None else "higher" if direction else "lower"})
            | {k: v for k, v in row.items() if k not in ("metric", "higher_is_more_diverse")}
        )
    return _table("metrics", entries)


_TERMS = {
    "methodologies": (
        ("difficulty θ", "the probability that a model of one methodology fails on an image"),
        ("Eckhardt–Lee", "two models of one methodology: they fail together by the variance of θ more often"),
        (
            "Littlewood–Miller",
            "two models of two methodologies: by the covariance of their θ, which may be < 0",
        ),
    ),
    "joint_failures": (
        ("β", "of the failures of one member, the share in which another member fails with it"),
        ("suspect", "an image that nearly all models miss: its label may be wrong"),
    ),
    "votes": (
        ("safe stop", "too few members agree, so no answer is given"),
        ("silently wrong", "enough members agree on one wrong class, so it is given as the answer"),
    ),
    "agreement": (
        ("coverage", "the share of images that are answered"),
        ("risk", "the share of answered images that are answered wrongly"),
    ),
    "robustness": (
        ("effective robustness", "accuracy under a corruption beyond what clean accuracy foretells"),
    ),
    "benchmark": (
        (
            "CE, mCE",
            "the error under a corruption relative to a baseline’s; the mean over a set of them",
        ),
    ),
    "cka": (("CKA", "centered kernel alignment: how alike two layers tell the same images"),),
}


def terms(study: Study) -> list[tuple[str, str]]:
    """Words of the sections that the study has, with what they mean here."""
    return [term for name, entries in _TERMS.items() if not study.table(name).is_empty() for term in entries]


def interval_words(study: Study) -> str:
    """How the intervals were made, in one paragraph."""
    models = len(study.model_names)
    return (
        "Intervals are 95 %. Those of a correlation add two variances on Fisher's z: the one over images, by "
        "leaving out one block of images at a time, and the one over models, by leaving out one model at a "
        "time, because ensembles that share members are not independent of each other; they use Student's t "
        f"with {models - 1} degrees of freedom, one fewer than the {plural(models, 'model')}. Those of an "
        "improvement are over images only, for these models. Those of a model's accuracy are over images. "
        "None is corrected for looking at many relations at once"
        f"{_unless_compared(study)}.{_of_joint_failures(study)}"
    )


def _of_joint_failures(study: Study) -> str:
    said = ""
    if not study.table("methodologies").is_empty():
        said += (
            " Those of methodologies are for other images and, where a methodology has three models or more, "
            "for other models made the same way."
        )
    if not study.table("joint_failures").is_empty():
        said += (
            " Those of joint failures are Clopper and Pearson’s, which hold where failures are few or none; "
            "those of other shares of an ensemble’s images are Wilson’s."
        )
    return said


def _unless_compared(study: Study) -> str:
    if study.table("comparisons").is_empty():
        return ""
    return ", but for those by which ensembles are shown to be better or worse than their best member"


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
    if isinstance(value, float) and math.isnan(value):
        return "—"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_text(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, default=str)
