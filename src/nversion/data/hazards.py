"""Read hazard files: groups of classes, and the cost of each confusion."""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nversion.core import LabelSpace, UserError, did_you_mean

from .classes import class_of, read_csv

LONG = ("label", "taken", "cost")
OF_GROUPS = ("group_a", "group_b", "cost")


@dataclass(frozen=True)
class ClassGroups:
    """Groups of classes.

    Attributes:
        names: of the groups, in the order of the file.
        group_C: int64 index of each class's group; -1 for a class in none.
    """

    names: tuple[str, ...]
    group_C: NDArray[np.int64]


def read_groups(path: Path, label_space: LabelSpace) -> ClassGroups:
    """The group of each class; a class is in at most one, and classes may be left out.

    A .csv file has the columns `class` (name or 0-based index) and `group`. A .toml file has a line a
    group, `signs = ["stop", "yield"]`, of names or indices.

    Raises:
        UserError: no such file, no groups, an unknown class, or a class in two groups; of a CSV file
            with its line.
    """
    group_C = np.full(label_space.num_classes, -1, np.int64)
    names: list[str] = []
    for text, group, where in _members(path):
        label = class_of(text, label_space, where)
        if group not in names:
            names.append(group)
        if group_C[label] not in (-1, names.index(group)):
            raise UserError(
                expected=f"each class in one group of {path}",
                found=f"{text!r} in {names[group_C[label]]!r} and, in {where}, in {group!r}",
                next_step="take it out of one of them",
            )
        group_C[label] = names.index(group)
    if not names:
        raise UserError(
            expected=f"groups of classes in {path}", found="none", next_step="add a class and its group"
        )
    return ClassGroups(tuple(names), group_C)


def _members(path: Path) -> Iterator[tuple[str, str, str]]:
    """Class, group and the place in the file."""
    if path.suffix == ".toml":
        yield from _members_of_toml(path)
        return
    if path.suffix != ".csv":
        raise UserError(
            expected="groups in a .csv or .toml file", found=path.name, next_step="write it as one of these"
        )
    for line, row in read_csv(path):
        if set(row) != {"class", "group"}:
            raise UserError(
                expected=f"the columns 'class' and 'group' in {path}",
                found=", ".join(map(repr, row)),
                next_step="name them so in the first line",
            )
        if not row["group"].strip():
            raise UserError(
                expected=f"a group in line {line} of {path}",
                found="none",
                next_step="take the line out: classes may be left out",
            )
        yield row["class"], row["group"].strip(), f"line {line} of {path}"


def _members_of_toml(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            expected=f"the file {path}", found="no such file", next_step="correct the path or create the file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            expected=f"TOML in {path}", found=str(error), next_step="correct that line and run again"
        ) from error
    for group, classes in content.items():
        if not isinstance(classes, list) or not all(type(c) in (str, int) for c in classes):
            raise UserError(
                expected=f"a list of classes for the group {group!r} of {path}",
                found=repr(classes),
                next_step=f'write it as {group} = ["NAME", ...], of names or indices',
            )
        for text in classes:
            yield str(text), group, f"the group {group!r} of {path}"


def read_costs(path: Path, label_space: LabelSpace, groups: ClassGroups | None = None) -> NDArray[np.float64]:
    """What it costs when an image of class i is taken for class j, (C, C); 0 on the diagonal.

    A CSV file in one of three forms, recognised by its first line:

    - `label,taken,cost`: single pairs of classes by name or 0-based index; every other mistake costs 1.
    - `group_a,group_b,cost`: an image of a class of group_a taken for a class of group_b; every other
      mistake costs 1, and no pair implies its reverse. Within one group the cost is that of taking one
      of its classes for another.
    - a matrix: the label in the first column, and a column for each class; every class once in both.

    Args:
        path: of the file.
        label_space: of labels and logits.
        groups: for the second form.

    Raises:
        UserError: no such file, another form, an unknown or repeated class, group or pair, a right
            decision that costs, or a cost that is no finite number of 0 or more; with its line.
    """
    rows = list(_rows(path))
    header = rows[0][1] if rows else []
    cost_CC = 1 - np.eye(label_space.num_classes)
    if tuple(header) == LONG:
        _fill_pairs(cost_CC, rows[1:], path, label_space)
    elif tuple(header) == OF_GROUPS:
        _fill_groups(cost_CC, rows[1:], path, groups)
    elif len(header) == label_space.num_classes + 1:
        _fill_matrix(cost_CC, rows, path, label_space)
    else:
        raise UserError(
            expected=f"the columns {','.join(LONG)} or {','.join(OF_GROUPS)} in {path}, or a column for each "
            f"of the {label_space.num_classes} classes after the first",
            found=_shortened(header),
            next_step="correct the first line",
        )
    return cost_CC


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Fields of each line; by position, because classes of a label space may share a name."""
    if not path.is_file():
        raise UserError(
            expected=f"the file {path}", found="no such file", next_step="correct the path or create the file"
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            num_fields = 0
            for row in reader:
                num_fields = num_fields or len(row)
                if row and len(row) != num_fields:
                    raise UserError(
                        expected=f"{num_fields} fields in line {reader.line_num} of {path}",
                        found=str(len(row)),
                        next_step="put fields that contain commas in double quotes",
                    )
                if row:
                    yield reader.line_num, [field.strip() for field in row]
    except UnicodeDecodeError as error:
        raise UserError(
            expected=f"UTF-8 text in {path}", found="other bytes", next_step="save the file as UTF-8"
        ) from error


def _fill_pairs(
    cost_CC: NDArray[np.float64],
    rows: Sequence[tuple[int, list[str]]],
    path: Path,
    label_space: LabelSpace,
) -> None:
    seen: set[tuple[int, int]] = set()
    for line, (label_text, taken_text, cost_text) in rows:
        where = f"line {line} of {path}"
        label, taken = (class_of(text, label_space, where) for text in (label_text, taken_text))
        cost = _cost(cost_text, where)
        if (label, taken) in seen:
            raise _twice(f"{label_text!r} taken for {taken_text!r}", where, path)
        if label == taken and cost != 0:
            raise _right_decision_costs(label_text, cost_text, where)
        seen.add((label, taken))
        cost_CC[label, taken] = cost


def _fill_groups(
    cost_CC: NDArray[np.float64],
    rows: Sequence[tuple[int, list[str]]],
    path: Path,
    groups: ClassGroups | None,
) -> None:
    if groups is None:
        raise UserError(
            expected=f"the groups that {path} names",
            found="none",
            next_step="add `groups = ...` under [hazards], a file with the columns class and group",
        )
    seen: set[tuple[int, int]] = set()
    for line, fields in rows:
        where = f"line {line} of {path}"
        for name in fields[:2]:
            if name not in groups.names:
                raise UserError(
                    expected=f"a group of classes in {where}",
                    found=repr(name),
                    next_step=did_you_mean(name, list(groups.names)),
                )
        a, b = (groups.names.index(name) for name in fields[:2])
        if (a, b) in seen:
            raise _twice(f"{fields[0]!r} taken for {fields[1]!r}", where, path)
        seen.add((a, b))
        cost_CC[np.ix_(groups.group_C == a, groups.group_C == b)] = _cost(fields[2], where)
    np.fill_diagonal(cost_CC, 0)


def _fill_matrix(
    cost_CC: NDArray[np.float64],
    rows: Sequence[tuple[int, list[str]]],
    path: Path,
    label_space: LabelSpace,
) -> None:
    def each_once(texts: Sequence[str], lines: Sequence[int]) -> list[int]:
        labels: list[int] = []
        for text, line in zip(texts, lines, strict=True):
            label = class_of(text, label_space, f"line {line} of {path}")
            if label in labels:
                raise _twice(f"the class {text!r}", f"line {line} of {path}", path)
            labels.append(label)
        return labels

    (first_line, header), body = rows[0], rows[1:]
    taken = each_once(header[1:], [first_line] * (len(header) - 1))
    labels = each_once([fields[0] for _, fields in body], [line for line, _ in body])
    if missing := sorted({*range(label_space.num_classes)} - {*labels}):
        raise UserError(
            expected=f"a line for each of the {label_space.num_classes} classes in {path}",
            found=f"none for {label_space.name_of(missing[0])!r}",
            next_step=f"add it, or list single pairs under the columns {','.join(LONG)}",
        )
    for label, (line, fields) in zip(labels, body, strict=True):
        where = f"line {line} of {path}"
        cost_CC[label, taken] = [_cost(text, where) for text in fields[1:]]
        if cost_CC[label, label] != 0:
            raise _right_decision_costs(fields[0], fields[1 + taken.index(label)], where)


def _cost(text: str, where: str) -> float:
    try:
        cost = float(text)
    except ValueError:
        cost = math.nan
    if not 0 <= cost < math.inf:
        raise UserError(
            expected=f"a finite cost of 0 or more in {where}",
            found=repr(text),
            next_step="write a number such as 10 or 0.5",
        )
    return cost


def _twice(what: str, where: str, path: Path) -> UserError:
    return UserError(
        expected=f"each pair and class once in {path}",
        found=f"{what} again in {where}",
        next_step="remove one of the two",
    )


def _right_decision_costs(label: str, cost: str, where: str) -> UserError:
    return UserError(
        expected=f"a cost of 0 for taking {label!r} for itself in {where}",
        found=cost,
        next_step="write 0: costs are those of mistakes",
    )


def _shortened(header: Sequence[str]) -> str:
    if not header:
        return "an empty file"
    return ",".join(header[:4]) + (f",... ({len(header)} columns)" if len(header) > 4 else "")
