"""chromatic_abberation and transverse_chromatic_abberation: against SciPy, and by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from nversion.corruptions import CORRUPTIONS, create

PLAIN, TRANSVERSE = "chromatic_abberation", "transverse_chromatic_abberation"


def noise_image(height, width):
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def corrupted(name, image_HW3, **parameters):
    images = torch.from_numpy(image_HW3).permute(2, 0, 1)[None]
    return create(name, 1.0).apply(images, [parameters])[0].permute(1, 2, 0).numpy()


def assert_rounded(ours, exact):
    assert np.abs(ours - exact).max() <= 0.51


@pytest.mark.parametrize("size", [(21, 34), (1, 9), (1, 1), (2, 3)])
@pytest.mark.parametrize(
    "rgb_shifts", [((0, 0), (0.3, -0.6), (-7.5, 2.25)), ((1, -1), (40.1, 0), (0.999, -33.5)), ((1e6, 0),) * 3]
)
def test_each_channel_is_scipys_shift_of_it(size, rgb_shifts):
    image = noise_image(*size)
    ours = corrupted(PLAIN, image, rgb_shifts=rgb_shifts)
    for channel, shift in enumerate(rgb_shifts):
        exact = ndimage.shift(image[..., channel].astype(float), shift, prefilter=False)
        assert_rounded(ours[..., channel], exact)


@pytest.mark.parametrize("size", [(21, 34), (1, 9), (1, 1), (2, 3)])
@pytest.mark.parametrize("scales", [(1.0, 1.05, 1.1), (2.0, 1.0, 3.7)])
def test_each_channel_is_the_middle_of_scipys_zoom_of_it(size, scales):
    image = noise_image(*size)
    ours = corrupted(TRANSVERSE, image, scales=scales)
    for channel, scale in enumerate(scales):
        zoomed = ndimage.zoom(image[..., channel].astype(float), scale, prefilter=False)
        top, left = ((zoomed.shape[axis] - size[axis]) // 2 for axis in (0, 1))
        assert_rounded(ours[..., channel], zoomed[top : top + size[0], left : left + size[1]])


def test_samples_of_a_batch_take_their_own_scales():
    image = torch.from_numpy(noise_image(12, 17)).permute(2, 0, 1)
    kinds = [{"scales": scales} for scales in ((1.0, 1.1, 1.2), (1.2, 1.0, 1.1), (1.1, 1.2, 1.0))]
    batch = create(TRANSVERSE, 4).apply(image.repeat(3, 1, 1, 1), kinds)
    for corrupted_image, kind in zip(batch, kinds, strict=True):
        assert torch.equal(corrupted_image, create(TRANSVERSE, 4).apply(image[None], [kind])[0])


def test_a_shift_by_whole_pixels_moves_and_blurs_an_edge():
    image = np.zeros((9, 9, 3), dtype=np.uint8)
    image[:, 4:] = 120
    moved = corrupted(PLAIN, image, rgb_shifts=((0, 0), (0, 2), (0, -2)))
    assert moved[4, :, 0].tolist() == [0, 0, 0, 20, 100, 120, 120, 120, 120]
    assert moved[4, :, 1].tolist() == [0, 0, 0, 0, 0, 20, 100, 120, 120]
    assert moved[4, :, 2].tolist() == [0, 20, 100, 120, 120, 120, 120, 0, 0]


def test_shifts_are_a_share_of_the_shorter_side_at_uniform_angles():
    rng = np.random.default_rng(3)
    drawn = np.array(
        [create(PLAIN, 4).sample_parameters(rng, (224, 320))["rgb_shifts"] for _ in range(700)]
    ).reshape(-1, 2)
    assert np.hypot(*drawn.T) == pytest.approx(0.04 * 224)
    angles = np.arctan2(drawn[:, 1], drawn[:, 0]) % (2 * math.pi)
    assert stats.kstest(angles, stats.uniform(0, 2 * math.pi).cdf).pvalue > 0.01


def test_all_six_orders_of_the_scales_are_equally_likely():
    rng = np.random.default_rng(3)
    drawn = [create(TRANSVERSE, 10).sample_parameters(rng, (32, 32))["scales"] for _ in range(1200)]
    orders, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(orders) == 6 and sorted(orders[0]) == [1.0, 1.25, 1.5]
    assert stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize("name", [PLAIN, TRANSVERSE])
def test_the_usual_spelling_is_found_too(name):
    assert CORRUPTIONS[name.replace("abberation", "aberration")] is CORRUPTIONS[name]
