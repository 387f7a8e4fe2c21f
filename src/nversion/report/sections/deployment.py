"""What is worth deploying: the front, chosen on one half of the images and told by the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nversion.report.blocks import Block, Cell, Drawing, Grid, Row, Section, Tables, Words, share_cell
from nversion.report.figures.deploy import COSTS, front_cost
from nversion.report.labels import consensus_label, count
from nversion.report.tables import Study


def section(study: Study) -> Section | None:
    """None where `nversion select` left no front."""
    if study.table("front").is_empty():
        return None
    blocks: list[Block] = [
        Words(
            "What counts in use is the criterion that the choice was made by, and what it costs to reach it. "
            "Who stands on the front was decided on one half of the images under the seen conditions; what "
            "they reach is told by the other half, under seen conditions and under unseen ones. Single "
            "models are candidates like any other: what an ensemble must beat is the single model of "
            "its own cost."
        ),
        Drawing("deployment"),
        Tables([front_table(study)]),
    ]
    return Section("deployment", "Deployment", "What is worth deploying", blocks)


def front_table(study: Study) -> Grid:
    """The front by rising cost, with what it reached where it was chosen and where it had no say."""
    cost = front_cost(study)
    front = study.table("front").sort(cost, maintain_order=True)
    return Grid(
        f"The front by {COSTS[cost].lower()}",
        [
            "Consensus",
            "Parameters",
            "Multiply-adds",
            "Half that chose",
            "Held-out half",
            "Held-out half, unseen conditions",
        ],
        [_front_row(row) for row in front.iter_rows(named=True)],
        corner="Members",
        source="front",
        notes=["Top-1 in percent by the criterion of the choice; 95 % intervals where it had no say."],
    )


def _front_row(row: Mapping[str, Any]) -> Row:
    return Row(
        row["ensemble"],
        [
            Cell("single model" if row["is_single"] else consensus_label(row["consensus"] or "")),
            Cell(count(row["params"])),
            Cell(count(row["macs"])),
            share_cell(row["chosen_top1"], None, None),
            share_cell(row["top1"], row["top1_low"], row["top1_high"]),
            share_cell(row["unseen_top1"], row["unseen_low"], row["unseen_high"]),
        ],
    )
