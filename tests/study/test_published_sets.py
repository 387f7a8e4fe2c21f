"""Published sets of corruptions: a name in a study file stands for all its corruptions and levels."""

import pytest

from nversion.core import UserError
from nversion.corruptions import RELEASED_CIFAR_10_C_BAR, RELEASED_IMAGENET_C_BAR, published, united
from nversion.study import parse_spec
from nversion.study.images import corrupted_conditions


@pytest.mark.parametrize(
    ("name", "num_corruptions", "num_conditions"),
    [
        ("imagenet-c", 15, 75),
        ("imagenet-c-extra", 4, 20),
        ("imagenet-c-bar", 10, 50),
        ("cifar-10-c", 19, 95),
        ("cifar-10-c-bar", 10, 50),
        ("paper", 4, 4),
    ],
)
def test_a_set_has_the_published_number_of_conditions(name, num_corruptions, num_conditions):
    strengths = published(name, 224)
    assert (len(strengths), sum(map(len, strengths.values()))) == (num_corruptions, num_conditions)


def test_the_papers_strengths_follow_the_image_size():
    assert published("paper", 224)["water_drop"] == (7.0,)
    assert published("paper", 32)["water_drop"] == (5.2,)


def test_the_levels_of_the_bars_are_the_released_ones():
    assert published("imagenet-c-bar", 32) == RELEASED_IMAGENET_C_BAR
    assert published("cifar-10-c-bar", 224) == RELEASED_CIFAR_10_C_BAR


def test_corruptions_for_small_images_have_a_suffix():
    assert set(published("cifar-10-c", 32)) >= {"gaussian_noise_cifar", "spatter_cifar"}


def test_sets_and_corruptions_are_united_without_repetition():
    assert united(["cifar-10-c-bar", "paper"], {"lines": [1.0, 7.0], "own": [2]}, 32)["lines"] == (
        *RELEASED_CIFAR_10_C_BAR["lines"],
        7.0,
    )


def test_a_severity_that_the_file_repeats_stays_repeated():
    assert united([], {"lines": [1, 1]}, 32)["lines"] == (1.0, 1.0)


def test_an_unknown_set_is_told():
    with pytest.raises(
        UserError, match="a published set of corruptions, found 'imagenetc'; did you mean 'imagenet-c"
    ):
        published("imagenetc", 224)


def spec(**conditions):
    return parse_spec(
        {
            "study": {"name": "s"},
            "data": {"d": {"source": "digits"}},
            "models": [{"source": "x"}],
            "canonical": {"size": 32},
            "conditions": conditions,
        },
        "s.toml",
    )


def test_a_study_has_the_conditions_of_its_sets():
    conditions = corrupted_conditions(spec(sets=["paper"], corruptions={"lines": 2.0}, seed=3), "d")
    assert [c.name for c in conditions] == [
        "d/plasma_noise-1.4-seed3",
        "d/checkerboard_cutout-4-seed3",
        "d/water_drop-5.2-seed3",
        "d/lines-1-seed3",
        "d/lines-2-seed3",
    ]


def test_a_set_alone_is_a_condition():
    assert spec(clean=False, sets=["paper"]).conditions.sets == ["paper"]
