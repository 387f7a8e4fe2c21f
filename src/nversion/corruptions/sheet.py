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


def contact_sheet(image_3HW: Tensor, rows: Sequence[tuple[str, Sequence[float]]], seed: int = 0) -> Image:
    """Draw the image, and a row for each (corruption, severities) with a labelled tile for each severity.

    The first column is the image itself. The parameters of a tile come from `generator("contact sheet", name,
    severity, seed)`: a tile does not depend on its neighbours.

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
    tiles = [_tiles(image_3HW, name, severities, seed) for name, severities in rows]
    height, width = image_3HW.shape[1:]
    step_x, step_y = width + GAP, height + GAP + LABEL_HEIGHT
    size = (GAP + step_x * max(len(row) for row in tiles), GAP + step_y * len(tiles))
    sheet = Image.new("RGB", size, "white")
    for y, row in enumerate(tiles):
        for x, (label, pixels_HW3) in enumerate(row):
            left, top = GAP + x * step_x, GAP + y * step_y
            # Its own picture, so that a label longer than its tile is cut there.
            caption = Image.new("RGB", (width, LABEL_HEIGHT), "white")
            ImageDraw.Draw(caption).text((0, 2), label, fill="black")
            sheet.paste(caption, (left, top))
            sheet.paste(Image.fromarray(pixels_HW3), (left, top + LABEL_HEIGHT))
    return sheet


def _tiles(
    image_3HW: Tensor, name: str, severities: Sequence[float], seed: int
) -> list[tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]]:
    tiles = [("clean", image_3HW)]
    for severity in severities:
        corruption = create(name, severity)
        rng = generator("contact sheet", corruption.name, corruption.severity, seed)
        parameters = corruption.sample_parameters(rng, (image_3HW.shape[-2], image_3HW.shape[-1]))
        tiles.append((f"{name} {corruption.severity:g}", corruption.apply(image_3HW[None], [parameters])[0]))
    return [(label, tile.permute(1, 2, 0).cpu().numpy()) for label, tile in tiles]
