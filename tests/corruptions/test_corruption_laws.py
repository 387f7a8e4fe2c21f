"""Claims that hold for every registered corruption."""

import numpy as np
import pytest
import torch

from nversion.corruptions import (
    CORRUPTIONS,
    LEVELS_CIFAR,
    LEVELS_IMAGENET,
    PAPER_STRENGTHS_CIFAR,
    PAPER_STRENGTHS_IMAGENET,
    create,
)

EVERY = pytest.mark.parametrize("name", sorted(CORRUPTIONS))
SEVERITY = 5.0

# At severity 0 of their raw scale these still change the image, as the reference does.
CHANGED_AT_ZERO: set[str] = {
    "blue_noise_sample",
    "chromatic_abberation",
    "color_dither",
    "inverse_sparkles",
    "pinch_and_twirl",
    "sparkles",
    "transverse_chromatic_abberation",
}
# Nothing of these is drawn: their parameters follow from the severity.
WITHOUT_CHANCE: set[str] = {
    "bleach_bypass",
    "brightness",
    "brightness_cifar",
    "circular_motion_blur",
    "color_dither",
    "contrast",
    "contrast_cifar",
    "defocus_blur",
    "defocus_blur_cifar",
    "gaussian_blur",
    "gaussian_blur_cifar",
    "jpeg_compression",
    "jpeg_compression_cifar",
    "pixelate",
    "pixelate_cifar",
    "saturate",
    "saturate_cifar",
    "technicolor",
    "zoom_blur",
    "zoom_blur_cifar",
}


def pictures(num_images, height, width, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (num_images, 3, height, width), dtype=np.uint8))


def draws(corruption, num_images, size, seed=0):
    return [corruption.sample_parameters(np.random.default_rng([seed, i]), size) for i in range(num_images)]


@EVERY
@pytest.mark.parametrize("size", [(33, 47), (224, 224), (5, 130), (1, 1), (1, 9), (2, 2)])
def test_an_image_in_a_batch_is_the_image_alone_to_the_byte(name, size):
    corruption = create(name, SEVERITY)
    images, parameters = pictures(7, *size), draws(corruption, 7, size)
    batch = corruption.apply(images, parameters)
    assert batch.shape == images.shape and batch.dtype == torch.uint8
    for i in range(7):
        assert torch.equal(batch[i], corruption.apply(images[i : i + 1], parameters[i : i + 1])[0])


@EVERY
def test_chunks_of_small_images_do_not_show(name):
    corruption = create(name, SEVERITY)
    images, parameters = pictures(60, 32, 32), draws(corruption, 60, (32, 32))  # 49 of them are a chunk
    batch = corruption.apply(images, parameters)
    backwards = corruption.apply(images.flip(0), parameters[::-1]).flip(0)
    assert torch.equal(batch, backwards)


@EVERY
def test_the_number_of_threads_does_not_show(name):
    corruption = create(name, SEVERITY)
    images, parameters = pictures(2, 224, 223), draws(corruption, 2, (224, 223))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = corruption.apply(images, parameters)
        torch.set_num_threads(3)
        assert torch.equal(corruption.apply(images, parameters), one)
    finally:
        torch.set_num_threads(threads)


@EVERY
def test_severity_zero_gives_the_image_back(name):
    if CORRUPTIONS[name].lowest > 0:
        return  # a scale without a zero
    corruption, images = create(name, 0), pictures(3, 20, 30)
    unchanged = torch.equal(corruption.apply(images, draws(corruption, 3, (20, 30))), images)
    assert unchanged == (name not in CHANGED_AT_ZERO)


@EVERY
def test_a_one_pixel_image_keeps_its_shape_and_the_input_is_not_changed(name):
    corruption, images = create(name, SEVERITY), pictures(2, 1, 1)
    before = images.clone()
    assert corruption.apply(images, draws(corruption, 2, (1, 1))).shape == (2, 3, 1, 1)
    assert torch.equal(images, before)


@EVERY
def test_channels_last_images_and_views_give_the_same_bytes(name):
    corruption = create(name, SEVERITY)
    wide, parameters = pictures(2, 16, 40), draws(corruption, 2, (16, 20))
    view = wide[..., ::2]
    expected = corruption.apply(view.contiguous(), parameters)
    assert torch.equal(corruption.apply(view, parameters), expected)
    channels_last = view.contiguous(memory_format=torch.channels_last)
    assert torch.equal(corruption.apply(channels_last, parameters), expected)


@EVERY
def test_equal_generators_draw_equal_parameters_and_others_do_not(name):
    corruption = create(name, SEVERITY)
    first, again, other = (
        corruption.sample_parameters(np.random.default_rng(seed), (64, 64)) for seed in (3, 3, 4)
    )
    assert first == again
    assert (first == other) == (name in WITHOUT_CHANCE)


@EVERY
def test_neither_drawing_nor_applying_touches_global_random_state(name):
    corruption, images = create(name, SEVERITY), pictures(1, 16, 16)
    legacy = np.random.mtrand._rand  # the global generator
    before, before_torch = legacy.get_state()[1].copy(), torch.get_rng_state()
    corruption.apply(images, draws(corruption, 1, (16, 16)))
    assert np.array_equal(legacy.get_state()[1], before)
    assert torch.equal(torch.get_rng_state(), before_torch)


@EVERY
def test_an_empty_batch_gives_an_empty_batch(name):
    empty = torch.empty(0, 3, 8, 8, dtype=torch.uint8)
    assert create(name, SEVERITY).apply(empty, []).shape == (0, 3, 8, 8)


@EVERY
@pytest.mark.parametrize("end", ["lowest", "highest"])
def test_extreme_severities_still_give_an_image(name, end):
    corruption, images = create(name, getattr(CORRUPTIONS[name], end)), pictures(2, 12, 15)
    assert corruption.apply(images, draws(corruption, 2, (12, 15))).shape == images.shape


@EVERY
@pytest.mark.gpu
def test_a_gpu_gives_the_bytes_of_the_cpu(name):
    corruption = create(name, SEVERITY)
    for size, count in (((224, 224), 5), ((33, 47), 60), ((1, 1), 3)):
        images, parameters = pictures(count, *size), draws(corruption, count, size)
        on_gpu = corruption.apply(images.cuda(), parameters)
        assert on_gpu.is_cuda
        assert torch.equal(on_gpu.cpu(), corruption.apply(images, parameters))


@pytest.mark.parametrize("name", sorted(PAPER_STRENGTHS_IMAGENET))
def test_the_papers_strengths_are_levels_of_the_reference_grids(name):
    level = LEVELS_IMAGENET[name].index(PAPER_STRENGTHS_IMAGENET[name])
    assert level == {"plasma_noise": 1, "checkerboard_cutout": 3, "water_drop": 3, "lines": 1}[name]
    assert LEVELS_CIFAR[name][level] == PAPER_STRENGTHS_CIFAR[name]
    assert len(LEVELS_CIFAR[name]) == len(LEVELS_IMAGENET[name]) == 10


def test_the_strengths_at_224_and_32_pixels():
    assert PAPER_STRENGTHS_IMAGENET == {
        "plasma_noise": 4.0,
        "checkerboard_cutout": 4.0,
        "water_drop": 7.0,
        "lines": 1.6,
    }
    assert PAPER_STRENGTHS_CIFAR == {
        "plasma_noise": 1.4,
        "checkerboard_cutout": 4.0,
        "water_drop": 5.2,
        "lines": 1.0,
    }
