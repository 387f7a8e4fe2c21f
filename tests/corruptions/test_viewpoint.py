"""perspective_no_bars and quadrilateral_no_bars: against Pillow at every pixel, and what follows."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from nversion.corruptions import create

PERSPECTIVE = (1.1, 0.07, -3.3, -0.04, 0.93, 2.2, 0.002, 0.0007)
POINTS = ((3.0, -2.0), (5.0, 22.0), (44.0, 26.5), (39.0, 4.0))
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (1, 3, height, width), dtype=np.uint8))


def perspective(image, numbers):
    return create("perspective_no_bars", 5.0).apply(image, [{"perspective_params": numbers}])


def quadrilateral(image, points):
    return create("quadrilateral_no_bars", 5.0).apply(image, [{"points": points}])


def by_pillow(image_13HW, method, numbers):
    """Pillow's view as int, and where it has one."""
    image_HW3 = image_13HW[0].permute(1, 2, 0).numpy()
    size = image_HW3.shape[1::-1]
    view, inside = (
        np.asarray(Image.fromarray(pixels).transform(size, method, numbers, Image.Resampling.BILINEAR))
        for pixels in (np.ascontiguousarray(image_HW3), np.full_like(image_HW3, 255))
    )
    return view.transpose(2, 0, 1).astype(int), inside[..., 0] == 255


@pytest.mark.parametrize("size", [(24, 41), (41, 24)])
@pytest.mark.parametrize(
    ("corrupt", "method", "numbers"),
    [
        (perspective, Image.Transform.PERSPECTIVE, PERSPECTIVE),
        (quadrilateral, Image.Transform.QUAD, POINTS),
    ],
)
def test_an_oblong_image_is_pillows_view_where_it_has_one_and_itself_elsewhere(
    size, corrupt, method, numbers
):
    image = picture(*size)
    view, inside = by_pillow(image, method, np.array(numbers).ravel())
    ours = corrupt(image, numbers)[0].int().numpy()
    assert inside.any() and not inside.all()
    assert np.abs(ours - view)[:, inside].max() <= 1
    assert np.array_equal(ours[:, ~inside], image[0].numpy()[:, ~inside])


def test_a_shift_by_whole_pixels_is_exact_and_keeps_what_comes_from_beyond():
    image = picture(12, 15)
    shifted = perspective(image, (1.0, 0.0, 4.0, 0.0, 1.0, -3.0, 0.0, 0.0))
    assert torch.equal(shifted[..., 3:, :11], image[..., :9, 4:])
    assert torch.equal(shifted[..., :3, :], image[..., :3, :])
    assert torch.equal(shifted[..., 11:], image[..., 11:])


def test_the_image_from_behind_its_vanishing_line_stays_as_it_is():
    image = picture(10, 10)
    # The divisor 1 − x/5.5 is 0 at column 5 and below 0 to the right of it.
    changed = (perspective(image, (*IDENTITY[:6], -1 / 5.5, 0.0)) != image)[0].any(dim=0)
    assert not changed[:, 5:].any() and changed[:, :3].any()


def test_swapped_corners_mirror_the_image():
    image = picture(16, 32)
    mirrored = quadrilateral(image, ((32.0, 0.0), (32.0, 16.0), (0.0, 16.0), (0.0, 0.0)))
    assert torch.equal(mirrored, image.flip(3))


def test_an_even_area_keeps_its_value():
    even = torch.full((1, 3, 30, 30), 77, dtype=torch.uint8)
    assert quadrilateral(even, POINTS).eq(77).all() and perspective(even, PERSPECTIVE).eq(77).all()


def test_drawn_perspectives_are_of_fixed_sizes_and_six_even_signs():
    corruption, rng = create("perspective_no_bars", 4.0), np.random.default_rng(11)
    draws = [corruption.sample_parameters(rng, (160, 200)) for _ in range(2000)]
    values = np.array([draw["perspective_params"] for draw in draws])
    values[:, [0, 4]] = np.log2(values[:, [0, 4]])
    expected = [0.06, 0.04, 8.0, 0.04, 0.06, 6.4, 0.08 / 200, 0.08 / 160]
    assert np.allclose(np.abs(values), expected)
    for column in values[:, :6].T:
        assert stats.binomtest(int((column > 0).sum()), 2000).pvalue > 0.01
    assert np.abs(np.corrcoef(values[:, :6].T) - np.eye(6)).max() < 0.08
    assert (values[:, 6:] > 0).all()


def test_drawn_corners_are_moved_evenly_within_their_share_of_each_side():
    corruption, rng = create("quadrilateral_no_bars", 3.0), np.random.default_rng(11)
    draws = [corruption.sample_parameters(rng, (160, 200)) for _ in range(1000)]
    points = np.array([draw["points"] for draw in draws])
    assert np.array_equal(points, points.astype(np.float32))
    moved = points - np.array([(0, 0), (0, 160), (200, 160), (200, 0)])
    for axis, most in ((0, 20.0), (1, 16.0)):
        assert stats.kstest(moved[..., axis].ravel(), stats.uniform(-most, 2 * most).cdf).pvalue > 0.01
    assert np.abs(np.corrcoef(moved.reshape(1000, 8).T) - np.eye(8)).max() < 0.12
