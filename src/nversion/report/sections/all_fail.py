"""Images on which all members fail: what no voter among them can survive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from nversion.report.blocks import Block, Heading, Section, Sheet, Words
from nversion.report.images import thumbnail_uri
from nversion.report.labels import condition_label, plural
from nversion.report.tables import Study

SIDE = 112


def section(study: Study) -> Section | None:
    """A strip of pictures for the chosen ensemble and one for all models; None where nobody looked."""
    if "all_fail" not in study.extra:
        return None
    table = study.table("all_fail")
    title = "Images on which all fail"
    if table.is_empty():
        said = "There is no image on which all models, or all members of the chosen ensemble, fail."
        return Section("all-fail", "All fail", title, [Words(said)])
    blocks: list[Block] = [
        Words(
            "No voter survives an image on which all its members fail. Shown are those that fail under most "
            "conditions, as they look under the first of them, with the label and what the members say."
        )
    ]
    for group in ("chosen ensemble", "all models"):
        rows = table.filter(group=group)
        if rows.is_empty():
            continue
        shown = rows.filter(pl.col("png").is_not_null())
        images = rows.height
        everywhere = rows.filter(pl.col("num_conditions") == pl.col("of_conditions")).height
        blocks += [
            Heading(f"All members of the {group} fail" if group == "chosen ensemble" else "All models fail"),
            Words(
                f"{plural(images, 'image')}{' or more' if images >= 200 else ''}, "
                f"{everywhere} of them under every "
                f"condition{_left_out(images - shown.height)}.",
                quiet=True,
            ),
            Sheet([_picture(study, row) for row in shown.iter_rows(named=True)]),
        ]
    return Section("all-fail", "All fail", title, blocks)


def _left_out(number: int) -> str:
    return f"; {number:,} more are in tables/all_fail.parquet" if number else ""


def _picture(study: Study, row: Mapping[str, Any]) -> dict[str, Any]:
    where = condition_label(study, row["condition"])
    times = f"under {row['num_conditions']} of {plural(row['of_conditions'], 'condition')}"
    return {
        "uri": thumbnail_uri(row["png"], SIDE),
        "alt": f"{row['sample_id']} under {where}, labelled {row['label_name']}; the members say "
        f"{row['answers']}",
        "title": f"labelled {row['label_name']}",
        "lines": [f"says {row['answers']}", where, times],
    }
