"""One cell in the process it is in: set up the process, load the data, run the protocol, measure."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import datasets
from bench.allocator import keep_large_buffers
from bench.cell import Cell
from bench.checkpoints import Keeper
from bench.environment import environment
from bench.measure import peak_device_mib, peak_resident_mib, resident_mib
from bench.protocol import GoOn, OnProgress, Outcome, Validated, run_cell, validate_cell


def import_plugins(modules: Sequence[str]) -> None:
    """Import modules that register algorithms or datasets.

    Raises:
        UserError: a module is not found.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except (ModuleNotFoundError, TypeError, ValueError) as error:
            parts = name.split(".")
            if all(parts) and getattr(error, "name", None) not in [".".join(parts[: n + 1]) for n in range(len(parts))]:
                raise  # the module is there, and what fails is in it
            raise datasets.UserError(f"no module '{name}' to import; it must be importable from here") from None


def set_up_process() -> None:
    """One thread and deterministic kernels: the same cell gives the same bytes whatever runs beside it.

    Large buffers stay with the process; see ``bench.allocator``.
    """
    keep_large_buffers()
    torch.set_num_threads(1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def execute(
    cell: Cell, data_root: Path, jobs: int, on_progress: OnProgress, keeper: Keeper
) -> tuple[Outcome, dict[str, Any]]:
    """The cell's outcome, and what was measured of this process: ``summary`` numbers and the ``environment``.

    ``jobs`` is how many cells the run had at work at once, for the record; ``keeper`` keeps the cell's checkpoint.
    """
    set_up_process()
    baseline, started = resident_mib(), time.perf_counter()
    dataset = cell.entry.load(data_root)
    outcome = run_cell(cell, dataset, on_progress, keeper)
    peak = peak_resident_mib()
    summary = {
        "cell_seconds": time.perf_counter() - started,
        "peak_mib": peak,
        "peak_rise_mib": max(peak - baseline, 0.0),
        "peak_device_mib": peak_device_mib(torch.device(cell.device)),
        "jobs": jobs,
    }
    return outcome, {"summary": summary, "environment": {**environment(), "threads": torch.get_num_threads()}}


def validate(cell: Cell, data_root: Path, on_progress: OnProgress, go_on: GoOn) -> Validated:
    """The cell trained and selected, not tested; ``cell_seconds`` and ``peak_mib`` join its summary."""
    set_up_process()
    started = time.perf_counter()
    validated = validate_cell(cell, cell.entry.load(data_root), on_progress, go_on)
    measured = {"cell_seconds": time.perf_counter() - started, "peak_mib": peak_resident_mib()}
    return replace(validated, summary={**validated.summary, **measured})
