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
    corruption_errors,
    mean_over_corruptions,
    relative_corruption_errors,
)

from .published import Baseline
from .registry import BOOL, FLOAT, INT, TEXT, TEXTS, shared, table
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

Fact = str | int | bool | None
MEANS = {"error": "mean_error", "ce": "mce", "relative_ce": "relative_mce"}
"""From a number of one corruption to the name of its mean over corruptions."""


@shared("data set")
def benchmark_frames(
    answers: RightAnswers, contenders: Contenders, baseline: Baseline | None = None
) -> dict[str, list[pl.DataFrame]]:
    """The parts of the three tables of one data set by their names; none where it has no corruption.

    Memory: `answers`, `CELLS` numbers several times, and the rows.
    """
    parts: dict[str, list[pl.DataFrame]] = {"benchmark": [], "benchmark_corruptions": []}
    parts["benchmark_differences"] = []
    by_set: dict[tuple[str, str], list[Studied]] = {}
    for one in studied_corruptions(answers.conditions, answers.side):
        by_set.setdefault((one.set, one.stored), []).append(one)
    for members in by_set.values():
        for name, frame in _tables_of_set(answers, contenders, baseline, members):
            parts[name].append(frame.with_columns(dataset=pl.lit(answers.dataset)))
    return parts


@table("benchmark", of="data set", schema={
    "dataset": TEXT, "set": TEXT, "stored": TEXT, "ensemble": TEXT, "members": TEXTS, "size": INT,
    "consensus": TEXT, "quantity": TEXT, "value": FLOAT, "low": FLOAT, "high": FLOAT,
    "corruptions": INT, "of_corruptions": INT, "levels": INT, "of_levels": INT, "complete": BOOL,
    "baseline": TEXT, "note": TEXT,
})  # fmt: skip
def benchmark(benchmark_frames: Mapping[str, list[pl.DataFrame]]) -> list[pl.DataFrame]:
    """Means over the corruptions of each published set."""
    return benchmark_frames["benchmark"]


@table("benchmark_corruptions", of="data set", schema={
    "dataset": TEXT, "set": TEXT, "stored": TEXT, "corruption": TEXT, "ensemble": TEXT,
    "members": TEXTS, "size": INT, "consensus": TEXT, "quantity": TEXT, "value": FLOAT,
    "low": FLOAT, "high": FLOAT, "levels": INT, "of_levels": INT, "baseline": TEXT, "note": TEXT,
})  # fmt: skip
def benchmark_corruptions(benchmark_frames: Mapping[str, list[pl.DataFrame]]) -> list[pl.DataFrame]:
    """Error, corruption error and relative corruption error of each corruption."""
    return benchmark_frames["benchmark_corruptions"]


@table("benchmark_differences", of="data set", schema={
    "dataset": TEXT, "set": TEXT, "stored": TEXT, "quantity": TEXT, "ensemble": TEXT,
    "members": TEXTS, "size": INT, "consensus": TEXT, "against": TEXT, "value": FLOAT,
    "low": FLOAT, "high": FLOAT,
})  # fmt: skip
def benchmark_differences(benchmark_frames: Mapping[str, list[pl.DataFrame]]) -> list[pl.DataFrame]:
    """Each contender against each model and named ensemble, on the same images."""
    return benchmark_frames["benchmark_differences"]


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
                of_one = Replicated.of(lambda value_CX, c=c: value_CX[..., c, :], values)
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
                    of_other = of_others[a : a + 1]
                    less = Replicated.of(_less, mean, of_other)
                    columns = source | {"quantity": name, "against": contenders.names[other]}
                    rows = valued(who, "difference", less, answers.count_B)
                    rows = rows.filter(pl.col("ensemble") != contenders.names[other])
                    yield "benchmark_differences", rows.with_columns(**literals(columns))


def _less(a_X: Tensor, b_X: Tensor) -> Tensor:
    """The difference of two means over corruptions, rounded so that equals differ by exactly 0."""
    return (a_X - b_X).round(decimals=12)


def _mean(values: Replicated, kept: Sequence[int]) -> Replicated:
    """The mean over some corruptions; nan over none."""
    return Replicated.of(lambda value_CX: mean_over_corruptions(value_CX[..., list(kept), :]), values)


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
                Replicated.constant(torch.tensor(errors, dtype=torch.float64), num_blocks),
                Replicated.constant(torch.tensor(row.clean, dtype=torch.float64), num_blocks),
            )
        assert baseline.model is not None
        own = torch.tensor([baseline.model])
        error = _errors(answers, members, own)
        unknown = Replicated.constant(torch.tensor(math.nan), num_blocks)
        clean = unknown if answers.clean is None else _clean_error(answers, own)[0]
        return cls(baseline.name, error[0], clean)


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
    return Replicated.of(lambda sum_CX: sum_CX / levels_C1, summed)


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
    found = {"error": error, "ce": Replicated.of(corruption_errors, error, base.error)}
    if answers.clean is not None:
        clean = _clean_error(answers, which_X)
        found["relative_ce"] = Replicated.of(relative_corruption_errors, error, clean, base.error, base.clean)
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
