"""Grids for clusters on this machine, and a look at the processes that they leave."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psutil

from bench.process.plugins import import_plugins
from bench.spec.grid import Grid
from tests.bench.helpers import FAILING, PLUGINS, ROOT, tiny

SLOW = {"episodes": 80, "n_query": 2, "eval_every": 2}  # about half a second with the algorithm `waits`
MARK = "BENCH_TEST_CLUSTER"


def slow_grid(seeds: int) -> Grid:
    """Cells that take long enough to be disturbed."""
    import_plugins([FAILING])
    return tiny(algorithms=["waits"], seeds=list(range(seeds)), train=SLOW)


@contextmanager
def marked_processes(**variables: str) -> Iterator[None]:
    """Let processes that are started in the block find the plugins, and mark them as this test's."""
    before = dict(os.environ)
    path = os.pathsep.join([str(ROOT), str(PLUGINS)])
    os.environ.update(variables, PYTHONPATH=path, OMP_NUM_THREADS="1", **{MARK: uuid4().hex})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def cells_at_work() -> list[int]:
    """Marked processes that a fork server started; those that are being ended get a moment to be gone."""
    deadline = time.monotonic() + 60
    while (found := cells_there()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def cells_there() -> list[int]:
    """Marked processes that a fork server started, now."""
    return [process.pid for process in _marked() if _is_cell(process)]


def marked() -> list[str]:
    """The commands of all marked processes but this one and those that multiprocessing keeps for it, now."""
    own = psutil.Process()
    kept = {own.pid, *(child.pid for child in own.children() if "multiprocessing." in _command(child))}
    return [_command(process) for process in _marked() if process.pid not in kept]


def _command(process: psutil.Process) -> str:
    try:
        return f"{process.pid}: {' '.join(process.cmdline())}"
    except psutil.Error:
        return f"{process.pid}: gone"


def _marked() -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _is_marked(process)]


def _is_marked(process: psutil.Process) -> bool:
    try:
        return process.environ().get(MARK) == os.environ[MARK] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _is_cell(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
        return parent is not None and "forkserver" in " ".join(parent.cmdline())
    except psutil.Error:
        return False
