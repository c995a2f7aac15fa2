"""Building a cache: complete or not at all, once for all processes, and in a folder that may be written."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest

from datasets.core.errors import BadData, UserError
from datasets.storage.cache_index import read_index
from tests.datasets.storage.toy import CLASSES, RECIPE, Toy, load, place

pytestmark = pytest.mark.usefixtures("user_cache")  # no test here touches the real user cache


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
    context.set_forkserver_preload(["tests.datasets.storage.test_cache_building"])
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
