"""A function's signature is its table of settings."""

from pathlib import Path

import pytest

from nversion.core import UserError
from nversion.core.label_spaces import label_space_of
from nversion.core.settings import call_with_settings, resolve


def box(
    *, width: int, mean: tuple[float, float] = (0, 0), path: Path = Path(), base: Path
) -> tuple[object, ...]:
    return width, mean, path, base


def test_values_are_converted_to_the_annotated_types():
    settings = {"width": 3, "mean": [1, 2], "path": "a"}
    assert call_with_settings(box, settings, "a box", base=Path("b")) == (3, (1.0, 2.0), Path("a"), Path("b"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widht": 3}, "expected a setting of a box, found 'widht'; did you mean 'width'"),
        ({"width": 1, "base": "x"}, "expected a setting of a box, found 'base'"),
        ({}, "expected the setting 'width' of a box, found none; add `width = ...`"),
        ({"path": "x"}, "expected the setting 'width' of a box, found only 'path'"),
        (
            {"width": "wide"},
            "expected a valid 'width' of a box, found 'wide'; correct it: input should be a valid int",
        ),
        ({"width": 1, "mean": [1]}, "expected a valid 'mean' of a box, found \\[1\\]"),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings, message):
    with pytest.raises(UserError, match=message):
        call_with_settings(box, settings, "a box", base=Path())


def test_errors_of_the_function_pass_unchanged():
    def fails(*, a: int) -> None:
        raise KeyError(a)

    with pytest.raises(KeyError, match="1"):
        call_with_settings(fails, {"a": 1}, "it")


def test_relative_paths_start_at_the_base():
    assert resolve(Path("a"), Path("/b")) == Path("/b/a")
    assert resolve(Path("/a"), Path("/b")) == Path("/a")


def test_a_label_space_of_unknown_size_is_refused():
    with pytest.raises(UserError, match="number of classes of the label space 'mine' of it, found none"):
        label_space_of("it", "mine")


def test_two_sizes_of_one_label_space_are_refused():
    with pytest.raises(
        UserError, match="found 1000 by the label space 'imagenet-1k', 10 by the width of the output"
    ):
        label_space_of("it", "imagenet-1k", num_outputs=10)
