"""Conditions: names, and parameters that depend on the sample alone."""

import numpy as np
import pytest
import torch

from nversion import corruptions
from nversion.core import UserError
from nversion.data import Condition


class Shift:
    """Adds a drawn number; stands in for a corruption."""

    def __init__(self, name, severity):
        self.name = name
        self.severity = severity

    def sample_parameters(self, rng, size):
        return {"add": int(rng.integers(1, 200)), "size": size}

    def apply(self, images_N3HW, parameters):
        add_N = torch.tensor([p["add"] for p in parameters], dtype=torch.uint8)
        return images_N3HW + add_N[:, None, None, None]


@pytest.fixture(autouse=True)
def shift(monkeypatch):
    monkeypatch.setattr(corruptions, "create", Shift, raising=False)


def test_names_tell_the_condition_whole():
    assert Condition("val").name == "val/clean"
    assert Condition("val", "lines", 1.6).name == "val/lines-1.6"
    assert Condition("val", "lines", 2, seed=7).name == "val/lines-2-seed7"


def test_a_whole_number_is_the_same_severity():
    assert Condition("val", "lines", 2) == Condition("val", "lines", 2.0)
    ids = ["a", "b"]
    assert Condition("v", "s", 2).parameters(ids, (4, 4)) == Condition("v", "s", 2.0).parameters(ids, (4, 4))


def test_parameters_do_not_depend_on_the_neighbours():
    condition = Condition("val", "shift", 1.0)
    together = condition.parameters(["a", "b", "c"], (8, 8))
    assert condition.parameters(["c"], (8, 8)) == together[2:]
    assert together[0]["size"] == (8, 8)


def test_parameters_do_not_depend_on_the_name_of_the_data_set():
    assert Condition("x", "shift", 1.0).parameters(["a"], (8, 8)) == Condition("y", "shift", 1.0).parameters(
        ["a"], (8, 8)
    )


@pytest.mark.parametrize("other", [("shift", 1.0, 1), ("shift", 2.0, 0), ("other", 1.0, 0)])
def test_seed_severity_and_corruption_change_the_parameters(other):
    ids = [str(i) for i in range(8)]
    drawn = Condition("val", "shift", 1.0).parameters(ids, (8, 8))
    assert Condition("val", *other).parameters(ids, (8, 8)) != drawn


def test_render_applies_the_parameters_of_each_sample():
    condition = Condition("val", "shift", 1.0)
    images_N3HW = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    add = [p["add"] for p in condition.parameters(["a", "b"], (4, 4))]
    assert condition.render(images_N3HW, ["a", "b"])[:, 0, 0, 0].tolist() == add


def test_clean_gives_the_input_itself():
    images_N3HW = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    assert Condition("val").render(images_N3HW, ["a", "b"]) is images_N3HW
    assert Condition("val").parameters(["a", "b"], (4, 4)) == [{}, {}]
    assert Condition("val").is_clean


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("val", "lines", None),
            "a corruption with its severity.* found corruption 'lines' with severity None",
        ),
        (("val", None, 1.0), "found corruption None with severity 1.0"),
        (("val", None, None, 3), "expected no seed for clean images, found seed 3"),
        (
            ("val", "lines", 1.2345678),
            "at most six significant digits for 'lines', found 1.2345678; write 1.23457",
        ),
        (("val", "lines", float("nan")), "six significant digits"),
    ],
)
def test_a_contradictory_condition_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Condition(*arguments)


def test_a_numpy_severity_is_a_severity():
    assert Condition("val", "lines", np.float64(0.5)).name == "val/lines-0.5"


def test_each_sample_has_parameters_of_its_own():
    condition = Condition("d", "lines", 1.6)
    one, other = condition.parameters(["a.jpg", "b.jpg"], (32, 32))
    assert one != other
    assert condition.parameters(["b.jpg"], (32, 32)) == [other]
    assert Condition("d", "lines", 1.6, seed=1).parameters(["a.jpg"], (32, 32)) != [one]
