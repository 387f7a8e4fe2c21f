"""What corruptions are given by mistake: each error has a remedy that works as it is written."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from nversion.core import UserError, generator
from nversion.corruptions import create, picture
from nversion.study.plan import choose_device

GREY = torch.arange(64, dtype=torch.uint8).view(8, 8)
RGB_13HW = torch.arange(192, dtype=torch.uint8).view(1, 3, 8, 8)

MISTAKES = {
    "grey images": (GREY[None, None], "found uint8 of shape (1, 1, 8, 8); make grey images RGB: "),
    "a grey image": (GREY, "found uint8 of shape (8, 8); make a grey image RGB: "),
    "grey images without channels": (GREY[None].expand(2, -1, -1), "make grey images RGB: images[:, None]"),
    "RGBA": (RGB_13HW.repeat(1, 2, 1, 1)[:, :4], "lay RGBA over a background, or drop its alpha: "),
    "channels last": (RGB_13HW.permute(0, 2, 3, 1), "put channels before rows: "),
    "one image": (RGB_13HW[0], "add the axis of images: "),
    "one image, channels last": (RGB_13HW[0].permute(1, 2, 0), "before rows and add the axis of images: "),
    "float from 0 to 1": (
        RGB_13HW / 255,
        "found float32 of shape (1, 3, 8, 8); make it bytes: (images * 255)",
    ),
    "float from 0 to 255": (
        RGB_13HW.double(),
        "found float64 of shape (1, 3, 8, 8); make it bytes: (images).",
    ),
    "half": ((RGB_13HW / 255).half(), "found float16 of shape (1, 3, 8, 8); make it bytes: "),
    "16 bits": ((RGB_13HW.int() * 257).to(torch.uint16), "found uint16 of shape (1, 3, 8, 8); make it bytes"),
    "long": (RGB_13HW.long(), "found int64 of shape (1, 3, 8, 8); make it bytes: "),
    "a grey float image": (
        GREY / 255,
        "make it bytes: (images * 255).round().clamp(0, 255).to(torch.uint8), then",
    ),
    "NumPy": (RGB_13HW.numpy(), "found an ndarray, uint8 of shape (1, 3, 8, 8); make it a tensor: "),
    "NumPy, channels last": (
        RGB_13HW.permute(0, 2, 3, 1).numpy(),
        "torch.from_numpy(images), then put channels",
    ),
}


def apply(images, name="hue_shift"):
    corruption = create(name, 3.0)
    count = len(images) if hasattr(images, "__len__") else 1
    return corruption.apply(images, [corruption.sample_parameters(generator("bad"), (8, 8))] * count)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_cure_that_is_told_works(mistake):
    images, sentence = MISTAKES[mistake]
    with pytest.raises(UserError) as told:
        apply(images)
    assert sentence in str(told.value)
    for step in told.value.next_step.split(", then "):
        images = eval(step.rpartition(": ")[2], {"images": images, "torch": torch})
    assert apply(images).shape == (len(images), 3, 8, 8)


def test_bytes_scaled_as_told_are_the_bytes_they_came_from():
    for images, formula in (
        (RGB_13HW / 255, "(images * 255).round().clamp(0, 255).to(torch.uint8)"),
        ((RGB_13HW.int() * 257).to(torch.uint16), "(images.long() // 257).to(torch.uint8)"),
    ):
        assert torch.equal(eval(formula, {"images": images, "torch": torch}), RGB_13HW)


def test_nan_is_told_before_it_becomes_black():
    images = RGB_13HW / 255
    images[0, 0, 0, 0] = torch.nan
    with pytest.raises(
        UserError, match=r"with nan; decide what nan stands for: images.nan_to_num\(0\), then make"
    ):
        apply(images)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (None, "found NoneType; pass images as bytes from 0 to 255"),
        ([RGB_13HW], "found list; pass images as bytes from 0 to 255"),
        (RGB_13HW.bool(), r"found bool of shape \(1, 3, 8, 8\); pass images as bytes"),
        (RGB_13HW[:, :, :0], r"found uint8 of shape \(1, 3, 0, 8\); pass images as bytes"),
        (RGB_13HW.to("meta"), "found a tensor on the device meta, which holds no pixels; load the images"),
    ],
)
def test_what_is_no_image_is_told(images, found):
    with pytest.raises(UserError, match=found):
        create("hue_shift", 3.0).apply(images, [{}])


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"amount": 0.3}, "found one mapping alone; pass a list of what sample_parameters gives"),
        ([None], "found a list of NoneType; pass"),
        ([{"amount": "a"}], "found 'a' for image 0"),
        ([{"amount": [0.1, 0.2]}], r"found \[0.1, 0.2\] for image 0"),
    ],
)
def test_parameters_of_another_kind_are_told(parameters, found):
    with pytest.raises(UserError, match=found):
        create("hue_shift", 3.0).apply(RGB_13HW, parameters)


@pytest.mark.parametrize("rng", [0, None, np.random.RandomState(0)])
def test_parameters_are_drawn_from_a_generator(rng):
    with pytest.raises(
        UserError, match=r"a NumPy generator to draw from, found .*; pass nversion\.core\.generator"
    ):
        create("lines", 1.0).sample_parameters(rng, (8, 8))


def test_cuda_where_there_is_none_is_told(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("needs a machine without CUDA")
    with pytest.raises(UserError, match=r"a device that this machine has, found device = 'cuda'; set device"):
        choose_device("cuda")


LARGE = """
import resource, sys
import torch
from nversion.core import generator
from nversion.corruptions import create, picture

torch.set_num_threads(1)
name, severity, height, width = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
tile = picture(200)
image = tile.repeat(1, height // 200, width // 200)[None]
corruption = create(name, severity)
parameters = [corruption.sample_parameters(generator("large"), (height, width))]
corruption.apply(image[..., :200, :200], [corruption.sample_parameters(generator("large"), (200, 200))])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = corruption.apply(image, parameters)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
torch.save((found[..., :400, :400].clone(), (found != image).float().mean()), sys.argv[5])
print((after - before) * 1024 / (height * width))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "severity", "pointwise"),
    [
        ("hue_shift", 3.0, True),
        ("lines", 1.6, False),
        ("gaussian_noise", 3.0, False),
        ("water_drop", 7.0, False),
    ],
)
def test_a_photograph_of_six_megapixels_takes_bounded_memory(name, severity, pointwise, tmp_path):
    arguments = [name, str(severity), "2000", "3000", str(tmp_path / "found.pt")]
    done = subprocess.run(
        [sys.executable, "-c", LARGE, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    bytes_a_pixel = float(done.stdout)
    assert bytes_a_pixel < 253  # `Corruption.apply` says 250, and 3 for the output
    corner, changed = torch.load(tmp_path / "found.pt", weights_only=True)
    assert changed > 0.01
    if pointwise:
        corruption, image = create(name, severity), picture(200).repeat(1, 2, 2)[None]
        drawn = [corruption.sample_parameters(generator("large"), (2000, 3000))]
        assert torch.equal(corner, corruption.apply(image, drawn))
