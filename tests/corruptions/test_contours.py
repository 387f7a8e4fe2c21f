"""Edges, distances, means and histograms: OpenCV's to the byte, and by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from nversion.corruptions.pixels import contours

cv2 = pytest.importorskip("cv2")

SIZES = pytest.mark.parametrize("size", [(40, 61), (3, 50), (50, 2), (1, 9), (1, 1), (2, 2)])


def blobs(size, seed=0, sigma=1.0):
    """Bytes with plateaus, slopes and steps."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0.62, 0.5, size), sigma)
    return (np.clip(np.where(noise < 0.6, 0, noise), 0, 1) * 255).astype(np.uint8)


def plane(array):
    return torch.from_numpy(array.astype(np.int32))[None]


@SIZES
@pytest.mark.parametrize("sigma", [0.0, 0.7, 2.0])
def test_edges_are_those_of_opencv(size, sigma):
    for seed in range(5):
        image = blobs(size, seed, sigma)
        assert np.array_equal(contours.edges(plane(image), 50, 150)[0].numpy(), cv2.Canny(image, 50, 150) > 0)


def test_weak_edges_stay_only_where_a_strong_one_is_connected():
    strength = np.array(
        [[[1, 1, 0, 1], [0, 0, 2, 0], [1, 0, 0, 0]], [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]]
    )
    expected = [[[1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]], [[0] * 4] * 3]
    assert contours._connected(strength.astype(np.uint8)).astype(int).tolist() == expected


@SIZES
@pytest.mark.parametrize("share", [0.002, 0.02, 0.3])
def test_distances_are_those_of_opencv(size, share):
    is_edge = np.random.default_rng(0).random(size) < share
    is_edge[size[0] // 2, 0] = True
    expected = cv2.distanceTransform(255 * (1 - is_edge.astype(np.uint8)), cv2.DIST_L2, 5)
    ours = contours.distances(torch.from_numpy(is_edge)[None], 20)[0].numpy()
    assert ours / 10_000 == pytest.approx(np.minimum(expected, 20), abs=2e-4)  # its weights have 16 bits


def test_a_plane_without_edges_is_as_far_as_can_be():
    assert (contours.distances(torch.zeros(1, 5, 7, dtype=torch.bool), 20) == 200_000).all()


def test_the_way_to_a_pixel_is_made_of_straight_diagonal_and_knights_steps():
    is_edge = torch.zeros(1, 9, 9, dtype=torch.bool)
    is_edge[0, 4, 4] = True
    ours = contours.distances(is_edge, 20)[0]
    for (row, column), length in {(4, 7): 30_000, (6, 6): 28_000, (5, 2): 21_969, (0, 5): 41_969}.items():
        assert ours[row, column] == length
    assert torch.equal(ours, ours.T) and torch.equal(ours, ours.flip(0))


@SIZES
def test_the_mean_of_bytes_is_that_of_opencv(size):
    image = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    assert np.array_equal(contours.mean_3(plane(image), cut=False)[0].numpy(), cv2.blur(image, (3, 3)))


@SIZES
def test_the_mean_of_distances_is_that_of_opencv_cut_to_bytes(size):
    lengths = np.random.default_rng(0).choice([0, 10_000, 14_000, 21_969, 30_000, 200_000], size)
    expected = cv2.blur((lengths / 10_000).astype(np.float32), (3, 3))
    ours = contours.mean_3(plane(lengths), cut=True)[0].numpy()
    far = np.abs(expected - np.round(expected)) > 1e-5  # at whole numbers its rounding decides
    assert np.array_equal(ours[far], np.trunc(expected[far]))
    assert ours[~far] == pytest.approx(np.round(expected[~far]))


def test_a_mean_of_whole_pixels_is_not_cut_below():
    for pixels in range(21):
        assert (contours.mean_3(plane(np.full((4, 5), 10_000 * pixels)), cut=True) == pixels).all()


@SIZES
@pytest.mark.parametrize("highest", [0, 1, 20])
def test_equalized_planes_are_those_of_opencv(size, highest):
    image = np.random.default_rng(0).integers(highest // 2, highest + 1, size, dtype=np.uint8)
    other = np.random.default_rng(1).integers(0, highest + 1, size, dtype=np.uint8)
    ours = contours.equalized(torch.cat([plane(image), plane(other)]), highest).numpy()
    assert np.array_equal(ours[0], cv2.equalizeHist(image))
    assert np.array_equal(ours[1], cv2.equalizeHist(other))


def test_windows_mirror_at_the_edge_or_repeat_it():
    row = torch.tensor([[[1, 2, 3]]])
    assert contours.windows(row, mirrored=True)(0, -1).tolist() == [[[2, 1, 2]]]
    assert contours.windows(row, mirrored=True)(0, 1).tolist() == [[[2, 3, 2]]]
    assert contours.windows(row, mirrored=False)(-1, 1).tolist() == [[[2, 3, 3]]]


def test_a_step_of_half_a_plane_has_one_edge():
    image = np.zeros((7, 8), dtype=np.uint8)
    image[:, 4:] = 200
    found = contours.edges(plane(image), 50, 150)[0].numpy()
    assert found.sum(axis=0).tolist() == [0, 0, 0, 7, 0, 0, 0, 0]
    assert math.prod(found.shape) == 56
