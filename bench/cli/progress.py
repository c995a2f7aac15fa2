"""Live progress of a run: a table in a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.cli.common import counted
from bench.cli.forecast import CellGroup, Forecast, group_of
from bench.execution.events import (
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
from bench.protocol.outcome import Progress
from bench.spec.cell import Cell

LEAST_DONE = 0.05  # of a cell's outer steps, before its pace says how long it takes
MARKS = 10  # cells of an algorithm, dataset and shape that are shown one by one


@contextmanager
def watcher(console: Console, jobs: int, quiet: bool, forecast: Forecast | None = None) -> Iterator[OnEvent]:
    """Yield what to call with each event of a run; ``forecast`` helps to say how long it will take."""
    if quiet:
        yield ignore
    elif console.is_terminal:
        board = Board(jobs, forecast)
        with Live(console=console, get_renderable=board.render, refresh_per_second=4, transient=True):
            yield lambda event: _take_on_screen(board, event, console)
    else:
        yield Lines(console, jobs, forecast).handle


def value_text(cell: Cell, value: float | None) -> str:
    """``acc 61.2%`` or ``mse 0.412``; empty before the first measurement."""
    if value is None:
        return ""
    if cell.entry.kind == "control":
        return f"return {value:.2f}"
    return f"mse {value:.3f}" if cell.entry.kind == "regression" else f"acc {100 * value:.1f}%"


def duration(seconds: float) -> str:
    """``0:07`` or ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass
class Tally:
    """Counts of a run so far, so that handling an event takes the same time however many cells there are."""

    jobs: int
    forecast: Forecast | None = None
    cells: tuple[Cell, ...] = ()
    ended: dict[str, str] = field(default_factory=dict)
    running: dict[str, tuple[Cell, float, Progress | None]] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    waiting: Counter[CellGroup] = field(default_factory=Counter)
    seconds: dict[CellGroup, float] = field(default_factory=dict)
    finished: Counter[CellGroup] = field(default_factory=Counter)

    def handle(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, Planned):
            self.cells = event.cells
            self.ended = {cell.id: "ok" for cell in event.finished}
            self.ended |= {cell.id: failure.kind for cell, failure in event.failed}
            left = [cell for cell in event.cells if cell.id not in self.ended]
            self.waiting = Counter(group_of(cell) for cell in left)
            if self.forecast is not None and len(left) > self.jobs and len(self.waiting) > 1:
                self.forecast.begin(left)
        elif isinstance(event, Started):
            self.elsewhere.discard(event.cell.id)
            self.running[event.cell.id] = (event.cell, time.monotonic(), None)
            self.waiting[group_of(event.cell)] -= 1
            self.jobs = max(self.jobs, len(self.running))  # a cluster has room for more than this machine
        elif isinstance(event, Progressed):
            cell, started, _ = self.running[event.cell.id]
            self.running[event.cell.id] = (cell, started, event.progress)
        elif isinstance(event, Elsewhere):
            self.elsewhere.add(event.cell.id)
        elif isinstance(event, Abandoned):
            if self.running.pop(event.cell.id, None) is not None:
                self.waiting[group_of(event.cell)] += 1
        else:
            kind = group_of(event.cell)
            self.elsewhere.discard(event.cell.id)
            if self.running.pop(event.cell.id, None) is None:
                self.waiting[kind] -= 1
            failure = None if isinstance(event, Finished) else event.failure
            self.ended[event.cell.id] = "ok" if failure is None else failure.kind
            if isinstance(event, Finished):
                self.seconds[kind] = self.seconds.get(kind, 0.0) + event.seconds
                self.finished[kind] += 1

    def time_left(self) -> float | None:
        """Seconds until the last cell ends; None while nothing is known of cells that have not begun.

        A cell takes as long as those of its kind took, else what the forecast says, scaled by how long cells that are
        finished took beside theirs, else as long as others on its dataset and shape, else as long as any. One that runs
        takes at least as long as its progress says.
        """
        forecast = self.forecast.seconds if self.forecast is not None else {}
        unknown = [kind for kind in +self.waiting if kind not in self.finished and kind not in forecast]
        if unknown and self.forecast is not None and self.forecast.going_on:
            return None
        if not self.finished and (unknown or not forecast):
            return None
        both = [kind for kind in self.finished if forecast.get(kind)]
        predicted = sum(forecast[kind] * self.finished[kind] for kind in both)
        scale = sum(self.seconds[kind] for kind in both) / predicted if both else 1.0
        usual = sum(self.seconds.values()) / max(self.finished.total(), 1)

        known = {kind: seconds * scale for kind, seconds in forecast.items()}
        known |= {kind: self.seconds[kind] / count for kind, count in self.finished.items()}

        def expected(kind: CellGroup) -> float:
            if kind in known:
                return known[kind]
            alike = [seconds for other, seconds in known.items() if other[1:] == kind[1:]]
            return sum(alike) / len(alike) if alike else usual

        now = time.monotonic()
        running = [
            max(expected(group_of(cell)) - (now - started), _by_progress(now - started, progress))
            for cell, started, progress in self.running.values()
        ]
        waiting = {kind: count for kind, count in self.waiting.items() if count > 0}
        total = sum(running) + sum(count * expected(kind) for kind, count in waiting.items())
        return max([total / self.jobs, *running, *(expected(kind) for kind in waiting)])


def _by_progress(elapsed: float, progress: Progress | None) -> float:
    """Seconds of training that a cell has left at its pace so far; 0 before that says anything."""
    if progress is None or progress.done < max(LEAST_DONE * progress.total, 1):
        return 0.0
    return elapsed * (progress.total - progress.done) / progress.done


class Lines:
    """A line per event, for logs; cells that are skipped for the same reason share one."""

    def __init__(self, console: Console, jobs: int, forecast: Forecast | None = None) -> None:
        self._console = console
        self._tally = Tally(jobs, forecast)
        self._reasons: set[str] = set()

    def handle(self, event: Event) -> None:
        """Print an event; measurements during training are left out."""
        self._tally.handle(event)
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
            line = f"{done} elsewhere {event.cell.id}: another run is running it ({event.owner})"
        elif isinstance(event, Abandoned):
            line = f"{done} given up {event.cell.id}: another run took it over"
        else:
            return
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def _planned(event: Planned) -> str:
    if not event.cells:
        return "nothing to run"
    line = f"{counted(len(event.cells), 'cell')}, {len(event.finished)} finished before"
    if event.failed:
        line += f", {len(event.failed)} failed before and not tried again"
    return "\n".join([line, *_above(event)])


def _above(event: Planned) -> list[str]:
    """Return what is to be known before the run, a line each."""
    lines = [f"set aside {cell.id}: {why}" for cell, why in event.damaged]
    if event.other_numerics and len(event.finished) < len(event.cells):
        lines.append(
            f"{counted(len(event.other_numerics), 'finished cell')} of another or unknown version of the numerics than "
            "runs here; tables will say that they mix them, and another --out does not"
        )
    return lines


def _take_on_screen(board: Board, event: Event, console: Console) -> None:
    """The board is gone at the end; what is to be known afterwards stays above it."""
    board.handle(event)
    for line in _above(event) if isinstance(event, Planned) else ():
        console.print(line, soft_wrap=True, highlight=False, markup=False)


class Board:
    """The grid as a table of marks or counts, the running cells, and the time left."""

    def __init__(self, jobs: int, forecast: Forecast | None = None) -> None:
        self._tally = Tally(jobs, forecast)
        self._began = time.monotonic()
        self._ids: dict[CellGroup, list[str]] = {}

    def handle(self, event: Event) -> None:
        """Take an event in; the screen refreshes by itself."""
        self._tally.handle(event)
        if isinstance(event, Planned):
            self._ids = {}
            for cell in event.cells:
                self._ids.setdefault(group_of(cell), []).append(cell.id)

    def render(self) -> RenderableType:
        """Return what the screen shows now."""
        tally = self._tally
        left = tally.time_left()
        text = f"{len(tally.ended)}/{len(tally.cells)} cells, {duration(time.monotonic() - self._began)} gone"
        return Group(self._grid(), self._at_work(), Text(text + (f", about {duration(left)} left" if left else "")))

    def _grid(self) -> Table:
        algorithms = list(dict.fromkeys(algorithm for algorithm, _, _ in self._ids))
        table = Table("", *algorithms)
        for place in dict.fromkeys(kind[1:] for kind in self._ids):
            boxes = (self._ids.get((algorithm, *place), []) for algorithm in algorithms)
            table.add_row(" ".join(place), *(self._box(ids) for ids in boxes))
        return table

    def _box(self, ids: Sequence[str]) -> str:
        """A mark for each cell, or how many there are of each mark."""
        marks = [self._mark(name) for name in ids]
        if len(marks) <= MARKS:
            return " ".join(marks)
        return " ".join(f"{mark}{count}" for mark, count in Counter(marks).most_common())

    def _mark(self, name: str) -> str:
        if name in self._tally.ended:
            status = self._tally.ended[name]
            return {"ok": "[green]✓[/]", "skipped": "[dim]–[/]"}.get(status, "[red]✗[/]")
        if name in self._tally.elsewhere:
            return "[blue]»[/]"
        return "[yellow]▸[/]" if name in self._tally.running else "[dim]·[/]"

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
