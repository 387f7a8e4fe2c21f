"""Corruption errors of a study over the published sets of corruptions, relative to a baseline.

Everything is algebra on how often every model and ensemble is right in each block of images; the formulas
and their intervals are those of `reliability/corruption_error.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from nversion.core import spans
from nversion.corruptions import published
from nversion.corruptions.severities import SMALL_IMAGE
from nversion.ensembles import CREDITS, Replicated
from nversion.reliability import (
    constant,
    corruption_errors,
    mean_over_corruptions,
    over_images,
    relative_corruption_errors,
)

from .published import Baseline
from .schemas import BENCHMARK, BENCHMARK_CORRUPTIONS, BENCHMARK_DIFFERENCES, Schema
from .studied import (
    CELLS,
    OTHER,
    Contenders,
    RightAnswers,
    Studied,
    literals,
    studied_corruptions,
    valued,
)

SCHEMAS: Mapping[str, Schema] = {
    "benchmark": BENCHMARK,
    "benchmark_corruptions": BENCHMARK_CORRUPTIONS,
    "benchmark_differences": BENCHMARK_DIFFERENCES,
}
Fact = str | int | bool | None
MEANS = {"error": "mean_error", "ce": "mce", "relative_ce": "relative_mce"}
"""From a number of one corruption to the name of its mean over corruptions."""


def benchmark_tables(
    answers: RightAnswers, contenders: Contenders, baseline: Baseline | None
) -> dict[str, pl.DataFrame]:
    """The tables of one data set, without rows where it has no corruption.

    Memory: `answers`, `CELLS` numbers several times, and the rows.
    """
    parts = {name: [pl.DataFrame(schema=schema)] for name, schema in SCHEMAS.items()}
    by_set: dict[tuple[str, str], list[Studied]] = {}
    for one in studied_corruptions(answers.conditions, answers.side):
        by_set.setdefault((one.set, one.stored), []).append(one)
    for members in by_set.values():
        for name, frame in _tables_of_set(answers, contenders, baseline, members):
            rows = frame.with_columns(dataset=pl.lit(answers.dataset)).select(list(SCHEMAS[name]))
            parts[name].append(rows.cast(pl.Schema(SCHEMAS[name])))
    return {name: pl.concat(frames) for name, frames in parts.items()}


def _tables_of_set(
    answers: RightAnswers, contenders: Contenders, baseline: Baseline | None, members: Sequence[Studied]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Frames of one published set, from one source, with the name of their table."""
    source: dict[str, Fact] = {"set": members[0].set, "stored": members[0].stored}
    base = None if baseline is None else _BaseErrors.of(answers, members, baseline)
    notes = {quantity: [_note(quantity, base, c) for c in range(len(members))] for quantity in MEANS}
    # A mean is over the corruptions where the number exists, and says over how many.
    kept = {quantity: [c for c, note in enumerate(notes[quantity]) if not note] for quantity in MEANS}
    facts = {
        quantity: _facts_of_set([members[c] for c in kept[quantity]], source, answers.side, base)
        for quantity in MEANS
    }
    compared = "ce" if base is not None and kept["ce"] else "error"  # what the report sorts by
    others = [*range(contenders.num_models), *contenders.named]
    of_others = _mean(_numbers(answers, members, base, torch.tensor(others))[compared], kept[compared])
    step = max(1, CELLS // (len(answers.count_B) * max(len(members), len(others))))
    for start, stop in spans(len(contenders.names), step):
        who = contenders.frame[start:stop]
        for quantity, values in _numbers(answers, members, base, torch.arange(start, stop)).items():
            for c, one in enumerate(members):
                of_one = Replicated(values.full_E[c], values.without_BE[:, c])
                columns = source | _facts_of_corruption(one) | {"quantity": quantity}
                columns |= {"baseline": facts[quantity]["baseline"], "note": notes[quantity][c]}
                rows = valued(who, quantity, of_one, answers.count_B)
                yield "benchmark_corruptions", rows.with_columns(**literals(columns))
            mean = _mean(values, kept[quantity])
            name = ("" if facts[quantity]["complete"] else "partial_") + MEANS[quantity]
            note = _left_out(notes[quantity], members)
            rows = valued(who, MEANS[quantity], mean, answers.count_B)
            columns = facts[quantity] | {"quantity": name, "note": note}
            yield "benchmark", rows.with_columns(**literals(columns))
            if quantity == compared:
                for a, other in enumerate(others):
                    of_other = Replicated(of_others.full_E[a], of_others.without_BE[:, a : a + 1])
                    less = over_images(_less, mean, of_other)
                    columns = source | {"quantity": name, "against": contenders.names[other]}
                    rows = valued(who, "difference", less, answers.count_B)
                    rows = rows.filter(pl.col("ensemble") != contenders.names[other])
                    yield "benchmark_differences", rows.with_columns(**literals(columns))


def _less(a_X: Tensor, b_X: Tensor) -> Tensor:
    """The difference of two means over corruptions, rounded so that equals differ by exactly 0."""
    return (a_X - b_X).round(decimals=12)


def _mean(values: Replicated, kept: Sequence[int]) -> Replicated:
    """The mean over some corruptions; nan over none."""
    return over_images(lambda value_CX: mean_over_corruptions(value_CX[..., list(kept), :]), values)


def _facts_of_set(
    members: Sequence[Studied], source: Mapping[str, Fact], side: int, base: _BaseErrors | None
) -> dict[str, Fact]:
    name = str(source["set"])
    levels = {} if name == OTHER else published(name, side)
    counted = sum(len(one.counted) for one in members)
    of_levels = sum(map(len, levels.values())) or None
    # Images of another size are not those of the published set, whatever their corruptions.
    fits = (side <= SMALL_IMAGE) == name.startswith("cifar")
    return {
        **source,
        "corruptions": len(members),
        "of_corruptions": len(levels) or None,
        "levels": counted,
        "of_levels": of_levels,
        "complete": counted == of_levels and fits,
        "baseline": None if base is None else base.name,
    }


def _facts_of_corruption(one: Studied) -> dict[str, Fact]:
    return {"corruption": one.corruption, "levels": len(one.counted), "of_levels": one.of_levels}


@dataclass(frozen=True)
class _BaseErrors:
    """The baseline's errors (C,) under the corruptions of a set, and its clean error."""

    name: str
    error: Replicated
    clean: Replicated

    @classmethod
    def of(cls, answers: RightAnswers, members: Sequence[Studied], baseline: Baseline) -> _BaseErrors:
        num_blocks = len(answers.count_B)
        if (row := baseline.published) is not None:
            errors = [
                row.error(one.corruption, [c.severity or 0.0 for c in one.counted], whole=one.is_whole)
                for one in members
            ]
            return cls(
                baseline.name,
                constant(torch.tensor(errors, dtype=torch.float64), num_blocks),
                constant(torch.tensor(row.clean, dtype=torch.float64), num_blocks),
            )
        assert baseline.model is not None
        own = torch.tensor([baseline.model])
        error = _errors(answers, members, own)
        unknown = constant(torch.tensor(math.nan), num_blocks)
        clean = unknown if answers.clean is None else _first(_clean_error(answers, own))
        return cls(baseline.name, _first(error), clean)


def _first(values: Replicated) -> Replicated:
    return Replicated(values.full_E[..., 0], values.without_BE[..., 0])


def _errors(answers: RightAnswers, members: Sequence[Studied], which_X: Tensor) -> Replicated:
    """Mean error over the counted levels of each corruption, (C, X)."""
    wrong_BCX = torch.stack(
        [
            torch.stack([_wrong(answers, answers.credits[c.name][:, which_X]) for c in one.counted]).sum(0)
            for one in members
        ],
        dim=1,
    )
    levels_C1 = torch.tensor([[len(one.counted)] for one in members], dtype=torch.float64)
    summed = Replicated.mean(wrong_BCX, answers.count_B * CREDITS)
    return Replicated(summed.full_E / levels_C1, summed.without_BE / levels_C1)


def _wrong(answers: RightAnswers, credits_BX: Tensor) -> Tensor:
    """Credits that were missed."""
    return answers.count_B.unsqueeze(1) * CREDITS - credits_BX


def _clean_error(answers: RightAnswers, which_X: Tensor) -> Replicated:
    assert answers.clean is not None
    return Replicated.mean(_wrong(answers, answers.clean[:, which_X]), answers.count_B * CREDITS)


def _numbers(
    answers: RightAnswers, members: Sequence[Studied], base: _BaseErrors | None, which_X: Tensor
) -> dict[str, Replicated]:
    """Errors of some contenders under each corruption, (C, X); with a baseline both corruption errors."""
    error = _errors(answers, members, which_X)
    if base is None:
        return {"error": error}
    found = {"error": error, "ce": over_images(corruption_errors, error, base.error)}
    if answers.clean is not None:
        clean = _clean_error(answers, which_X)
        found["relative_ce"] = over_images(relative_corruption_errors, error, clean, base.error, base.clean)
    return found


def _left_out(notes: Sequence[str], members: Sequence[Studied]) -> str:
    """Each reason with the corruptions that a mean leaves out for it."""
    by_reason: dict[str, list[str]] = {}
    for note, one in zip(notes, members, strict=True):
        by_reason.setdefault(note, []).append(one.corruption)
    return "; ".join(f"{reason}: {', '.join(names)}" for reason, names in by_reason.items() if reason)


def _note(quantity: str, base: _BaseErrors | None, c: int) -> str:
    """Why a number relative to the baseline is undefined; "" where it is not."""
    if base is None or quantity == "error":
        return ""
    error, clean = float(base.error.full_E[c]), float(base.clean.full_E)
    if math.isnan(error):
        return f"{base.name} has no published error over these levels"
    if quantity == "ce":
        return f"{base.name} makes no error" if error == 0 else ""
    if math.isnan(clean):
        return f"{base.name} has no published clean error"
    return f"{base.name} loses nothing" if error <= clean else ""
