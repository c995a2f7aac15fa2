"""An experiment with a cell of every algorithm, run in this process once for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from algorithms import ALGORITHMS
from bench.learner.cells import choose_cell, read_trained
from bench.learner.trained import Trained
from bench.protocol import setup
from bench.protocol.cell_run import run_cell
from bench.spec.cell import Cell
from bench.store.store import Store
from datasets import load
from tests.bench.helpers import GLYPHS, tiny
from tests.bench.store.store_writers import MEASURED

TEST_EPISODES = 26  # more than are tested together


def cells() -> Iterator[Cell]:
    """A cell of every algorithm on sinusoids, else on glyphs, and of some on both."""
    shared = {
        "train": {"episodes": 8, "n_query": 2, "eval_every": 2},
        "evaluation": {"val_episodes": 2, "test_episodes": TEST_EPISODES, "n_query": 3},
        "settings": [
            {"set": {"meta_batch": 4, "test_steps": 3}},
            {"algorithms": ["protonet"], "set": {"train_ways": 4, "train_queries": 2}},
        ],
    }
    libraries = [name for name in ALGORITHMS.names() if "@" in name]
    points = [entry.name for entry in ALGORITHMS if "regression" in entry.kinds and entry.name not in libraries]
    if ALGORITHMS["meta-sgd@learn2learn"].missing() is None:  # one of a library, which takes seconds to import
        points.append("meta-sgd@learn2learn")
    images = [name for name in ALGORITHMS.names() if name not in (*points, *libraries)]
    glyphs = [{**GLYPHS, "shots": [2]}]
    yield from tiny(algorithms=points, **shared).cells()
    yield from tiny(algorithms=[*images, "maml", "reptile", "finetune", "meta-sgd"], datasets=glyphs, **shared).cells()


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the experiment."""
    store = Store(tmp_path_factory.mktemp("learner") / "results")
    store.create()
    datasets = {name: load(name) for name in ("sinusoid", "glyphs")}
    for cell in cells():
        outcome = run_cell(cell, datasets[cell.dataset])
        store.write_result(cell, outcome, MEASURED)
    return store.root


@pytest.fixture(scope="session")
def of_images(experiment: Path) -> Trained:
    """A meta-state for images."""
    return read_trained(choose_cell(experiment, "maml", "glyphs"), Store(experiment))


@pytest.fixture(scope="session")
def stored(of_images: Trained) -> tuple[np.ndarray, ...]:
    """A stored episode for it: x and y of support and queries."""
    cell = of_images.cell
    first = load("glyphs").stream("test", setup.test_shape(cell), setup.EVALUATION_SEED).batch([0])
    return tuple(part[0].numpy() for part in (first.support.x, first.support.y, first.query_x, first.query_y))
