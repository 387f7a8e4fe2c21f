"""docs/losses.md names every registered loss, each of its settings and their defaults."""

import dataclasses
import re
from pathlib import Path

import pytest

from nversion.losses import LOSSES

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")
CELLS = [line.split("|") for line in PAGE.splitlines() if line.startswith("| `")]
ROWS = {row[1].strip(" `"): row for row in CELLS if len(row) == 6}  # name, minimised, settings, source


def test_every_loss_has_a_row_and_nothing_else_has_one():
    assert sorted(ROWS) == sorted(LOSSES)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_settings_and_defaults_are_those_of_the_code(name):
    told = dict(re.findall(r"`(\w+)` \(([^;)]+)", ROWS[name][3]))
    fields = {field.name: field.default for field in dataclasses.fields(LOSSES[name])}
    shown = {
        key: f'"{value}"' if isinstance(value, str) else str(value).lower().removesuffix(".0")
        for key, value in fields.items()
    }
    assert told == shown


def test_every_requirement_is_documented():
    for name, loss in LOSSES.items():
        row = next(line for line in PAGE.split("## Requirements")[1].splitlines() if f"`{name}`" in line)
        words = {"maps": "[maps]", "features": "activations", "teacher": "[[teacher]]"}
        assert all((words[need] in row) == (need in loss.needs) for need in words), name
