"""The baseline of corruption errors: a model of the study, or a published row of errors."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nversion.core import UserError, did_you_mean
from nversion.corruptions import CORRUPTIONS, IMAGENET_C, IMAGENET_C_EXTRA


@dataclass(frozen=True)
class PublishedErrors:
    """Errors of one classifier as others report them, as fractions.

    Attributes:
        clean: on clean images; nan where unknown.
        mean: by corruption, over all levels of the published set that it is of.
        at: by corruption and severity.
        label_space, side: of the images; "" and 0 where any may be compared.
    """

    name: str
    clean: float
    mean: Mapping[str, float] = field(default_factory=dict)
    at: Mapping[tuple[str, float], float] = field(default_factory=dict)
    label_space: str = ""
    side: int = 0

    def error(self, corruption: str, severities: Sequence[float], *, whole: bool) -> float:
        """The mean error over these severities; nan where it does not follow from what is published.

        Args:
            whole: they are all levels of the corruption's published set.

        >>> row = PublishedErrors("a", 0.1, mean={"fog": 0.4}, at={("lines", 1.0): 0.2, ("lines", 2.0): 0.3})
        >>> row.error("fog", [1, 2, 3, 4, 5], whole=True), row.error("fog", [1, 2], whole=False)
        (0.4, nan)
        >>> row.error("lines", [1.0, 2.0], whole=False)
        0.25
        """
        each = [self.at.get((corruption, float(severity)), math.nan) for severity in severities]
        if not math.isnan(sum(each)):
            return sum(each) / len(each)
        return self.mean.get(corruption, math.nan) if whole else math.nan


_ALEXNET_ERRORS = (
    (0.886428, 0.894468, 0.922640),
    (0.819880, 0.826268, 0.785948, 0.798360),
    (0.866816, 0.826572, 0.819324, 0.564592),
    (0.853204, 0.646056, 0.717840, 0.606500),
)
ALEXNET = PublishedErrors(
    "alexnet",
    clean=0.43478,
    mean={
        name: error
        for names, errors in zip(IMAGENET_C.values(), _ALEXNET_ERRORS, strict=True)
        for name, error in zip(names, errors, strict=True)
    },
    label_space="imagenet-1k",
    side=224,
)
"""torchvision's AlexNet on the released ImageNet-C, means over five levels: Hendrycks and Dietterich (2019),
Table 1, with the six digits of google-research/augmix (`imagenet.py`, ALEXNET_ERR); its clean error is that
of these weights in torchvision's own listing."""
PUBLISHED = {ALEXNET.name: ALEXNET}


@dataclass(frozen=True)
class Baseline:
    """A model of the study, by its index, or a published row."""

    name: str
    model: int | None = None
    published: PublishedErrors | None = None


def find_baseline(
    name: str | None,
    rows: Path | None,
    model_names: Sequence[str],
    label_space: str,
    side: int,
) -> Baseline | None:
    """The baseline of this name: a model of the study, else a row of the user's file, else a published one.

    Args:
        name: None for no baseline.
        rows: the user's file of published rows; see `read_rows`.
        label_space, side: of the study's images.

    Raises:
        UserError: nobody has this name, the row is of other images, or the file does not say what it should.
    """
    published = PUBLISHED | (read_rows(rows) if rows is not None else {})
    if name is None:
        return None
    if name in model_names:
        return Baseline(name, model=list(model_names).index(name))
    if name not in published:
        raise UserError(
            expected="a model of the study or a published row as benchmark.baseline",
            found=repr(name),
            next_step=did_you_mean(name, [*model_names, *published]),
        )
    row = published[name]
    of_others = (row.label_space and row.label_space != label_space) or (row.side and row.side != side)
    if of_others:
        raise UserError(
            expected=f"images of {row.label_space} at {row.side} pixels for the published errors of {name!r}",
            found=f"{label_space} at {side} pixels",
            next_step="name a model of the study as benchmark.baseline, or a row of your own file",
        )
    return Baseline(name, published=row)


def read_rows(path: Path) -> dict[str, PublishedErrors]:
    """Rows of errors from a CSV file: columns name, clean, and corruptions; fractions, empty where unknown.

    A column `fog` is the mean over all levels of the published set that fog is of; a column `fog-3` is
    severity 3 alone.

    Raises:
        UserError: no such file, a column that is neither, a value that is no fraction, or a name twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            expected="a CSV file of published errors",
            found=f"{path}, which cannot be read",
            next_step="correct benchmark.published: columns name, clean and one for each corruption",
        ) from error
    header = [cell.strip() for cell in lines[0]] if lines else []
    if not header or header[0] != "name":
        raise UserError(
            expected=f"the columns name, clean and one for each corruption in {path}",
            found=", ".join(header) or "an empty file",
            next_step="correct the first line",
        )
    columns = [_column(cell, path) for cell in header[1:]]
    rows: dict[str, PublishedErrors] = {}
    for number, line in enumerate(lines[1:], 2):
        if not any(line):
            continue
        where = f"line {number} of {path}"
        name, values = line[0].strip(), [_fraction(cell, where) for cell in line[1:]]
        if len(values) != len(columns) or name in rows:
            raise UserError(
                expected=f"a name that is not there yet and {len(columns)} errors in {where}",
                found=f"{name!r} and {len(values)} errors",
                next_step="correct the line",
            )
        by_column = dict(zip(columns, values, strict=True))
        rows[name] = PublishedErrors(
            name,
            by_column.get(("clean", None), math.nan),
            mean={c: v for (c, severity), v in by_column.items() if severity is None and c != "clean"},
            at={(c, severity): v for (c, severity), v in by_column.items() if severity is not None},
        )
    return rows


def _column(cell: str, path: Path) -> tuple[str, float | None]:
    known = [*CORRUPTIONS, *(n for names in IMAGENET_C.values() for n in names), *IMAGENET_C_EXTRA, "clean"]
    name, dash, severity = cell.rpartition("-")
    if cell in known:
        return cell, None
    try:
        if dash and name in known:
            return name, float(severity)
    except ValueError:
        pass
    raise UserError(
        expected=f"a corruption, or a corruption and severity such as lines-1.6, as a column of {path}",
        found=repr(cell),
        next_step=did_you_mean(name if dash else cell, known),
    )


def _fraction(cell: str, where: str) -> float:
    try:
        value = float(cell) if cell.strip() else math.nan
    except ValueError:
        value = -1.0
    if value < 0 or value > 1:
        raise UserError(
            expected=f"an error as a fraction from 0 to 1 in {where}",
            found=repr(cell),
            next_step="divide percents by 100",
        )
    return value
