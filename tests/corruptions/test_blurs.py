"""gaussian_blur, defocus_blur, zoom_blur and glass_blur: against their definitions, and by hand."""

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from nversion.corruptions import create
from nversion.corruptions.kinds import defocus
from nversion.corruptions.pixels.fields import uniform_fields


def noise_image(height, width):
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def corrupted(name, image_HW3, **parameters):
    images = torch.from_numpy(image_HW3).permute(2, 0, 1)[None]
    return create(name, 1.0).apply(images, [parameters])[0].permute(1, 2, 0).numpy()


def assert_cut(ours, exact):
    """`ours` is `exact` cut to whole numbers, but for those that lie within 0.05 of one."""
    clear = np.abs(exact - np.rint(exact)) > 0.05
    assert np.array_equal(ours[clear], np.floor(exact)[clear])
    assert np.abs(ours - exact).max() <= 1.05


@pytest.mark.parametrize("size", [(40, 70), (1, 9), (3, 3)])
@pytest.mark.parametrize("sigma", [0.0, 0.4, 1.0, 6.0])
def test_gaussian_blur_is_scipys_per_channel(size, sigma):
    image = noise_image(*size)
    exact = ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="nearest", truncate=4)
    assert_cut(corrupted("gaussian_blur", image, sigma=sigma), exact)


def test_a_batch_of_several_sigmas_blurs_each_image_by_its_own():
    image = torch.from_numpy(noise_image(20, 30)).permute(2, 0, 1)
    sigmas = [1.0, 1.0, 3.0, 0.5]
    batch = create("gaussian_blur", 1).apply(image.repeat(4, 1, 1, 1), [{"sigma": s} for s in sigmas])
    for blurred, sigma in zip(batch, sigmas, strict=True):
        alone = create("gaussian_blur", 1).apply(image[None], [{"sigma": sigma}])[0]
        assert torch.equal(blurred, alone)


@pytest.mark.parametrize(("radius", "alias_blur"), [(3, 0.1), (8, 0.5), (10, 0.5), (0.3, 0.4)])
@pytest.mark.parametrize("size", [(25, 40), (4, 3), (1, 1)])
def test_defocus_blur_is_the_mirrored_mean_over_its_disc(radius, alias_blur, size):
    image, disc = noise_image(*size), defocus.disc(radius, alias_blur) / defocus.ONE
    exact = ndimage.correlate(image.astype(float), disc[:, :, None], mode="mirror")
    assert_cut(corrupted("defocus_blur", image, radius=radius, alias_blur=alias_blur), np.minimum(exact, 255))


def test_a_dot_becomes_a_disc():
    image = np.zeros((15, 21, 3), dtype=np.uint8)
    image[7, 10] = 255
    lit = corrupted("defocus_blur", image, radius=3, alias_blur=0.1)[..., 0] > 0
    row, column = np.mgrid[:15, :21]
    assert np.array_equal(lit, (row - 7) ** 2 + (column - 10) ** 2 <= 9)


@pytest.mark.parametrize(("radius", "white_sums_to"), [(6, 1.0), (8, 1.013), (10, 1.011)])
def test_discs_that_touch_their_table_lighten_as_the_references_do(radius, white_sums_to):
    assert defocus.disc(radius, 0.5).sum() / defocus.ONE == pytest.approx(white_sums_to, abs=5e-4)
    even = corrupted("defocus_blur", np.full((9, 9, 3), 100, dtype=np.uint8), radius=radius, alias_blur=0.5)
    assert (even == int(100 * white_sums_to)).all()


def enlarged(image, factor):
    """The middle H × W of the middle of the image, enlarged by `ndimage.zoom`."""
    sides = image.shape[:2]
    shown = [int(np.ceil(side / factor)) for side in sides]
    part = tuple(slice((side - s) // 2, (side - s) // 2 + s) for side, s in zip(sides, shown, strict=True))
    zoomed = ndimage.zoom(image[part].astype(float), (factor, factor, 1), order=1)
    starts = [(zoomed.shape[axis] - side) // 2 for axis, side in enumerate(sides)]
    return zoomed[starts[0] : starts[0] + sides[0], starts[1] : starts[1] + sides[1]]


@pytest.mark.parametrize(("stop", "step"), [(1.11, 0.01), (1.31, 0.03), (3.0, 0.4)])
@pytest.mark.parametrize("size", [(31, 50), (1, 9), (2, 2)])
def test_zoom_blur_is_the_mean_of_the_image_and_its_enlargements(stop, step, size):
    image = noise_image(*size)
    factors = np.arange(1, stop, step)
    exact = (image + sum(enlarged(image, factor) for factor in factors)) / (1 + len(factors))
    assert_cut(corrupted("zoom_blur", image, stop=stop, step=step), exact)


def test_zoom_blur_of_large_images_keeps_no_tables(monkeypatch):
    from nversion.corruptions.kinds import zoom

    image = noise_image(20, 30)
    kept = corrupted("zoom_blur", image, stop=1.2, step=0.05)
    monkeypatch.setattr(zoom, "KEPT_SIDE", 8)
    assert np.array_equal(corrupted("zoom_blur", image, stop=1.2, step=0.05), kept)


@pytest.mark.parametrize("name", ["gaussian_blur", "zoom_blur", "glass_blur", "defocus_blur"])
def test_an_even_area_stays_what_it_is(name):
    images = torch.full((1, 3, 40, 50), 201, dtype=torch.uint8)
    corruption = create(name, 3)
    parameters = corruption.sample_parameters(np.random.default_rng(0), (40, 50))
    assert (corruption.apply(images, [parameters]) == 201).all()


def shuffled(image, max_delta, iterations, seed):
    """The reference's loop: what it means as a swap copies the other pixel."""
    height, width = image.shape[:2]
    shape = (height - 2 * max_delta, width - 2 * max_delta, 2)
    for iteration in range(iterations):
        draws = iter(
            uniform_fields(np.array([seed]), iteration, shape, torch.device("cpu")).reshape(-1, 2).tolist()
        )
        for row in range(height - max_delta, max_delta, -1):
            for column in range(width - max_delta, max_delta, -1):
                right, down = (int(np.floor(-max_delta + u * 2 * max_delta)) for u in next(draws))
                image[row, column] = image[row + down, column + right]
    return image


@pytest.mark.parametrize(("max_delta", "iterations"), [(1, 2), (2, 3), (4, 1), (9, 2)])
def test_glass_blur_copies_pixel_after_pixel_as_the_references_loop(max_delta, iterations):
    image = noise_image(24, 35)
    parameters = {"max_delta": max_delta, "iterations": iterations, "seed": 7}
    ours = corrupted("glass_blur", image, sigma=0.0, **parameters)
    assert np.array_equal(ours, shuffled(image.copy(), **parameters))
    assert not np.array_equal(ours, image)


def test_an_image_without_inner_pixels_is_blurred_alone():
    image = noise_image(8, 30)
    parameters = {"max_delta": 4, "iterations": 2, "seed": 1}
    assert np.array_equal(corrupted("glass_blur", image, sigma=0.0, **parameters), image)


def test_glass_blur_draws_its_seed_and_takes_the_rest_from_the_table():
    rng = np.random.default_rng(3)
    drawn = [create("glass_blur", 5).sample_parameters(rng, (64, 64)) for _ in range(500)]
    assert {(d["sigma"], d["max_delta"], d["iterations"]) for d in drawn} == {(1.5, 4, 2)}
    assert stats.kstest([d["seed"] for d in drawn], stats.uniform(0, 2**32).cdf).pvalue > 0.01


def test_motion_blur_draws_angles_from_minus_45_to_45_degrees():
    rng = np.random.default_rng(3)
    drawn = [create("motion_blur", 5).sample_parameters(rng, (64, 64)) for _ in range(500)]
    assert {(d["radius"], d["sigma"]) for d in drawn} == {(20, 15)}
    assert stats.kstest([d["angle"] for d in drawn], stats.uniform(-45, 90).cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("name", "severity", "parameters"),
    [
        ("gaussian_blur", 4.5, {"sigma": 5.0}),
        ("defocus_blur", 1.5, {"radius": 4, "alias_blur": 0.3}),
        ("defocus_blur_cifar", 4.5, {"radius": 1.25, "alias_blur": pytest.approx(0.15)}),
        ("zoom_blur", 2.5, {"stop": pytest.approx(1.185), "step": pytest.approx(0.015)}),
    ],
)
def test_between_levels_parameters_lie_between(name, severity, parameters):
    assert create(name, severity).sample_parameters(np.random.default_rng(0), (32, 32)) == parameters
