"""Corruptions as ImageNet-C was released: through JPEG of quality 85 with colour at half resolution."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from nversion.core import UserError
from nversion.core.reporter import Silent
from nversion.data import Condition, ReleasedCondition, has_codec, write_tree
from nversion.data.released import through_codec
from nversion.study import parse_spec, say_released
from nversion.study.images import corrupted_conditions, trees_of

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 40, 40), dtype=np.uint8))


def images_spec(size=72, **conditions):
    spec = {
        "study": {"name": "s"},
        "data": {"d": {"source": "digits", "count": 2}},
        "canonical": {"size": size, "mode": "squash"},
        "conditions": conditions,
        "models": [{"source": "python:a:b"}],
    }
    return parse_spec(spec, "study.toml")


def saved_as_the_reference_does(image_3HW):
    """`Image.fromarray(np.uint8(img)).save(save_path, quality=85, optimize=True)` of make_imagenet_c.py."""
    file = io.BytesIO()
    Image.fromarray(image_3HW.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=85, optimize=True)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


def test_the_codec_is_that_of_the_reference():
    expected = torch.stack([saved_as_the_reference_does(image) for image in IMAGES])
    assert torch.equal(through_codec(IMAGES), expected)


def test_a_released_condition_is_the_corrupted_image_through_the_codec():
    plain, released = (
        Condition("d", "gaussian_noise", 3, seed=2),
        ReleasedCondition("d", "gaussian_noise", 3, seed=2),
    )
    ids = ["a", "b"]
    assert torch.equal(released.render(IMAGES, ids), through_codec(plain.render(IMAGES, ids)))
    assert released.name == "d/gaussian_noise-3-seed2@as_released"
    codec = {"format": "JPEG", "quality": 85, "subsampling": "4:2:0"}
    assert released.description() == plain.description() | {"codec": codec}


def test_about_seven_tenths_of_the_noise_are_left():
    grey = torch.full((2, 3, 224, 224), 128, dtype=torch.uint8)
    deviation = [
        (one("d", "gaussian_noise", 3).render(grey, ["a", "b"]).float() - 128).std().item()
        for one in (ReleasedCondition, Condition)
    ]
    assert deviation[0] / deviation[1] == pytest.approx(0.72, abs=0.05)


def test_the_setting_reaches_the_corruptions_that_were_released_so():
    asked = images_spec(as_released=True, sets=["imagenet-c"], corruptions={"water_drop": 7.0})
    found = corrupted_conditions(asked, "d")
    assert {type(c) for c in found if has_codec(c.corruption, 72)} == {ReleasedCondition}
    assert sum(type(c) is ReleasedCondition for c in found) == 75


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.mark.parametrize(
    ("size", "sets", "said"),
    [
        (
            72,
            ["imagenet-c"],
            "As released: 75 of 75 corrupted conditions go through JPEG of quality 85, 4:2:0",
        ),
        (
            32,
            ["cifar-10-c"],
            "as_released changes nothing here: only ImageNet-C and ImageNet-C̄ were released as JPEG",
        ),
    ],
)
def test_what_the_setting_changes_is_said(size, sets, said):
    asked, heard = images_spec(size, as_released=True, sets=sets), Heard()
    say_released(asked, corrupted_conditions(asked, "d"), heard)
    assert len(heard.lines) == 1 and heard.lines[0].startswith(said)


def test_no_tree_is_stored_as_jpeg_twice(tmp_path):
    asked = images_spec(as_released=True, corruptions={"fog": 3.0})
    jpeg, png = (trees_of(asked, tmp_path, tmp_path / name, name, 85)[0] for name in ("imagenet-c", "png"))
    for tree in (jpeg, png):
        write_tree(tree)
    shown = [np.array(Image.open(next(t.folder.glob("fog/3/*/*")))) for t in (jpeg, png)]
    assert np.array_equal(*shown)
    with pytest.raises(UserError, match="JPEG of quality 85 for images as released, found quality 90"):
        trees_of(asked, tmp_path, tmp_path / "c", "imagenet-c", 90)


def test_stored_images_cannot_take_its_name():
    with pytest.raises(UserError, match="`as_released = true` is called so"):
        images_spec(stored={"as_released": {"path": "x"}})
