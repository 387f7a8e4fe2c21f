"""Whom corruption errors are relative to: what is published, what a file says, and who is meant."""

import math

import pytest

from nversion.core import UserError
from nversion.evaluation.published import ALEXNET, find_baseline, read_rows

# At levels 1 to 5 of the released ImageNet-C, as published beside evaluations of other models.
ALEXNET_BY_LEVEL = {
    "gaussian_noise": (0.69528, 0.82542, 0.93554, 0.98138, 0.99452),
    "shot_noise": (0.71224, 0.85108, 0.93574, 0.98182, 0.99146),
    "impulse_noise": (0.78374, 0.89808, 0.9487, 0.9872, 0.99548),
    "defocus_blur": (0.65624, 0.73202, 0.85036, 0.91364, 0.94714),
    "glass_blur": (0.64308, 0.75054, 0.88806, 0.91622, 0.93344),
    "motion_blur": (0.5843, 0.70048, 0.82108, 0.8975, 0.92638),
    "zoom_blur": (0.70008, 0.76992, 0.80784, 0.84198, 0.87198),
    "snow": (0.71726, 0.88392, 0.86468, 0.9187, 0.94952),
    "frost": (0.6139, 0.79734, 0.8879, 0.89942, 0.9343),
    "fog": (0.67474, 0.7605, 0.84378, 0.8726, 0.945),
    "brightness": (0.4514, 0.48502, 0.54048, 0.62166, 0.7244),
    "contrast": (0.64548, 0.7615, 0.88874, 0.9776, 0.9927),
    "elastic_transform": (0.52596, 0.70116, 0.55686, 0.64076, 0.80554),
    "pixelate": (0.52218, 0.5462, 0.73728, 0.87092, 0.91262),
    "jpeg_compression": (0.51002, 0.54718, 0.57294, 0.65458, 0.74778),
}


def test_alexnets_errors_are_the_means_of_its_levels():
    means = {name: sum(levels) / 5 for name, levels in ALEXNET_BY_LEVEL.items()}
    assert dict(ALEXNET.mean) == pytest.approx(means, abs=1e-9)


def test_alexnets_clean_error_is_that_of_torchvisions_weights():
    from torchvision.models import AlexNet_Weights

    accuracy = AlexNet_Weights.IMAGENET1K_V1.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert ALEXNET.clean == pytest.approx(1 - accuracy / 100)


def test_alexnet_is_told_over_all_levels_alone():
    assert ALEXNET.error("fog", [1, 2, 3, 4, 5], whole=True) == 0.819324
    assert math.isnan(ALEXNET.error("fog", [1, 2], whole=False))
    assert math.isnan(ALEXNET.error("lines", [1], whole=True))


def test_a_model_of_the_study_comes_before_a_published_row():
    found = find_baseline("alexnet", None, ["vit", "alexnet"], "digits", 32)
    assert (found.model, found.published) == (1, None)


def test_a_published_row_is_of_its_own_images():
    assert find_baseline("alexnet", None, ["vit"], "imagenet-1k", 224).published is ALEXNET
    with pytest.raises(UserError, match=r"images of imagenet-1k at 224 pixels .* found digits at 32 pixels"):
        find_baseline("alexnet", None, ["vit"], "digits", 32)


def test_an_unknown_baseline_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"benchmark\.baseline, found 'alxnet'; did you mean 'alexnet'"):
        find_baseline("alxnet", None, ["vit"], "imagenet-1k", 224)


def test_no_baseline_is_none():
    assert find_baseline(None, None, ["vit"], "digits", 32) is None


def test_a_row_of_a_file_has_means_and_single_levels(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("name,clean,fog,lines-1,lines-2\nold,0.1,0.4,0.2,0.3\nnew,,0.3,,\n")
    rows = read_rows(path)
    assert rows["old"].error("lines", [1.0, 2.0], whole=False) == pytest.approx(0.25)
    assert rows["old"].error("fog", [1, 2, 3, 4, 5], whole=True) == 0.4
    assert rows["old"].clean == 0.1
    assert math.isnan(rows["new"].clean)
    assert math.isnan(rows["new"].error("lines", [1.0], whole=False))
    assert find_baseline("old", path, ["vit"], "digits", 32).published == rows["old"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,clean\n", "the columns name, clean and one for each corruption in .*, found model, clean"),
        ("name,fgo\n", "found 'fgo'; did you mean 'fog'"),
        ("name,lines-x\n", "such as lines-1.6, as a column of .*, found 'lines-x'"),
        ("name,fog\na,81.9\n", "a fraction from 0 to 1 in line 2 .*, found '81.9'; divide percents by 100"),
        ("name,fog\na,high\n", "a fraction from 0 to 1 in line 2 .*, found 'high'"),
        ("name,fog\na,0.1\na,0.2\n", "a name that is not there yet and 1 errors in line 3"),
        ("name,fog\na,0.1,0.2\n", "found 'a' and 2 errors"),
    ],
)
def test_a_file_that_cannot_be_meant_is_told(tmp_path, text, message):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_rows(path)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"a CSV file of published errors, found .*none\.csv"):
        read_rows(tmp_path / "none.csv")
