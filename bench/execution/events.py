"""The events of a run, for those who watch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.protocol.outcome import Progress
from bench.spec.cell import Cell
from bench.store.store import Failure


@dataclass(frozen=True)
class Planned:
    """The run begins; its cells are known.

    Attributes:
        cells: all of the grid.
        finished: those that the store holds already.
        failed: those that failed in an earlier run and are not tried again, with their failures.
        damaged: those whose stored files are damaged, and how; they are set aside and run again.
        other_numerics: finished cells whose results were made by other numerics than run here, or by unknown ones.
    """

    cells: tuple[Cell, ...]
    finished: tuple[Cell, ...]
    failed: tuple[tuple[Cell, Failure], ...] = ()
    damaged: tuple[tuple[Cell, str], ...] = ()
    other_numerics: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Started:
    """A cell's process was started."""

    cell: Cell


@dataclass(frozen=True)
class Progressed:
    """A running cell made progress."""

    cell: Cell
    progress: Progress


@dataclass(frozen=True)
class Finished:
    """A cell is done; ``score`` is its test accuracy (in the selecting mode) or squared error.

    A cell's result is stored. A trial's is not: ``result`` holds it, and ``score`` is that of the validation.
    """

    cell: Cell
    score: float
    seconds: float
    result: object = None


@dataclass(frozen=True)
class Failed:
    """A cell ended without a result; the failure is stored."""

    cell: Cell
    failure: Failure


@dataclass(frozen=True)
class Abandoned:
    """A running cell was ended because another run has taken it over; nothing of it is stored."""

    cell: Cell


@dataclass(frozen=True)
class Elsewhere:
    """Another run on the same store is running a cell of this one.

    Attributes:
        cell: which.
        owner: the host and process of that run.
    """

    cell: Cell
    owner: str


@dataclass(frozen=True)
class EndedElsewhere:
    """Another run on the same store ended a cell of this one.

    Attributes:
        cell: which.
        failure: how; None where it is finished.
    """

    cell: Cell
    failure: Failure | None


Event = Planned | Started | Progressed | Finished | Failed | Abandoned | Elsewhere | EndedElsewhere
OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Watch nothing."""
