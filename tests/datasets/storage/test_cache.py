"""The cache: built once and whole, mapped and not copied, rebuilt when stale or damaged, at home where it may write."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.core.episodes import SPLITS, Shape, Split
from datasets.core.image_pools import ImageDataset
from datasets.core.registry import UserError
from datasets.storage import cache, verified
from datasets.storage.cache_index import read_index
from datasets.storage.paths import BadData
from datasets.storage.source import ClassImages, Source, SplitImages

RECIPE = cache.Recipe("toy", 1, rotate_train=True, duplicates_allowed=False)
CLASSES: dict[Split, list[str]] = {"train": ["a", "c"], "val": ["b"], "test": ["d"]}


def images_of(name: str) -> np.ndarray:
    return np.random.default_rng(ord(name)).integers(0, 256, (4, 1, 6, 6), dtype=np.uint8)


def place(root: Path) -> Path:
    """The folder in which the cache of the toy is built."""
    return cache.folders(RECIPE, root)[0]


class Toy:
    """A source that counts how often it is read, and can be made to fail or to lie."""

    def __init__(self) -> None:
        self.reads = 0
        self.evidence = "1"
        self.images = {name: images_of(name) for names in CLASSES.values() for name in names}
        self.broken = False
        self.delay = 0.0
        self.dying = False

    def read(self) -> Iterator[SplitImages]:
        self.reads += 1
        for split in SPLITS:
            counts = dict.fromkeys(CLASSES[split], 4)
            yield SplitImages(split, counts, map(self.of_class, counts))

    def of_class(self, name: str) -> ClassImages:
        time.sleep(self.delay)
        if self.dying:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.broken and name == "d":
            raise BadData("d is broken")
        return ClassImages(name, self.images[name], [f"{name}{i}" for i in range(4)])

    @property
    def source(self) -> Source:
        return Source("the toy", lambda: self.evidence, (1, 6, 6), self.read)


def load(toy: Toy, root: Path, recipe: cache.Recipe = RECIPE) -> ImageDataset:
    dataset = cache.load(recipe, root, toy.source)
    assert dataset is not None
    return dataset


@pytest.fixture(autouse=True)
def _own_user_cache(user_cache: Path) -> None:
    """No test here touches the real user cache."""


def test_it_holds_what_was_read_and_is_read_once(tmp_path: Path) -> None:
    toy = Toy()
    first, second = load(toy, tmp_path), load(toy, tmp_path)
    assert toy.reads == 1
    assert first.fingerprint == second.fingerprint
    assert first.class_names == ("a", "b", "c", "d")
    for split in SPLITS:
        pool = second.pools[split]
        np.testing.assert_array_equal(pool.images, np.concatenate([toy.images[name] for name in CLASSES[split]]))
        assert [second.class_names[c] for c in pool.class_ids] == CLASSES[split]
    assert [second.pools[split].rotations for split in SPLITS] == [True, False, False]


def test_it_is_mapped_and_batches_need_no_warning(tmp_path: Path) -> None:
    dataset = load(Toy(), tmp_path)
    images = dataset.pools["train"].images
    assert isinstance(images, np.memmap)
    assert not images.flags.writeable
    batch = dataset.stream("train", Shape(2, 1, 2), 0).batch(range(8))
    assert batch.query_x.shape == (8, 4, 1, 6, 6)
    batch.query_x.add_(1)  # a copy: the map is not touched


def test_a_changed_source_or_reader_rebuilds(tmp_path: Path) -> None:
    toy = Toy()
    before = load(toy, tmp_path)
    toy.images["a"] = toy.images["a"][::-1]
    toy.evidence = "2"
    after = load(toy, tmp_path)
    assert after.fingerprint != before.fingerprint
    np.testing.assert_array_equal(after.pools["train"].images[:4], toy.images["a"])
    np.testing.assert_array_equal(before.pools["train"].images[:4], images_of("a"))  # still mapped, still whole
    load(toy, tmp_path, replace(RECIPE, version=2))
    assert toy.reads == 3
    assert len(list(place(tmp_path).glob("*.npy"))) == 3


def test_without_its_source_it_still_serves(tmp_path: Path) -> None:
    fingerprint = load(Toy(), tmp_path).fingerprint
    found = cache.load(RECIPE, tmp_path, None)
    assert found is not None
    assert found.fingerprint == fingerprint
    assert cache.load(replace(RECIPE, name="other"), tmp_path, None) is None


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

    monkeypatch.setattr(cache, "digest_of", count)
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
    stamps = verified.known()
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


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    toy = Toy()
    toy.broken = True
    with pytest.raises(BadData, match="d is broken"):
        load(toy, tmp_path)
    left = {path.name for path in place(tmp_path).iterdir()}
    assert not any(name.startswith(".part") or name == "index.json" for name in left)
    toy.broken = False
    load(toy, tmp_path)


def _children() -> multiprocessing.context.ForkServerContext:
    """Processes that start quickly, for they share one that has imported this module."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.datasets.storage.test_cache"])
    return context


def _die_in_a_build(root: Path, caches: Path) -> None:
    os.environ["BENCH_CACHE"] = str(caches)
    toy = Toy()
    toy.dying = True
    load(toy, root)


def test_what_a_killed_build_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "caches"))
    child = _children().Process(target=_die_in_a_build, args=(tmp_path, tmp_path / "caches"))
    child.start()
    child.join()
    assert child.exitcode == -9
    folder = place(tmp_path)
    assert list(folder.glob(".part-*"))
    load(Toy(), tmp_path)
    assert not list(folder.glob(".part-*"))


def test_what_is_prepared_again_replaces_what_was(tmp_path: Path) -> None:
    toy = Toy()
    before = cache.build(RECIPE, tmp_path, toy.source, prepared=True)
    toy.images["a"] = toy.images["a"][::-1]
    after = cache.build(RECIPE, tmp_path, toy.source, prepared=True)
    assert after.fingerprint != before.fingerprint
    assert load(toy, tmp_path).fingerprint == after.fingerprint


def test_a_class_in_two_splits_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLASSES, "val", ["c"])
    with pytest.raises(BadData, match="1 classes are in both train and val, such as 'c'"):
        load(Toy(), tmp_path)


def test_an_image_in_two_splits_is_named(tmp_path: Path) -> None:
    toy = Toy()
    toy.images["d"][2] = toy.images["a"][1]
    with pytest.raises(BadData, match=r"1 images are in two splits, such as a1 \(train\) = d2 \(test\)"):
        load(toy, tmp_path)
    permitted = replace(RECIPE, duplicates_allowed=True)
    load(toy, tmp_path, permitted)
    index = read_index(place(tmp_path))
    assert index is not None
    assert index.duplicates == ("a1 (train) = d2 (test)",)


def test_nothing_is_written_to_a_folder_of_originals(tmp_path: Path, user_cache: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    other.mkdir()
    toy = Toy()
    load(toy, root)
    load(toy, root)
    assert toy.reads == 1
    assert not list(root.iterdir())
    assert list(user_cache.rglob("index.json"))
    toy.evidence = "of another root"
    load(toy, other)
    assert len(list(user_cache.rglob("index.json"))) == 2  # two roots do not fight over one cache


def test_the_users_own_cache_holds_its_caches(user_cache: Path) -> None:
    load(Toy(), user_cache)
    assert (user_cache / "cache" / "toy" / "index.json").exists()


def test_the_variable_names_the_place(tmp_path: Path, user_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "fast"))
    load(Toy(), tmp_path / "root")
    assert len(list((tmp_path / "fast").rglob("index.json"))) == 1
    assert not user_cache.exists()


def test_a_cache_of_an_earlier_version_beside_the_data_is_read_and_left(tmp_path: Path) -> None:
    toy, root = Toy(), tmp_path / "root"
    fingerprint = load(toy, root).fingerprint
    beside_data = cache.folders(RECIPE, root)[1]
    beside_data.parent.mkdir(parents=True)
    place(root).rename(beside_data)
    assert load(toy, root).fingerprint == fingerprint
    assert toy.reads == 1
    toy.evidence = "2"  # stale: built anew, elsewhere
    before = sorted(beside_data.iterdir())
    load(toy, root)
    assert toy.reads == 2
    assert (place(root) / "index.json").exists()
    assert sorted(beside_data.iterdir()) == before


def test_nowhere_to_write_says_so(tmp_path: Path, user_cache: Path) -> None:
    user_cache.mkdir(mode=0o555)
    with pytest.raises(UserError, match=r"no place to write the cache of toy: .*user-cache.*read-only.*BENCH_CACHE"):
        load(Toy(), tmp_path)


def _load_in_child(root: Path, log: Path) -> str:
    os.environ["BENCH_CACHE"] = str(root / "caches")
    toy = Toy()
    toy.delay = 0.1  # so that all are at it together
    fingerprint = load(toy, root).fingerprint
    with log.open("a") as file:
        file.write(f"{toy.reads}\n")
    return fingerprint


def test_processes_at_once_build_it_once(tmp_path: Path) -> None:
    with _children().Pool(4) as pool:
        fingerprints = pool.starmap(_load_in_child, [(tmp_path, tmp_path / "log")] * 4, chunksize=1)
    assert len(set(fingerprints)) == 1
    assert (tmp_path / "log").read_text().split().count("1") == 1


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from datasets.storage import cache, verified
from datasets.core.episodes import Shape
recipe = cache.Recipe("large", 1, rotate_train=False, duplicates_allowed=True)
def rss(): return int(next(l for l in open("/proc/self/status") if l.startswith("RssAnon")).split()[1])
before = rss()
dataset = cache.load(recipe, Path(sys.argv[1]), None)
for start in range(0, 64, 4):
    dataset.stream("train", Shape(5, 1, 1), 0).batch(range(start, start + 4))
print(rss() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc to tell memory kinds apart")
def test_a_large_dataset_is_not_copied_to_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "caches"))

    def read() -> Iterator[SplitImages]:
        for split in SPLITS:
            counts = {f"{split}{i}": 300 for i in range(8 if split == "train" else 1)}
            blank = np.zeros((300, 3, 84, 84), np.uint8)
            yield SplitImages(split, counts, (ClassImages(name, blank, [""] * 300) for name in counts))

    recipe = cache.Recipe("large", 1, rotate_train=False, duplicates_allowed=True)
    cache.build(recipe, tmp_path, Source("blank", lambda: "", (3, 84, 84), read))
    assert next(cache.folders(recipe, tmp_path)[0].glob("train-*.npy")).stat().st_size > 48 * 2**20
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20 * 1024  # KiB, of 50,803 in the array
