import io
import struct
import zlib

import pytest
from PIL import Image

from schemas.serving import ReadFailed
from workers.images import decode_image


def encoded(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def png_header_of(width: int, height: int) -> bytes:
    """A PNG that states a size and holds nearly nothing."""
    parts = b"\x89PNG\r\n\x1a\n"
    for name, body in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", b"x"),
        (b"IEND", b""),
    ):
        parts += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return parts


def failure(data: bytes) -> str:
    result = decode_image(data)
    assert isinstance(result, ReadFailed)
    return result.error


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_pixels_come_blue_first(kind: str) -> None:
    pixels = decode_image(encoded(Image.new("RGB", (3, 2), (10, 20, 30)), kind))
    assert not isinstance(pixels, ReadFailed)
    assert pixels.shape == (2, 3, 3)
    assert pixels[0, 0].tolist() == [30, 20, 10]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_are_read(kind: str) -> None:
    pixels = decode_image(encoded(Image.new("RGB", (16, 8), (0, 0, 0)), kind))
    assert not isinstance(pixels, ReadFailed)
    assert pixels.shape == (8, 16, 3)


def test_a_palette_and_transparency_become_plain_colours() -> None:
    pixels = decode_image(encoded(Image.new("RGBA", (2, 2), (1, 2, 3, 0)), "PNG"))
    assert not isinstance(pixels, ReadFailed)
    assert pixels[0, 0].tolist() == [3, 2, 1]


@pytest.mark.parametrize(
    "data", [b"", b"not an image", encoded(Image.new("RGB", (64, 64)), "PNG")[:60], png_header_of(8, 8)]
)
def test_a_damaged_image_is_a_result(data: bytes) -> None:
    assert failure(data) == "image_unreadable"


def test_a_format_that_screens_do_not_come_in_is_refused() -> None:
    assert failure(encoded(Image.new("RGB", (4, 4)), "TIFF")) == "image_unreadable"


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (20_000, 10), (10_000, 5_001)])
def test_a_decompression_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    assert failure(png_header_of(width, height)) == "image_too_large"
