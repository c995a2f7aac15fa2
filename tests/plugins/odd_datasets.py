"""Datasets that none of the built-in ones is like: lines (regression, no sinusoids) and vectors with labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from algorithms.testing.synthetic import episodes_of, labels_of
from datasets import DATASETS, DatasetEntry, UserError
from datasets.core.episodes import Episodes, Examples, Kind, Shape, Split, StreamName
from datasets.core.randomness import Int64Array

N_CLASSES = 10  # of each split
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Stream:
    """Episodes of ``kind``: a x + b, or vectors around the centre of their class."""

    name: StreamName
    kind: Kind
    n_inputs: int

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng([self.name.seed, SPLITS.index(self.name.split), index])

    def _classes(self, index: int) -> Int64Array:
        chosen = self._rng(index).permutation(N_CLASSES)[: self.name.shape.n_way]
        return np.asarray(chosen + N_CLASSES * SPLITS.index(self.name.split), dtype=np.int64)

    def identity(self, indices: Sequence[int] | Int64Array) -> np.ndarray:
        if self.kind == "regression":
            return np.asarray(indices, dtype=np.int64)[:, None]
        return np.stack([self._classes(int(index)) for index in indices])

    def batch(self, indices: Sequence[int] | Int64Array) -> Episodes:
        shape, index = self.name.shape, np.asarray(indices, dtype=np.int64)
        xs, ys, labels = [], [], labels_of(shape)
        for i in index:
            rng = self._rng(int(i))
            if self.kind == "regression":
                x = rng.uniform(-1, 1, (shape.examples, 1))
                ys.append(rng.normal() * x + rng.normal())
            else:
                x = centres(self.n_inputs)[self._classes(int(i))[labels]]
                x = x + 0.1 * rng.normal(size=x.shape)
            xs.append(x)
        targets = torch.from_numpy(np.stack(ys)).float() if ys else None
        return episodes_of(torch.from_numpy(np.stack(xs)).float(), targets, shape, index, index, self.identity(index))


def centres(n_inputs: int) -> np.ndarray:
    """[3 * N_CLASSES, n_inputs] of all classes of all splits."""
    return np.random.default_rng(0).normal(size=(3 * N_CLASSES, n_inputs))


@dataclass(frozen=True)
class Pooled:
    """Plain batches of the training split."""

    kind: Kind
    n_inputs: int

    def batch(self, start: int, size: int) -> Examples:
        rng = np.random.default_rng(start)
        if self.kind == "regression":
            x = rng.uniform(-1, 1, (size, 1))
            return Examples(torch.from_numpy(x).float(), torch.from_numpy(2 * x).float(), 1)
        y = rng.integers(N_CLASSES, size=size)
        x = centres(self.n_inputs)[y] + 0.1 * rng.normal(size=(size, self.n_inputs))
        return Examples(torch.from_numpy(x).float(), torch.from_numpy(y), N_CLASSES)


@dataclass(frozen=True)
class Odd:
    """One of the two datasets."""

    name: str
    kind: Kind
    input_shape: tuple[int, ...]

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    def stream(self, split: Split, shape: Shape, seed: int, device: torch.device | None = None) -> Stream:
        if self.kind == "classification" and shape.n_way > N_CLASSES:
            raise UserError(f"{shape.n_way} ways, but the {split} split of {self.name} has {N_CLASSES} classes")
        return Stream(StreamName(self.name, self.fingerprint, split, shape, seed), self.kind, self.input_shape[0])

    def examples(self, seed: int, device: torch.device | None = None) -> Pooled:
        return Pooled(self.kind, self.input_shape[0])


def lines(root: Path) -> Odd:
    return Odd("lines", "regression", (1,))


def vectors(root: Path) -> Odd:
    return Odd("vectors", "classification", (6,))


DATASETS.add(DatasetEntry("lines", "regression", "sinusoid", "lines", "a test", lines))
DATASETS.add(DatasetEntry("vectors", "classification", "omniglot", "vectors with labels", "a test", vectors))
