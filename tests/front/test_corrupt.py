"""Corruptions as functions of images of any usual kind, and as transforms."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

import nversion
from nversion.core import UserError
from nversion.corruptions import CORRUPTIONS, corrupt, create, wrap
from nversion.data import Condition

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
TENSOR = torch.from_numpy(IMAGES).movedim(-1, -3)
DROPS = create("water_drop", 7.0)


class Photos(Dataset):
    """Images through a transform, as a training loop has them."""

    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        return self.transform(tv_tensors.Image(TENSOR[index])), index


@pytest.mark.parametrize(
    ("images", "kind"),
    [
        (IMAGES, np.ndarray),
        (IMAGES[0], np.ndarray),
        (IMAGES[:, ::-1], np.ndarray),
        (TENSOR, torch.Tensor),
        (TENSOR[0], torch.Tensor),
        (Image.fromarray(IMAGES[0]), Image.Image),
        (tv_tensors.Image(TENSOR), tv_tensors.Image),
        ([IMAGES[0], IMAGES[1][:20]], list),
        (TENSOR[:0], torch.Tensor),
    ],
)
def test_what_comes_back_is_of_the_same_kind(images, kind):
    found = DROPS(images)
    assert isinstance(found, kind)
    if kind is not list and kind is not Image.Image:
        assert (found.shape, found.dtype) == (images.shape, images.dtype)


def test_every_kind_of_an_image_has_the_same_corrupted_pixels():
    expected = DROPS(IMAGES[1])
    assert np.array_equal(DROPS(TENSOR[1]).movedim(0, -1), expected)
    assert np.array_equal(np.asarray(DROPS(Image.fromarray(IMAGES[1]))), expected)
    assert np.array_equal(DROPS(IMAGES)[1], expected)
    assert np.array_equal(DROPS([IMAGES[1]])[0], expected)
    assert not np.array_equal(expected, IMAGES[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_floats_are_the_bytes_divided_by_255(dtype):
    found = DROPS(TENSOR.to(dtype) / 255)
    assert found.dtype == dtype
    assert torch.equal((found.float() * 255).round().to(torch.uint8), DROPS(TENSOR))


def test_an_id_gives_what_a_study_renders_for_the_sample():
    condition = Condition("val", "water_drop", 7.0, seed=4)
    rendered = condition.render(TENSOR, ["a", "b", "c"])
    assert torch.equal(corrupt(TENSOR, "water_drop", 7.0, seed=4, ids=["a", "b", "c"]), rendered)


def test_images_and_seeds_draw_apart():
    same = np.repeat(IMAGES[:1], 2, axis=0)
    by_id = DROPS(same, ids=["a", "b"])
    assert not np.array_equal(*by_id)
    assert np.array_equal(*DROPS(same))  # equal content, equal draw
    assert not np.array_equal(DROPS(same, seed=1), DROPS(same))


def test_no_global_generator_moves():
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    DROPS(IMAGES)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_a_transform_returns_the_label_unchanged():
    image, label = v2.Compose([DROPS, v2.ToDtype(torch.float32, scale=True)])(TENSOR[0], 5)
    assert label == 5
    assert torch.equal((image * 255).round().to(torch.uint8), DROPS(TENSOR[0]))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_give_the_same_pixels(num_workers):
    loader = DataLoader(
        Photos(v2.Compose([DROPS])), batch_size=2, num_workers=num_workers, multiprocessing_context=None
    )
    found = torch.cat([images for images, _ in loader])
    assert torch.equal(found, DROPS(TENSOR))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_is_callable_and_travels_to_a_worker(name):
    corruption = create(name, CORRUPTIONS[name].levels[2])
    again = pickle.loads(pickle.dumps(corruption))
    assert np.array_equal(again(IMAGES[0]), corruption(IMAGES[0]))


def test_a_wrapped_transform_is_callable_and_travels_to_a_worker():
    wrap(lambda severity: v2.GaussianBlur(5, sigma=severity), name="front_blur", low=0.1, high=5)
    try:
        blur = create("front_blur", 2.0)
        again = pickle.loads(pickle.dumps(blur))
        assert again == blur and np.array_equal(again(IMAGES), blur(IMAGES))
    finally:
        CORRUPTIONS._entries.pop("front_blur")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.moveaxis(IMAGES, -1, 1), "np.moveaxis(images, -3, -1)"),
        (TENSOR.movedim(1, -1), "images.movedim(-1, -3)"),
        (IMAGES[..., 0], "channels last"),
        (IMAGES.astype(object), "array of object"),
        (IMAGES.astype(int), "values of int64"),
        (IMAGES.astype(np.float32), "divide bytes by 255"),
        (TENSOR / 255 * 2 - 1, "before they are normalised"),
        (torch.full((3, 4, 4), torch.nan), "nan_to_num"),
        (torch.zeros(1, 4, 4), "expand(3, -1, -1)"),
        (np.zeros((4, 4, 4), np.uint8), "images[..., :3]"),
        (Image.new("L", (4, 4)), 'image.convert("RGB")'),
        ("photo.jpg", "found a str"),
        (None, "found a NoneType"),
        (np.zeros((0, 4, 3), np.uint8), "shape (0, 4, 3)"),
    ],
)
def test_other_images_are_refused_with_what_to_do(images, message):
    with pytest.raises(UserError) as error:
        corrupt(images, "fog", 3)
    assert message in str(error.value)


def test_one_id_for_each_image():
    with pytest.raises(UserError, match="one id, a text, for each of 3 images, found 2 ids"):
        DROPS(IMAGES, ids=["a", "b"])


def test_an_unknown_name_and_seed_are_one_sentence():
    with pytest.raises(UserError, match="did you mean 'fog'"):
        corrupt(IMAGES, "fogg", 3)
    with pytest.raises(UserError, match=r"whole number as the seed, found 0\.5"):
        corrupt(IMAGES, "fog", 3, seed=0.5)


def test_it_stands_in_the_catalogue():
    assert nversion.corrupt is corrupt
