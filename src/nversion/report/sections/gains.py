"""What an ensemble adds to the best single model, and whether these images can show it."""

from __future__ import annotations

import math

from nversion.report.blocks import Block, Drawing, Section, Words
from nversion.report.labels import condition_label, consensus_label, is_undefined, plural
from nversion.report.tables import Study


def section(study: Study) -> Section | None:
    """None where no ensembles were compared."""
    if study.default_size is None or (study.table("gains").is_empty() and study.table("power").is_empty()):
        return None
    said = smallest_gain(study)
    blocks: list[Block] = [Words(said)] if said else []
    blocks += [Drawing("gains"), Drawing("power")]
    return Section("gains", "Gains", "What an ensemble adds, and what can be shown", blocks)


def smallest_gain(study: Study) -> str:
    """The smallest gain that the images of the first condition show; "" where the study has no such table."""
    condition, consensus = study.first_condition, study.default_consensus
    found = study.table("power").filter(
        condition=condition, size=study.default_size or 0, consensus=consensus or ""
    )
    if found.is_empty():
        return ""
    row = found.row(0, named=True)
    if is_undefined(row["discordant"]):
        return ""
    where = condition_label(study, condition)
    if is_undefined(row["smallest_gain"]):
        return f"{plural(row['n'], 'image')} of {where} are too few to show any gain of an ensemble."
    alone, at_once = (100 * row[f"smallest_gain{ending}"] for ending in ("", "_corrected"))
    many = (
        ""
        if is_undefined(at_once) or row["num_compared"] == 1
        else f", and below {at_once:.1f} points where all {plural(row['num_compared'], 'ensemble')} of "
        f"{study.default_size} are compared"
    )
    return (
        f"With {plural(row['n'], 'image')} a gain over the best member by {consensus_label(consensus or '')} "
        f"below {alone:.1f} points cannot reliably be told from zero on {where} (80 % power at the 5 % "
        "level, "
        f"one ensemble named beforehand){many}; a gain of one point needs "
        f"{plural(_rounded(row['images_for_a_point']), 'image')}."
    )


def _rounded(number: float) -> int:
    """Up to two figures.

    >>> _rounded(782.5), _rounded(11322.3)
    (790, 12000)
    """
    step = 10.0 ** max(0, math.floor(math.log10(number)) - 1)
    return int(math.ceil(number / step) * step)
