"""Files that name classes or label images: CSV with a header, every fault with its line."""

from __future__ import annotations

import csv
import textwrap
import unicodedata
from pathlib import Path

from nversion.core import LabelSpace, UserError, did_you_mean
from nversion.core.reasons import reason_of


def read_classes(path: Path) -> tuple[tuple[str, ...], dict[str, int]]:
    """Class names in label order, and the label of each folder name, from a CSV of classes; both `composed`.

    Columns: `label` or `index` (0-based, each once); `name` or `names` (of several, separated by
    commas, the first is taken); optionally `folder` or `wnid`, the folder's name in a tree of images.
    Without such a column the folders are called as the classes are.

    Raises:
        UserError: the file or a column is missing, or the labels are not 0 to C - 1, each once.
    """
    rows = read_csv(path)
    columns = list(rows[0][1]) if rows else []
    label_column = _first_of(("label", "index"), columns, path)
    name_column = _first_of(("name", "names"), columns, path)
    folder_column = next((column for column in ("folder", "wnid") if column in columns), None)
    names: dict[int, str] = {}
    folders: dict[str, int] = {}
    for line, row in rows:
        label = read_label(row[label_column], path, line)
        if label in names:
            raise UserError(
                expected=f"each label once in {path}",
                found=f"label {label} again in line {line}",
                next_step="remove one of the two lines",
            )
        first_name = row[name_column].split(",")[0].strip() if name_column == "names" else row[name_column]
        names[label] = composed(first_name)
        folder = composed(row[folder_column] if folder_column else first_name)
        if folders.setdefault(folder, label) != label:
            raise UserError(
                expected=f"each folder name once in {path}",
                found=f"{folder!r} again in line {line}",
                next_step="add a column `folder` with one name per class",
            )
    if set(names) != set(range(len(names))):
        missing = min(set(range(len(names))) - set(names))
        raise UserError(
            expected=f"labels 0 to {len(names) - 1} in {path}",
            found=f"no label {missing}",
            next_step="list every class once, 0-based, in the order of the logits",
        )
    return tuple(names[label] for label in range(len(names))), folders


def read_csv(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with a header, each with its line number.

    Raises:
        UserError: the file is missing, is not UTF-8 text, or a row has a wrong number of fields.
    """
    if not path.is_file():
        raise UserError(
            expected=f"the file {path}", found="no such file", next_step="correct the path or create the file"
        )
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        # utf-8-sig: spreadsheets write a byte-order mark in front of the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", restval=None)
            for row in reader:
                if "" in row or None in row.values():
                    raise UserError(
                        expected=f"{len(reader.fieldnames or ())} fields in line {reader.line_num} of {path}",
                        found="more" if "" in row else "fewer",
                        next_step="put fields that contain commas in double quotes",
                    )
                rows.append((reader.line_num, row))
    except UnicodeDecodeError as error:
        raise UserError(
            expected=f"UTF-8 text in {path}", found="other bytes", next_step="save the file as UTF-8"
        ) from error
    except csv.Error as error:
        raise UserError(
            expected=f"a table of fields separated by commas in {path}",
            found=f"{reason_of(error)} in line {reader.line_num + 1}",
            next_step="look for a double quote that is not closed, or for other bytes",
        ) from error
    return rows


def composed(text: str) -> str:
    """The text in Unicode's form NFC: what looks alike is alike, whoever wrote it.

    Archives that were made on macOS hold names in another form than editors write.

    >>> composed("cre\\u0300me") == "cr\\u00e8me"
    True
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def read_label(text: str, path: Path, line: int) -> int:
    """The 0-based label that `text` writes.

    Raises:
        UserError: `text` is no whole number of 0 or more.
    """
    if (label := _whole_number(text)) is None:
        raise UserError(
            expected=f"a 0-based whole number as label in line {line} of {path}",
            found=repr(textwrap.shorten(text, 80) if len(text) > 80 else text),
            next_step="write the index of the class, not its name",
        )
    return label


def _whole_number(text: str) -> int | None:
    """The number that decimal digits write; None for other text, and for more digits than any index has."""
    digits = text.strip().lstrip("0") or text.strip()[-1:]
    return int(digits) if digits.isdecimal() and digits.isascii() and len(digits) < 18 else None


def class_of(text: str, label_space: LabelSpace, where: str) -> int:
    """The class that `text` writes: a whole number is an index, all else a name.

    Args:
        where: the text stands, as it reads in an error ("line 3 of costs.csv").

    Raises:
        UserError: no class has this index or name, or several have the name.

    >>> pets = LabelSpace("pets", 2, ("cat", "dog"))
    >>> class_of("dog", pets, "a test"), class_of(" 0 ", pets, "a test")
    (1, 0)
    """
    text = composed(text.strip())
    names = tuple(map(composed, label_space.class_names or ()))
    if text.isdecimal() and text.isascii():
        number = _whole_number(text)
        if number is not None and number < label_space.num_classes:
            return number
        step = f"write an index from 0 to {label_space.num_classes - 1}" + (", or a name" if names else "")
    elif names.count(text) == 1:
        return names.index(text)
    elif text in names:
        step = "several classes have this name: write the index of the one that is meant"
    elif names:
        step = did_you_mean(text, list(names))
        step = step if step.startswith("did") else "write the name or the 0-based index of a class"
    else:
        step = f"its classes have no names: write an index from 0 to {label_space.num_classes - 1}"
    raise UserError(
        expected=f"a class of the label space {label_space.name!r} in {where}",
        found=repr(text if len(text) <= 80 else f"{text[:60]} ..."),
        next_step=step,
    )


def _first_of(candidates: tuple[str, ...], columns: list[str], path: Path) -> str:
    for column in candidates:
        if column in columns:
            return column
    raise UserError(
        expected=f"a column {' or '.join(repr(column) for column in candidates)} in {path}",
        found=", ".join(repr(column) for column in columns) or "an empty file",
        next_step="name the column so in the first line",
    )


def imagenet_class_names() -> tuple[str, ...]:
    """torchvision's names of the 1000 classes, in the order of the logits."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])


def imagenet_wnids() -> tuple[str, ...]:
    """WordNet's ids of the 1000 classes, in the order of the logits, which is their sorted order."""
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())
