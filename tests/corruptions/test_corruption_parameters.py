"""The parameters: names, types and distributions of the reference; and what bad input is told."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.core import UserError
from nversion.corruptions import CORRUPTIONS, contact_sheet, create

NUM_DRAWS = 2000


def drawn(name, severity=4.0, size=(224, 224)):
    corruption, rng = create(name, severity), np.random.default_rng(11)
    draws = [corruption.sample_parameters(rng, size) for _ in range(NUM_DRAWS)]
    return {key: np.array([draw[key] for draw in draws]) for key in draws[0]}


def assert_uniform(values, low, high):
    assert values.min() >= low and values.max() < high
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01


def test_plasma_parameters_have_the_references_distributions():
    values = drawn("plasma_noise")
    assert_uniform(values["time"], 0, 6 * math.pi)
    assert_uniform(values["sharpness"], 0.5, 1.0)
    assert_uniform(values["scale"], 0.075 * 224, 0.2 * 224)
    numbers, counts = np.unique(values["iterations"], return_counts=True)
    assert numbers.tolist() == [4, 5, 6]
    assert stats.chisquare(counts).pvalue > 0.01
    assert (values["intensity"] == 25.6).all()


def test_checkerboard_parameters_have_the_references_distributions():
    values = drawn("checkerboard_cutout")
    assert_uniform(values["angle"], 0, 2 * math.pi)
    assert_uniform(values["scales"][:, 0], 0.1 * 224, 0.25 * 224)
    assert (values["scales"][:, 0] == values["scales"][:, 1]).all()
    assert_uniform(values["seed"], 0, 2**32)
    assert (values["fraction"] == 0.4).all()


def test_checkerboard_cells_are_at_least_a_pixel():
    assert (drawn("checkerboard_cutout", size=(3, 3))["scales"] == 1.0).all()


def test_water_drop_parameters_have_the_references_distributions():
    values = drawn("water_drop", severity=7.0, size=(224, 320))
    assert_uniform(values["center"][:, 0], 0.25 * 224, 0.75 * 224)
    assert_uniform(values["center"][:, 1], 0.25 * 320, 0.75 * 320)
    assert abs(np.corrcoef(values["center"].T)[0, 1]) < 0.06
    assert_uniform(values["wavelength"], 0.05 * 224, 0.2 * 224)
    assert_uniform(values["phase"], 0, 2 * math.pi)
    assert (values["radius"] == 112).all() and values["radius"].dtype.kind == "i"
    assert (values["amplitude"] == 0.175).all()


def test_lines_parameters_have_the_references_distributions():
    values = drawn("lines", severity=1.6)
    assert_uniform(values["angle"], 0, 2 * math.pi)
    assert_uniform(values["angle_variation"], 0.1, 1.0)
    assert_uniform(values["seed"], 0, 2**32)
    assert (values["density"] == 0.16).all() and (values["length"] == 1.0).all()


@pytest.mark.parametrize("name", sorted(CORRUPTIONS))
def test_parameters_are_plain_values_under_the_stated_names(name):
    drawn_once = create(name, 4).sample_parameters(np.random.default_rng(0), (32, 32))
    assert set(drawn_once) == set(CORRUPTIONS[name].parameters)
    for value in drawn_once.values():
        assert_plain(value)


def assert_plain(value):
    if isinstance(value, tuple):
        for part in value:
            assert_plain(part)
    else:
        assert type(value) in (int, float)


def test_an_unknown_corruption_is_told_the_nearest_name():
    with pytest.raises(UserError, match=r"a known corruption, found 'waterdrop'; did you mean 'water_drop'"):
        create("waterdrop", 1.0)


@pytest.mark.parametrize("severity", [math.nan, -1.0, math.inf, 1000.1, "4", None, True])
def test_a_severity_is_a_number_from_0_to_1000(severity):
    with pytest.raises(
        UserError, match=r"expected a severity from 0 to 1000 for lines, found .*; see the levels in use with"
    ):
        create("lines", severity)


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (5,), (5.0, 5.0), 5, "ab"])
def test_a_size_is_two_positive_whole_numbers(size):
    with pytest.raises(UserError, match=r"expected a size of two positive whole numbers \(H, W\), found"):
        create("lines", 1.0).sample_parameters(np.random.default_rng(0), size)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (torch.zeros(1, 3, 8, 8), r"found float32 of shape \(1, 3, 8, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"found uint8 of shape \(3, 8, 8\)"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), r"found uint8 of shape \(1, 1, 8, 8\)"),
        (torch.zeros(1, 3, 0, 8, dtype=torch.uint8), r"found uint8 of shape \(1, 3, 0, 8\)"),
        (np.zeros((1, 3, 8, 8), dtype=np.uint8), r"found an ndarray, uint8 of shape \(1, 3, 8, 8\)"),
    ],
)
def test_images_are_uint8_of_four_axes(images, found):
    with pytest.raises(UserError, match=r"expected a uint8 tensor of shape \(N, 3, H, W\).*" + found):
        create("lines", 1.0).apply(images, [{}])


def apply_with(name="water_drop", count=1, **changes):
    corruption = create(name, 4.0)
    good = corruption.sample_parameters(np.random.default_rng(0), (8, 8))
    changed = {key: value for key, value in {**good, **changes}.items() if value is not None}
    return corruption.apply(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), [changed] * count)


def test_there_is_one_parameter_mapping_for_each_image():
    with pytest.raises(UserError, match=r"expected 1 parameter mappings, one for each image, found 2; call"):
        apply_with(count=2)


def test_a_missing_parameter_is_named():
    with pytest.raises(UserError, match=r"the parameter 'phase' of water_drop, found none for image 0; pass"):
        apply_with(phase=None)


def test_an_unknown_parameter_is_told_the_nearest_name():
    with pytest.raises(UserError, match=r"of water_drop, found the unknown 'phases'; did you mean 'phase'"):
        apply_with(phases=1.0)


@pytest.mark.parametrize(
    ("name", "key", "value", "kind"),
    [
        ("water_drop", "phase", math.nan, "a number from -1e+06 to 1e+06"),
        ("water_drop", "wavelength", 0.0, "a number from 0.001 to 1e+06"),
        ("water_drop", "center", (1.0,), "2 numbers from -1e+06 to 1e+06"),
        ("water_drop", "center", ((1.0,), (2.0, 3.0)), "2 numbers from -1e+06 to 1e+06"),
        ("plasma_noise", "iterations", 4.5, "a whole number from 1 to 8"),
        ("plasma_noise", "time", "noon", "a number from -1e+06 to 1e+06"),
        ("checkerboard_cutout", "scales", (0.5, 0.5), "2 numbers from 1 to 1e+06"),
        ("lines", "seed", -1, "a whole number from 0 to 4.29497e+09"),
    ],
)
def test_a_parameter_out_of_range_is_told_its_range(name, key, value, kind):
    with pytest.raises(UserError) as told:
        apply_with(name, **{key: value})
    assert told.value.expected == f"{kind} for the parameter {key!r} of {name}"
    assert told.value.found == f"{value!r} for image 0"


def test_checkerboard_cells_are_not_larger_than_the_table():
    with pytest.raises(UserError, match=r"at most 4 times the longer side \(32 pixels\).*found 33; pass"):
        apply_with("checkerboard_cutout", scales=(33.0, 33.0))


def test_a_contact_sheet_has_a_tile_for_the_image_and_each_severity():
    image = torch.full((3, 20, 30), 7, dtype=torch.uint8)
    sheet = contact_sheet(image, [("plasma_noise", [0.0, 4.0]), ("lines", [1.0])], seed=3)
    assert sheet.size == (4 + 3 * 34, 4 + 2 * 40)
    pixels = np.asarray(sheet)
    assert (pixels[20:40, 4:34] == 7).all() and (pixels[20:40, 38:68] == 7).all()
    assert not (pixels[20:40, 72:102] == 7).all()
    assert (pixels[60:80, 72:102] == 255).all()  # the shorter row ends


def test_a_contact_sheet_tile_does_not_depend_on_its_neighbours():
    image = torch.full((3, 20, 30), 7, dtype=torch.uint8)
    alone = np.asarray(contact_sheet(image, [("plasma_noise", [6.0])]))
    among = np.asarray(contact_sheet(image, [("plasma_noise", [4.0, 6.0])]))
    assert (alone[20:40, 38:68] == among[20:40, 72:102]).all()


def test_an_empty_contact_sheet_is_refused():
    with pytest.raises(UserError, match=r"at least one severity, found \[\('lines', \[\]\)\]; pass rows"):
        contact_sheet(torch.zeros(3, 8, 8, dtype=torch.uint8), [("lines", [])])
