"""Rows of tables: pools of numbers by class or by task, and datasets of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datasets.core.class_sampling import ByClass, ClassExamples, ClassStream, Epochs, Gather, errors_about
from datasets.core.drawn_ahead import DrawnAhead
from datasets.core.episodes import (
    Episodes,
    EpisodeStream,
    Examples,
    ExampleStream,
    Kind,
    Shape,
    Split,
    StreamName,
    Support,
)
from datasets.core.errors import UserError
from datasets.core.randomness import Int64Array, UInt64Array, choose, choose_from_many, key_of

FEW = 1000
"""Rows of the largest class or task of a pool up to which all of its rows are numbered for each draw."""

FARTHEST = 1e6
"""Standard deviations from the mean of meta-train that a value may be."""


@dataclass(frozen=True)
class Column:
    """A column of numbers, and what it was standardized with.

    Attributes:
        name: of the column.
        mean: over the rows of meta-train.
        deviation: the standard deviation over them.
    """

    name: str
    mean: float
    deviation: float


def standardized(numbers: npt.NDArray[np.float64], columns: Sequence[Column]) -> npt.NDArray[np.float32]:
    """Return numbers [N, columns] less each column's mean and by its standard deviation."""
    mean, deviation = np.array([(column.mean, column.deviation) for column in columns]).T
    values: npt.NDArray[np.float32] = ((numbers - mean) / deviation).astype("<f4")
    return values


def too_far(numbers: npt.NDArray[np.float64], column: Column) -> Int64Array:
    """Return the places of the numbers [N] of a column that are further than ``FARTHEST`` deviations from its mean."""
    return np.flatnonzero(np.abs(numbers - column.mean) > FARTHEST * column.deviation)


@dataclass(frozen=True)
class TablePool(ByClass):
    """The rows of one split, class by class or task by task.

    Attributes:
        rows: [N, columns] float32 (memory-mapped), standardized; for regression the target is the last column.
        offsets: [n_classes + 1] int64: class or task ``c`` holds the rows ``offsets[c]`` to ``offsets[c + 1] - 1``.
        class_ids: [n_classes] int64: the number of each class or task in the whole dataset.
        n_features: how many columns, from the first, are inputs.
    """

    rows: npt.NDArray[np.float32]
    offsets: Int64Array
    class_ids: Int64Array
    n_features: int
    rotations: ClassVar[bool] = False
    unit: ClassVar[str] = "rows"
    _residents: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def members(self, keys: UInt64Array, classes: Int64Array, size: int) -> Int64Array:
        """Return [*classes.shape, size] rows of each class, without replacement."""
        draw = choose if int(self.counts.max()) <= FEW else choose_from_many  # by what is quicker
        return draw(keys, self.counts[classes], size)

    def gather(self, device: torch.device) -> Gather:
        """Return what turns indices of rows into their inputs, float32 [*indices.shape, n_features] on ``device``."""
        return lambda indices, turns: self.rows_at(indices, device)[..., : self.n_features].contiguous()

    def rows_at(self, indices: Int64Array, device: torch.device) -> Tensor:
        """Return the rows of these indices, float32 [*indices.shape, columns] on ``device``."""
        if device.type == "cpu":
            return torch.from_numpy(np.asarray(self.rows[indices]))
        if device not in self._residents:  # copied once however many streams there are; then only indices travel
            self._residents[device] = torch.from_numpy(np.array(self.rows)).to(device)
        return self._residents[device][torch.from_numpy(indices).to(device)]


class TaskStream(ClassStream):
    """Episodes of one split's regression tasks: a task is drawn, and support and query rows from it.

    Raises:
        UserError: ``n_way`` is not 1, or a task has too few rows for the shape.
    """

    def __init__(self, pool: TablePool, name: StreamName, device: torch.device, task_names: Sequence[str]) -> None:
        shape = name.shape
        if shape.n_way != 1:
            raise UserError(f"the tasks of {name.dataset} have one function each: n_way must be 1, got {shape.n_way}")
        needed, fewest = shape.n_shot + shape.n_query, int(pool.counts.min())
        if needed > fewest:
            smallest = task_names[pool.class_ids[int(pool.counts.argmin())]]
            raise UserError(
                f"{shape.n_shot} shots and {shape.n_query} queries need {needed} rows per task, but {smallest} of the "
                f"{name.split} split of {name.dataset} has {fewest}; ask for fewer shots or queries"
            )
        super().__init__(pool, name, device, task_names)
        self._rows = pool

    def batch(self, indices: Sequence[int] | Int64Array) -> Episodes:
        """Episodes with inputs of shape [T, points, n_features] and targets of shape [T, points, 1]."""
        index = np.asarray(indices, dtype=np.int64)
        tasks, turns, members, seeds = self._draw(index)
        rows = self._rows.rows_at(self._pool.offsets[tasks] + members[:, 0], self._device)
        x, y = rows[..., : self._rows.n_features], rows[..., self._rows.n_features :]
        shots, queries = slice(None, self.name.shape.n_shot), slice(self.name.shape.n_shot, None)
        support = Support(x[:, shots].contiguous(), y[:, shots].contiguous(), seeds, 1)
        query = x[:, queries].contiguous(), y[:, queries].contiguous()
        return Episodes(index, support, *query, self._identity(tasks, turns, members), self._pool.class_ids[tasks])


class RowExamples:
    """The training rows of all regression tasks in seeded order, each once an epoch."""

    def __init__(self, pool: TablePool, key: np.uint64, device: torch.device) -> None:
        self._pool = pool
        self._device = device
        self._order = Epochs(key, len(pool.rows))

    def batch(self, start: int, size: int) -> Examples:
        """Examples ``start`` to ``start + size - 1``: [size, n_features] inputs and [size, 1] targets."""
        rows = self._pool.rows_at(self._order(start, size), self._device)
        return Examples(rows[:, : self._pool.n_features], rows[:, self._pool.n_features :], 1)


@dataclass(frozen=True)
class TableDataset:
    """Three pools of rows with a name and a fingerprint.

    Attributes:
        name: what results call it.
        kind: classification, or regression of the last column.
        fingerprint: digest of the contents.
        pools: the rows of each split.
        class_names: the classes, or tasks, by the numbers of ``TablePool.class_ids``.
        columns: of ``TablePool.rows``.
        origin: the file that it was read from, for messages; empty where there is none.
    """

    name: str
    kind: Kind
    fingerprint: str
    pools: Mapping[Split, TablePool]
    class_names: tuple[str, ...]
    columns: tuple[Column, ...] = ()
    origin: str = ""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(features,)."""
        return (self.pools["train"].n_features,)

    def stream(self, split: Split, shape: Shape, seed: int, device: torch.device | None = None) -> EpisodeStream:
        """Return episodes of ``split``; raises UserError where it has too few classes or rows for ``shape``."""
        name = StreamName(self.name, self.fingerprint, split, shape, seed)
        where = device or torch.device("cpu")
        stream = TaskStream if self.kind == "regression" else ClassStream
        with errors_about(self.origin):
            drawn = stream(self.pools[split], name, where, self.class_names)
        return DrawnAhead(drawn, self.pools[split].rows.shape[1])

    def examples(self, seed: int, device: torch.device | None = None) -> ExampleStream:
        """Return the training rows as plain batches."""
        key = key_of(self.name, self.fingerprint, "examples", seed)
        stream: Any = RowExamples if self.kind == "regression" else ClassExamples
        examples: ExampleStream = stream(self.pools["train"], key, device or torch.device("cpu"))
        return examples
