"""One image file's bytes to uint8 pixels of the wanted size and channels, or an error that names the file."""

from __future__ import annotations

import io
from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from datasets.core.errors import BadData

FORMATS = ("PNG", "JPEG", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
MAX_PIXELS = 80_000_000
"""Above the largest photograph of ImageNet, and under the size at which Pillow itself begins to warn."""

DRAWING_MODES = frozenset({"1", "L"})
PHOTO_MODES = frozenset({"1", "L", "P", "RGB", "CMYK", "YCbCr"})


def is_image(name: str) -> bool:
    """Return whether ``name`` ends like an image file."""
    return name.lower().endswith(SUFFIXES)


def pixels(
    content: bytes,
    where: str,
    *,
    size: int,
    channels: int,
    modes: Collection[str] = PHOTO_MODES,
    drawn_at: int | None = None,
) -> npt.NDArray[np.uint8]:
    """The image as [channels, size, size] uint8, resized with antialiasing (Lanczos) where it has another size.

    Args:
        content: the bytes of a PNG, JPEG or BMP file.
        where: what messages call the image.
        size: wanted height and width.
        channels: 1 for grey or 3 for RGB.
        modes: Pillow's modes that are converted; any other (transparency, 16 bits) is refused.
        drawn_at: the height and width that the file must have; None for any.

    Raises:
        BadData: no such image, a truncated one, one of another size or mode, or a decompression bomb.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        width, height = image.size
        if width * height <= MAX_PIXELS:
            image.load()
    except Exception as error:  # damaged bytes make Pillow's decoders raise many kinds
        why = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"  # which says the same, and no more
        raise BadData(f"{where} is not a whole PNG, JPEG or BMP image{why}; replace it") from error
    if width * height > MAX_PIXELS:
        raise BadData(
            f"{where} would unfold to {width} x {height} pixels, more than {MAX_PIXELS:,}; it looks like a "
            "decompression bomb and is not read"
        )
    if drawn_at is not None and image.size != (drawn_at, drawn_at):
        raise BadData(f"{where} is {width} x {height}, but must be {drawn_at} x {drawn_at}; replace it")
    return converted(image, where, size=size, channels=channels, modes=modes)


def converted(
    image: Image.Image, where: str, *, size: int, channels: int, modes: Collection[str] = PHOTO_MODES
) -> npt.NDArray[np.uint8]:
    """Return a loaded image as [channels, size, size] uint8; see ``pixels``.

    Raises:
        BadData: it has another mode.
    """
    if image.mode not in modes or "transparency" in image.info:
        mode = f"{image.mode} with transparency" if "transparency" in image.info else image.mode
        raise BadData(f"{where} has mode {mode}; {' or '.join(sorted(modes))} is read: convert the image")
    resized = image.convert("L" if channels == 1 else "RGB")
    if resized.size != (size, size):
        resized = resized.resize((size, size), Image.Resampling.LANCZOS)
    array = np.asarray(resized, dtype=np.uint8)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))
