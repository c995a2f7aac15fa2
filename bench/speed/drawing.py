"""The time to draw a meta-batch beside the outer step that consumes it, on the real datasets that are there.

The cell is MAML's at its paper's settings for the dataset's family, 5-way 1-shot (10-shot for regression) with 15
queries. Drawing and stepping alternate on one thread, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from algorithms.engines.threads import on_one_thread
from bench.process.allocator import give_back_free_memory
from bench.process.memory import MIB, own_bytes
from bench.protocol.setup import CellSetup
from bench.spec.cell import Cell
from bench.spec.grid import parse_grid
from datasets import DATASETS, DataNotFound, Dataset
from datasets.core.episodes import Kind, Split
from datasets.core.image_pools import ImageDataset
from datasets.core.table_pools import TableDataset, TablePool

NAMES = ("sinusoid", "glyphs", "omniglot", "omniglot-within-alphabet", "cifar-fs", "fc100", "mini-imagenet")
WARM_UP = 1  # rounds
TABLES = {"table-40-classes": 40, "table-60-tasks": 60}  # of noise, by their numbers of classes or tasks
ROWS, FEATURES = 40, 8  # of each class or task
AT_ONCE = 100  # images that are gathered together


def cells_of(names: Sequence[str] = NAMES) -> list[Cell]:
    """Return MAML's cell for each dataset."""
    if not names:
        return []
    shots = {name: [10 if DATASETS[name].kind == "regression" else 1] for name in names}
    return parse_grid(
        {
            "algorithms": ["maml"],
            "datasets": [{"name": name, "shots": shots[name]} for name in names],
            "seeds": [0],
            "train": {"episodes": 60_000},
        }
    ).cells()


def tables() -> list[tuple[Cell, Dataset]]:
    """Return MAML's cell for a table of 40 classes and for one of 60 regression tasks, with tables of noise."""
    usual = {"kind": "table", "path": "noise.csv", "split": {"val": 0.2, "test": 0.2}}
    own = [
        {"name": "table-40-classes", "class_column": "class", "shots": [1]},
        {"name": "table-60-tasks", "task_column": "task", "target_column": "target", "shots": [10]},
    ]
    grid = {"algorithms": ["maml"], "datasets": [usual | use for use in own], "seeds": [0]}
    cells = parse_grid(grid | {"train": {"episodes": 60_000}}).cells()
    return [(cell, _noise(cell.dataset, TABLES[cell.dataset], cell.entry.kind)) for cell in cells]


def _noise(name: str, groups: int, kind: Kind) -> TableDataset:
    rng, targets = np.random.default_rng(0), int(kind == "regression")
    parts = np.split(np.arange(groups), [6 * groups // 10, 8 * groups // 10])
    splits: tuple[Split, ...] = ("train", "val", "test")
    pools = {
        split: TablePool(
            rng.normal(size=(ROWS * len(part), FEATURES + targets)).astype(np.float32),
            ROWS * np.arange(len(part) + 1),
            part,
            FEATURES,
        )
        for split, part in zip(splits, parts, strict=True)
    }
    return TableDataset(name, kind, "noise", pools, tuple(map(str, range(groups))))


def shares(
    cells: Sequence[Cell], root: Path, rounds: int = 5, made: Sequence[tuple[Cell, Dataset]] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Time drawing and stepping on each dataset, and measure the memory that its images take.

    Args:
        cells: what to time.
        root: the data root.
        rounds: timed outer steps, after one that warms up.
        made: further cells, with their datasets.

    Returns:
        One row per dataset: ``dataset``, ``draw_ms`` and ``step_ms`` (medians of one meta-batch, drawing not counted in
        the step), ``share`` (drawing over stepping, all rounds together, since some draw for those that follow),
        ``arrays_mib`` and ``added_mib`` (see ``memory_of_images``; NaN for what holds no images); and why datasets were
        left out, in words.
    """
    rows, left_out = [], []
    with on_one_thread():
        for cell, own in [*((cell, None) for cell in cells), *made]:
            try:
                dataset = own or cell.entry.load(root)
            except DataNotFound as error:
                left_out.append(str(error))
                continue
            memory = memory_of_images(cell, root) if isinstance(dataset, ImageDataset) else (np.nan, np.nan)
            draw, step = _times(CellSetup(cell, dataset, torch.device("cpu")), rounds)
            times = np.median(1e3 * np.array([draw, step]), axis=1)
            rows.append((cell.dataset, *times, draw.sum() / step.sum(), *memory))
    columns = ["dataset", "draw_ms", "step_ms", "share", "arrays_mib", "added_mib"]
    return pd.DataFrame(rows, columns=columns), left_out


def memory_of_images(cell: Cell, root: Path) -> tuple[float, float]:
    """Return the MiB of a dataset's arrays, and the MiB that this process gains by loading it and drawing every image.

    Pages that a file backs, such as those of a cache's arrays, are shared by all processes and not counted. The gain is
    NaN where the system does not say what is backed by a file.
    """
    give_back_free_memory()
    before = own_bytes("RssAnon")
    dataset = cell.entry.load(root)
    pools = dataset.pools.values() if isinstance(dataset, ImageDataset) else ()
    for pool in pools:
        gather, images = pool.gather(torch.device("cpu")), np.arange(len(pool.images))
        for part in np.array_split(images, -(-len(images) // AT_ONCE)):
            gather(part, np.zeros_like(part))
    after = own_bytes("RssAnon")
    added = float("nan") if before is None or after is None else (after - before) / MIB
    return sum(pool.images.nbytes for pool in pools) / MIB, added


def _times(setup: CellSetup, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of drawing and of stepping by round."""
    state = setup.first_state()
    seconds = []
    for turn in range(rounds + WARM_UP):
        start = time.perf_counter()
        batch = setup.batch(turn)
        drawn = time.perf_counter()
        state, _ = setup.algorithm.outer_step(state, batch)
        seconds.append((drawn - start, time.perf_counter() - drawn))
    draw, step = np.array(seconds[WARM_UP:]).T
    return draw, step
