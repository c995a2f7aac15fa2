"""The process of a cell on this machine: it does the work, and tells the run of it through a pipe."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.execution.cell_process import Work
from bench.process.identity import end_with_parent
from bench.process.memory import peak_resident_mib
from bench.process.memory_limit import is_out_of_memory, lift_own_limit, limit_own_memory, size_text
from bench.process.plugins import import_plugins
from bench.protocol.outcome import Diverged
from bench.spec.cell import Cell
from bench.store.atomic import CannotWrite
from bench.store.store import FailureKind
from datasets import DataNotFound
from datasets.core.printable import first_line_of
from datasets.storage.verified import Stamp, trust, verified_stamps

LOG = "log"
"""The message that asks the run for what this process printed."""


@dataclass(frozen=True)
class Task:
    """The arguments of a cell's process; ``here`` is its working directory, that of the run at its start."""

    cell_json: str
    here: Path
    work: Work
    data_root: Path
    jobs: int
    memory: int | None
    plugins: tuple[str, ...]
    verified: frozenset[Stamp]


@dataclass(frozen=True)
class Problem:
    """A cell that ended without a result, as its own process tells it."""

    kind: FailureKind
    message: str
    traceback: str
    peak_mib: float


def run_task(connection: Connection, prints: Connection, task: Task) -> None:
    """The cell's process: it leads a session of its own, leaves Ctrl-C to the parent, and ends when that is gone."""
    os.setsid()
    end_with_parent()
    _print_to(prints)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    trust(task.verified)
    try:
        os.chdir(task.here)
        import_plugins(task.plugins)
        cell = Cell.model_validate_json(task.cell_json)
        if task.memory is not None and cell.device == "cpu":  # drivers of devices map what they never use
            limit_own_memory(task.memory)
        done = task.work.run(
            cell,
            task.data_root,
            task.jobs,
            lambda progress: _say(connection, progress),
            lambda measurement: bool(_ask(connection, measurement)),
            lambda: _log(connection),
        )
        _say(connection, verified_stamps())
        _say(connection, done)
    except CannotWrite as error:
        _say(connection, error)
    except BaseException as error:
        lift_own_limit()
        _say(connection, _problem(error, task.memory))


def _print_to(prints: Connection) -> None:
    """Let this process print there, whatever it prints, and each line at once: the next one may kill it."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(prints.fileno(), descriptor)
        stream = open(descriptor, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    prints.close()


def _log(connection: Connection) -> str:
    """Return what this process printed up to now."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return str(_ask(connection, LOG))


def _problem(error: BaseException, memory: int | None) -> Problem:
    kind: FailureKind = "error"
    if isinstance(error, DataNotFound):  # on this node of a cluster, or no longer
        return Problem("skipped", first_line_of(error), "", peak_resident_mib())
    if isinstance(error, Diverged):
        kind = "nan"
    elif is_out_of_memory(error):
        kind = "oom"
    limit = f" (under a limit of {size_text(memory)})" if kind == "oom" and memory is not None else ""
    trace = "".join(traceback.format_exception(error))
    return Problem(kind, f"{type(error).__name__}: {first_line_of(error)}{limit}", trace, peak_resident_mib())


def _ask(connection: Connection, question: object) -> Any:
    _say(connection, question)
    try:
        return connection.recv()
    except (EOFError, ConnectionResetError):  # the run that wanted this cell is gone
        os._exit(1)


def _say(connection: Connection, message: object) -> None:
    try:
        connection.send(message)
    except (BrokenPipeError, ConnectionResetError):  # the run that wanted this cell is gone
        os._exit(1)
