"""Checkpoints of a training that is under way, and the interface through which they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from algorithms.core.meta_state import State

CHECKPOINT_SECONDS = 600.0  # between two checkpoints; a shorter cell writes none


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
    """The checkpoints of one cell, of which the latest is kept."""

    def due(self) -> bool:
        """Return whether it is time for another one."""

    def write(self, checkpoint: Checkpoint) -> None:
        """Store the checkpoint in place of the previous one."""

    def read(self) -> Checkpoint | None:
        """Return the latest checkpoint; None where there is none to continue from."""


class NoCheckpoints:
    """Stores nothing."""

    def due(self) -> bool:
        return False

    def write(self, checkpoint: Checkpoint) -> None:
        """Do nothing; ``due`` is never true."""

    def read(self) -> Checkpoint | None:
        return None
