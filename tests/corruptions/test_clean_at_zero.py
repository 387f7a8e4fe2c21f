"""Which scales begin with the clean image."""

import pytest

from nversion.corruptions import CORRUPTIONS
from nversion.corruptions.zero import clean_at_zero


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("lines", True),
        ("plasma_noise", True),
        ("blue_noise_sample", False),  # a share of pixels is replaced at any severity
        ("gaussian_noise", True),  # level 0 of levels 1 to 5
        ("gaussian_noise_cifar", True),
    ],
)
def test_a_scale_begins_with_the_image_where_severity_zero_leaves_it(name: str, clean: bool) -> None:
    assert name in CORRUPTIONS
    assert clean_at_zero(name) is clean


def test_an_unknown_name_has_no_scale() -> None:
    assert not clean_at_zero("smudge")
