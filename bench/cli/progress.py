"""Live progress of a run: a table in a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.cell import Cell
from bench.events import (
    Abandoned,
    Elsewhere,
    EndedElsewhere,
    Event,
    Failed,
    Finished,
    OnEvent,
    Planned,
    Progressed,
    Started,
    ignore,
)
from bench.protocol import Progress


@contextmanager
def watcher(console: Console, jobs: int, quiet: bool) -> Iterator[OnEvent]:
    """What to call with each event of a run."""
    if quiet:
        yield ignore
    elif console.is_terminal:
        board = Board(jobs)
        with Live(console=console, get_renderable=board.render, refresh_per_second=4, transient=True):
            yield lambda event: _take_on_screen(board, event, console)
    else:
        yield Lines(console, jobs).take


def value_text(cell: Cell, value: float | None) -> str:
    """``acc 61.2%`` or ``mse 0.412``; empty before the first measurement."""
    if value is None:
        return ""
    return f"mse {value:.3f}" if cell.entry.kind == "regression" else f"acc {100 * value:.1f}%"


def duration(seconds: float) -> str:
    """``0:07`` or ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass
class Tally:
    """What is known of a run so far."""

    jobs: int
    cells: tuple[Cell, ...] = ()
    ended: dict[str, str] = field(default_factory=dict)
    running: dict[str, tuple[Cell, float, Progress | None]] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    seconds: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, Planned):
            self.cells = event.cells
            self.ended = {cell.id: "ok" for cell in event.finished}
            self.ended |= {cell.id: failure.kind for cell, failure in event.failed}
        elif isinstance(event, Started):
            self.elsewhere.discard(event.cell.id)
            self.running[event.cell.id] = (event.cell, time.monotonic(), None)
        elif isinstance(event, Progressed):
            cell, started, _ = self.running[event.cell.id]
            self.running[event.cell.id] = (cell, started, event.progress)
        elif isinstance(event, Elsewhere):
            self.elsewhere.add(event.cell.id)
        elif isinstance(event, Abandoned):
            self.running.pop(event.cell.id, None)
        else:
            self.running.pop(event.cell.id, None)
            self.elsewhere.discard(event.cell.id)
            failure = None if isinstance(event, Finished) else event.failure
            self.ended[event.cell.id] = "ok" if failure is None else failure.kind
            if isinstance(event, Finished):
                self.seconds.setdefault(_kind(event.cell), []).append(event.seconds)

    def time_left(self) -> float | None:
        """Seconds, from the cells of the same kind that finished, or of any kind; None before the first."""
        everything = [value for values in self.seconds.values() for value in values]
        if not everything:
            return None
        usual = sum(everything) / len(everything)
        total = 0.0
        for cell in self.cells:
            if cell.id not in self.ended:
                known = self.seconds.get(_kind(cell), [usual])
                spent = time.monotonic() - self.running[cell.id][1] if cell.id in self.running else 0.0
                total += max(sum(known) / len(known) - spent, 0.0)
        return total / self.jobs


def _kind(cell: Cell) -> tuple[str, str, str]:
    return (cell.algorithm, cell.dataset, cell.shape)


class Lines:
    """A line per event, for logs; cells that are skipped for the same reason share one."""

    def __init__(self, console: Console, jobs: int) -> None:
        self._console = console
        self._tally = Tally(jobs)
        self._reasons: set[str] = set()

    def take(self, event: Event) -> None:
        """Print an event; measurements during training are left out."""
        self._tally.take(event)
        done = f"[{len(self._tally.ended)}/{len(self._tally.cells)}]"
        if isinstance(event, Planned):
            line = _planned(event)
        elif isinstance(event, Started):
            line = f"{done} started {event.cell.id}"
        elif isinstance(event, Finished):
            left = self._tally.time_left()
            eta = f", about {duration(left)} left" if left else ""
            line = f"{done} ok {event.cell.id}: {value_text(event.cell, event.score)}, {event.seconds:.1f} s{eta}"
        elif isinstance(event, Failed) and event.failure.kind == "skipped":
            if event.failure.message in self._reasons:
                return
            self._reasons.add(event.failure.message)
            line = f"skipped {event.cell.id} and its like: {event.failure.message}"
        elif isinstance(event, Failed):
            line = f"{done} {event.failure.kind} {event.cell.id}: {event.failure.message}"
        elif isinstance(event, EndedElsewhere):
            failure = event.failure
            words = f"{failure.kind} {event.cell.id}: {failure.message}" if failure else f"ok {event.cell.id}"
            line = f"{done} {words} (in another run)"
        elif isinstance(event, Elsewhere):
            line = f"{done} elsewhere {event.cell.id}: another run is at work on it ({event.owner})"
        elif isinstance(event, Abandoned):
            line = f"{done} given up {event.cell.id}: another run took it over"
        else:
            return
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def _planned(event: Planned) -> str:
    line = f"{len(event.cells)} cells, {len(event.finished)} finished before"
    if event.failed:
        line += f", {len(event.failed)} failed before and not tried again"
    return "\n".join([line, *_set_aside(event)])


def _set_aside(event: Planned) -> list[str]:
    return [f"set aside {cell.id}: {why}" for cell, why in event.damaged]


def _take_on_screen(board: Board, event: Event, console: Console) -> None:
    """The board is gone at the end; what is to be known afterwards stays above it."""
    board.take(event)
    for line in _set_aside(event) if isinstance(event, Planned) else ():
        console.print(line, soft_wrap=True, highlight=False, markup=False)


class Board:
    """The grid as a table of counts, the running cells, and the time left."""

    def __init__(self, jobs: int) -> None:
        self._tally = Tally(jobs)
        self._began = time.monotonic()

    def take(self, event: Event) -> None:
        """Take an event in; the screen refreshes by itself."""
        self._tally.take(event)

    def render(self) -> RenderableType:
        """What the screen shows now."""
        tally = self._tally
        left = tally.time_left()
        text = f"{len(tally.ended)}/{len(tally.cells)} cells, {duration(time.monotonic() - self._began)} gone"
        return Group(self._grid(), self._at_work(), Text(text + (f", about {duration(left)} left" if left else "")))

    def _grid(self) -> Table:
        tally = self._tally
        algorithms = list(dict.fromkeys(cell.algorithm for cell in tally.cells))
        table = Table("", *algorithms)
        for place in dict.fromkeys((cell.dataset, cell.shape) for cell in tally.cells):
            row = [" ".join(place)]
            for algorithm in algorithms:
                cells = [c for c in tally.cells if (c.dataset, c.shape, c.algorithm) == (*place, algorithm)]
                row.append(" ".join(self._mark(cell) for cell in cells))
            table.add_row(*row)
        return table

    def _mark(self, cell: Cell) -> str:
        if cell.id in self._tally.ended:
            status = self._tally.ended[cell.id]
            return {"ok": "[green]✓[/]", "skipped": "[dim]–[/]"}.get(status, "[red]✗[/]")
        if cell.id in self._tally.elsewhere:
            return "[blue]»[/]"
        return "[yellow]▸[/]" if cell.id in self._tally.running else "[dim]·[/]"

    def _at_work(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for cell, started, progress in self._tally.running.values():
            done, total = (progress.done, progress.total) if progress else (0, 1)
            table.add_row(
                f"{cell.algorithm} {cell.dataset} {cell.shape} seed {cell.seed}",
                ProgressBar(total=total, completed=done, width=24),
                value_text(cell, progress.validation if progress else None),
                duration(time.monotonic() - started),
            )
        return table
