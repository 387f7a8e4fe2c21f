"""Every kind of image file has one meaning in RGB, or an error that names the file."""

import errno
import os
import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from nversion.core import UserError
from nversion.data import UnreadableImageError, decode_image
from nversion.data.images import decode_bytes


def saved(tmp_path, image, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return decode_image(tmp_path / name)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_rgb_is_read_as_it_is(tmp_path, pixels):
    assert np.array_equal(saved(tmp_path, Image.fromarray(pixels)), pixels)


def test_grey_is_repeated(tmp_path, pixels):
    grey = pixels[..., 0]
    assert np.array_equal(saved(tmp_path, Image.fromarray(grey)), np.stack([grey] * 3, axis=-1))


def test_bilevel_is_black_and_white(tmp_path):
    image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert saved(tmp_path, image).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_palette_gives_its_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    assert saved(tmp_path, image).tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_transparency_is_laid_over_white(tmp_path):
    image = Image.new("RGBA", (2, 1))
    image.putdata([(9, 9, 9, 0), (10, 20, 30, 255)])
    assert saved(tmp_path, image).tolist() == [[[255, 255, 255], [10, 20, 30]]]


def test_transparent_palette_entry_is_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    assert saved(tmp_path, image, transparency=0).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_grey_with_alpha_is_laid_over_white(tmp_path):
    image = Image.new("LA", (2, 1))
    image.putdata([(0, 0), (77, 255)])
    assert saved(tmp_path, image).tolist() == [[[255] * 3, [77] * 3]]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bit_grey_keeps_its_high_byte(tmp_path, name):
    image = Image.fromarray(np.array([[0, 0x1234, 0xFFFF]], np.uint16))
    assert saved(tmp_path, image, name)[0, :, 0].tolist() == [0, 0x12, 0xFF]


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # red: no cyan, full magenta and yellow
    red = saved(tmp_path, image, "a.jpg", quality=95)[8, 8].astype(int)
    assert red.tolist() == pytest.approx([255, 0, 0], abs=4)


def test_exif_orientation_is_applied(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: a viewer turns the image by 90 degrees clockwise
    upright = saved(tmp_path, Image.fromarray(pixels), exif=exif)
    assert np.array_equal(upright, np.rot90(pixels, -1))


def test_a_broken_exif_block_leaves_the_image_as_stored(tmp_path, pixels):
    stored = saved(tmp_path, Image.fromarray(pixels), "a.jpg", quality=95)
    saved_with_noise = saved(tmp_path, Image.fromarray(pixels), "b.jpg", quality=95, exif=b"Exif\0\0nonsense")
    assert np.array_equal(saved_with_noise, stored)


def test_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert decode_image(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def test_floating_pixels_are_refused(tmp_path):
    with pytest.raises(UnreadableImageError, match=r"whole image in .*a.tif, found pixels of mode 'F'"):
        saved(tmp_path, Image.fromarray(np.ones((2, 2), np.float32)), "a.tif")


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_truncated_image_names_its_file(tmp_path, name):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / name
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(UnreadableImageError, match=f"expected a whole image in .*{name}, found .*truncated"):
        decode_image(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_names_its_file(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(
        UnreadableImageError, match=r"a.png, found cannot identify image file; replace the file"
    ):
        decode_image(tmp_path / "a.png")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UnreadableImageError, match=r"gone.png, found no such file"):
        decode_image(tmp_path / "gone.png")


def test_the_error_travels_between_processes():
    error = UnreadableImageError("a.png", "no such file")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# --- what is opened, and how much of it

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("EPS", "EPS"),
        ("ICO", "ICO"),
        ("PCX", "PCX"),
        ("SGI", "SGI"),
        ("JPEG2000", "JPEG2000"),
        ("DDS", "DDS"),
    ],
)
def test_a_format_that_is_not_documented_is_named_and_not_opened(tmp_path, kind, found):
    path = tmp_path / "a.png"
    Image.new("RGB", (16, 16)).save(path, kind) if kind != "EPS" else path.write_bytes(EPS)
    message = (
        rf"whole image in .*a.png, found a file of the format {found}, which is none of JPEG, PNG, BMP, WEBP"
    )
    with pytest.raises(UnreadableImageError, match=message):
        decode_image(path)
    with pytest.raises(UnreadableImageError, match=f"row 3, found a file of the format {found}"):
        decode_bytes(path.read_bytes(), "row 3")


def test_no_other_program_is_started_for_an_image(tmp_path, monkeypatch):
    called = tmp_path / "called"
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {called}\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    for name in ("a.png", "a.eps", "a.jpg"):
        (tmp_path / name).write_bytes(EPS)
        with pytest.raises(UnreadableImageError, match="format EPS"):
            decode_image(tmp_path / name)
    assert not called.exists()


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "PPM", "WEBP", "JPEG", "PNG"])
def test_a_documented_format_is_read_under_any_name(tmp_path, kind):
    Image.new("RGB", (16, 12), (255, 255, 255)).save(tmp_path / "a.png", kind)
    assert decode_image(tmp_path / "a.png").shape == (12, 16, 3)


def declaring(width, height):
    """A PNG whose header declares a size, and which holds no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("side", [9_500, 20_000, 2**31 - 1])
def test_a_huge_image_is_refused_by_its_header(tmp_path, side):
    (tmp_path / "a.png").write_bytes(declaring(side, side))
    message = rf"a.png, found {side:,} × {side:,} pixels, more than max_pixels = 89,478,485; replace"
    with pytest.raises(UnreadableImageError, match=message):
        decode_image(tmp_path / "a.png")


def test_the_largest_size_is_a_setting(tmp_path):
    Image.new("L", (10_000, 9_000)).save(tmp_path / "a.png")
    assert decode_image(tmp_path / "a.png", 90_000_000).shape == (9_000, 10_000, 3)
    with pytest.raises(
        UnreadableImageError, match=r"10,000 × 9,000 pixels, more than max_pixels = 89,999,999"
    ):
        decode_image(tmp_path / "a.png", 89_999_999)


def test_lack_of_memory_names_the_image_and_is_no_fault_of_it(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")

    def too_little(image):
        raise MemoryError

    monkeypatch.setattr("nversion.data.images._upright", too_little)
    with pytest.raises(UserError, match=r"enough memory to decode .*a.png, found none left; give") as caught:
        decode_image(tmp_path / "a.png")
    assert not isinstance(caught.value, UnreadableImageError)


def test_too_few_file_handles_are_no_fault_of_an_image(tmp_path, monkeypatch):
    def none_left(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.setattr("pathlib.Path.open", none_left)
    with pytest.raises(UserError, match=r"expected to open .*a.png, found the limit on open files") as caught:
        decode_image(tmp_path / "a.png")
    assert not isinstance(caught.value, UnreadableImageError)
