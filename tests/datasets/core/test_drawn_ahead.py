"""Episodes drawn in blocks are those drawn alone, whatever was asked for before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import load
from datasets.core.drawn_ahead import BLOCK, BLOCK_BYTES, DrawnAhead
from datasets.core.episodes import Episodes, EpisodeStream, Shape, StreamName
from datasets.core.randomness import Int64Array


@dataclass(frozen=True)
class Counted:
    """A stream that keeps how many episodes were drawn at a time."""

    of: EpisodeStream
    calls: list[int] = field(default_factory=list)

    @property
    def name(self) -> StreamName:
        return self.of.name

    def identity(self, indices: Sequence[int] | Int64Array) -> np.ndarray:
        return self.of.identity(indices)

    def batch(self, indices: Sequence[int] | Int64Array) -> Episodes:
        self.calls.append(len(indices))
        return self.of.batch(indices)


@pytest.fixture
def streams() -> tuple[DrawnAhead, Counted]:
    """A stream that draws ahead, and the one it draws from."""
    sinusoids = load("sinusoid").stream("train", Shape(1, 3, 4), 7)
    assert isinstance(sinusoids, DrawnAhead)
    counted = Counted(sinusoids.drawn)
    return DrawnAhead(counted, 2), counted


def assert_equal(a: Episodes, b: Episodes) -> None:
    """Require the same bytes in the same types."""
    for x, y in (
        (a.support.x, b.support.x),
        (a.support.y, b.support.y),
        (a.query_x, b.query_x),
        (a.query_y, b.query_y),
    ):
        assert x.dtype == y.dtype
        assert torch.equal(x, y)
        assert x.is_contiguous()
    for u, v in (
        (a.index, b.index),
        (a.identity, b.identity),
        (a.class_ids, b.class_ids),
        (a.support.seeds, b.support.seeds),
    ):
        np.testing.assert_array_equal(u, v, strict=True)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3 * BLOCK), st.integers(1, 60)), min_size=1, max_size=4))
def test_parts_of_a_block_are_the_episodes_drawn_alone(asked: list[tuple[int, int]]) -> None:
    stream = load("sinusoid").stream("train", Shape(1, 3, 4), 7)
    assert isinstance(stream, DrawnAhead)
    for first, size in asked:
        batch = stream.batch(range(first, first + size))
        assert_equal(batch, stream.drawn.batch(range(first, first + size)))
        tensors = (batch.support.x, batch.support.y, batch.query_x, batch.query_y)
        assert all(tensor.data_ptr() % 64 == 0 for tensor in tensors), "aligned as tensors of their own"


def test_a_block_of_large_examples_has_fewer_episodes() -> None:
    stream = load("sinusoid").stream("train", Shape(1, 3, 5), 7)
    assert isinstance(stream, DrawnAhead)
    wide = DrawnAhead(Counted(stream.drawn), BLOCK_BYTES // 4 // 8 // 3)
    assert wide.block == 3
    assert_equal(wide.batch(range(2, 5)), stream.drawn.batch(range(2, 5)))
    assert DrawnAhead(stream.drawn, BLOCK_BYTES).block == 1


def test_what_follows_comes_from_one_block(streams: tuple[DrawnAhead, Counted]) -> None:
    ahead, counted = streams
    for first in range(0, 2 * BLOCK, 256):
        assert len(ahead.batch(range(first, first + 256))) == 256
    assert counted.calls == [BLOCK, BLOCK]


@pytest.mark.parametrize("indices", [[5, 3], np.arange(4), range(0, 8, 2), range(BLOCK + 1)])
def test_anything_else_is_drawn_as_asked_for(
    streams: tuple[DrawnAhead, Counted], indices: Sequence[int] | Int64Array
) -> None:
    ahead, counted = streams
    assert_equal(ahead.batch(indices), counted.of.batch(indices))
    assert counted.calls == [len(indices)]
