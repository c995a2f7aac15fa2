"""The comparison of episode drawing: its table, and what it says where the other library is missing."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.cli.speed import speed
from bench.process.memory import own_bytes
from bench.speed import drawing
from bench.speed.drawing import cells_of, memory_of_images, shares, tables
from bench.speed.sampling import Workload, compare
from bench.speed.summary import drawing_table
from datasets.core.episodes import Shape
from datasets.core.errors import UserError
from datasets.core.image_pools import ImageDataset, ImagePool
from datasets.core.table_pools import TableDataset

TINY = Workload("tiny", 8, 6, (1, 5, 5), True, Shape(3, 1, 2), 4)


def test_both_engines_are_timed() -> None:
    pytest.importorskip("learn2learn", reason="the extra learn2learn is not installed")
    table = compare(3, (TINY,))
    assert table["engine"].tolist() == ["bench", "learn2learn"]
    assert (table["q1_ms"] <= table["median_ms"]).all()
    assert table["times_ours"][0] == 1.0
    assert table["times_ours"][1] > 0


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "learn2learn.data", None)
    with pytest.raises(UserError, match=r"needs learn2learn .*run: uv sync --extra learn2learn"):
        compare(3, (TINY,))


def test_drawing_is_timed_beside_the_step_that_consumes_it(tmp_path: Path) -> None:
    table, left_out = shares(cells_of(("sinusoid", "mini-imagenet")), tmp_path, rounds=2, made=tables())
    assert table["dataset"].tolist() == ["sinusoid", "table-40-classes", "table-60-tasks"]
    assert (table[["draw_ms", "step_ms", "share"]] > 0).all().all()
    assert table["arrays_mib"].isna().all()
    assert len(left_out) == 1
    assert left_out[0].startswith("data not found: mini-imagenet")
    assert [len(row.cells) for row in drawing_table(table).rows] == [6, 6, 6]


def test_the_tables_are_of_as_many_classes_and_tasks_as_they_say() -> None:
    for (cell, dataset), (kind, groups, n_way) in zip(
        tables(), [("classification", 40, 5), ("regression", 60, 1)], strict=True
    ):
        assert isinstance(dataset, TableDataset)
        assert (cell.entry.kind, dataset.kind, cell.n_way) == (kind, kind, n_way)
        assert sorted(c for pool in dataset.pools.values() for c in pool.class_ids) == list(range(groups))


@pytest.mark.skipif(own_bytes("RssAnon") is None, reason="this system does not say what memory a file backs")
@pytest.mark.parametrize("mode", ["r", None])
def test_memory_of_images_in_memory_is_added_and_of_a_mapped_file_is_not(tmp_path: Path, mode: Any) -> None:
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 255, (48, 3, 512, 512), dtype=np.uint8))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:  # it has no freed memory to use again
        arrays, added = fresh.submit(_memory, tmp_path, mode).result()
    assert arrays == 36
    assert (added > 30) == (mode is None), added


def _memory(root: Path, mode: Any) -> tuple[float, float]:
    """Return the memory of images that are mapped, or read into memory."""

    def load(root: Path) -> ImageDataset:
        array = np.load(root / "images.npy", mmap_mode=mode)
        ends = {split: (24 * i, 24 * i + 24) for i, split in enumerate(("train", "val"))}
        pools = {split: ImagePool(array[a:b], np.array([0, 24]), np.array([a])) for split, (a, b) in ends.items()}
        return ImageDataset("made", "up", pools, ("a", "b"))  # type: ignore[arg-type]

    (cell,) = cells_of(("glyphs",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(cell), "entry", SimpleNamespace(load=load))
        patch.setattr(drawing, "AT_ONCE", 1)
        return memory_of_images(cell, root)


def test_named_datasets_alone_are_timed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.speed.sampling.compare", None)  # it is not called
    speed(data=True, datasets=["sinusoid,table-60-tasks"], rounds=3, out=tmp_path)
    printed = capsys.readouterr().out
    assert pd.read_csv(tmp_path / "drawing.csv")["dataset"].tolist() == ["sinusoid", "table-60-tasks"]
    assert "table-60-tasks" in printed
    with pytest.raises(UserError, match="unknown dataset 'glyfs', did you mean 'glyphs'"):
        speed(data=True, datasets=["glyfs"], rounds=3)
    with pytest.raises(UserError, match="--datasets: it is for --data"):
        speed(datasets=["glyphs"])
