"""Cells on this machine: each in a process of its own with its limits, several in parallel.

Processes come from a fork server that has imported everything once, so that a cell starts in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.execution.captured_output import CapturedOutput
from bench.execution.cell_process import Done, Work
from bench.execution.child import LOG, Problem, Task, run_task
from bench.execution.events import Abandoned, Failed, Finished, OnEvent, Progressed, Started
from bench.process.identity import Identity, identity_of, kill_session
from bench.process.memory import MIB
from bench.process.memory_limit import resident_bytes, size_text
from bench.process.scratch import give_sockets_a_folder
from bench.protocol.outcome import Measurement, Progress
from bench.spec.cell import Cell
from bench.store.atomic import CannotWrite
from bench.store.store import Failure, FailureKind
from datasets.storage.verified import trust, verified_stamps

GRACE_SECONDS = 5.0  # between TERM and KILL
POLL_SECONDS = 0.5
LOG_LINES = 50  # of what a failed cell printed are kept
END = object()  # of the cells
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STARTING = threading.Lock()


@dataclass(frozen=True)
class LocalExecutor:
    """Runs the same work on each of a number of cells.

    Attributes:
        work: what is done with a cell.
        data_root: where the datasets lie.
        jobs: cells that run in parallel.
        timeout: wall seconds that a cell may take; None for no limit.
        memory: bytes of resident memory that a cell's process may have; None for no limit.
        plugins: modules that each cell's process imports first.
        go_on: asked after each measurement of a cell whose work can end early; the cell waits for the answer.
        stopping: asked twice a second; once it is true, the run is interrupted as by Ctrl-C.
        wanted: asked twice a second of each running cell; once it is false, the cell is ended, and nothing is kept.
    """

    work: Work
    data_root: Path
    jobs: int = 1
    timeout: float | None = None
    memory: int | None = None
    plugins: Sequence[str] = ()
    go_on: Callable[[Cell, Measurement], bool] = lambda cell, measurement: True
    stopping: Callable[[], bool] = lambda: False
    wanted: Callable[[Cell], bool] = lambda cell: True

    def run(self, cells: Iterable[Cell | None], on_event: OnEvent) -> None:
        """Run all ``cells``; returns when each has ended, well or not.

        The next cell is asked for when one can start; None means that there is none for the moment. If this is
        interrupted (KeyboardInterrupt, or an exception of ``on_event``), the running cells are ended and leave nothing
        behind.

        Raises:
            CannotWrite: the outcome of a cell cannot be stored.
        """
        context, folder = _context(), Path.cwd()
        waiting, running, more = iter(cells), list[_Running](), True
        try:
            while more or running:
                more = self._fill(context, folder, waiting, running, on_event)
                _wait([run.connection for run in running], more)
                if self.stopping():
                    raise KeyboardInterrupt
                for run in list(running):
                    if self._attend(run, on_event):
                        running.remove(run)
        finally:
            for run in running:
                run.process.terminate()
            for run in running:
                run.end()

    def _fill(
        self,
        context: ForkServerContext | SpawnContext,
        folder: Path,
        waiting: Iterator[Cell | None],
        running: list[_Running],
        on_event: OnEvent,
    ) -> bool:
        """Start cells until ``jobs`` run or none is left for now; return whether there may be more later."""
        while len(running) < self.jobs:
            with _interrupt_waits():  # a cell with a lease runs before anything else happens
                cell = next(waiting, END)
                if isinstance(cell, Cell):
                    running.append(self._start(context, folder, cell))
            if not isinstance(cell, Cell):
                return cell is not END
            on_event(Started(cell))
        return True

    def _start(self, context: ForkServerContext | SpawnContext, folder: Path, cell: Cell) -> _Running:
        attempt = self.work.attempt(cell)
        ours, theirs = context.Pipe()
        output, prints = context.Pipe(duplex=False)
        plugins = tuple(self.plugins)
        task = Task(
            cell.model_dump_json(),
            folder,
            self.work,
            self.data_root,
            self.jobs,
            self.memory,
            plugins,
            verified_stamps(),
        )
        process = context.Process(target=run_task, args=(theirs, prints, task), daemon=True)
        with _no_main_module():
            process.start()
        theirs.close()
        prints.close()
        return _Running(cell, process, identity_of(process.pid or 0), ours, CapturedOutput(output), attempt)

    def _attend(self, run: _Running, on_event: OnEvent) -> bool:
        """Take in what a running cell says; whether it has ended."""
        try:
            while run.connection.poll():
                message = run.connection.recv()
                if isinstance(message, Progress):
                    on_event(Progressed(run.cell, message))
                elif isinstance(message, Measurement):
                    run.connection.send(self.go_on(run.cell, message))
                elif isinstance(message, frozenset):  # of stamps: the cells that follow need not verify these arrays
                    trust(message)
                elif message == LOG:
                    run.connection.send(run.printed.text())
                else:
                    run.last_word = message
        except (EOFError, ConnectionResetError, BrokenPipeError):
            run.end()
        if run.process.is_alive() and run.last_word is None:
            return self._ends_early(run, on_event)
        run.end()
        if isinstance(run.last_word, CannotWrite):
            raise run.last_word
        if isinstance(run.last_word, Done):
            on_event(Finished(run.cell, run.last_word.score, run.elapsed, run.last_word.result))
        elif isinstance(run.last_word, Problem):
            problem = run.last_word
            self._fail(run, on_event, problem.kind, problem.message, problem.traceback, problem.peak_mib)
        else:
            self._fail(run, on_event, "killed", _how_it_died(run.process.exitcode))
        return True

    def _ends_early(self, run: _Running, on_event: OnEvent) -> bool:
        """End a running cell that is over a limit or no longer wanted; return whether it was ended."""
        if not self.wanted(run.cell):
            run.end(ask_first=True)
            on_event(Abandoned(run.cell))
            return True
        if self.timeout is not None and run.elapsed >= self.timeout:
            run.end(ask_first=True)
            self._fail(run, on_event, "timeout", f"over the time limit of {self.timeout:g} s")
            return True
        resident = resident_bytes(run.process.pid or 0) if self.memory is not None else 0
        if self.memory is None or resident <= self.memory:
            run.over_since = None
        elif run.over_since is None:  # a process that has reached its own limit gets a moment to say where
            run.over_since = time.monotonic()
        elif time.monotonic() - run.over_since >= POLL_SECONDS:
            run.process.kill()
            run.end()
            message = f"{resident / MIB:.0f} MiB of memory, over the limit of {size_text(self.memory)}"
            self._fail(run, on_event, "oom", message, peak_mib=round(resident / MIB, 1))
            return True
        return False

    def _fail(
        self,
        run: _Running,
        on_event: OnEvent,
        kind: FailureKind,
        message: str,
        trace: str = "",
        peak_mib: float | None = None,
    ) -> None:
        failure = Failure(kind, message, trace, run.attempt, round(run.elapsed, 3), peak_mib, run.last_lines)
        self.work.failed(run.cell, failure)
        on_event(Failed(run.cell, failure))


@dataclass
class _Running:
    """A cell whose process is running."""

    cell: Cell
    process: BaseProcess
    identity: Identity
    connection: Connection
    printed: CapturedOutput
    attempt: int
    started: float = field(default_factory=time.monotonic)
    over_since: float | None = None
    last_word: Any = None
    last_lines: str = ""

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def end(self, ask_first: bool = False) -> None:
        """Make sure that the process and all of its session are gone, and take in what was printed."""
        if ask_first:
            self.process.terminate()
        self.process.join(GRACE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        kill_session(self.identity)
        self.connection.close()
        self.last_lines = "\n".join(self.printed.text().splitlines()[-LOG_LINES:])
        self.printed.close()


@contextmanager
def _interrupt_waits() -> Iterator[None]:
    """Delay signals to the end of the block: an interrupted start would leave an unknown process."""
    before = {number: signal.getsignal(number) for number in INTERRUPTIONS}
    handled = {number: handler for number, handler in before.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():
        handled = {}
    came: list[tuple[int, Any]] = []
    for number in handled:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
        if came:
            handled[signal.Signals(came[0][0])](*came[0])


@contextmanager
def _no_main_module() -> Iterator[None]:
    """A process that starts meanwhile does not import the caller's script, which would start the run again in it."""
    with _STARTING:  # by one thread at a time
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _context() -> ForkServerContext | SpawnContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver, resource_tracker  # not to be had everywhere

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.execution.preload"])
    give_sockets_a_folder()
    resource_tracker.ensure_running()  # first, because its start would end the blocking
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # for the server and all that it forks
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    return context


def _wait(connections: Sequence[Connection], more: bool) -> None:
    """Until a cell says something, or it is time to look around; at once where there is nothing to wait for."""
    if connections:
        wait(connections, timeout=POLL_SECONDS)
    elif more:
        time.sleep(POLL_SECONDS)


def _how_it_died(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by {signal.Signals(-exitcode).name}"
    return f"the process ended with exit code {exitcode} and no result"
