"""Made-up tables of corruption errors and of the fall with severity, counted on the same made-up answers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import polars as pl


def benchmark_tables(world: Any) -> dict[str, pl.DataFrame]:
    """Every corruption counts towards a set of 10; the first model is the baseline; clean is severity 0."""
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("benchmark", "benchmark_corruptions", "benchmark_differences", "severities")
    }
    groups = [(size, row) for size, members in world.members.items() if size > 1 for row in members]
    contenders = [(model["model"], 1, [m]) for m, model in enumerate(world.models)]
    contenders += [(world.name(row), size, list(row)) for size, row in groups]
    for dataset in dict.fromkeys(c["dataset"] for c in world.conditions):
        corrupted = [c for c in world.conditions if c["dataset"] == dataset and c["corruption"]]
        if not corrupted:
            continue
        source = {"dataset": dataset, "set": "imagenet-c-bar", "stored": ""}
        facts = {"corruptions": len(corrupted), "of_corruptions": 10, "levels": len(corrupted)}
        facts |= {"of_levels": 50, "complete": False, "baseline": world.models[0]["model"], "note": ""}
        means = {}
        for name, size, members in contenders:
            who = {"ensemble": name, "size": size, "consensus": "average" if size > 1 else None}
            errors = {
                c["corruption"]: 1 - np.mean((world.answers[c["condition"]][members] == 0).mean(0) > 0.5)
                for c in corrupted
            }
            for corruption, error in errors.items():
                tables["benchmark_corruptions"].append(
                    source | who | _around(error) | {"corruption": corruption, "quantity": "error"}
                    | {"levels": 1, "of_levels": 5, "baseline": facts["baseline"], "note": ""}
                )  # fmt: skip
                scale = {"dataset": dataset, "corruption": corruption, "stored": "", "first": 0.0}
                scale |= {"last": 4.0, "levels": 2} | who
                tables["severities"] += [
                    scale | _around(1 - error) | {"quantity": "area", "note": ""},
                    scale | _around(float("nan")) | {"quantity": "half_severity", "note": "above 4"},
                ]
            means[name, size] = float(np.mean(list(errors.values())))
            for quantity, value in (("mean_error", means[name, size]), ("mce", 2 * means[name, size])):
                tables["benchmark"].append(
                    source | who | facts | _around(value) | {"quantity": f"partial_{quantity}"}
                )
        singles = [name for name, size in means if size == 1]
        for (name, size), against in itertools.product(means, singles):
            if name != against:
                difference = _around(2 * (means[name, size] - means[against, 1]))
                tables["benchmark_differences"].append(
                    source | {"quantity": "partial_mce", "ensemble": name, "size": size} | difference
                    | {"consensus": "average" if size > 1 else None, "against": against}
                )  # fmt: skip
    return {name: pl.DataFrame(rows, infer_schema_length=None) for name, rows in tables.items()}


def _around(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}
