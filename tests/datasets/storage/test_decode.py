"""Image files to pixels: exactness, and every kind of bad file named."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets.core.errors import BadData
from datasets.storage import decode

NOISE = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_pixels_of_the_right_size_are_untouched() -> None:
    pixels = decode.pixels(encode(Image.fromarray(NOISE)), "x", size=20, channels=3)
    np.testing.assert_array_equal(pixels, NOISE.transpose(2, 0, 1))
    assert pixels.flags.c_contiguous


def test_reducing_averages() -> None:
    stripes = np.zeros((40, 40), np.uint8)
    stripes[:, ::2] = 255
    pixels = decode.pixels(encode(Image.fromarray(stripes)), "x", size=10, channels=1)
    assert abs(int(pixels.mean()) - 127) <= 1
    assert pixels.std() < 20


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_modes_are_converted(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    content = encode(Image.new("RGB", (20, 20), (255, 255, 255)).convert(mode), kind)
    assert (decode.pixels(content, "x", size=20, channels=3) >= 250).all()
    assert decode.pixels(content, "x", size=20, channels=1).shape == (1, 20, 20)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16"])
def test_other_modes_are_named(mode: str) -> None:
    with pytest.raises(BadData, match=rf"odd\.png has mode {mode}"):
        decode.pixels(encode(Image.new(mode, (20, 20))), "odd.png", size=20, channels=3)


def test_transparency_of_a_colour_is_named() -> None:
    content = encode(Image.fromarray(NOISE), transparency=(1, 2, 3))
    with pytest.raises(BadData, match="mode RGB with transparency"):
        decode.pixels(content, "x", size=20, channels=3)


def test_the_wrong_size_of_a_drawing_is_named() -> None:
    with pytest.raises(BadData, match=r"d\.png is 20 x 20, but must be 105 x 105"):
        decode.pixels(encode(Image.fromarray(NOISE[..., 0])), "d.png", size=28, channels=1, drawn_at=105)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_image_is_named(kind: str) -> None:
    content = encode(Image.fromarray(NOISE), kind)
    with pytest.raises(BadData, match=r"cut\.img is not a whole"):
        decode.pixels(content[: len(content) * 2 // 3], "cut.img", size=20, channels=3)


def test_other_formats_are_refused() -> None:
    with pytest.raises(BadData, match="not a whole PNG, JPEG or BMP"):
        decode.pixels(encode(Image.fromarray(NOISE), "GIF"), "x", size=20, channels=3)


def test_what_cannot_be_identified_is_named_and_nothing_of_ours() -> None:
    with pytest.raises(BadData) as caught:
        decode.pixels(b"no image", "birds: a/1.png", size=20, channels=3)
    assert str(caught.value) == "birds: a/1.png is not a whole PNG, JPEG or BMP image; replace it"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("side", "message"), [(9_200, "would unfold"), (10_000, "would unfold"), (60_000, "bomb")])
def test_a_decompression_bomb_is_not_unfolded(side: int, message: str) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    with pytest.raises(BadData, match=rf"huge\.png .*{message}"):
        decode.pixels(bomb, "huge.png", size=20, channels=3)


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "BMP"]),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    keep=st.floats(0.05, 1),
)
def test_damaged_images_are_read_or_refused(kind: str, edits: list[tuple[float, int]], keep: float) -> None:
    content = bytearray(encode(Image.fromarray(NOISE), kind))
    for where, value in edits:
        content[int(where * len(content))] = value
    try:
        pixels = decode.pixels(bytes(content[: int(keep * len(content))]), "fuzzed", size=20, channels=3)
    except BadData as error:
        told = str(error)
    else:
        told = f"fuzzed: {pixels.dtype} {pixels.shape}"
        assert told == "fuzzed: uint8 (3, 20, 20)"
    assert "fuzzed" in told
    assert "object at" not in told
