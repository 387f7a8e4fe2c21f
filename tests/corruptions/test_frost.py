"""frost: its sum at every pixel, its pictures, drawn and from files."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from nversion.core import UserError
from nversion.corruptions import create
from nversion.corruptions.pixels import frost_textures


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.delenv(frost_textures.FOLDER, raising=False)


@pytest.fixture
def files(monkeypatch, tmp_path):
    """A folder of small pictures of noise, in use."""
    rng = np.random.default_rng(3)
    for name in frost_textures.FILES:
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / name)
    monkeypatch.setenv(frost_textures.FOLDER, str(tmp_path))
    return tmp_path


def frosted(name, severity, image, **parameters):
    images = torch.from_numpy(image).permute(2, 0, 1)[None]
    return create(name, severity).apply(images, [parameters])[0].permute(1, 2, 0).numpy()


def image_of(*size):
    return np.random.default_rng(5).integers(0, 256, (*size, 3), dtype=np.uint8)


def picture(folder, index):
    return np.asarray(Image.open(folder / frost_textures.FILES[index])).astype(float)


@pytest.mark.parametrize(
    ("severity", "kept", "share"), [(1, 1.0, 0.4), (2.5, 0.75, 0.65), (3, 0.7, 0.7), (5, 0.6, 0.75)]
)
@pytest.mark.parametrize("index", range(5))
def test_frost_is_the_dimmed_image_and_a_share_of_the_photograph(files, severity, kept, share, index):
    image = image_of(15, 22)
    part = picture(files, index)[12:27, 28:50]  # of rooms of 25 and 38
    expected = np.trunc(np.minimum(kept * image + share * part, 255))
    away = np.abs(frosted("frost", severity, image, idx=index, x_start=0.5, y_start=0.75) - expected)
    assert away.max() <= (severity != int(severity))  # the last digit between levels


def test_cifars_frost_takes_every_fifth_pixel_from_the_third_on(files):
    image = image_of(4, 6)
    part = picture(files, 1)[2::5, 2::5][2:6, 4:10]
    expected = np.trunc(np.minimum(0.9 * image + 0.4 * part, 255))
    assert np.array_equal(frosted("frost_cifar", 3, image, idx=1, x_start=0.5, y_start=0.7), expected)


def test_a_picture_smaller_than_the_image_goes_on_mirrored(files):
    image = np.zeros((100, 130, 3), dtype=np.uint8)
    ours = frosted("frost", 5, image, idx=4, x_start=0.9, y_start=0.9)
    assert np.array_equal(ours[:40, :60], np.trunc(0.75 * picture(files, 4)))
    assert np.array_equal(ours[40:80], ours[39::-1])
    assert np.array_equal(ours[:, 60:120], ours[:, 59::-1])
    assert np.array_equal(ours[80:], ours[:20])


def test_the_last_pixel_of_the_room_is_inside(files):
    assert frosted("frost", 1, image_of(40, 60), idx=0, x_start=1.0, y_start=1.0).shape == (40, 60, 3)
    assert frosted("frost", 1, image_of(1, 1), idx=0, x_start=1.0, y_start=1.0).shape == (1, 1, 3)


def test_the_fingerprint_tells_which_pictures_are_in_use(files):
    of_files = frost_textures.texture_fingerprint()
    assert of_files.startswith("files ")
    Image.fromarray(image_of(40, 60)).save(files / "frost1.png")
    frost_textures._from_file.cache_clear()
    assert frost_textures.texture_fingerprint() != of_files


def test_drawn_pictures_are_the_same_on_every_machine(drawn):
    assert frost_textures.texture_fingerprint() == "drawn 37911d9ef97878c376a2acc224f733e9"


def test_a_missing_photograph_is_named(files):
    (files / "frost4.jpg").unlink()
    frost_textures._from_file.cache_clear()
    with pytest.raises(
        UserError, match=r"of ImageNet-C in the folder that NVERSION_FROST names, found no file"
    ):
        frosted("frost", 1, image_of(5, 5), idx=3, x_start=0.0, y_start=0.0)


@pytest.mark.parametrize("index", range(5))
def test_drawn_pictures_are_as_bright_and_contrasted_as_the_photographs(drawn, index):
    means, deviations = frost_textures.DRAWINGS[index][2:]
    pixels = frost_textures.texture(index).reshape(3, -1)
    assert pixels.mean(axis=1) == pytest.approx(means, abs=1.5)
    assert pixels.std(axis=1) == pytest.approx(deviations, abs=2.5)  # less what is cut off


def test_a_box_sums_over_a_plane_that_goes_on_at_the_other_side():
    plane = np.random.default_rng(0).integers(0, 9, (5, 7))
    ours = frost_textures._box(plane, 1)
    assert ours[2, 3] == plane[1:4, 2:5].sum()
    assert ours[0, 0] == plane[np.ix_([-1, 0, 1], [-1, 0, 1])].sum()


def test_twigs_are_counted_along_each_branch():
    owner, step = frost_textures._steps(np.array([2.0, 0.0, 1.5]))
    assert owner.tolist() == [0, 0, 2, 2] and step.tolist() == [0, 1, 0, 1]


def test_frost_draws_five_pictures_and_uniform_places():
    corruption, rng = create("frost", 2), np.random.default_rng(11)
    draws = [corruption.sample_parameters(rng, (224, 224)) for _ in range(2000)]
    pictures, counts = np.unique([draw["idx"] for draw in draws], return_counts=True)
    assert pictures.tolist() == [0, 1, 2, 3, 4] and stats.chisquare(counts).pvalue > 0.01
    for key in ("x_start", "y_start"):
        assert stats.kstest([draw[key] for draw in draws], "uniform").pvalue > 0.01


def test_a_picture_of_another_format_is_refused(files):
    (files / "frost1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(
        UserError, match=r"a whole PNG or JPEG picture in .*frost1.png, found cannot identify"
    ):
        frost_textures.texture(0)
