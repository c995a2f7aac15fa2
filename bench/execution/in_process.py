"""One cell in the process it is in: set up the process, load the data, run the protocol, measure."""

from __future__ import annotations

import os
import random
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from bench.process.allocator import keep_large_buffers
from bench.process.environment import environment
from bench.process.memory import peak_device_mib, peak_resident_mib, resident_mib
from bench.protocol.cell_run import run_cell, validate_cell
from bench.protocol.checkpoint import Checkpoints
from bench.protocol.outcome import GoOn, OnProgress, Outcome, Validated
from bench.protocol.training import NO_CHECKPOINTS
from bench.spec.cell import Cell


def set_up_process(device: str = "cpu") -> None:
    """One thread and deterministic kernels: the same cell gives the same bytes whatever runs beside it.

    On a CPU an operation that has no deterministic form is an error. On a GPU, where some have none, PyTorch warns of
    it instead, and ``nondeterminism`` takes its name down. Large buffers stay with the process; see
    ``bench.process.allocator``. New buffers are not filled with NaN, which is PyTorch's default in this mode and
    takes 2 to 7% of an outer step.
    """
    keep_large_buffers()
    torch.set_num_threads(1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # as torch.use_deterministic_algorithms, which imports the compiler in order to tell it: the variable does
    torch.set_deterministic_debug_mode("error" if torch.device(device).type == "cpu" else "warn")
    os.environ.setdefault("TORCHINDUCTOR_DETERMINISTIC", "1")
    fill_new_buffers(False)
    torch.backends.cudnn.benchmark = False


def fill_new_buffers(on: bool) -> None:
    """Let a buffer start as NaN, or the largest integer, so that what reads it before it is written shows."""
    torch.utils.deterministic.fill_uninitialized_memory = on  # type: ignore[attr-defined]  # a property of the module


def seed_everything(seed: int) -> None:
    """Seed the global generators. The benchmark draws from none of them, but a plug-in might."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the global generator is meant
    torch.manual_seed(seed)


@contextmanager
def nondeterminism() -> Iterator[set[str]]:
    """Takes down the names of operations that PyTorch warns have no deterministic form; other warnings go on."""
    names: set[str] = set()
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=".* does not have a deterministic implementation")
        show = warnings.showwarning

        def record(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            match = re.match(r"(\S+) does not have a deterministic implementation", str(message))
            if match:
                names.add(match[1])
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = record
        yield names


def execute(
    cell: Cell, data_root: Path, jobs: int, on_progress: OnProgress, checkpoints: Checkpoints = NO_CHECKPOINTS
) -> tuple[Outcome, dict[str, Any]]:
    """The cell's outcome, and what was measured of this process: ``summary`` numbers and the ``environment``.

    ``jobs`` is the number of cells that run in parallel, for the record; ``checkpoints`` keeps the cell's checkpoint.
    """
    set_up_process(cell.device)
    seed_everything(cell.seed)
    baseline, started = resident_mib(), time.perf_counter()
    dataset = cell.entry.load(data_root)
    with nondeterminism() as names:
        outcome = run_cell(cell, dataset, on_progress, checkpoints)
    peak = peak_resident_mib()
    summary = {
        "cell_seconds": time.perf_counter() - started,
        "peak_mib": peak,
        "peak_rise_mib": max(peak - baseline, 0.0),
        "peak_device_mib": peak_device_mib(torch.device(cell.device)),
        "jobs": jobs,
    }
    threads = {"threads": torch.get_num_threads(), "interop_threads": torch.get_num_interop_threads()}
    made_in = {**environment(), **threads, "nondeterministic": sorted(names), "engine": dict(outcome.engine)}
    return outcome, {"summary": summary, "environment": made_in}


def validate(cell: Cell, data_root: Path, on_progress: OnProgress, go_on: GoOn) -> Validated:
    """The cell trained and selected, not tested; ``cell_seconds`` and ``peak_mib`` join its summary."""
    set_up_process(cell.device)
    seed_everything(cell.seed)
    started = time.perf_counter()
    validated = validate_cell(cell, cell.entry.load(data_root), on_progress, go_on)
    measured = {"cell_seconds": time.perf_counter() - started, "peak_mib": peak_resident_mib()}
    return replace(validated, summary={**validated.summary, **measured})
