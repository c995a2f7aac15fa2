"""Estimates of the time that cells take, from single steps timed on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.execution.cell_process import Done
from bench.execution.in_process import set_up_process
from bench.protocol.outcome import GoOn, OnProgress
from bench.protocol.timing import time_whole_cell
from bench.spec.cell import Cell
from bench.store.store import Failure

POLITENESS = 5  # of a process that times cells beside a run


def estimate(cells: Sequence[Cell], data_root: Path) -> dict[str, float]:
    """Seconds by cell id: one outer step and the evaluation of a few episodes of each kind of cell, scaled up."""
    threads = torch.get_num_threads()
    set_up_process()
    per_kind: dict[tuple[str, str, int, int], float] = {}
    seconds: dict[str, float] = {}
    for cell in cells:
        kind = (cell.algorithm, cell.dataset, cell.n_way, cell.n_shot)
        if kind not in per_kind:
            per_kind[kind] = time_whole_cell(cell, cell.entry.load(data_root))
        seconds[cell.id] = per_kind[kind]
    torch.set_num_threads(threads)
    return seconds


@dataclass(frozen=True)
class TimeCell:
    """Work that times a cell instead of running it: the score is processor seconds, and nothing is stored."""

    def attempt(self, cell: Cell) -> int:
        return 1

    def run(
        self, cell: Cell, data_root: Path, jobs: int, on_progress: OnProgress, go_on: GoOn, log: Callable[[], str]
    ) -> Done:
        os.nice(POLITENESS)
        set_up_process(cell.device)
        return Done(time_whole_cell(cell, cell.entry.load(data_root), processor=True))

    def failed(self, cell: Cell, failure: Failure) -> None:
        """A cell that cannot be timed is not known."""
