"""Images on which all members fail, so that no voter can be right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from nversion.report.blocks import Block, Heading, Picture, Sheet, Words
from nversion.report.images import thumbnail_uri
from nversion.report.labels import condition_label, plural
from nversion.report.registry import Blocks, section
from nversion.report.tables import Study

SIDE = 112
HEADINGS = {"chosen ensemble": "All members of the chosen ensemble fail", "all models": "All models fail"}


@section("all-fail", order=180, nav="All fail", title="Images on which all fail")
def all_fail(study: Study) -> Blocks:
    if "all_fail" not in study.tables:
        return None
    table = study.table("all_fail")
    if table.is_empty():
        return [Words("There is no image on which all models, or all members of the chosen ensemble, fail.")]
    blocks: list[Block] = [
        Words(
            "No voter can be right on an image on which all its members fail. Shown are those that fail "
            "under most conditions, shown under the first of them, with the label and the answers."
        )
    ]
    for group, heading in HEADINGS.items():
        rows = table.filter(group=group)
        if rows.is_empty():
            continue
        shown = rows.filter(pl.col("png").is_not_null())
        everywhere = rows.filter(pl.col("num_conditions") == pl.col("of_conditions")).height
        others = rows.height - shown.height
        more = f"; {others:,} more are in tables/all_fail.parquet" if others else ""
        number = plural(rows.height, "image") + (" or more" if rows.height >= 200 else "")
        blocks += [
            Heading(heading),
            Words(f"{number}, {everywhere} of them under every condition{more}.", quiet=True),
            Sheet([_picture(study, row) for row in shown.iter_rows(named=True)]),
        ]
    return blocks


def _picture(study: Study, row: Mapping[str, Any]) -> Picture:
    where = condition_label(study, row["condition"])
    return Picture(
        thumbnail_uri(row["png"], SIDE),
        f"{row['sample_id']} under {where}, labelled {row['label_name']}; the members say {row['answers']}",
        f"labelled {row['label_name']}",
        [
            f"says {row['answers']}",
            where,
            f"under {row['num_conditions']} of {plural(row['of_conditions'], 'condition')}",
        ],
    )
