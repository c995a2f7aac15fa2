"""The real full Omniglot and CIFAR-FS (set BENCH_DATA to their folder): counts, pixels, and twenty outer steps."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bench.protocol.cell_run import run_cell
from bench.spec.grid import parse_grid
from datasets import load
from datasets.core.episodes import SPLITS
from datasets.core.image_pools import ImageDataset
from datasets.storage.publishers import PUBLICATIONS

SETS = {
    "omniglot": ("omniglot/images_evaluation.zip", [1100, 100, 423], 20),
    "cifar-fs": ("cifar-fs/cifar-fs.zip", [64, 16, 20], 600),
}


@pytest.mark.parametrize("name", SETS)
def test_it_is_whole_and_trains(name: str) -> None:
    file, classes, per_class = SETS[name]
    root = Path(os.environ.get("BENCH_DATA", "/nowhere"))
    if not (root / file).exists():
        pytest.skip(f"BENCH_DATA names no folder with {file}")
    dataset = load(name, root)
    assert isinstance(dataset, ImageDataset)
    assert [dataset.pools[split].n_classes for split in SPLITS] == classes
    assert {int(n) for split in SPLITS for n in dataset.pools[split].counts} == {per_class}
    assert PUBLICATIONS[name].fingerprint in (None, dataset.fingerprint)
    assert all(isinstance(dataset.pools[split].images, np.memmap) for split in SPLITS)
    content = {
        "algorithms": ["maml"],
        "seeds": [0],
        "train": {"episodes": 20, "n_query": 1, "eval_every": 10},
        "evaluation": {"val_episodes": 2, "test_episodes": 4, "n_query": 1},
        "settings": [{"set": {"meta_batch": 1, "train_steps": 1, "test_steps": 2}}],
        "datasets": [{"name": name, "shots": [1], "network": {"channels": 8}}],
    }
    (cell,) = parse_grid(content).cells()
    outcome = run_cell(cell, dataset)
    assert outcome.summary["outer_steps"] == 20
    assert np.isfinite(outcome.summary["test_accuracy_transductive"])
