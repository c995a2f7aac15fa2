"""A folder of the user's own images runs from a grid file, with no code."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bench
from bench.execution.cell_process import Done
from bench.execution.events import Event, Finished
from bench.execution.local import LocalExecutor
from bench.protocol.outcome import GoOn, OnProgress
from bench.spec.cell import Cell
from bench.spec.grid import parse_grid
from bench.store.store import Failure
from datasets import UserError
from datasets.storage import verified
from datasets.storage.verified import Stamp, trust, verified_stamps
from tests.bench.helpers import one_cell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fifteen classes of six grey 10x10 images, each class a pattern of its own under noise."""
    generator = np.random.default_rng(0)
    for c in range(15):
        pattern = generator.integers(0, 200, (10, 10))
        for i in range(6):
            pixels = (pattern + generator.integers(0, 55, (10, 10))).astype(np.uint8)
            place = tmp_path / "birds" / f"class{c:02}" / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place)
    return tmp_path / "birds"


def content(folder: object, **changes: object) -> dict[str, object]:
    use = {"name": "my-birds", "kind": "image-folder", "path": str(folder), "size": 16, "channels": 1, "shots": [1]}
    use |= {"split": {"val": 0.34, "test": 0.33}} | changes
    return {
        "algorithms": ["maml"],
        "datasets": [use],
        "seeds": [0],
        "train": {"episodes": 4, "n_query": 2, "eval_every": 1},
        "evaluation": {"val_episodes": 2, "test_episodes": 3, "n_query": 2},
        "settings": [{"set": {"meta_batch": 2}}, {"datasets": ["my-birds"], "set": {"inner_lr": 0.1}}],
    }


def test_runs_like_any_dataset(folder: Path, tmp_path: Path) -> None:
    results = bench.run(parse_grid(content(folder)), tmp_path / "out", jobs=1, data_root=tmp_path)
    (row,) = results.cells.to_dict("records")
    assert row["status"] == "ok", row["message"]
    assert (row["dataset"], row["shape"]) == ("my-birds", "5-way 1-shot")
    assert list(results.leaderboard["dataset"]) == ["my-birds"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": 2}, "channels: got 2"),
        ({"name": "glyphs"}, "'glyphs' is the name of a dataset that comes with the benchmark"),
        ({"path": None}, "`kind: image-folder` needs `path`"),
        ({"kind": None, "name": "glyphs"}, "`path` is for datasets with `kind: image-folder`"),
        ({"split": {"val": 2, "test": 0.1}}, "split.val: got 2"),
    ],
)
def test_mistakes_are_named(folder: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_grid(content(folder, **changes))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_a_mistake_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        bench.run(parse_grid(content(tmp_path / "nowhere")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Look:
    """Work that gives what its process takes as verified, and verifies one array more."""

    def attempt(self, cell: Cell) -> int:
        return 1

    def run(
        self, cell: Cell, data_root: Path, jobs: int, on_progress: OnProgress, go_on: GoOn, log: Callable[[], str]
    ) -> Done:
        before = verified_stamps()
        trust([Stamp("of the cell", 1, 2, 3, 4, "b" * 64)])
        return Done(0.0, before)

    def failed(self, cell: Cell, failure: Failure) -> None:
        raise AssertionError(failure.message)


def test_cells_are_told_what_was_verified_and_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Stamp("of the run", 1, 2, 3, 4, "a" * 64)
    monkeypatch.setattr(verified, "_known", {ours})
    events: list[Event] = []
    LocalExecutor(Look(), tmp_path).run([one_cell(seeds=[0]), one_cell(seeds=[1])], events.append)
    first, second = (event.result for event in events if isinstance(event, Finished))
    assert first == {ours}
    assert second == verified_stamps() == {ours, Stamp("of the cell", 1, 2, 3, 4, "b" * 64)}


def test_a_cache_that_was_changed_gives_the_same_results(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digests in a result are of what was read."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "caches"))
    grid = parse_grid(content(folder))
    before = bench.run(grid, tmp_path / "before", jobs=1, data_root=tmp_path)
    arrays = list((tmp_path / "caches").rglob("folder-*/*.npy"))
    assert len(arrays) == 3
    for array in arrays:
        status, bytes_ = array.stat(), array.read_bytes()
        array.write_bytes(bytes_[:128] + bytes(255 - byte for byte in bytes_[128:]))
        os.utime(array, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = bench.run(grid, tmp_path / "after", jobs=1, data_root=tmp_path)
    names = ["cell", "digest.dataset", "digest.test", "test_accuracy_transductive"]
    pd.testing.assert_frame_equal(before.cells[names], after.cells[names])
    pd.testing.assert_frame_equal(before.episodes, after.episodes)
