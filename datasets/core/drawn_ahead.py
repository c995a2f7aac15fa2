"""Episodes drawn in blocks: where an episode is a few numbers, a call costs more than what it draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from datasets.core.episodes import Episodes, EpisodeStream, StreamName, Support
from datasets.core.randomness import Int64Array

BLOCK = 1024  # episodes, at most
BLOCK_BYTES = 2**22  # of their examples


@dataclass(frozen=True)
class DrawnAhead:
    """A stream that draws up to ``BLOCK`` episodes at a time from another, and gives parts of them.

    Indices that are no ``range`` are drawn as they are asked for.

    Attributes:
        drawn: the stream.
        numbers: float32 numbers of an example.
    """

    drawn: EpisodeStream
    numbers: int
    _blocks: list[Episodes] = field(default_factory=list, init=False, repr=False, compare=False)  # the last one

    @property
    def name(self) -> StreamName:
        return self.drawn.name

    @cached_property
    def block(self) -> int:
        """The episodes of a block."""
        return max(1, min(BLOCK, BLOCK_BYTES // (4 * self.numbers * self.name.shape.examples)))

    def identity(self, indices: Sequence[int] | Int64Array) -> np.ndarray:
        """Return the identities as the other stream does."""
        return self.drawn.identity(indices)

    def batch(self, indices: Sequence[int] | Int64Array) -> Episodes:
        """Return the episodes ``indices``, equal to the other stream's."""
        if not isinstance(indices, range) or indices.step != 1 or not 0 < len(indices) <= self.block:
            return self.drawn.batch(indices)
        first, size = indices.start, len(indices)
        block = self._blocks[0] if self._blocks else None
        if block is None or not 0 <= (start := first - int(block.index[0])) <= len(block) - size:
            block, start = self.drawn.batch(range(first, first + self.block)), 0
            self._blocks[:] = [block]
        return _part(block, slice(start, start + size))


def _part(block: Episodes, part: slice) -> Episodes:
    """Return tensors in memory of their own: aligned as if drawn alone, as products depend on that."""
    whole = block.support
    support = Support(whole.x[part].clone(), whole.y[part].clone(), whole.seeds[part], whole.n_way)
    query = block.query_x[part].clone(), block.query_y[part].clone()
    return Episodes(block.index[part], support, *query, block.identity[part], block.class_ids[part])
