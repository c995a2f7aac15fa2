"""Caches that are damaged or were changed: rebuilt or refused, and never used."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.core.episodes import SPLITS, Split
from datasets.core.errors import BadData
from datasets.storage import cache, cache_open, verified
from datasets.storage.cache_index import read_index
from tests.datasets.storage.toy import CLASSES, RECIPE, Toy, images_of, load, place

pytestmark = pytest.mark.usefixtures("user_cache")  # no test here touches the real user cache


@pytest.mark.parametrize("damage", ["index cut", "index odd", "schema", "array cut", "array gone", "array odd"])
def test_a_damaged_cache_is_rebuilt(damage: str, tmp_path: Path) -> None:
    toy = Toy()
    fingerprint = load(toy, tmp_path).fingerprint
    folder = place(tmp_path)
    index, array = folder / "index.json", next(folder.glob("train-*.npy"))
    match damage:
        case "index cut":
            index.write_text(index.read_text()[:100])
        case "index odd":
            index.write_text("[]")
        case "schema":
            index.write_text(json.dumps(json.loads(index.read_text()) | {"schema": 0}))
        case "array cut":
            array.write_bytes(array.read_bytes()[:-1])
        case "array gone":
            array.unlink()
        case "array odd":
            np.save(array, np.zeros((8, 1, 6, 6), np.int8))
    assert load(toy, tmp_path).fingerprint == fingerprint
    assert toy.reads == 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    split=st.sampled_from([None, *SPLITS]),
    field=st.sampled_from(["schema", "recipe", "version", "evidence", "image_shape", "splits", "file", "counts"]),
    value=st.none() | st.integers(-9, 9) | st.text(max_size=3) | st.lists(st.integers(-9, 9), max_size=4),
)
def test_whatever_the_index_says_the_data_is_right(
    split: Split | None, field: str, value: object, tmp_path: Path
) -> None:
    fingerprint = load(Toy(), tmp_path).fingerprint
    path = place(tmp_path) / "index.json"
    index = json.loads(path.read_text())
    (index if split is None else index["splits"][split])[field] = value
    path.write_text(json.dumps(index))
    dataset = load(Toy(), tmp_path)
    assert dataset.fingerprint == fingerprint
    assert [len(dataset.pools[name].images) for name in SPLITS] == [8, 4, 4]


def test_changed_pixels_are_seen_by_the_digest(tmp_path: Path) -> None:
    load(Toy(), tmp_path)
    folder = place(tmp_path)
    index = read_index(folder)
    assert index is not None
    assert all(cache.digest_of(folder, index, split) == split.sha256 for split in index.splits.values())
    array = folder / index.splits["val"].file
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    assert cache.digest_of(folder, index, index.splits["val"]) != index.splits["val"].sha256


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arrays that are read whole, in a process that has verified none yet."""
    monkeypatch.setattr(verified, "_known", set())
    found: list[str] = []
    digest_of = cache.digest_of

    def count(folder: Path, index: cache.Index, split: cache.SplitIndex) -> str:
        found.append(split.file)
        return digest_of(folder, index, split)

    monkeypatch.setattr(cache_open, "digest_of", count)
    return found


def change_a_pixel(array: Path) -> None:
    """Another picture in a file of the same name, size and time."""
    status = array.stat()
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    os.utime(array, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("split", SPLITS)
def test_changed_pixels_are_never_used(split: Split, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    toy = Toy()
    before = load(toy, tmp_path)
    array = next(place(tmp_path).glob(f"{split}-*.npy"))
    change_a_pixel(array)
    after = load(toy, tmp_path)
    assert toy.reads == 2
    assert after.fingerprint == before.fingerprint
    expected = np.concatenate([toy.images[name] for name in CLASSES[split]])
    np.testing.assert_array_equal(after.pools[split].images, expected)
    assert [f"{array.name} holds other images than were written" in one.message for one in caplog.records] == [True]


@pytest.mark.parametrize("prepared", [True, False])
def test_changed_pixels_that_cannot_be_read_anew_are_refused(prepared: bool, tmp_path: Path) -> None:
    """A cache that was prepared is never replaced by what else lies under the data root."""
    toy = Toy()
    cache.build(RECIPE, tmp_path, toy.source, prepared=prepared)
    change_a_pixel(next(place(tmp_path).glob("val-*.npy")))
    remedy = "data prepare toy --from PATH" if prepared else "data fetch toy"
    with pytest.raises(BadData, match=rf"cache of toy in .* is damaged \(val-.*\) and is not used; .*{remedy}"):
        cache.load(RECIPE, tmp_path, toy.source if prepared else None)
    assert toy.reads == 1


def test_arrays_are_read_whole_once_until_they_change(tmp_path: Path, reads: list[str]) -> None:
    toy = Toy()
    load(toy, tmp_path)
    assert len(reads) == 3
    load(toy, tmp_path)
    assert len(reads) == 3
    array = next(place(tmp_path).glob("val-*.npy"))
    array.touch()
    load(toy, tmp_path)
    assert reads[3:] == [array.name]


def test_what_another_process_verified_is_not_read_again(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(Toy(), tmp_path)
    stamps = verified.verified_stamps()
    monkeypatch.setattr(verified, "_known", set())
    verified.trust(stamps)
    load(Toy(), tmp_path)
    assert len(reads) == 3
    monkeypatch.setattr(verified, "_known", set())
    load(Toy(), tmp_path)
    assert len(reads) == 6


@pytest.mark.parametrize("name", ["/dev/zero", "../../../etc/passwd", "train-0000000000000000.npy"])
def test_files_that_the_index_names_elsewhere_are_not_opened(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    toy = Toy()
    load(toy, tmp_path)
    path = place(tmp_path) / "index.json"
    index = json.loads(path.read_text())
    index["splits"]["train"]["file"] = name
    path.write_text(json.dumps(index))
    load(toy, tmp_path)
    assert toy.reads == 2
    assert f"index.json names '{name}' for train" in caplog.text


@pytest.mark.parametrize("what", ["index", "array", "link"])
def test_pipes_and_links_in_the_cache_are_replaced(what: str, tmp_path: Path) -> None:
    toy = Toy()
    fingerprint = load(toy, tmp_path).fingerprint
    folder = place(tmp_path)
    path = folder / "index.json" if what == "index" else next(folder.glob("train-*.npy"))
    content = path.read_bytes()
    path.unlink()
    if what == "link":
        (tmp_path / "elsewhere.npy").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere.npy")
    else:
        os.mkfifo(path)
    assert load(toy, tmp_path).fingerprint == fingerprint
    assert toy.reads == 2
    assert path.is_file()
    assert not path.is_symlink()


def test_an_edited_fingerprint_is_not_believed(tmp_path: Path) -> None:
    toy = Toy()
    fingerprint = load(toy, tmp_path).fingerprint
    path = place(tmp_path) / "index.json"
    path.write_text(path.read_text().replace(fingerprint, "0" * 64))
    assert load(toy, tmp_path).fingerprint == fingerprint


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(split=st.sampled_from(SPLITS), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_whatever_bit_of_an_array_flips_the_data_is_right(split: Split, where: float, bit: int, tmp_path: Path) -> None:
    fingerprint = load(Toy(), tmp_path).fingerprint
    array = next(place(tmp_path).glob(f"{split}-*.npy"))
    content = bytearray(array.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    array.write_bytes(content)
    dataset = load(Toy(), tmp_path)
    assert dataset.fingerprint == fingerprint
    for name in SPLITS:
        expected = np.concatenate([images_of(label) for label in CLASSES[name]])
        np.testing.assert_array_equal(dataset.pools[name].images, expected)
