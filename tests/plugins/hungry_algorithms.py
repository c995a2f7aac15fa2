"""Algorithms that really use up memory, each in its own way, for the tests of the limit."""

from __future__ import annotations

import mmap
import time

import numpy as np
import torch

from algorithms import ALGORITHMS, AlgorithmEntry
from algorithms.core.algorithm import Metrics
from algorithms.core.meta_state import State
from algorithms.maml import MAML, MAMLHyperParameters
from datasets.core.episodes import Episodes, Examples

FOREVER = 600.0
PIECE = 8 * 2**20  # bytes


class _Hungry(MAML):
    """Takes a piece more than any limit of the tests would allow, if nobody stops it."""

    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        kept = [self.take_piece() for _ in range(2**30 // PIECE)]
        time.sleep(FOREVER)
        raise AssertionError(f"nobody stopped this process at {len(kept)} pieces")

    def take_piece(self) -> object:
        raise NotImplementedError


class HungryTensors(_Hungry):
    def take_piece(self) -> object:
        return torch.ones(PIECE // 4)


class HungryArrays(_Hungry):
    def take_piece(self) -> object:
        return np.ones(PIECE // 8)


class HungryLists(_Hungry):
    """Objects of Python's own, so small that even the exception has no room."""

    def take_piece(self) -> object:
        return [float(number) for number in range(PIECE // 32)]


class HungryShared(_Hungry):
    """Memory that is not private, which no limit of the process's own counts."""

    def take_piece(self) -> object:
        piece = mmap.mmap(-1, PIECE)
        piece.write(b"x" * PIECE)
        return piece


ENTRIES = {
    "hungry-tensors": HungryTensors,
    "hungry-arrays": HungryArrays,
    "hungry-lists": HungryLists,
    "hungry-shared": HungryShared,
}
for name, factory in ENTRIES.items():
    ALGORITHMS.add(AlgorithmEntry(name, factory, MAMLHyperParameters, "none", f"a test: {name}"))
