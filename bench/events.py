"""What a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.cell import Cell
from bench.protocol import Progress
from bench.store import Failure


@dataclass(frozen=True)
class Planned:
    """The run begins: all cells of the grid, and those of them that are finished already."""

    cells: tuple[Cell, ...]
    finished: tuple[Cell, ...]


@dataclass(frozen=True)
class Started:
    """A cell's process was started."""

    cell: Cell


@dataclass(frozen=True)
class Progressed:
    """A running cell got further."""

    cell: Cell
    progress: Progress


@dataclass(frozen=True)
class Finished:
    """A cell is done; ``score`` is its test accuracy (in the selecting mode) or squared error.

    Its result is stored; that of a trial is not, and is ``result``, with the validation's score.
    """

    cell: Cell
    score: float
    seconds: float
    result: object = None


@dataclass(frozen=True)
class Failed:
    """A cell ended without a result, and that is stored."""

    cell: Cell
    failure: Failure


Event = Planned | Started | Progressed | Finished | Failed
OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Watch nothing."""
