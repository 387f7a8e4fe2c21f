"""Pictures of suspect labels: in their table, and as a contact sheet."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import torch
from PIL import Image, ImageDraw

from nversion.attribution import to_png
from nversion.core import write_bytes
from nversion.data import Canonical, Dataset

LINE_HEIGHT = 14
GAP = 6


def with_pictures(
    table: pl.DataFrame, datasets: Mapping[str, Dataset], canonical: Canonical, num_pictures: int
) -> pl.DataFrame:
    """The table of suspects with a PNG of the first `num_pictures` of each data set.

    It is the canonical image without a corruption, because it is the label that is in doubt.
    """
    shown = dict.fromkeys(datasets, 0)
    pictures: list[bytes | None] = []
    for name, sample_id in table.select("dataset", "sample_id").iter_rows():
        shown[name] += 1
        dataset = datasets[name]
        row = dataset.sample_ids.index(sample_id)
        pictures.append(
            to_png(torch.from_numpy(canonical.render(dataset.decode(row))))
            if shown[name] <= num_pictures
            else None
        )
    return table.with_columns(pl.Series("png", pictures, pl.Binary))


def suspects_sheet(table: pl.DataFrame, columns: int = 6, side: int = 128) -> Image.Image | None:
    """The suspects that have a picture, each with its label, the class agreed on and by how many models.

    Args:
        table: as `suspects_table` gives it.
        columns: pictures in a row.
        side: of a picture in pixels.

    Returns:
        None where no suspect has a picture.
    """
    shown = table.filter(pl.col("png").is_not_null())
    if not shown.height:
        return None
    columns = min(columns, shown.height)
    step_x, step_y = side + GAP, side + 3 * LINE_HEIGHT + GAP
    sheet = Image.new(
        "RGB", (GAP + step_x * columns, GAP + step_y * math.ceil(shown.height / columns)), "white"
    )
    for i, row in enumerate(shown.iter_rows(named=True)):
        left, top = GAP + i % columns * step_x, GAP + i // columns * step_y
        with Image.open(io.BytesIO(row["png"]), formats=("PNG",)) as picture:
            sheet.paste(picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC), (left, top))
        agreeing = round(row["agreed_share"] * row["num_models"])
        # Its own picture, so that a name longer than its tile is cut there.
        caption = Image.new("RGB", (side, 3 * LINE_HEIGHT), "white")
        lines = (
            f"label {row['label_name']}",
            f"not {row['agreed_name']}?",
            f"so say {agreeing} of {row['num_models']}",
        )
        for number, line in enumerate(lines):
            ImageDraw.Draw(caption).text((0, 1 + number * LINE_HEIGHT), line, fill="black")
        sheet.paste(caption, (left, top + side))
    return sheet


def write_suspects_sheet(path: Path, table: pl.DataFrame) -> bool:
    """Write the contact sheet as PNG, whole; False, and no file, where no suspect has a picture."""
    sheet = suspects_sheet(table)
    if sheet is None:
        return False
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    write_bytes(path, buffer.getvalue())
    return True
