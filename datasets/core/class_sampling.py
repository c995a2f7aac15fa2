"""Episodes and plain batches from a pool of examples by class, sampled by counter and gathered by index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from datasets.core.episodes import Episodes, Examples, StreamName, Support
from datasets.core.errors import UserError
from datasets.core.randomness import Int64Array, UInt64Array, bits, choose, integers, key_of

QUARTER_TURNS = 4

Gather = Callable[[Int64Array, Int64Array], Tensor]
"""From indices of examples and their quarter turns to [*indices.shape, *input_shape] float32 on a device."""


class Pool(Protocol):
    """The examples of one split, class by class.

    Attributes:
        offsets: [n_classes + 1] int64: class ``c`` holds the examples ``offsets[c]`` to ``offsets[c + 1] - 1``.
        class_ids: [n_classes] int64: each class's number in the whole dataset.
        rotations: whether each episode turns each of its classes by 0, 90, 180 or 270 degrees, which multiplies the
            classes by four (one character still appears at most once in an episode).
        unit: what messages call the examples, in the plural.
    """

    @property
    def offsets(self) -> Int64Array: ...
    @property
    def class_ids(self) -> Int64Array: ...
    @property
    def rotations(self) -> bool: ...
    @property
    def unit(self) -> str: ...
    @property
    def n_classes(self) -> int: ...
    @property
    def counts(self) -> Int64Array:
        """[n_classes] examples of each class."""

    def members(self, keys: UInt64Array, classes: Int64Array, size: int) -> Int64Array:
        """Return [*classes.shape, size] examples of each class, without replacement; ``keys`` has a key a class."""

    def gather(self, device: torch.device) -> Gather:
        """Return what turns indices of examples into float tensors on ``device``."""


class ByClass:
    """Base of pools: how many classes there are, and how many examples of each, from where each class begins."""

    offsets: Int64Array
    class_ids: Int64Array

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.class_ids)

    @cached_property
    def counts(self) -> Int64Array:
        """[n_classes] examples of each class."""
        return np.diff(self.offsets)


@contextmanager
def errors_about(origin: str) -> Iterator[None]:
    """Put the file or folder that a dataset was read from before the messages of UserErrors; empty adds nothing."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{origin}: {error.message}" if origin else error.message, error.field) from None


def on_device(labels: Int64Array, device: torch.device) -> Tensor:
    """Return the labels as a tensor on ``device``; a copy, because broadcast labels are read-only."""
    return torch.from_numpy(np.array(labels)).to(device)


class Epochs:
    """An endless order of ``n`` examples in which each epoch holds every example once, in an order of its own."""

    def __init__(self, key: np.uint64, n: int) -> None:
        self._key = key
        self._n = n
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def _permutation(self, epoch: int) -> Int64Array:
        if epoch != self._epoch:
            self._order = np.argsort(bits(bits(self._key, epoch), np.arange(self._n)), kind="stable")
            self._epoch = epoch
        return self._order

    def __call__(self, start: int, size: int) -> Int64Array:
        """Return the examples at the places ``start`` to ``start + size - 1``."""
        places = np.arange(start, start + size)
        epochs = places // self._n
        return np.concatenate(
            [self._permutation(int(epoch))[places[epochs == epoch] % self._n] for epoch in np.unique(epochs)]
        )


class ClassStream:
    """Episodes of one split's classes; see ``datasets.core.episodes.EpisodeStream``.

    Where all classes of an episode are ``within`` one alphabet, script or the like (the part of their names before a
    slash), that is drawn first, uniformly among those with enough classes, and the classes from it.

    Raises:
        UserError: the split (or every group of it) has too few classes, or a class too few examples, for the shape.
    """

    def __init__(
        self,
        pool: Pool,
        name: StreamName,
        device: torch.device,
        class_names: Sequence[str],
        within: str = "",
    ) -> None:
        shape = name.shape
        if shape.n_way > pool.n_classes:
            raise UserError(
                f"{shape.n_way}-way episodes need {shape.n_way} classes, but the {name.split} split of {name.dataset} "
                f"has {pool.n_classes}; ask for fewer ways"
            )
        needed, fewest = shape.n_shot + shape.n_query, int(pool.counts.min())
        if needed > fewest:
            smallest = class_names[pool.class_ids[int(pool.counts.argmin())]]
            raise UserError(
                f"{shape.n_shot} shots and {shape.n_query} queries need {needed} {pool.unit} per class, but {smallest} "
                f"of the {name.split} split of {name.dataset} has {fewest}; ask for fewer shots or queries"
            )
        self.name = name
        self._pool = pool
        self._device = device
        self._gather = pool.gather(device)
        self._groups = _groups(pool, name, class_names, within) if within else None

    def identity(self, indices: Sequence[int] | Int64Array) -> np.ndarray:
        """[T, n_way, 2 + n_shot + n_query] int64: class id, quarter turns, then examples within the class."""
        classes, turns, members, _ = self._draw(np.asarray(indices, dtype=np.int64))
        return self._identity(classes, turns, members)

    def _identity(self, classes: Int64Array, turns: Int64Array, members: Int64Array) -> np.ndarray:
        return np.concatenate([self._pool.class_ids[classes][..., None], turns[..., None], members], axis=-1)

    def _draw(self, index: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
        """Classes [T, n_way], turns [T, n_way], examples within their class [T, n_way, examples], seeds [T]."""
        shape = self.name.shape
        keys = bits(key_of(self.name), index)
        classes = self._choose_classes(keys)
        slots = np.arange(shape.n_way)
        members = self._pool.members(bits(bits(keys, 1)[:, None], slots), classes, shape.n_shot + shape.n_query)
        turns = np.zeros_like(classes)
        if self._pool.rotations:
            turns = integers(bits(keys, 2)[:, None], slots, QUARTER_TURNS)
        seeds = (bits(keys, 3) >> np.uint64(1)).astype(np.int64)
        return classes, turns, members, seeds

    def _choose_classes(self, keys: UInt64Array) -> Int64Array:
        """[T, n_way] classes of the pool."""
        n_way = self.name.shape.n_way
        if self._groups is None:
            return choose(bits(keys, 0), self._pool.n_classes, n_way)
        sizes = np.array([len(members) for members in self._groups])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        group = integers(bits(keys, 4), 0, len(sizes))
        places = starts[group][:, None] + choose(bits(keys, 0), sizes[group], n_way)
        return np.concatenate(self._groups)[places]

    def batch(self, indices: Sequence[int] | Int64Array) -> Episodes:
        """Episodes with inputs of shape [T, n_way * shots, *input_shape]."""
        index = np.asarray(indices, dtype=np.int64)
        classes, turns, members, seeds = self._draw(index)
        shape = self.name.shape
        examples = self._pool.offsets[classes][..., None] + members
        spread = np.broadcast_to(turns[..., None], members.shape)
        labels = np.broadcast_to(np.arange(shape.n_way)[None, :, None], members.shape)
        shots, queries = slice(None, shape.n_shot), slice(shape.n_shot, None)
        support_x, query_x = (self._gather(examples[..., s], spread[..., s]).flatten(1, 2) for s in (shots, queries))
        support_y, query_y = (on_device(labels[..., s], self._device).flatten(1, 2) for s in (shots, queries))
        identity = self._identity(classes, turns, members)
        support = Support(support_x, support_y, seeds, shape.n_way)
        return Episodes(index, support, query_x, query_y, identity, self._pool.class_ids[classes])


def _groups(pool: Pool, name: StreamName, class_names: Sequence[str], what: str) -> list[Int64Array]:
    """Return the classes of each group that has enough of them, by its name; ``what`` is what messages call it."""
    members: dict[str, list[int]] = {}
    for c, number in enumerate(pool.class_ids):
        members.setdefault(class_names[number].split("/")[0], []).append(c)
    enough = [np.array(members[g], dtype=np.int64) for g in sorted(members) if len(members[g]) >= name.shape.n_way]
    if not enough:
        largest = max(members, key=lambda group: len(members[group]))
        raise UserError(
            f"{name.shape.n_way}-way episodes within one {what} need {name.shape.n_way} classes, but the largest "
            f"{what} of the {name.split} split of {name.dataset}, {largest}, has {len(members[largest])}; ask for "
            "fewer ways"
        )
    return enough


class ClassExamples:
    """The training examples in seeded order, each once an epoch; rotations count as classes of their own."""

    def __init__(self, pool: Pool, key: np.uint64, device: torch.device) -> None:
        self._device = device
        self._gather = pool.gather(device)
        self._turns = QUARTER_TURNS if pool.rotations else 1
        self._class_of = np.repeat(np.arange(pool.n_classes), pool.counts)
        self._order = Epochs(key, len(self._class_of) * self._turns)
        self._n_classes = pool.n_classes * self._turns

    def batch(self, start: int, size: int) -> Examples:
        """Examples ``start`` to ``start + size - 1``: [size, *input_shape] and [size] labels."""
        examples, turns = np.divmod(self._order(start, size), self._turns)
        labels = self._class_of[examples] * self._turns + turns
        return Examples(self._gather(examples, turns), on_device(labels, self._device), self._n_classes)
