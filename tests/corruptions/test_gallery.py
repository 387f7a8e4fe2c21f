"""Every corruption that comes with nversion belongs to a published set, and can be drawn."""

import numpy as np
import pytest

from nversion.corruptions import CORRUPTIONS, picture, shown_levels
from nversion.corruptions.groups import ABOUT, group_of

OWN = sorted(name for name in CORRUPTIONS if CORRUPTIONS[name].__module__.startswith("nversion."))


def test_none_of_them_is_without_a_group():
    assert [name for name in OWN if group_of(name) == "others"] == []
    assert set(map(group_of, OWN)) <= set(ABOUT)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("side", [32, 224])
def test_five_levels_are_shown_from_mild_to_strong(name, side):
    levels = shown_levels(name, side)
    assert len(levels) == 5 and list(levels) == sorted(set(levels))


def test_the_drawn_picture_has_colours_darks_lights_and_edges():
    image_3HW = picture(224).numpy().astype(int)
    assert image_3HW.min() < 10 and image_3HW.max() > 245
    assert len(np.unique(image_3HW.reshape(3, -1).T // 32, axis=0)) > 100  # colours, coarsely
    assert (np.abs(np.diff(image_3HW, axis=2)).max(0) > 100).mean() > 0.01
    assert (image_3HW.std(axis=(1, 2)) > 40).all()
