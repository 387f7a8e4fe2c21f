"""Suspect labels: images on which nearly all models fail, with the class that they agree on instead.

Label errors pose as common failures: where the label is wrong, good models fail together, and rightly so. A
suspect is no proof of a label error, only an image to look at: models also fail together on hard images, on
images of two objects, and through what they have learned alike. Hence every joint-failure number is told
with and without the suspects, and neither of the two is the true one: leaving out images because all models
fail on them takes joint failures away by construction, so the second number is a lower bound.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from nversion.attribution import to_png
from nversion.core import write_bytes
from nversion.data import Canonical, Condition, Dataset

from .schemas import SUSPECTS

LINE_HEIGHT = 14
GAP = 6


@dataclass(frozen=True)
class Suspects:
    """Samples on which nearly all of M models fail, those first on which most agree on one wrong class.

    Attributes:
        samples_S: index of each among the N readable samples of its data set.
        num_wrong_S: how many models fail.
        agreed_S: the wrong class that most models name; of equally many the lowest.
        num_agreed_S: how many name it.
        num_samples, num_models: N and M.
    """

    samples_S: NDArray[np.int64]
    num_wrong_S: NDArray[np.int64]
    agreed_S: NDArray[np.int64]
    num_agreed_S: NDArray[np.int64]
    num_samples: int
    num_models: int

    def __len__(self) -> int:
        return len(self.samples_S)

    @property
    def mask_N(self) -> NDArray[np.bool_]:
        """True for suspects: "without_suspects" leaves them out under every condition of the data set."""
        mask_N = np.zeros(self.num_samples, bool)
        mask_N[self.samples_S] = True
        return mask_N


def find_suspects(
    predicted_MN: Tensor, right_MN: Tensor, suspect_share: float, agreed_share: float = 0.0
) -> Suspects:
    """The samples on which at least `suspect_share` of the models fail.

    Ordered by the share of models that agree on one wrong class, the highest first, then by sample.

    Args:
        predicted_MN: top class of each model.
        right_MN: bool; a predicted class that the sample accepts is right.
        suspect_share: in (0.5, 1].
        agreed_share: of the models, that must name the same wrong class besides. Models that fail each in
            another way point at a hard image rather than at a wrong label.

    >>> predicted_MN = torch.tensor([[1, 2], [1, 0], [2, 2]])
    >>> found = find_suspects(predicted_MN, torch.zeros(3, 2, dtype=torch.bool), 1.0)
    >>> found.samples_S.tolist(), found.agreed_S.tolist(), found.num_agreed_S.tolist()
    ([0, 1], [1, 2], [2, 2])
    """
    num_models, num_samples = right_MN.shape
    # 0.28 of 25 models is 7, and not the 8 that rounding up 7.000000000000001 gives.
    needed, agreeing = (math.ceil(share * num_models - 1e-9) for share in (suspect_share, agreed_share))
    num_wrong_N = (~right_MN).sum(0)
    samples_S = (num_wrong_N >= needed).nonzero().squeeze(1)
    classes_MS = predicted_MN[:, samples_S].long()
    wrong_MS = ~right_MN[:, samples_S]
    # For each model's class, how many of the models that fail name it: M comparisons of M rows.
    votes_MS = torch.stack([((classes_MS == row) & wrong_MS).sum(0) for row in classes_MS]) * wrong_MS
    num_agreed_S = votes_MS.amax(0)
    above = int(classes_MS.max()) + 1 if classes_MS.numel() else 1
    agreed_S = classes_MS.masked_fill(votes_MS < num_agreed_S, above).amin(0)
    order_S = torch.argsort(num_agreed_S, descending=True, stable=True)
    order_S = order_S[num_agreed_S[order_S] >= agreeing]
    return Suspects(
        samples_S[order_S].cpu().numpy(),
        num_wrong_N[samples_S[order_S]].cpu().numpy(),
        agreed_S[order_S].cpu().numpy(),
        num_agreed_S[order_S].cpu().numpy(),
        num_samples,
        num_models,
    )


def condition_of_suspects(conditions: Sequence[Condition]) -> Condition:
    """The condition of a data set under which its suspects are found: clean, or the first if none is.

    Args:
        conditions: of one data set.
    """
    return next((condition for condition in conditions if condition.is_clean), conditions[0])


def suspects_table(
    dataset: Dataset,
    canonical: Canonical,
    condition: Condition,
    rows_N: NDArray[np.int64],
    suspects: Suspects,
    num_pictures: int,
) -> pl.DataFrame:
    """A row for each suspect of a data set, in their order.

    Args:
        condition: under which they were found; the picture is the canonical image without a corruption,
            because it is the label that is in doubt.
        rows_N: the row of each readable sample in the data set.
        num_pictures: the first so many have a PNG, the others null.
    """
    space = dataset.label_space
    rows: list[dict[str, object]] = []
    for i, sample in enumerate(suspects.samples_S.tolist()):
        row = int(rows_N[sample])
        label, agreed = int(dataset.labels_N[row]), int(suspects.agreed_S[i])
        rows.append(
            {
                "dataset": condition.dataset,
                "sample_id": dataset.sample_ids[row],
                "condition": condition.name,
                "label": label,
                "label_name": space.name_of(label),
                "num_wrong": int(suspects.num_wrong_S[i]),
                "num_models": suspects.num_models,
                "agreed_label": agreed,
                "agreed_name": space.name_of(agreed),
                "agreed_share": int(suspects.num_agreed_S[i]) / suspects.num_models,
                "png": _picture(dataset, canonical, row) if i < num_pictures else None,
            }
        )
    return pl.DataFrame(rows, schema=SUSPECTS)


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


def _picture(dataset: Dataset, canonical: Canonical, row: int) -> bytes:
    return to_png(torch.from_numpy(canonical.render(dataset.decode(row))))
