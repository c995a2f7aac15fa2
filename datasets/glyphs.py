"""`glyphs`: an Omniglot-like dataset of font characters, shipped in the repository.

Over a thousand characters from 19 scripts, 20 drawings each, 28x28, split by script so that the scripts of meta-test
are new. `make_glyphs.py` drew them from the fonts that matplotlib ships. How they come out depends on the version of
its FreeType, so the drawings themselves are in `glyphs.pack`: the same bytes everywhere, and loading needs NumPy alone.

Training characters should not be rotated: Canadian syllabics are by design rotations of each other, and so are
some mathematical operators, so that a rotated training character can coincide with another one.
"""

import hashlib
import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.core.entry import register
from datasets.core.episodes import Dataset, Split
from datasets.core.errors import UserError
from datasets.core.image_pools import ImageDataset, pools_from_classes

PACK = Path(__file__).with_name("embedded") / "glyphs.pack"
GLYPHS_SHA256 = "0c8b92a34ef53c4ca5517d71353c25c995bc60be30971cf75fd4b97f696a9fd0"
N_DRAWINGS = 20
SIZE = 28  # pixels, height and width
N_LEVELS = 16  # of ink
LEVEL = np.uint8(255 // (N_LEVELS - 1))  # of ink: the step, so that the last level is 255

# Which scripts make which split; the characters of a split stand in this order, by code point within a script.
# Scripts that share an ancestor close enough to share letters (Latin, Greek, Cyrillic, Coptic) are all in `train`.
SPLITS: Mapping[Split, tuple[str, ...]] = MappingProxyType(
    {
        "train": (
            "Latin",
            "Greek",
            "Coptic",
            "Cyrillic",
            "Arabic",
            "Canadian Syllabics",
            "Fraktur",
            "Mathematical Script",
            "Mathematical Operators",
        ),
        "val": ("Lao", "Old Italic", "Ogham", "Lisu", "Braille"),
        "test": ("Armenian", "Georgian", "Hebrew", "Tifinagh", "N'Ko"),
    }
)


class DamagedGlyphsError(UserError):
    """The pack is missing, unreadable, or holds other bytes than were committed."""


@dataclass(frozen=True)
class Glyphs:
    """The dataset in memory.

    Attributes:
        images: uint8 [n_characters, 20, 28, 28], ink 255 on 0, read-only. The first one to four drawings are
            plain (not warped), one an upright face.
        names: one per character, as "Armenian/U+0531 ARMENIAN CAPITAL LETTER AYB".
        scripts: one per character, as "Armenian".
        splits: character indices of "train", "val" and "test", ascending; together every character once.
    """

    images: NDArray[np.uint8]
    names: tuple[str, ...]
    scripts: tuple[str, ...]
    splits: Mapping[Split, tuple[int, ...]]


def load_glyphs(pack: Path = PACK) -> Glyphs:
    """Read the pack and check its digest.

    Raises:
        DamagedGlyphsError: the file is missing or its content is not what `GLYPHS_SHA256` names.
    """
    try:
        header, levels = read_pack(pack)
        names = tuple(header["names"])
        images = levels * LEVEL
        actual = digest(images, names)
    except (OSError, EOFError, ValueError, KeyError, TypeError, lzma.LZMAError) as error:
        raise _damaged(pack, f"{type(error).__name__}: {error}") from error
    if actual != GLYPHS_SHA256:
        raise _damaged(pack, f"SHA-256 {actual[:12]}..., expected {GLYPHS_SHA256[:12]}...")
    images.setflags(write=False)
    scripts = tuple(name.split("/")[0] for name in names)
    splits = {
        split: tuple(index for index, script in enumerate(scripts) if script in members)
        for split, members in SPLITS.items()
    }
    return Glyphs(images, names, scripts, MappingProxyType(splits))


@register(
    "glyphs",
    kind="classification",
    family="omniglot",
    summary="drawings of characters of many scripts in the style of Omniglot; embedded, needs no download",
    paper="this project (rendered from the DejaVu and STIX fonts)",
    input_shape=(1, 28, 28),
    traits=("alphabets", "drawings"),
)
def load(root: Path) -> Dataset:
    """The dataset for the registry; it needs nothing under ``root``. Training characters are not rotated.

    Raises:
        DamagedGlyphsError: as ``load_glyphs``.
    """
    glyphs = load_glyphs()
    images = [character[:, None] for character in glyphs.images]
    return ImageDataset("glyphs", GLYPHS_SHA256, pools_from_classes(images, glyphs.splits), glyphs.names)


def read_pack(pack: Path = PACK) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The header and the ink levels 0..15, uint8 [n_characters, 20, 28, 28], unchecked.

    The file is an xz stream: one line of JSON ("names"; "n_plain", how many of the first drawings are not warped; the
    versions of "matplotlib" and "freetype" that drew them), then the levels in C order.
    """
    line, _, body = lzma.decompress(pack.read_bytes()).partition(b"\n")
    return json.loads(line), np.frombuffer(body, np.uint8).reshape(-1, N_DRAWINGS, SIZE, SIZE)


def digest(images: NDArray[np.uint8], names: tuple[str, ...]) -> str:
    """SHA-256 over the images in C order and then the names, one per line."""
    return hashlib.sha256(images.tobytes() + "\n".join(names).encode()).hexdigest()


def _damaged(pack: Path, reason: str) -> DamagedGlyphsError:
    return DamagedGlyphsError(f"the glyphs file {pack} is damaged ({reason}): reinstall, or check it out again")
