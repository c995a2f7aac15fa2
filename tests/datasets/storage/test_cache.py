"""The cache: read once from its source, mapped and not copied, rebuilt when the source changes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.core.episodes import SPLITS, Shape
from datasets.storage import cache
from datasets.storage.source import ClassImages, Source, SplitImages
from tests.datasets.storage.toy import CLASSES, RECIPE, Toy, images_of, load, place

pytestmark = pytest.mark.usefixtures("user_cache")  # no test here touches the real user cache


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


def test_what_is_prepared_again_replaces_what_was(tmp_path: Path) -> None:
    toy = Toy()
    before = cache.build(RECIPE, tmp_path, toy.source, prepared=True)
    toy.images["a"] = toy.images["a"][::-1]
    after = cache.build(RECIPE, tmp_path, toy.source, prepared=True)
    assert after.fingerprint != before.fingerprint
    assert load(toy, tmp_path).fingerprint == after.fingerprint


def test_a_cache_of_an_earlier_version_beside_the_data_is_read_and_left(tmp_path: Path) -> None:
    toy, root = Toy(), tmp_path / "root"
    fingerprint = load(toy, root).fingerprint
    beside_data = cache.folders(RECIPE, root)[1]
    beside_data.parent.mkdir(parents=True)
    place(root).rename(beside_data)
    assert load(toy, root).fingerprint == fingerprint
    assert toy.reads == 1
    toy.evidence = "2"  # stale: rebuilt elsewhere
    before = sorted(beside_data.iterdir())
    load(toy, root)
    assert toy.reads == 2
    assert (place(root) / "index.json").exists()
    assert sorted(beside_data.iterdir()) == before


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
