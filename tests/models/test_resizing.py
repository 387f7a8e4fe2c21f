"""Pillow's resize on tensors has Pillow's bytes and the gradient of the resize without rounding."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from nversion.core import UserError
from nversion.models import Preprocessing
from nversion.models.resizing import pillow_resize

FILTERS = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR}
FILTERS |= {"bicubic": Image.Resampling.BICUBIC}


def noise(height, width):
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_tensor(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((256, 256), 224),
        ((224, 224), 288),
        ((32, 32), 224),
        ((37, 91), 50),
        ((64, 64), 64),
        ((9, 200), 7),
        ((1, 1), 3),
    ],
)
def test_the_bytes_are_pillows(interpolation, before, after):
    pixels = noise(*before)
    expected = np.asarray(Image.fromarray(pixels).resize((after, after), FILTERS[interpolation]))
    found = pillow_resize(as_tensor(pixels), after, interpolation) * 255
    assert np.array_equal(found[0].permute(1, 2, 0).round().byte().numpy(), expected)
    assert torch.allclose(found, found.round(), atol=1e-4)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_gradient_is_that_of_the_resize_without_rounding(interpolation):
    images = as_tensor(noise(40, 40)).double().requires_grad_()
    weight = torch.randn(1, 3, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    own = torch.autograd.grad((pillow_resize(images, 28, interpolation) * weight).sum(), images)[0]
    smooth = F.interpolate(images, (28, 28), mode=interpolation, antialias=True)
    expected = torch.autograd.grad((smooth * weight).sum(), images)[0]
    torch.testing.assert_close(own, expected, atol=1e-6, rtol=1e-5)


def test_the_gradient_can_be_differentiated():
    images = as_tensor(noise(8, 8)).requires_grad_()
    first = torch.autograd.grad(
        pillow_resize(images, 5, "bilinear").square().sum(), images, create_graph=True
    )[0]
    (second,) = torch.autograd.grad(first.sum(), images)
    assert torch.isfinite(second).all() and second.abs().sum() > 0


def test_a_model_chooses_its_resize():
    images = as_tensor(noise(40, 40))
    half = {"input_size": 28, "mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic"}
    pillow, tensor = Preprocessing(**half, resize="pillow"), Preprocessing(**half)
    assert torch.equal(pillow(images), (pillow_resize(images, 28, "bicubic") - 0.5) / 0.5)
    assert not torch.equal(pillow(images), tensor(images)) and tensor.to_dict()["resize"] == "tensor"
    with pytest.raises(
        UserError, match=r"a resize in the preprocessing, found 'pilow'; did you mean 'pillow'"
    ):
        Preprocessing(**half, resize="pilow")
