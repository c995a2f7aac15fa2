"""Data roots that hold the same files share the arrays of their caches, and nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.core.episodes import SPLITS
from datasets.core.errors import BadData
from datasets.core.image_pools import ImageDataset
from datasets.storage import cache, verified
from datasets.storage.source import Source, content_of, evidence_of
from tests.datasets.storage.toy import RECIPE, Toy, place

pytestmark = pytest.mark.usefixtures("user_cache")


def used(toy: Toy, root: Path, content: bytes = b"the files") -> ImageDataset:
    """The toy as from a file of that content under a data root."""
    root.mkdir(exist_ok=True)
    file = root / "toy.zip"
    if not file.exists() or file.read_bytes() != content:
        file.write_bytes(content)
        os.utime(file, (len(root.name), len(root.name)))
    source = Source(str(file), lambda: evidence_of([file]), (1, 6, 6), toy.read, paths=[file])
    dataset = cache.load(RECIPE, root, source)
    assert dataset is not None
    return dataset


def arrays(root: Path) -> dict[str, int]:
    """The arrays of a data root's cache, with their inodes."""
    return {path.name: path.stat().st_ino for path in place(root).glob("*.npy")}


def test_the_same_files_are_read_and_stored_once(tmp_path: Path) -> None:
    toy, a, b = Toy(), tmp_path / "a", tmp_path / "bb"
    first, second = used(toy, a), used(toy, b)
    assert toy.reads == 1
    assert first.fingerprint == second.fingerprint
    assert arrays(a) == arrays(b)
    assert len(arrays(a)) == 3
    for split in SPLITS:
        np.testing.assert_array_equal(first.pools[split].images, second.pools[split].images)
    indices = [cache.locate(RECIPE, root, None) for root in (a, b)]
    assert [index.source for _, index in filter(None, indices)] == [str(a / "toy.zip"), str(b / "toy.zip")]
    used(toy, b)
    assert toy.reads == 1
    assert not list(tmp_path.rglob(".part-*"))


def test_other_files_and_other_reading_code_share_nothing(tmp_path: Path) -> None:
    toy, a, b = Toy(), tmp_path / "a", tmp_path / "bb"
    used(toy, a)
    used(toy, b, b"other files")
    assert toy.reads == 2
    assert not set(arrays(a).values()) & set(arrays(b).values())
    later = replace(RECIPE, version=2)
    source = Source("c", lambda: "", (1, 6, 6), toy.read, paths=[a / "toy.zip"])
    cache.load(later, tmp_path / "c", source)
    assert toy.reads == 3


def test_a_rebuilt_cache_leaves_the_other_one_whole(tmp_path: Path) -> None:
    toy, a, b = Toy(), tmp_path / "a", tmp_path / "bb"
    before = used(toy, a).fingerprint
    used(toy, b)
    toy.images["a"] = toy.images["a"][::-1]
    assert used(toy, a, b"newer files").fingerprint != before
    assert used(toy, b).fingerprint == before
    assert toy.reads == 2


def test_a_damaged_array_is_not_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy, a, b = Toy(), tmp_path / "a", tmp_path / "bb"
    before = used(toy, a).fingerprint
    monkeypatch.setattr(verified, "_known", set())
    array = next(place(a).glob("val-*.npy"))
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    assert used(toy, b).fingerprint == before
    assert toy.reads == 2
    np.testing.assert_array_equal(used(toy, b).pools["val"].images, toy.images["b"])


def test_where_files_cannot_be_linked_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError("no hard links here")

    toy, a, b = Toy(), tmp_path / "a", tmp_path / "bb"
    used(toy, a)
    monkeypatch.setattr(os, "link", refuse)
    used(toy, b)
    assert toy.reads == 1
    assert arrays(a).keys() == arrays(b).keys()
    assert not set(arrays(a).values()) & set(arrays(b).values())


def test_a_pipe_among_the_files_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(BadData, match="is a named pipe"):
        content_of([tmp_path / "pipe.zip"])
    with pytest.raises(BadData, match="pipe"):
        content_of([tmp_path])
