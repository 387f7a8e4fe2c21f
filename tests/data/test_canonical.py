"""The canonical image is torchvision's, to the byte."""

import subprocess
import sys

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


# --- long thin images


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
@pytest.mark.parametrize("size", [(2, 127), (1, 64), (3, 192), (20, 900), (300, 7000)])
def test_images_up_to_64_times_as_long_are_torchvisions_to_the_byte(size, interpolation):
    for shape in (size, size[::-1]):
        pixels = image(*shape)
        resize = transforms.Resize(40, InterpolationMode(interpolation), antialias=True)
        expected = transforms.CenterCrop(32)(resize(Image.fromarray(pixels)))
        found = Canonical(32, resize=40, interpolation=interpolation).render(pixels)
        assert np.array_equal(found.transpose(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(1, 65), (2, 1000), (3, 1001), (7, 500), (30, 3001), (33, 4000)])
@pytest.mark.parametrize("resize", [34, 41])
def test_of_longer_ones_the_middle_is_that_of_the_whole_resized(monkeypatch, size, interpolation, resize):
    rendering = Canonical(32, resize=resize, interpolation=interpolation)
    for shape in (size, size[::-1]):
        found = rendering.render(image(*shape)).astype(int)
        with monkeypatch.context() as patched:
            patched.setattr("nversion.data.canonical.LONGEST", 10**9)
            whole = rendering.render(image(*shape))
        assert np.abs(found - whole).max() <= 1


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_the_middle_of_an_image_of_any_length_is_its_middle(interpolation):
    for shape in ((1, 2_000_001), (2_000_001, 1)):
        pixels = np.zeros((*shape, 3), np.uint8)
        pixels.reshape(-1, 3)[1_000_000] = 200  # 256 pixels wide once it is resized: all that the crop shows
        found = Canonical(interpolation=interpolation).render(pixels)
        assert found.shape == (3, 224, 224)
        assert (found[:, 112, 112] == 200).all() and (found >= 100).all()


def test_a_long_thin_image_takes_the_memory_of_some_canonical_ones():
    code = (
        "import resource, numpy as np; from nversion.data import Canonical\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "Canonical().render(np.zeros((300, 400, 3), np.uint8)); before = peak()\n"
        "for shape in ((2, 3000), (3000, 2), (1, 20000)):\n"
        "    Canonical().render(np.zeros((*shape, 3), np.uint8))\n"
        "print(peak() - before)"
    )
    grown = int(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    )
    assert grown < 20_000  # KiB


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 10**9}, "a size of at most 4096 of the canonical image, found 1000000000"),
        ({"resize": 10**9}, "a `resize` of at most 16384 of the canonical image, found 1000000000"),
    ],
)
def test_a_canonical_image_beyond_any_use_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        Canonical(**settings)
