"""The real full Omniglot and CIFAR-FS (BENCH_DATA names their folder): counts, pixels, memory, twenty outer steps."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.process.memory import MIB, own_bytes
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


ROOM_MIB = 64  # for what training needs of its own


def anonymous_mib() -> float:
    """The memory of this process that no file backs; 0 where the system does not say."""
    return (own_bytes("RssAnon") or 0) / MIB


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
    before = anonymous_mib()
    outcome = run_cell(cell, dataset)
    for split in SPLITS:  # every image is drawn, so that a copy of the arrays would show
        gather, images = dataset.pools[split].gather(torch.device("cpu")), np.arange(len(dataset.pools[split].images))
        for part in np.array_split(images, len(images) // 100):
            gather(part, np.zeros_like(part))
    arrays = sum(dataset.pools[split].images.nbytes for split in SPLITS) / MIB
    assert anonymous_mib() - before < max(arrays / 2, ROOM_MIB)
    assert outcome.summary["outer_steps"] == 20
    assert np.isfinite(outcome.summary["test_accuracy_transductive"])
