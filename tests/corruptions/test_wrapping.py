"""Transforms of torchvision and albumentations as corruptions; and what a transform must not do."""

import random
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from nversion.core import UserError
from nversion.corruptions import CORRUPTIONS, create, levels_of, wrap, wrapping
from nversion.data import Condition


@pytest.fixture
def wrapped(monkeypatch):
    """`wrap` whose registrations end with the test."""
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    monkeypatch.setattr(CORRUPTIONS, "_entries", dict(CORRUPTIONS))
    return wrap


def torchvision_noise(severity):
    """Normal noise by torchvision."""
    return v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.GaussianNoise(sigma=severity),
            v2.ToDtype(torch.uint8, scale=True),
        ]
    )


def albumentations_noise(severity):
    import albumentations as A

    return A.GaussNoise(std_range=(severity, severity), p=1)


def albumentations_pipeline(severity):
    import albumentations as A

    return A.Compose([A.GaussNoise(std_range=(severity, severity), p=1), A.CoarseDropout(p=1)])


def of_global_randomness(severity):
    """Draws from all three global generators."""

    def shift(image_3HW):
        by = random.random() + np.random.random() + float(torch.rand(()))  # noqa: NPY002
        return (image_3HW + int(severity * by)).to(torch.uint8)

    return shift


FACTORIES = [torchvision_noise, albumentations_noise, albumentations_pipeline, of_global_randomness]
SEVERITIES = {of_global_randomness: 30.0}
EVERY = pytest.mark.parametrize("factory", FACTORIES)


def pictures(count=4):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, 20, 30), dtype=np.uint8))


def made(wrapped, factory):
    return wrapped(factory, name="theirs", low=0, high=40)(SEVERITIES.get(factory, 0.2))


@EVERY
def test_an_image_depends_on_its_pixels_and_its_seed_alone(wrapped, factory):
    corruption, images = made(wrapped, factory), pictures()
    parameters = [{"seed": seed} for seed in (3, 4, 3, 2**32 - 1)]
    batch = corruption.apply(images, parameters)
    random.seed(5)
    backwards = corruption.apply(images.flip(0), parameters[::-1]).flip(0)
    assert torch.equal(batch, backwards)
    assert torch.equal(batch[1:2], made_again(corruption).apply(images[1:2], parameters[1:2]))
    other = corruption.apply(images[:1], [{"seed": 5}])
    assert not torch.equal(other, batch[:1]) and not torch.equal(batch, images)


def made_again(corruption):
    return type(corruption)(corruption.severity)


@EVERY
def test_global_random_state_is_given_back_and_the_input_is_not_changed(wrapped, factory):
    images = pictures()
    before_images = images.clone()

    def state():
        legacy = np.random.get_state()  # noqa: NPY002
        return random.getstate(), legacy[1].tobytes(), legacy[2], torch.get_rng_state().numpy().tobytes()

    before = state()
    corruption = made(wrapped, factory)
    parameters = [corruption.sample_parameters(np.random.default_rng(i), (20, 30)) for i in range(4)]
    corruption.apply(images, parameters)
    assert state() == before
    assert torch.equal(images, before_images)


def test_random_state_is_given_back_when_the_transform_fails(wrapped):
    def failing(severity):
        def fail(image):
            random.random()
            raise RuntimeError("no")

        return fail

    before = random.getstate()
    with pytest.raises(RuntimeError, match="no"):
        wrapped(failing, name="theirs", low=0, high=1)(1).apply(pictures(1), [{"seed": 0}])
    assert random.getstate() == before


def test_a_wrapped_corruption_is_a_condition_like_any_other(wrapped):
    wrapped(torchvision_noise, name="theirs", low=0, high=1)
    condition, images = Condition("d", "theirs", 0.2), pictures()
    ids = ["a", "b", "c", "d"]
    assert torch.equal(condition.render(images, ids)[2:3], condition.render(images[2:3], ids[2:3]))
    described = condition.description()
    assert described["corruption_code"] and described["ingredients"].startswith("torchvision ")
    assert levels_of("theirs", 224) == (0.2, 0.4, 0.6, 0.8, 1.0)
    assert CORRUPTIONS["theirs"].__doc__ == "Normal noise by torchvision."
    assert repr(create("theirs", 0.5)) == "Wrapped_theirs(severity=0.5)"


def test_the_version_of_albumentations_is_part_of_the_condition(wrapped):
    wrapped(albumentations_noise, name="theirs", low=0, high=1, levels=(0.1, 0.2))
    assert Condition("d", "theirs", 0.2).description()["ingredients"].startswith("albumentations 2")


@pytest.mark.parametrize("severity", [-0.1, 1.5, float("nan"), "0.5"])
def test_its_severity_lies_in_its_range(wrapped, severity):
    kind = wrapped(torchvision_noise, name="theirs", low=0, high=1)
    with pytest.raises(UserError, match="a severity from 0 to 1 for theirs, found"):
        kind(severity)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": "a/b"}, "a name of letters, digits and _ for a corruption, found 'a/b'; choose another"),
        ({"name": "fog"}, "a new name for a corruption, found 'fog', which is taken"),
        ({"low": 2}, "a range of severities for theirs, low below high, found 2 to 1; pass two finite"),
        ({"high": float("inf")}, "low below high, found 0 to inf"),
    ],
)
def test_names_and_ranges_are_checked(wrapped, settings, sentence):
    with pytest.raises(UserError, match=sentence):
        wrapped(torchvision_noise, **{"name": "theirs", "low": 0, "high": 1} | settings)


@pytest.mark.parametrize(
    ("transform", "found"),
    [
        (lambda image: image.float(), r"float32 of shape \(3, 20, 30\)"),
        (lambda image: image[:, :10], r"uint8 of shape \(3, 10, 30\)"),
        (lambda image: None, "NoneType"),
    ],
)
def test_what_a_transform_gives_is_checked(wrapped, transform, found):
    kind = wrapped(lambda severity: transform, name="theirs", low=0, high=1)
    with pytest.raises(
        UserError, match=rf"uint8 of shape \(3, 20, 30\) from the transform of theirs, found {found}"
    ):
        kind(1).apply(pictures(1), [{"seed": 0}])


def test_a_factory_gives_something_to_call(wrapped):
    with pytest.raises(
        UserError, match="a transform from the factory of theirs, found float; return an object"
    ):
        wrapped(lambda severity: severity, name="theirs", low=0, high=1)(1)


def test_a_missing_package_is_told_with_its_extra(wrapped, monkeypatch):
    monkeypatch.setitem(sys.modules, "albumentations", None)
    kind = wrapped(albumentations_noise, name="theirs", low=0, high=1)
    with pytest.raises(
        UserError,
        match=r"the package albumentations, which theirs is made with, found none installed; install it "
        r"with: pip install 'nversion\[albumentations\]'",
    ):
        kind(0.5)


def test_neither_library_is_imported_before_it_is_used():
    code = (
        "import sys; from nversion.corruptions import wrap;"
        "wrap(lambda s: 1 / 0, name='theirs', low=0, high=1);"
        "assert not {'torchvision', 'albumentations'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- several transforms in one


def two_flips(kind):
    """A factory of two flips of p = 0.5, in one way of putting transforms together."""

    def factory(severity):
        import albumentations as A

        flips = [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]
        nested = {
            "Compose": lambda: A.Compose(flips),
            "Sequential": lambda: A.Sequential(flips, p=1),
            "Compose in Compose": lambda: A.Compose(
                [A.Compose([flips[0]]), A.Compose([A.Compose([flips[1]])])]
            ),
            "Compose of Sequential": lambda: A.Compose([A.Sequential([one], p=1) for one in flips]),
            "Compose of OneOf": lambda: A.Compose([A.OneOf([one, A.NoOp(p=0.5)], p=1) for one in flips]),
            "Compose of SomeOf": lambda: A.Compose([A.SomeOf([one], n=1, p=0.5) for one in _always(A)]),
        }
        return nested[kind]()

    return factory


def _always(A):
    return [A.HorizontalFlip(p=1), A.VerticalFlip(p=1)]


@pytest.mark.parametrize(
    "kind",
    [
        "Compose",
        "Sequential",
        "Compose in Compose",
        "Compose of Sequential",
        "Compose of OneOf",
        "Compose of SomeOf",
    ],
)
def test_transforms_inside_another_draw_independently(wrapped, kind):
    corruption = wrapped(two_flips(kind), name="theirs", low=0, high=1)(1)
    image = torch.arange(12, dtype=torch.uint8).reshape(1, 3, 2, 2)
    count = 400
    parameters = [{"seed": seed * 7919} for seed in range(count)]
    found = corruption.apply(image.repeat(count, 1, 1, 1), parameters)
    outcomes = [image[0], image[0].flip(2), image[0].flip(1), image[0].flip(1, 2)]
    counts = [sum(torch.equal(one, outcome) for one in found) for outcome in outcomes]
    assert sum(counts) == count
    assert stats.chisquare(counts).pvalue > 1e-3  # a quarter each
    assert torch.equal(found, corruption.apply(image.repeat(count, 1, 1, 1), parameters))


def test_variances_of_two_noises_add_up(wrapped):
    def factory(severity):
        import albumentations as A

        return A.Compose([A.GaussNoise(std_range=(0.1, 0.1), p=1) for _ in range(2)])

    grey = torch.full((20, 3, 32, 32), 128, dtype=torch.uint8)
    found = wrapped(factory, name="theirs", low=0, high=1)(1).apply(grey, [{"seed": i} for i in range(20)])
    assert (found.float() - 128).std().item() == pytest.approx(np.sqrt(2) * 25.5, rel=0.03)


@pytest.mark.parametrize("package", ["numpy", "pillow", "torch", "opencv-python-headless", "albucore"])
def test_the_version_of_what_a_transform_computes_with_is_part_of_the_condition(
    wrapped, monkeypatch, package
):
    wrapped(albumentations_noise, name="theirs", low=0, high=1)
    before = Condition("d", "theirs", 0.2).description()["ingredients"]
    assert f"{package} " in before
    monkeypatch.setattr(wrapping, "version", lambda one: "99.1+cpu" if one == package else version(one))
    after = Condition("d", "theirs", 0.2).description()["ingredients"]
    assert f"{package} 99.1" in after and "+cpu" not in after and after != before
