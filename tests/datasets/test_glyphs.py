"""`datasets.glyphs`: what is shipped is what was drawn, and it makes a sane few-shot dataset."""

import hashlib
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets import glyphs
from datasets.glyphs import DamagedGlyphsError, Glyphs, load_glyphs


@pytest.fixture(scope="module")
def dataset() -> Glyphs:
    return load_glyphs()


@pytest.fixture(scope="module")
def n_plain() -> NDArray[np.intp]:
    """Return how many of the first drawings of each character are not warped."""
    return np.array(glyphs.read_pack()[0]["n_plain"])


def test_the_bytes_are_those_that_were_committed(dataset: Glyphs) -> None:
    content = dataset.images.tobytes() + "\n".join(dataset.names).encode()
    assert hashlib.sha256(content).hexdigest() == glyphs.GLYPHS_SHA256


def test_the_pack_is_small() -> None:
    assert glyphs.PACK.stat().st_size < 4_000_000


def test_shapes_and_ink(dataset: Glyphs) -> None:
    n_characters = len(dataset.names)
    assert n_characters > 1000
    assert dataset.images.shape == (n_characters, 20, 28, 28)
    assert dataset.images.dtype == np.uint8
    assert not dataset.images.flags.writeable
    assert dataset.images.min() == 0
    assert dataset.images.max() == 255


def test_names_are_unique_and_begin_with_their_script(dataset: Glyphs) -> None:
    assert len(set(dataset.names)) == len(dataset.names) == len(dataset.scripts)
    assert all(name.startswith(f"{script}/U+") for name, script in zip(dataset.names, dataset.scripts, strict=True))
    assert len({name.split("/")[1] for name in dataset.names}) == len(dataset.names), "a code point in two scripts"
    assert len(set(dataset.scripts)) >= 12


def test_splits_hold_every_character_once_and_no_script_twice(dataset: Glyphs) -> None:
    assert list(dataset.splits) == ["train", "val", "test"]
    assert sorted(sum(dataset.splits.values(), ())) == list(range(len(dataset.names)))
    scripts = {split: {dataset.scripts[index] for index in members} for split, members in dataset.splits.items()}
    assert sum(map(len, scripts.values())) == len(set(dataset.scripts))
    for split in ("val", "test"):
        assert len(scripts[split]) >= 4
        assert len(dataset.splits[split]) >= 100


def test_no_drawing_is_blank_or_touches_the_border(dataset: Glyphs) -> None:
    ink = dataset.images.sum(axis=(2, 3), dtype=np.int64) / 255
    assert ink.min() > 15  # pixels
    assert ink.max() < 28 * 28 / 2
    border = np.ones((28, 28), bool)
    border[1:-1, 1:-1] = False
    assert not dataset.images[:, :, border].any()


def test_the_drawings_of_a_character_differ(dataset: Glyphs) -> None:
    for name, drawings in zip(dataset.names, dataset.images, strict=True):
        assert len({drawing.tobytes() for drawing in drawings}) == 20, name


def smallest_look_alike_distance(images: NDArray[np.uint8], n_plain: NDArray[np.intp]) -> float:
    """The distance of `make_glyphs.look_alike_distances`, computed here anew, of the closest pair of characters."""
    owner = np.repeat(np.arange(len(images)), n_plain)
    plain = np.concatenate([drawings[:n] for drawings, n in zip(images, n_plain, strict=True)]).astype(np.float32) / 255
    kernel = np.zeros((28, 28))
    for offset, weight in ((-1, 0.25), (0, 0.5), (1, 0.25)):
        kernel += weight * np.eye(28, k=offset)
    blurred = (kernel @ plain @ kernel.T).astype(np.float32)
    flat = blurred.reshape(len(blurred), -1)
    energy = (flat**2).sum(axis=1)
    energies = energy[:, None] + energy
    # A shift by (y, x) one way is a shift by (-y, -x) the other way: half of them and no shift cover all pairs.
    shifts = [(0, x) for x in range(3)] + [(y, x) for y in (1, 2) for x in range(-2, 3)]
    # Margins are empty, so that rolling is shifting (`test_no_drawing_is_blank_or_touches_the_border`).
    return min(
        float(np.where(owner[:, None] == owner, 1, 1 - 2 * (flat @ shifted.reshape(flat.shape).T) / energies).min())
        for shifted in (np.roll(blurred, shift, axis=(1, 2)) for shift in shifts)
    )


def test_no_two_characters_look_alike(dataset: Glyphs, n_plain: NDArray[np.intp]) -> None:
    from datasets.embedded.make_glyphs import LOOK_ALIKE

    assert smallest_look_alike_distance(dataset.images, n_plain) >= LOOK_ALIKE - 1e-4


def test_a_shifted_copy_is_a_look_alike(dataset: Glyphs, n_plain: NDArray[np.intp]) -> None:
    few = dataset.images[:50].copy()
    few[7, 0] = np.roll(few[31, 0], (1, -1), axis=(0, 1))
    assert smallest_look_alike_distance(few, n_plain[:50]) < 0.01


def nearest_neighbour_accuracy(dataset: Glyphs, split: str, n_episodes: int = 300) -> float:
    """5-way 1-shot accuracy of the nearest support image in pixels, 5 queries per class."""
    rng = np.random.default_rng(1)
    correct = []
    for _ in range(n_episodes):
        classes = rng.choice(dataset.splits[split], 5, replace=False)
        drawings = np.stack([rng.permutation(20)[:6] for _ in classes])
        episode = dataset.images[classes[:, None], drawings].reshape(5, 6, -1).astype(np.float64)
        support, query = episode[:, 0], episode[:, 1:].reshape(25, -1)
        nearest = np.square(query[:, None] - support).sum(axis=-1).argmin(axis=1)
        correct.append(nearest == np.repeat(np.arange(5), 5))
    return float(np.mean(correct))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_pixels_alone_make_the_task_neither_trivial_nor_impossible(dataset: Glyphs, split: str) -> None:
    assert 0.55 < nearest_neighbour_accuracy(dataset, split) < 0.80


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-100],
        lambda content: b"not a pack",
        lambda content: b"",
        lambda content: lzma.compress(lzma.decompress(content)[:-1] + b"\x01", preset=0),
        lambda content: lzma.compress(lzma.decompress(content).replace(b"AYB", b"AYC", 1), preset=0),
        lambda content: lzma.compress(b"[]\n"),
    ],
    ids=["cut short", "other file", "empty", "one pixel", "one name", "other header"],
)
def test_a_damaged_pack_says_what_to_do(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    pack = tmp_path / "glyphs.pack"
    pack.write_bytes(damage(glyphs.PACK.read_bytes()))
    with pytest.raises(DamagedGlyphsError, match=r"is damaged .* reinstall, or check it out again") as caught:
        load_glyphs(pack)
    assert str(pack) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_pack_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DamagedGlyphsError, match=r"No such file .* reinstall, or check it out again"):
        load_glyphs(tmp_path / "glyphs.pack")


def test_drawing_again_gives_the_same_bytes(n_plain: NDArray[np.intp]) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    header, levels = glyphs.read_pack()
    if matplotlib.__version__ != header["matplotlib"]:
        pytest.skip(f"drawn with matplotlib {header['matplotlib']}, this is {matplotlib.__version__}")
    from datasets.embedded.make_glyphs import draw_character

    for index in range(0, len(levels), len(levels) // 12):
        script, name = header["names"][index].split("/")
        character = draw_character(script, int(name.split()[0].removeprefix("U+"), 16))
        assert character is not None
        assert character.name == header["names"][index]
        assert character.n_plain == n_plain[index]
        assert np.array_equal(character.drawings, levels[index]), character.name
