"""circular_motion_blur: against SciPy's rotations, and by hand."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from nversion.corruptions import create
from nversion.corruptions.kinds import circular


def noise_image(height, width):
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def corrupted(image_HW3, amount):
    images = torch.from_numpy(image_HW3).permute(2, 0, 1)[None]
    return create("circular_motion_blur", 1.0).apply(images, [{"amount": amount}])[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("amount", [0.5, 15.0, 97.0, -40.0])
@pytest.mark.parametrize("size", [(24, 24), (25, 25), (19, 40), (2, 7), (1, 9)])
def test_a_pixel_is_the_weighted_mean_of_scipys_rotations(size, amount):
    image, total = noise_image(*size), 0.0
    shares = np.exp(-2 * np.linspace(-1, 1, 21) ** 2)
    for t, share in zip(np.linspace(-1, 1, 21), shares / shares.sum(), strict=True):
        total = total + share * ndimage.rotate(image.astype(float), t * amount, reshape=False)
    assert np.abs(corrupted(image, amount) - np.floor(np.clip(total, 0, 255))).max() <= 1
    assert np.mean(corrupted(image, amount) == np.floor(np.clip(total + circular.LENIENCE, 0, 255))) > 0.995


def test_images_of_a_batch_with_amounts_of_their_own():
    image = torch.from_numpy(noise_image(16, 16)).permute(2, 0, 1)
    kinds = [{"amount": amount} for amount in (3.0, 3.0, 9.0)]
    batch = create("circular_motion_blur", 1).apply(image.repeat(3, 1, 1, 1), kinds)
    for turned, kind in zip(batch, kinds, strict=True):
        assert torch.equal(turned, create("circular_motion_blur", 1).apply(image[None], [kind])[0])


@pytest.mark.parametrize("size", [(24, 24), (19, 40)])
def test_a_matrix_made_anew_gives_the_bytes_of_a_kept_one(monkeypatch, size):
    image = noise_image(*size)
    kept = corrupted(image, 12.0)
    monkeypatch.setattr(circular, "KEPT_PIXELS", 0)
    monkeypatch.setattr(circular, "OUTPUTS_PER_PART", 37)
    assert np.array_equal(corrupted(image, 12.0), kept)


def test_the_middle_stays_and_an_even_area_stays_within_the_turned_corners():
    image = np.full((41, 41, 3), 77, dtype=np.uint8)
    turned = corrupted(image, 15.0)
    assert (turned[10:31, 10:31] == 77).all()
    assert (turned[0, 0] < 77).all()


def test_upside_down_and_transposed_images_give_upside_down_and_transposed_results():
    image = noise_image(30, 30)
    turned = corrupted(image, 8.0)
    assert np.array_equal(corrupted(image[::-1].copy(), 8.0), turned[::-1])
    assert np.array_equal(corrupted(image.transpose(1, 0, 2).copy(), 8.0), turned.transpose(1, 0, 2))


def test_sums_stay_whole_in_float64():
    rows, columns = np.divmod(np.arange(30 * 30), 30)
    weights = circular._weights(rows, columns, 30, 30, 10.0)
    assert np.array_equal(weights.data, np.rint(weights.data))
    largest = np.abs(weights).sum(axis=1).max()
    assert largest * 255 * 9 * 2**circular.COEFFICIENT_BITS < 2**53


def test_kept_matrices_stay_within_their_bytes(monkeypatch):
    monkeypatch.setattr(circular, "KEPT_BYTES", 1)
    kept = circular._Kept()
    for amount in (1.0, 2.0, 3.0):
        kept.parts(8, 8, amount, torch.device("cpu"))
    assert [key[2] for key in kept._tables] == [3.0]


def test_the_amount_follows_from_the_severity():
    drawn = create("circular_motion_blur", 10).sample_parameters(np.random.default_rng(0), (8, 8))
    assert drawn == {"amount": 15.0}
