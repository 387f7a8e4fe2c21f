"""Accuracy against severity in two numbers: its area, and where it has fallen to half of the clean one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import polars as pl
import torch
from torch import Tensor

from nversion.core import spans
from nversion.corruptions.zero import clean_at_zero
from nversion.ensembles import CREDITS, Replicated
from nversion.reliability import area_under_accuracy, half_severity

from .registry import FLOAT, INT, TEXT, TEXTS, table
from .studied import CELLS, Contenders, RightAnswers, Studied, literals, studied_corruptions, valued


@table("severities", of="data set", schema={
    "dataset": TEXT, "corruption": TEXT, "stored": TEXT, "ensemble": TEXT, "members": TEXTS,
    "size": INT, "consensus": TEXT, "quantity": TEXT, "value": FLOAT, "low": FLOAT, "high": FLOAT,
    "first": FLOAT, "last": FLOAT, "levels": INT, "note": TEXT,
})  # fmt: skip
def severities_table(answers: RightAnswers, contenders: Contenders) -> Iterator[pl.DataFrame]:
    """A row for each contender, corruption of at least two severities, and quantity.

    Clean images are severity 0 where the scale begins with them. Memory: `answers`, `CELLS` numbers
    several times, and the rows.
    """
    for one in studied_corruptions(answers.conditions, answers.side):
        if len(one.conditions) > 1:
            for frame in _of_corruption(answers, contenders, one):
                yield frame.with_columns(dataset=pl.lit(answers.dataset))


def _of_corruption(answers: RightAnswers, contenders: Contenders, one: Studied) -> list[pl.DataFrame]:
    """Area and half severity of every contender under one corruption."""
    severities = [c.severity or 0.0 for c in one.conditions]
    rights = [answers.credits[c.name] for c in one.conditions]
    clean = answers.clean
    if clean is not None and clean_at_zero(one.corruption):
        severities, rights = [0.0, *severities], [clean, *rights]
    severity_L = torch.tensor(severities, dtype=torch.float64)
    count_B, frames = answers.count_B, []
    for start, stop in spans(len(contenders.names), max(1, CELLS // (len(count_B) * len(rights)))):
        who = contenders.frame[start:stop]
        credits_BLX = torch.stack([credits_BX[:, start:stop] for credits_BX in rights], dim=1)
        top1 = Replicated.mean(credits_BLX, count_B * CREDITS)
        area = Replicated.of(lambda top1_LX: area_under_accuracy(severity_L, top1_LX), top1)
        frames.append(
            valued(who, "area", area, count_B).with_columns(quantity=pl.lit("area"), note=pl.lit(""))
        )
        if clean is None:
            continue
        clean_top1 = Replicated.mean(clean[:, start:stop], count_B * CREDITS)
        half = Replicated.of(
            lambda top1_LX, clean_X: half_severity(severity_L, top1_LX, clean_X), top1, clean_top1
        )
        notes = _half_notes(half, top1, clean_top1, severities, count_B)
        frames.append(
            valued(who, "half_severity", half, count_B).with_columns(
                pl.Series("note", notes, pl.String), quantity=pl.lit("half_severity")
            )
        )
    facts: dict[str, object] = {
        "corruption": one.corruption,
        "stored": one.stored,
        "levels": len(one.conditions),
    }
    facts |= {"first": severities[0], "last": severities[-1]}
    return [frame.with_columns(**literals(facts)) for frame in frames]


def _half_notes(
    half: Replicated, top1: Replicated, clean: Replicated, severities: Sequence[float], count_B: Tensor
) -> list[str]:
    undefined_X = half.interval(count_B).num_undefined_X.tolist()
    already_X = (top1.full_E[0] <= clean.full_E / 2).tolist()
    notes = []
    for x, value in enumerate(half.full_E.tolist()):
        if float(clean.full_E[x]) == 0:
            notes.append("no clean image is right")
        elif math.isnan(value):
            notes.append(f"at or below {severities[0]:g}" if already_X[x] else f"above {severities[-1]:g}")
        elif undefined_X[x]:
            notes.append(f"no interval: outside the range without {undefined_X[x]} of the blocks of images")
        else:
            notes.append("")
    return notes
