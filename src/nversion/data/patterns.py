"""Conditions named by shell patterns."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from nversion.core import UserError, did_you_mean
from nversion.data import Condition


def matching(conditions: Sequence[Condition], patterns: Sequence[str], option: str) -> list[str]:
    """Names of the conditions that a pattern matches, in the order of the study.

    A pattern is put to a condition's name, its name without the data set, and its corruption
    ("clean" for none).

    Args:
        option: what the user typed before the pattern, for the error.

    Raises:
        UserError: a pattern that matches none.

    >>> conditions = [Condition("val"), Condition("val", "lines", 1), Condition("val", "lines", 2)]
    >>> matching(conditions, ["lines-2", "clean"], "--condition")
    ['val/clean', 'val/lines-2']
    """
    for pattern in patterns:
        if not any(_matches(condition, pattern) for condition in conditions):
            known = dict.fromkeys(name for condition in conditions for name in _names(condition))
            raise UserError(
                expected="a pattern that matches a condition of the study",
                found=f"{option} {pattern!r}",
                next_step=did_you_mean(pattern, list(known)),
            )
    return [c.name for c in conditions if any(_matches(c, pattern) for pattern in patterns)]


def named_by(conditions: Sequence[Condition], patterns: Sequence[str]) -> list[Condition]:
    """The conditions whose whole name matches a pattern of a study file, in the order of the study."""
    return [c for c in conditions if any(fnmatchcase(c.name, pattern) for pattern in patterns)]


def _names(condition: Condition) -> tuple[str, str, str]:
    return (
        condition.name,
        condition.name.removeprefix(f"{condition.dataset}/"),
        condition.corruption or "clean",
    )


def _matches(condition: Condition, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in _names(condition))
