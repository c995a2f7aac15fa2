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

from bench.protocol.setup import CellSetup
from bench.spec.cell import Cell
from bench.spec.grid import parse_grid
from datasets import DATASETS, DataNotFound

NAMES = ("sinusoid", "glyphs", "omniglot", "omniglot-within-alphabet", "cifar-fs", "fc100", "mini-imagenet")
WARM_UP = 1  # rounds


def cells_of(names: Sequence[str] = NAMES) -> list[Cell]:
    """Return MAML's cell for each dataset."""
    shots = {name: [10 if DATASETS[name].kind == "regression" else 1] for name in names}
    return parse_grid(
        {
            "algorithms": ["maml"],
            "datasets": [{"name": name, "shots": shots[name]} for name in names],
            "seeds": [0],
            "train": {"episodes": 60_000},
        }
    ).cells()


def shares(cells: Sequence[Cell], root: Path, rounds: int = 5) -> tuple[pd.DataFrame, list[str]]:
    """Time drawing and stepping on each dataset.

    Args:
        cells: what to time.
        root: the data root.
        rounds: timed outer steps, after one that warms up.

    Returns:
        One row per dataset: ``dataset``, ``draw_ms`` and ``step_ms`` (medians of one meta-batch, drawing not counted in
        the step), and ``share`` (the median of draw over step); and why datasets were left out, in words.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows, left_out = [], []
    try:
        for cell in cells:
            try:
                setup = CellSetup(cell, cell.entry.load(root), torch.device("cpu"))
            except DataNotFound as error:
                left_out.append(str(error))
                continue
            draw, step = _times(setup, rounds)
            rows.append((cell.dataset, *np.median(1e3 * np.array([draw, step]), axis=1), np.median(draw / step)))
    finally:
        torch.set_num_threads(threads)
    return pd.DataFrame(rows, columns=["dataset", "draw_ms", "step_ms", "share"]), left_out


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
