"""The canonical image is torchvision's, to the byte."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from nversion.core import UserError
from nversion.data import Canonical


def image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    size=st.integers(1, 40),
    margin=st.integers(0, 9),
    interpolation=st.sampled_from(["bilinear", "bicubic", "nearest", "lanczos"]),
)
def test_crop_is_resize_then_center_crop_of_torchvision(height, width, size, margin, interpolation):
    pixels = image(height, width)
    oracle = transforms.Compose(
        [
            transforms.Resize(size + margin, InterpolationMode(interpolation)),
            transforms.CenterCrop(size),
        ]
    )(Image.fromarray(pixels))
    rendered = Canonical(size, "crop", resize=size + margin, interpolation=interpolation).render(pixels)
    assert np.array_equal(rendered, np.asarray(oracle).transpose(2, 0, 1))


@pytest.mark.parametrize(("height", "width"), [(40, 64), (33, 33), (7, 90)])
def test_squash_is_resize_of_torchvision(height, width):
    oracle = transforms.Resize((32, 32))(Image.fromarray(image(height, width)))
    rendered = Canonical(32, "squash").render(image(height, width))
    assert np.array_equal(rendered, np.asarray(oracle).transpose(2, 0, 1))


def test_squash_leaves_an_image_of_the_size_as_it_is():
    pixels = image(24, 24)
    rendered = Canonical(24, "squash", interpolation="lanczos").render(pixels)
    assert np.array_equal(rendered, pixels.transpose(2, 0, 1))
    assert rendered.flags.c_contiguous and rendered.dtype == np.uint8


def test_the_default_crop_is_256_then_224():
    assert Canonical().shorter_side == 256
    assert Canonical().render(image(300, 400)).shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "cropp"}, "expected a mode of the canonical image, found 'cropp'; did you mean 'crop'"),
        ({"interpolation": "linear"}, "found 'linear'; did you mean 'bilinear'"),
        ({"size": 0}, "expected a size of 1 or more"),
        (
            {"size": 64, "resize": 32},
            "expected a `resize` of at least the size 64 of the canonical image, found 32",
        ),
        ({"mode": "squash", "resize": 256}, "expected no `resize` with mode 'squash'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        Canonical(**settings)
