"""Checkpoints of a training that is under way, and the interface through which they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from algorithms.core.meta_state import State

CHECKPOINT_SECONDS = 600.0  # of work that may be lost; a cell that takes less writes none


@dataclass(frozen=True)
class Checkpoint:
    """Everything that training needs to continue as if it had not been interrupted.

    Attributes:
        outer_steps: taken so far.
        tensors: meta-states, flat; their order counts.
        numbers: everything else, JSON-ready.
    """

    outer_steps: int
    tensors: State
    numbers: dict[str, Any]


class Checkpoints(Protocol):
    """Keeps the checkpoint of one cell."""

    def due(self) -> bool:
        """Return whether it is time for another one."""

    def write(self, checkpoint: Checkpoint) -> None:
        """Keep this one instead of the one before."""

    def read(self) -> Checkpoint | None:
        """The one that is kept; None where there is none to go on from."""


class NoCheckpoints:
    """Keeps nothing."""

    def due(self) -> bool:
        return False

    def write(self, checkpoint: Checkpoint) -> None:
        """It is never time for one."""

    def read(self) -> Checkpoint | None:
        return None
