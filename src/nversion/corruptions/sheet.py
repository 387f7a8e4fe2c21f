"""A contact sheet: one image under several corruptions and severities, labelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from nversion.core import UserError, generator

from .base import create

if TYPE_CHECKING:
    from PIL.Image import Image

LABEL_HEIGHT = 16
GAP = 4


def contact_sheet(
    image_3HW: Tensor, rows: Sequence[tuple[str, Sequence[float]]], seed: int = 0, tile: int | None = None
) -> Image:
    """Draw the image, and a row for each (corruption, severities) with a tile for each severity.

    The first column is the image itself, under the corruption's name; the others name their severity. The
    parameters of a tile come from `generator("contact sheet", name, severity, seed)`: a tile does not
    depend on its neighbours.

    Args:
        tile: height of a tile in pixels; images are corrupted at their own size and then drawn smaller, or
            so many times larger. None: as they are.

    Raises:
        UserError: no rows or a row without severities; and what `create` and `apply` raise.

    >>> import torch
    >>> image_3HW = torch.full((3, 32, 48), 200, dtype=torch.uint8)
    >>> contact_sheet(image_3HW, [("lines", [1.0, 2.0]), ("water_drop", [5.2])]).size
    (160, 108)
    """
    from PIL import Image, ImageDraw

    if not rows or not all(severities for _, severities in rows):
        raise UserError(
            expected="at least one corruption, each with at least one severity",
            found=repr(list(rows)),
            next_step='pass rows such as [("lines", [0.8, 1.6])]',
        )
    shown = [(name, _tiles(image_3HW, name, severities, seed)) for name, severities in rows]
    side_y, side_x = image_3HW.shape[1:]
    height = tile or side_y
    height -= height % side_y if height > side_y else 0
    width = max(1, round(side_x * height / side_y))
    filtering = Image.Resampling.NEAREST if height > side_y else Image.Resampling.LANCZOS
    step_x, step_y = width + GAP, height + GAP + LABEL_HEIGHT
    size = (GAP + step_x * max(len(tiles) for _, tiles in shown), GAP + step_y * len(shown))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for y, (name, tiles) in enumerate(shown):
        top = GAP + y * step_y
        # From the left over as many tiles as it needs; severities stand to the right of theirs.
        draw.text((GAP, top + 2), name, fill="black")
        for x, (label, pixels_HW3) in enumerate(tiles):
            left = GAP + x * step_x
            drawn = Image.fromarray(pixels_HW3)
            if drawn.size != (width, height):
                drawn = drawn.resize((width, height), filtering)
            sheet.paste(drawn, (left, top + LABEL_HEIGHT))
            if label:
                long = draw.textlength(label)
                draw.rectangle((left + width - long - 2, top, left + width, top + LABEL_HEIGHT - 1), "white")
                draw.text((left + width - long, top + 2), label, fill="black")
    return sheet


def _tiles(
    image_3HW: Tensor, name: str, severities: Sequence[float], seed: int
) -> list[tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]]:
    tiles = [("", image_3HW)]
    for severity in severities:
        corruption = create(name, severity)
        rng = generator("contact sheet", corruption.name, corruption.severity, seed)
        parameters = corruption.sample_parameters(rng, (image_3HW.shape[-2], image_3HW.shape[-1]))
        tiles.append((f"{corruption.severity:g}", corruption.apply(image_3HW[None], [parameters])[0]))
    return [(label, tile.permute(1, 2, 0).cpu().numpy()) for label, tile in tiles]
