"""ripple: its definition at every pixel, and what follows from it."""

import math

import numpy as np
import torch
from scipy import stats

from nversion.corruptions import create


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (1, 3, height, width), dtype=np.uint8))


def waves(**changes):
    return {"amplitudes": (0.0, 0.0), "wavelengths": (9.0, 7.0), "phases": (0.3, 1.1), **changes}


def ripple(image, **changes):
    return create("ripple", 5.0).apply(image, [waves(**changes)])


def by_definition(image_3HW, amplitudes, wavelengths, phases):
    height, width = image_3HW.shape[1:]
    black_beyond = np.pad(image_3HW.astype(float), ((0, 0), (99, 99), (99, 99)))
    out = np.empty(image_3HW.shape)
    for row, column in np.ndindex(height, width):
        y = row + amplitudes[0] * math.sin(2 * math.pi * row / wavelengths[0] + phases[0])
        x = column + amplitudes[1] * math.sin(2 * math.pi * column / wavelengths[1] + phases[1])
        top, left = math.floor(y), math.floor(x)
        around = black_beyond[:, top + 99 : top + 101, left + 99 : left + 101]
        weights = np.outer([top + 1 - y, y - top], [left + 1 - x, x - left])
        out[:, row, column] = (around * weights).sum(axis=(1, 2))
    return out


def test_every_pixel_of_an_oblong_image_follows_the_definition():
    image, parameters = picture(13, 22), waves(amplitudes=(2.7, 3.4))
    ours = create("ripple", 5.0).apply(image, [parameters])[0].numpy()
    exact = by_definition(image[0].numpy(), **parameters)
    assert (np.abs(ours - (exact - 0.5)) <= 0.5 + 1e-3).all()  # cut to a byte


def test_the_first_of_each_pair_moves_rows_and_the_second_columns():
    image = picture(12, 12)
    stripes = image[..., :1].expand(-1, -1, -1, 12).contiguous()  # equal columns
    assert not torch.equal(ripple(stripes, amplitudes=(2.0, 0.0)), stripes)
    inner = ripple(stripes, amplitudes=(0.0, 2.0))[..., 3:-3]
    assert torch.equal(inner, stripes[..., 3:-3])


def test_a_transposed_image_with_swapped_pairs_gives_the_transposed_result():
    image = picture(15, 15)
    swapped = {"amplitudes": (1.5, 2.5), "wavelengths": (7.0, 9.0), "phases": (1.1, 0.3)}
    one = ripple(image, amplitudes=(2.5, 1.5)).int()
    other = create("ripple", 5.0).apply(image.transpose(2, 3).contiguous(), [swapped]).transpose(2, 3).int()
    assert (one - other).abs().max() <= 1


def test_an_even_area_keeps_its_value_where_no_border_is_near():
    even = torch.full((1, 3, 40, 40), 77, dtype=torch.uint8)
    assert (ripple(even, amplitudes=(3.3, 2.2))[..., 4:-4, 4:-4] == 77).all()


def test_a_wave_that_leaves_the_image_reads_black():
    assert (ripple(picture(6, 6), amplitudes=(500.0, 0.0), phases=(0.5, 0.5))[:, :, 0] == 0).all()


def test_drawn_waves_have_the_references_distributions():
    corruption, rng = create("ripple", 4.0), np.random.default_rng(11)
    draws = [corruption.sample_parameters(rng, (224, 320)) for _ in range(2000)]
    wavelengths, phases = (np.array([draw[key] for draw in draws]) for key in ("wavelengths", "phases"))
    for axis in range(2):
        assert stats.kstest(wavelengths[:, axis], stats.uniform(22.4, 44.8).cdf).pvalue > 0.01
        assert stats.kstest(phases[:, axis], stats.uniform(0, 2 * math.pi).cdf).pvalue > 0.01
    assert all(draw["amplitudes"] == (2.24, 2.24) for draw in draws)
    assert abs(np.corrcoef(wavelengths.T)[0, 1]) < 0.06
