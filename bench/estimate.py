"""How long cells will take, from single steps timed on this machine just now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bench.cell import Cell
from bench.protocol import time_whole_cell
from bench.worker import set_up_process


def estimate(cells: Sequence[Cell], data_root: Path) -> dict[str, float]:
    """Seconds by cell id: one outer step and the evaluation of a few episodes of each kind of cell, scaled up."""
    threads = torch.get_num_threads()
    set_up_process()
    per_kind: dict[tuple[str, str, int, int], float] = {}
    found: dict[str, float] = {}
    for cell in cells:
        kind = (cell.algorithm, cell.dataset, cell.n_way, cell.n_shot)
        if kind not in per_kind:
            per_kind[kind] = time_whole_cell(cell, cell.entry.load(data_root))
        found[cell.id] = per_kind[kind]
    torch.set_num_threads(threads)
    return found
