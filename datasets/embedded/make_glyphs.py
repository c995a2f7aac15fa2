"""Draw the `glyphs` dataset: `python -m datasets.embedded.make_glyphs [--out FILE] [--sheet PNG]`.

A character is rendered large in each face that has it, thinned to its centre line, warped, and drawn again with a pen
of even width: what remains is the shape and not the weight of the face, as in Omniglot. Everything random comes from
generators seeded by (code point, drawing), so that no drawing depends on another one, nor on the order.

About a minute on one core. With the same matplotlib (its FreeType and its fonts) the result is the same, byte for byte.
"""

import argparse
import json
import lzma
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import matplotlib.ft2font
import matplotlib.image
import numpy as np
from matplotlib.ft2font import FT2Font, LoadFlags
from numpy.typing import NDArray

from datasets.glyphs import LEVEL, N_DRAWINGS, N_LEVELS, PACK, SIZE, SPLITS, digest

UPRIGHT_FACES = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral")  # of regular weight
# Left out: the true italics (their letters differ: a Cyrillic te drawn as m), and faces without these characters.
FACES = (
    *UPRIGHT_FACES,
    "DejaVuSans-Oblique",
    "DejaVuSerif-Bold",
    "DejaVuSans-Bold",
    "DejaVuSansMono-Oblique",
    "STIXGeneralBol",
    "DejaVuSansMono-Bold",
    "DejaVuSans-BoldOblique",
)

# The Unicode ranges of each script, ends included.
RANGES: dict[str, tuple[tuple[int, int], ...]] = {
    "Latin": ((0x41, 0x7A), (0xC0, 0x2AF), (0x1D00, 0x1D25), (0x1D6B, 0x1D7A), (0x2C60, 0x2C7F), (0xA720, 0xA7FF)),
    "Greek": ((0x370, 0x3E1), (0x3F0, 0x3FF)),
    "Coptic": ((0x3E2, 0x3EF),),
    "Cyrillic": ((0x400, 0x52F), (0xA640, 0xA69F)),
    "Armenian": ((0x531, 0x587),),
    "Hebrew": ((0x5D0, 0x5F2),),
    "Arabic": ((0x620, 0x6FF), (0x750, 0x77F), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC)),
    "N'Ko": ((0x7C0, 0x7FF),),
    "Lao": ((0xE80, 0xEFF),),
    "Georgian": ((0x10A0, 0x10FF), (0x2D00, 0x2D2F)),
    "Canadian Syllabics": ((0x1400, 0x167F),),
    "Ogham": ((0x1680, 0x169F),),
    "Tifinagh": ((0x2D30, 0x2D7F),),
    "Lisu": ((0xA4D0, 0xA4FF),),
    "Old Italic": ((0x10300, 0x1032F),),
    "Fraktur": ((0x210C, 0x210C), (0x211C, 0x211C), (0x2128, 0x2128), (0x212D, 0x212D), (0x1D504, 0x1D537)),
    "Mathematical Script": ((0x211B, 0x211B), (0x212C, 0x212C), (0x2130, 0x2133), (0x1D49C, 0x1D4CF)),
    "Mathematical Operators": ((0x2200, 0x22FF),),
    "Braille": ((0x2800, 0x283F),),
}
BRAILLE = range(0x2800, 0x2840)  # the patterns of six dots
SYMBOL_SCRIPTS = {"Fraktur", "Mathematical Script", "Mathematical Operators"}
ARABIC_FORMS = {"<isolated>", "<initial>", "<medial>", "<final>"}

EM = 64  # pixels, at which a glyph is measured
SMALLEST = 0.2  # of an em: what is smaller both ways is a dot or a mark, whose drawing has no shape
LARGE = 88  # pixels, the longer side of the rendering that is thinned
SOLID = 0.55  # of the square of that side: more ink is a filled block or disc, which has no strokes
DOTS = 0.4 * LARGE  # pixels: a shorter centre line means dots (Braille), which are then drawn as they are

HALF = 9.5  # pixels, half the longer side of a plain drawing
LARGEST_HALF = 11.2  # pixels, of any drawing: with jitter and pen the ink keeps off the border
PLAIN_PEN = 0.85  # pixels, radius
PEN = (0.6, 1.1)  # pixels, radius
ROTATION = 0.17  # radians, either way
SHEAR = 0.13
SCALE = 0.15  # of each axis, and once more of both
ELASTIC = 0.08  # of half the character, amplitude of each of four waves
JITTER = 0.6  # pixels, of the centre

# Two characters are look-alikes when plain drawings of theirs, slightly blurred, differ by less than this part of their
# energy under the best shift of up to two pixels (`look_alike_distances`). Seen by eye, pairs sorted by distance: those
# below 0.10 are the same shapes (A and Alpha, capital and small o) and many that differ by one dot only; from 0.15 on a
# reader tells them apart.
LOOK_ALIKE = 0.12

PIXEL_CENTRES = np.arange(SIZE)[:, None] + 0.5


@cache
def open_face(face: str) -> tuple[FT2Font, frozenset[int]]:
    """The face and the code points that it has, so that its box for missing ones is never drawn."""
    font = FT2Font(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf"))
    return font, frozenset(font.get_charmap())


def candidates() -> Iterator[tuple[str, int]]:
    """(script, code point) of every character considered, in the order of the splits."""
    for scripts in SPLITS.values():
        for script in scripts:
            for first, last in RANGES[script]:
                yield from ((script, code) for code in range(first, last + 1) if is_considered(script, code))


def is_considered(script: str, code: int) -> bool:
    """Letters, syllables and digits; no marks, controls, modifier letters, accented or composed characters."""
    if not any(code in open_face(face)[1] for face in FACES):
        return False
    if code in BRAILLE:
        return fills_its_cell(code - BRAILLE.start)
    if script in SYMBOL_SCRIPTS:
        return unicodedata.category(chr(code)) != "Cn"
    parts = unicodedata.decomposition(chr(code)).split()
    composed = bool(parts) and not (parts[0] in ARABIC_FORMS and len(parts) == 2)
    return unicodedata.category(chr(code)) in {"Lu", "Ll", "Lo", "Nd"} and not composed


def fills_its_cell(dots: int) -> bool:
    """Return whether a Braille pattern of six dots touches all four sides of its cell.

    Characters are centred and scaled, which loses the place of the dots in the cell; only these patterns survive it.
    """
    left, right, top, bottom = 0b000111, 0b111000, 0b001001, 0b100100
    return all(dots & side for side in (left, right, top, bottom))


def render(font: FT2Font, code: int) -> NDArray[np.bool_] | None:
    """The glyph, unhinted, its longer side `LARGE` pixels, bool [LARGE + 8, LARGE + 8].

    None if there is nothing to draw: blank, tiny or solid.
    """
    font.set_size(EM, 72)
    left, bottom, right, top = font.load_char(code, flags=LoadFlags.NO_HINTING).bbox
    extent = max(right - left, top - bottom) / 64
    if extent < SMALLEST * EM:
        return None
    font.set_size(EM * LARGE / extent, 72)
    image = np.zeros((LARGE + 8, LARGE + 8), np.uint8)
    font.draw_glyph_to_bitmap(image, 4, 4, font.load_char(code, flags=LoadFlags.NO_HINTING))
    ink = image > 127
    return ink if 0 < ink.sum() < SOLID * LARGE**2 else None


def thin(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The centre line of the ink, one pixel wide, as connected as the ink (Guo and Hall 1989, algorithm A1)."""
    ink = np.pad(ink, 1)
    inner = ink[1:-1, 1:-1]
    height, width = inner.shape
    around = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    n, ne, e, se, s, sw, w, nw = (ink[y : y + height, x : x + width] for y, x in around)
    step = idle = 0
    while idle < 2:
        crossings = count(~n & (ne | e), ~e & (se | s), ~s & (sw | w), ~w & (nw | n))
        neighbours = np.minimum(count(nw | n, ne | e, se | s, sw | w), count(n | ne, e | se, s | sw, w | nw))
        kept = (s | sw | ~nw) & w if step % 2 else (n | ne | ~se) & e
        removed = inner & (crossings == 1) & (neighbours >= 2) & (neighbours <= 3) & ~kept
        inner[removed] = False
        idle = 0 if removed.any() else idle + 1
        step += 1
    return inner


def count(*conditions: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Return how many of the conditions hold, pixel by pixel."""
    total: NDArray[np.int8] = np.sum(conditions, axis=0, dtype=np.int8)
    return total


def stroke_points(line: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Its pixels as points (y, x), [n_points, 2], centred, the longer side from -1 to 1."""
    points = centred(np.argwhere(line).astype(np.float64))
    return points / float(np.abs(points).max())


def centred(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points, the middle of their bounding box moved to 0."""
    middle: NDArray[np.float64] = (points.min(axis=0) + points.max(axis=0)) / 2
    return points - middle


def ink_levels(points: NDArray[np.float64], pen: float) -> NDArray[np.uint8]:
    """Draw points (pixels from the centre) with a round pen of that radius: levels 0..15, uint8 [28, 28]."""
    dy2, dx2 = (np.square(PIXEL_CENTRES - (along + SIZE / 2)) for along in points.T)
    distance = np.sqrt((dy2[:, None] + dx2).min(axis=-1))
    levels: NDArray[np.uint8] = np.rint(np.clip(pen + 0.5 - distance, 0, 1) * (N_LEVELS - 1)).astype(np.uint8)
    return levels


def warped_drawing(points: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One drawing under a small affine and elastic warp, uint8 [28, 28]."""
    angle = rng.uniform(-ROTATION, ROTATION)
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[1.0, 0.0], [rng.uniform(-SHEAR, SHEAR), 1.0]])
    stretch = 1 + rng.uniform(-SCALE, SCALE, 2)
    waves, phases, directions = rng.uniform(-2.5, 2.5, (2, 4)), rng.uniform(0, 2 * np.pi, 4), rng.uniform(-1, 1, (4, 2))
    elastic = ELASTIC * np.sin(points @ waves + phases) @ directions
    moved = centred((points * stretch) @ (rotate @ shear).T + elastic)
    size = min(HALF * (1 + rng.uniform(-SCALE, SCALE)), LARGEST_HALF / np.abs(moved).max())
    return ink_levels(moved * size + rng.uniform(-JITTER, JITTER, 2), rng.uniform(*PEN))


@dataclass(frozen=True)
class Character:
    """One class: levels 0..15, uint8 [20, 28, 28], of which the first `n_plain` are not warped, one an upright face."""

    script: str
    code: int
    drawings: NDArray[np.uint8]
    n_plain: int

    @property
    def name(self) -> str:
        """As "Armenian/U+0531 ARMENIAN CAPITAL LETTER AYB"."""
        return f"{self.script}/U+{self.code:04X} {unicodedata.name(chr(self.code))}"


def draw_character(script: str, code: int) -> Character | None:
    """Draw a character 20 times, its faces in turn; None if no upright face has something to draw."""
    rendered = {face: render(open_face(face)[0], code) for face in FACES if code in open_face(face)[1]}
    inks = {face: ink for face, ink in rendered.items() if ink is not None}
    if not inks.keys() & set(UPRIGHT_FACES):
        return None
    of_dots = thin(next(iter(inks.values()))).sum() < DOTS
    shapes = {face: stroke_points(ink if of_dots else thin(ink)) for face, ink in inks.items()}
    plain = [ink_levels(points * HALF, PLAIN_PEN) for face, points in shapes.items() if face in UPRIGHT_FACES]
    plain = [image for nth, image in enumerate(plain) if not any(np.array_equal(image, other) for other in plain[:nth])]
    turns = list(shapes.values())
    warped = (
        warped_drawing(turns[drawing % len(turns)], np.random.default_rng([code, drawing]))
        for drawing in range(len(plain), N_DRAWINGS)
    )
    return Character(script, code, np.stack([*plain, *warped]), len(plain))


def look_alike_distances(plain: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Distances between drawings [n, 28, 28]: [n, n], from 0 (the same up to a shift) to 1 (no ink in common).

    With a and b the drawings blurred by (1 2 1)/4 each way: min over shifts of |a - b|^2 / (|a|^2 + |b|^2).
    """
    blurred = np.pad(plain.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    blurred = (blurred[:, :-2] + 2 * blurred[:, 1:-1] + blurred[:, 2:]) / 4
    blurred = (blurred[:, :, :-2] + 2 * blurred[:, :, 1:-1] + blurred[:, :, 2:]) / 4
    flat = blurred.reshape(len(blurred), -1)
    energy = np.square(flat).sum(axis=1)
    padded = np.pad(blurred, ((0, 0), (2, 2), (2, 2)))
    overlap = np.zeros((len(flat), len(flat)))
    for y, x in np.ndindex(5, 5):
        np.maximum(overlap, flat @ padded[:, y : y + SIZE, x : x + SIZE].reshape(len(flat), -1).T, out=overlap)
    distances: NDArray[np.float64] = 1 - 2 * overlap / (energy[:, None] + energy)
    return np.minimum(distances, distances.T)


def without_look_alikes(characters: Sequence[Character]) -> list[Character]:
    """Leave out look-alikes; the order stays.

    Of two look-alikes the one of meta-test stays, then the one of meta-validation, so that a shape of theirs is never
    seen in training; within a split the first.
    """
    distances = look_alike_distances(np.concatenate([each.drawings[: each.n_plain] for each in characters]))
    first = np.cumsum([0, *(each.n_plain for each in characters)])[:-1]
    distances = np.minimum.reduceat(np.minimum.reduceat(distances, first, axis=0), first, axis=1)
    split_of = {script: split for split, members in SPLITS.items() for script in members}
    precedence = [("test", "val", "train").index(split_of[each.script]) for each in characters]
    kept: list[int] = []
    for index in sorted(range(len(characters)), key=precedence.__getitem__):
        if not kept or distances[index, kept].min() >= LOOK_ALIKE:
            kept.append(index)
    return [characters[index] for index in sorted(kept)]


def make() -> list[Character]:
    """Draw the dataset, in its order."""
    drawn = (draw_character(script, code) for script, code in candidates())
    return without_look_alikes([character for character in drawn if character is not None])


def write_pack(path: Path, characters: Sequence[Character]) -> str:
    """Write the file that `datasets.glyphs.read_pack` reads; returns the digest of its content."""
    names = tuple(each.name for each in characters)
    levels = np.stack([each.drawings for each in characters])
    header = {
        "matplotlib": matplotlib.__version__,
        "freetype": matplotlib.ft2font.__freetype_version__,
        "names": names,
        "n_plain": [each.n_plain for each in characters],
    }
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]
    path.write_bytes(lzma.compress(json.dumps(header).encode() + b"\n" + levels.tobytes(), filters=filters))
    return digest(levels * LEVEL, names)


def write_sheet(path: Path, characters: Sequence[Character]) -> None:
    """Write a picture to look at: a script a row, six of its characters, six drawings of each."""
    rows = []
    for script in dict.fromkeys(each.script for each in characters):
        members = [each.drawings for each in characters if each.script == script]
        chosen = [members[nth * len(members) // 6] for nth in range(6)]
        rows.append(
            np.hstack([np.pad(image, 1, constant_values=4) for drawings in chosen for image in drawings[:18:3]])
        )
    matplotlib.image.imsave(path, np.vstack(rows), cmap="gray_r")


def main() -> None:
    """Make the dataset, write it, and print the digest for `datasets.glyphs.GLYPHS_SHA256`."""
    parser = argparse.ArgumentParser(description="Draw the glyphs dataset.")
    parser.add_argument("--out", type=Path, default=PACK, help="the pack to write")
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet, a PNG")
    options = parser.parse_args()
    characters = make()
    written = write_pack(options.out, characters)
    if options.sheet:
        write_sheet(options.sheet, characters)
    print(f'{len(characters)} characters in {options.out}; GLYPHS_SHA256 = "{written}"')


if __name__ == "__main__":
    main()
