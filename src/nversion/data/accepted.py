"""Further labels that count as right: read from a file, and applied to predicted classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from nversion.core import LabelSpace, UserError, did_you_mean

from .classes import class_of, composed, read_csv


def read_accepted(
    path: Path, sample_ids: Sequence[str], label_space: LabelSpace
) -> dict[int, tuple[int, ...]]:
    """The labels that a CSV file accepts, by the row of the sample.

    Columns: `sample_id`, each at most once, and `labels`: classes by index or by name, separated by
    ";" or, where the field holds no ";" and is no class's name as a whole, by spaces. A field may be
    empty. Samples that the file does not name keep their own label alone.

    Args:
        path: of the file.
        sample_ids: of the data set, in its order.
        label_space: what the labels mean.

    Raises:
        UserError: no such file or column, an unknown or repeated sample, or an unknown class; with its line.
    """
    row_of = {composed(sample_id): row for row, sample_id in enumerate(sample_ids)}
    accepted: dict[int, tuple[int, ...]] = {}
    for line, fields in read_csv(path):
        for column in ("sample_id", "labels"):
            if column not in fields:
                raise UserError(
                    expected=f"the columns 'sample_id' and 'labels' in {path}",
                    found=", ".join(map(repr, fields)),
                    next_step="name them so in the first line",
                )
        sample_id = composed(fields["sample_id"])
        if sample_id not in row_of:
            step = did_you_mean(sample_id, list(row_of))
            raise UserError(
                expected=f"a sample of the data set in line {line} of {path}",
                found=repr(sample_id),
                next_step=step if step.startswith("did") else f"ids look like {next(iter(row_of))!r}",
            )
        if row_of[sample_id] in accepted:
            raise UserError(
                expected=f"each sample once in {path}",
                found=f"{sample_id!r} again in line {line}",
                next_step='write all its labels into one line, separated by ";"',
            )
        accepted[row_of[sample_id]] = tuple(
            class_of(text, label_space, f"line {line} of {path}")
            for text in _classes_in(fields["labels"], label_space)
        )
    return accepted


def _classes_in(field: str, label_space: LabelSpace) -> list[str]:
    if ";" in field:
        return [part.strip() for part in field.split(";") if part.strip()]
    whole = field.strip()
    known = map(composed, label_space.class_names or ())
    return [whole] if composed(whole) in known else whole.split()


def is_right(
    predicted_MN: Tensor, labels_N: Tensor, accepted: Mapping[int, tuple[int, ...]] = MappingProxyType({})
) -> Tensor:
    """Whether each predicted class is the label or one of the further accepted labels of its sample, (M, N).

    >>> import torch
    >>> is_right(torch.tensor([[0, 1, 2]]), torch.tensor([0, 0, 0]), {2: (1, 2)}).tolist()
    [[True, False, True]]
    """
    right_MN = predicted_MN == labels_N
    for row, further in accepted.items():
        for label in further:
            right_MN[..., row] |= predicted_MN[..., row] == label
    return right_MN
