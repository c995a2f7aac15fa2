"""Episodes, the names of their streams, and the digest that proves that two runs shared them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from datasets.core.errors import UserError
from datasets.core.randomness import Int64Array

Kind = Literal["classification", "regression", "control"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Shape:
    """The shape of an episode. For regression ``n_way`` is 1 and shots and queries are points of one function; for
    control they are trajectories of one task."""

    n_way: int
    n_shot: int
    n_query: int

    def __post_init__(self) -> None:
        if self.n_way < 1 or self.n_shot < 1 or self.n_query < 0:
            raise UserError(
                f"an episode needs n_way >= 1, n_shot >= 1 and n_query >= 0, but got n_way={self.n_way}, "
                f"n_shot={self.n_shot}, n_query={self.n_query}"
            )

    @property
    def examples(self) -> int:
        """Examples (images or points) in one episode."""
        return self.n_way * (self.n_shot + self.n_query)


@dataclass(frozen=True)
class Support:
    """The labelled part of T episodes: all that adaptation may see.

    Attributes:
        x: [T, n_way * n_shot, *input_shape] float, class by class; token ids of texts are int64.
        y: [T, n_way * n_shot] int64 labels in [0, n_way), or [T, n_shot, 1] float for regression.
        seeds: [T] int64: one random number per episode, for methods whose adaptation draws (minibatches, heads).
        n_way: classes per episode (1 for regression).
    """

    x: Tensor
    y: Tensor
    seeds: Int64Array
    n_way: int

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, tasks: slice) -> Support:
        return Support(self.x[tasks], self.y[tasks], self.seeds[tasks], self.n_way)


@dataclass(frozen=True)
class Episodes:
    """T episodes of one stream, stacked.

    Attributes:
        index: [T] int64 which episodes of the stream these are.
        support: the labelled part.
        query_x: [T, n_way * n_query, *input_shape], class by class, of the type of the support set.
        query_y: [T, n_way * n_query] int64, or [T, n_query, 1] float for regression.
        identity: [T, ...] what the digest is taken over: class and example ids with rotations (int64), or amplitude,
            phase and x for sinusoids (float64).
        class_ids: [T, n_way] int64 dataset-wide class ids (the episode's own index for regression).
    """

    index: Int64Array
    support: Support
    query_x: Tensor
    query_y: Tensor
    identity: np.ndarray
    class_ids: Int64Array

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, tasks: slice) -> Episodes:
        return Episodes(
            self.index[tasks],
            self.support[tasks],
            self.query_x[tasks],
            self.query_y[tasks],
            self.identity[tasks],
            self.class_ids[tasks],
        )


@dataclass(frozen=True)
class Examples:
    """A plain batch, for methods that train without episodes.

    Attributes:
        x: [B, *input_shape] float; token ids of texts are int64.
        y: [B] int64 labels in [0, n_classes) or [B, 1] float for regression.
        n_classes: how many training classes there are (1 for regression).
    """

    x: Tensor
    y: Tensor
    n_classes: int


@dataclass(frozen=True)
class StreamName:
    """The arguments that a stream's episodes depend on; never the algorithm, the device or the batch size."""

    dataset: str
    fingerprint: str
    split: Split
    shape: Shape
    seed: int

    def __str__(self) -> str:
        s = self.shape
        return "/".join(
            str(part) for part in (self.dataset, self.fingerprint, self.split, s.n_way, s.n_shot, s.n_query, self.seed)
        )


class EpisodeStream(Protocol):
    """An endless list of episodes; episode ``i`` is a pure function of the stream's name and ``i``."""

    @property
    def name(self) -> StreamName: ...

    def batch(self, indices: Sequence[int] | Int64Array) -> Episodes:
        """The episodes ``indices``, stacked in that order."""

    def identity(self, indices: Sequence[int] | Int64Array) -> np.ndarray:
        """[T, ...] what names these episodes' contents, without loading an image."""


class ExampleStream(Protocol):
    """An endless list of labelled training examples in a seeded order; example ``i`` is a pure function of both."""

    def batch(self, start: int, size: int) -> Examples:
        """Examples ``start`` to ``start + size - 1``."""


class Dataset(Protocol):
    """A source of episodes with three splits whose classes (or functions) are disjoint."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of the contents: two datasets with the same fingerprint give the same episodes."""

    @property
    def input_shape(self) -> tuple[int, ...]: ...

    def stream(self, split: Split, shape: Shape, seed: int, device: torch.device | None = None) -> EpisodeStream:
        """A stream of episodes on ``device`` (CPU by default); raises UserError with the numbers where the split has
        too few classes or examples for ``shape``."""

    def examples(self, seed: int, device: torch.device | None = None) -> ExampleStream:
        """The training split as plain labelled examples."""


def digest(stream: EpisodeStream, n_episodes: int) -> str:
    """SHA-256 over the identities of the first ``n_episodes``, in hexadecimal.

    Integers enter as little-endian int64, floats as little-endian float64, behind the stream's name.
    """
    sha = hashlib.sha256(f"{stream.name}/{n_episodes}".encode())
    for start in range(0, n_episodes, 1024):
        identity = stream.identity(np.arange(start, min(start + 1024, n_episodes)))
        sha.update(np.ascontiguousarray(identity, dtype=identity.dtype.newbyteorder("<")).tobytes())
    return sha.hexdigest()
