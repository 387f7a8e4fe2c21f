"""Preprocessing: resize and normalise the canonical image as the weights' authors did."""

import numpy as np
import pytest
import torch
from PIL import Image

from nversion.core import UserError
from nversion.models import Preprocessing, read_preprocessing

UNIT = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def to_tensor(image_HW3):
    return torch.from_numpy(image_HW3.copy()).permute(2, 0, 1)[None].float() / 255


def test_normalisation_is_by_channel():
    images_N3HW = torch.ones(2, 3, 4, 4)
    prepared = Preprocessing(4, mean=(0.5, 0.0, 1.0), std=(0.5, 2.0, 1.0))(images_N3HW)
    assert prepared[1, :, 2, 3].tolist() == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("size", [20, 57])
def test_resizing_is_pillow_s_within_one_level(interpolation, size):
    # Pillow also clips between its two passes, so noise stays away from black and white.
    pixels = 64 + noise(41) // 2
    prepared = Preprocessing(size, **UNIT, interpolation=interpolation)(to_tensor(pixels))
    oracle = Image.fromarray(pixels).resize((size, size), Image.Resampling[interpolation.upper()])
    # Pillow rounds to whole levels after each of its two passes; bicubic weights sum to 1.25 in size.
    assert (prepared - to_tensor(np.asarray(oracle))).abs().max() <= 1.125 / 255


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_an_image_of_the_right_size_is_only_normalised(interpolation):
    images_N3HW = to_tensor(noise(16))
    assert torch.equal(Preprocessing(16, **UNIT, interpolation=interpolation)(images_N3HW), images_N3HW)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_gradients_flow_to_the_canonical_image(interpolation):
    prepare = Preprocessing(5, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), interpolation)
    images_N3HW = torch.rand(1, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images_N3HW = (0.3 + 0.4 * images_N3HW).requires_grad_()  # away from the clamp
    assert torch.autograd.gradcheck(prepare, (images_N3HW,))


def test_type_and_range_of_bicubic_are_kept():
    edge_N3HW = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    edge_N3HW[..., 4:] = 1
    prepared = Preprocessing(13, **UNIT, interpolation="bicubic")(edge_N3HW)
    assert prepared.dtype == torch.float64
    assert (prepared.min(), prepared.max()) == (0, 1)


def test_plain_data_round_trips():
    prepare = Preprocessing(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bicubic", 0.875)
    assert read_preprocessing(prepare.to_dict(), "it") == prepare


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"interpolation": "lanczos"},
            "expected an interpolation in the preprocessing, found 'lanczos'; known:",
        ),
        ({"std": (1.0, 0.0, 1.0)}, "a finite mean and a std above 0|a valid 'mean' .* finite number"),
        ({"mean": (float("nan"),) * 3}, "a finite mean and a std above 0|a valid 'mean' .* finite number"),
        ({"mean": (123.7, 116.3, 103.5)}, "mean and std of pixels in .0, 1. .*; divide them by 255"),
        ({"input_size": 0}, "an input_size from 1 to 4096 in the preprocessing, found 0"),
        ({"input_size": 10**9}, "an input_size from 1 to 4096 in the preprocessing, found 1000000000"),
        ({"mean": [0.5]}, "expected a valid 'mean' of the preprocessing of it"),
        ({"means": [0.5]}, "a setting of the preprocessing of it, found 'means'; did you mean 'mean'"),
    ],
)
def test_wrong_values_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        read_preprocessing({"input_size": 8, **UNIT} | change, "it")
