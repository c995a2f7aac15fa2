"""The queue of a run: the cells that the store lacks, one at a time, shared with other runs on the same store."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.execution.events import Abandoned, Elsewhere, EndedElsewhere, Event, Failed, Finished, OnEvent, Planned
from bench.protocol.numerics import differs_here
from bench.spec.cell import Cell
from bench.store.leases import Leases
from bench.store.store import Failure, Store

Retry = Literal["failed", "timeout", "oom", "none"]
RETRIES: tuple[Retry, ...] = ("failed", "timeout", "oom", "none")


def plan(cells: Sequence[Cell], store: Store, retry: Retry) -> Planned:
    """Return what of ``cells`` the store holds already; nothing is changed.

    Args:
        cells: of the grid.
        store: where they are.
        retry: which failures of earlier runs are tried again: all of them (``failed``), those of one kind, or none. A
            cell that was skipped has not failed.
    """
    finished, failed, damaged = list[Cell](), list[tuple[Cell, Failure]](), list[tuple[Cell, str]]()
    for cell in cells:
        if why := store.damage(cell):
            damaged.append((cell, why))
        elif store.has_result(cell):
            finished.append(cell)
        elif (failure := store.failure(cell)) and failure.kind != "skipped" and retry not in ("failed", failure.kind):
            failed.append((cell, failure))
    other_numerics = [cell for cell in finished if differs_here(store.numerics(cell), cell.algorithm)]
    return Planned(tuple(cells), tuple(finished), tuple(failed), tuple(damaged), tuple(other_numerics))


@dataclass
class Share:
    """A run's share of the cells: those that no other run has a lease on, one after the other, until all have ended.

    Attributes:
        cells: those that are to be run.
        store: where their results go.
        leases: of this run.
        on_event: told of what other runs do with the cells.
    """

    cells: Sequence[Cell]
    store: Store
    leases: Leases
    on_event: OnEvent
    _left: deque[Cell] = field(init=False)
    _before: Mapping[str, Failure | None] = field(init=False)
    _running: set[str] = field(init=False, default_factory=set)
    _elsewhere: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._left = deque(self.cells)
        self._before = {cell.id: self.store.failure(cell) for cell in self.cells}

    def __iter__(self) -> Iterator[Cell | None]:
        """Return the next cell to run, or None while all remaining cells are running, here or elsewhere."""
        while self._left or self._running:
            cell = next((cell for cell in self._round() if self._is_ours(cell)), None)
            if cell is not None:
                self._running.add(cell.id)
            if self._left or self._running:
                yield cell

    def wants(self, cell: Cell) -> bool:
        """Return whether a running cell is still this run's."""
        return self.leases.holds(cell.id)

    def handle(self, event: Event) -> None:
        """Note the end of a cell, and pass the event on."""
        if isinstance(event, Finished | Failed | Abandoned):
            self._running.discard(event.cell.id)
            self.leases.release(event.cell.id)
        if isinstance(event, Abandoned):
            self._left.append(event.cell)
        self.on_event(event)

    def _round(self) -> Iterator[Cell]:
        """Each of the cells that are left now, once; those that are not kept by the reader stay for the next round."""
        for _ in range(len(self._left)):
            yield self._left.popleft()

    def _is_ours(self, cell: Cell) -> bool:
        """Return whether this run has the cell to itself now; if not, it has ended elsewhere or is left for later."""
        leased = self.leases.acquire(cell.id)
        ended, failure = self._end(cell)  # looked at after it was taken: nobody else can end it from here on
        if not ended and leased:
            return True
        if leased:
            self.leases.release(cell.id)
        if ended:
            self.on_event(EndedElsewhere(cell, failure))
            return False
        self._left.append(cell)
        if cell.id not in self._elsewhere:
            self._elsewhere.add(cell.id)
            self.on_event(Elsewhere(cell, self.leases.owner(cell.id)))
        return False

    def _end(self, cell: Cell) -> tuple[bool, Failure | None]:
        """Return whether another run ended the cell since this one began, and the failure where it ended as one."""
        if self.store.has_result(cell):
            return True, None
        failure = self.store.failure(cell)
        return failure is not None and failure != self._before[cell.id], failure
