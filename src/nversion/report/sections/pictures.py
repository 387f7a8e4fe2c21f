"""Corrupted sample images, and images masked by the attribution of each model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from nversion.report.blocks import Block, Heading, Picture, PictureGrid, Words, quiet
from nversion.report.images import thumbnail_uri
from nversion.report.labels import condition_label, corruption_label
from nversion.report.registry import Blocks, section
from nversion.report.tables import Study

MAX_IMAGES = 8
MAX_MODELS = 16


@section("pictures", order=200, nav="Pictures", title="Sample images and attribution maps")
def pictures(study: Study) -> Blocks:
    return [*sample_blocks(study), *map_blocks(study)]


def sample_blocks(study: Study) -> list[Block]:
    """Images down, conditions across; one grid a data set that has pictures."""
    samples = study.table("samples")
    if samples.is_empty():
        return []
    pictured = set(samples["condition"])
    grids = {}
    for dataset in study.values("conditions", "dataset"):
        own = study.conditions.filter(dataset=dataset)["condition"]
        conditions = [c for c in own if c in pictured]
        if conditions:
            part = samples.filter(pl.col("condition").is_in(conditions))
            columns = [(corruption_label(study, c), "") for c in conditions]

            def alt(name: str, condition: str) -> str:
                return f"{name}, {condition_label(study, condition)}"

            caption = f"Corrupted sample images of {dataset}"
            grids[dataset] = _grid(part, "condition", conditions, columns, caption, alt)
    several = len(grids) > 1
    return [
        block
        for dataset, blocks in grids.items()
        for block in (
            Heading(f"The same images under each condition{f': {dataset}' if several else ''}"),
            *blocks,
        )
    ]


def map_blocks(study: Study) -> list[Block]:
    """Images masked by attribution: images down, models across; one grid a condition."""
    maps = study.table("maps")
    blocks: list[Block] = []
    for condition in study.values("maps", "condition"):
        part = maps.filter(condition=condition)
        models = part.select("model", "family").unique("model", keep="first", maintain_order=True)
        shown = models.head(MAX_MODELS)
        where = condition_label(study, condition)

        def alt(name: str, model: str) -> str:
            return f"{name} masked by the attribution of {model}"

        blocks.append(Heading(f"Images masked by attribution: {where}"))
        if len(blocks) == 1:
            blocks.append(
                Words(
                    "Pixels are masked by their attribution: bright ones influence the model's answer most. "
                    "Two models may give the same answer for different reasons."
                )
            )
        caption = f"Attribution maps on {where}"
        blocks += _grid(part, "model", shown["model"].to_list(), list(shown.iter_rows()), caption, alt)
        left = models.height - shown.height
        blocks += quiet(f"{left} more models are in the study's tables." if left else "")
    return blocks


def _grid(
    part: pl.DataFrame,
    key: str,
    keys: Sequence[str],
    columns: Sequence[tuple[str, str]],
    caption: str,
    alt: Callable[[str, str], str],
) -> list[Block]:
    """Samples down, values of a column across, and how many samples are left out."""
    found = {(r["sample_id"], r[key]): r for r in part.iter_rows(named=True)}
    ids = part["sample_id"].unique(maintain_order=True).to_list()
    rows = []
    for sample in ids[:MAX_IMAGES]:
        own = [found.get((sample, k)) for k in keys]
        name = next((row["label_name"] for row in own if row), None) or sample
        pictures = [_picture(row, alt(name, k)) for row, k in zip(own, keys, strict=True)]
        rows.append((name, pictures))
    left = len(ids) - len(rows)
    more = quiet(f"{left} more images are in the study's tables." if left else "")
    return [PictureGrid(caption, columns, rows), *more]


def _picture(row: Mapping[str, Any] | None, alt: str) -> Picture:
    """A picture, and for one of a model its answer and whether that is right."""
    if row is None:
        return Picture(None, alt)
    said = row.get("predicted_name")
    return Picture(
        thumbnail_uri(row["png"]),
        f"{alt}, predicted as {said}" if said else alt,
        lines=[said] if said else [],
        right=bool(row["right"]) if said else None,
    )
