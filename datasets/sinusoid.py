"""Sinusoid regression (Finn, Abbeel and Levine 2017, arXiv 1703.03400, section 5.1).

A task is y = A sin(x - phase) with amplitude A ~ U[0.1, 5], phase ~ U[0, pi] and inputs x ~ U[-5, 5]; the loss is the
mean squared error. The three splits are three independent draws from the same distribution.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from datasets.core.drawn_ahead import DrawnAhead
from datasets.core.entry import register
from datasets.core.episodes import (
    Dataset,
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
from datasets.core.randomness import Int64Array, UInt64Array, bits, key_of, uniform

AMPLITUDE = (0.1, 5.0)
PHASE = (0.0, float(np.pi))
X = (-5.0, 5.0)

FloatArray = npt.NDArray[np.float64]


def _between(bounds: tuple[float, float], u: FloatArray) -> FloatArray:
    low, high = bounds
    return low + (high - low) * u


def _task(keys: UInt64Array, n_points: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Amplitude [T], phase [T] and x [T, n_points] of the tasks with these keys."""
    u = uniform(keys[:, None], np.arange(n_points + 2))
    return _between(AMPLITUDE, u[:, 0]), _between(PHASE, u[:, 1]), _between(X, u[:, 2:])


def _float(array: npt.NDArray[np.float64], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))[..., None].to(device)


@dataclass(frozen=True)
class SinusoidStream:
    """Episodes of ``name.shape.n_shot`` support and ``n_query`` query points, each task's in one draw."""

    name: StreamName
    device: torch.device

    @cached_property
    def _key(self) -> np.uint64:
        return key_of(self.name)

    def _draw(self, indices: Sequence[int] | Int64Array) -> tuple[Int64Array, UInt64Array, FloatArray]:
        index = np.asarray(indices, dtype=np.int64)
        keys = bits(self._key, index)
        shape = self.name.shape
        amplitude, phase, x = _task(keys, shape.n_shot + shape.n_query)
        return index, keys, np.concatenate([amplitude[:, None], phase[:, None], x], axis=1)

    def identity(self, indices: Sequence[int] | Int64Array) -> np.ndarray:
        """[T, 2 + points] float64: amplitude, phase, then every x."""
        return self._draw(indices)[2]

    def batch(self, indices: Sequence[int] | Int64Array) -> Episodes:
        """Episodes with inputs and targets of shape [T, points, 1]."""
        index, keys, identity = self._draw(indices)
        amplitude, phase, x = identity[:, :1], identity[:, 1:2], identity[:, 2:]
        y = amplitude * np.sin(x - phase)
        shots = self.name.shape.n_shot
        seeds = (bits(keys, 2**32) >> np.uint64(1)).astype(np.int64)
        support = Support(_float(x[:, :shots], self.device), _float(y[:, :shots], self.device), seeds, 1)
        return Episodes(
            index,
            support,
            _float(x[:, shots:], self.device),
            _float(y[:, shots:], self.device),
            identity,
            index[:, None],
        )


@dataclass(frozen=True)
class SinusoidExamples:
    """Single points, each of a task of its own: the pooled distribution that a method without episodes trains on."""

    key: np.uint64
    device: torch.device

    def batch(self, start: int, size: int) -> Examples:
        """Points ``start`` to ``start + size - 1`` as [size, 1] inputs and targets."""
        amplitude, phase, x = _task(bits(self.key, np.arange(start, start + size)), 1)
        y = amplitude[:, None] * np.sin(x - phase[:, None])
        return Examples(_float(x[:, 0], self.device), _float(y[:, 0], self.device), 1)


@dataclass(frozen=True)
class Sinusoid:
    """The dataset; it has no files, and its fingerprint is that of the distribution."""

    name: str = "sinusoid"
    kind: Kind = "regression"
    input_shape: tuple[int, ...] = (1,)

    @property
    def fingerprint(self) -> str:
        """Digest of the ranges that define the tasks."""
        return hashlib.sha256(f"sinusoid-1 {AMPLITUDE} {PHASE} {X}".encode()).hexdigest()

    def stream(self, split: Split, shape: Shape, seed: int, device: torch.device | None = None) -> EpisodeStream:
        """Episodes of ``shape``, whose ``n_way`` must be 1."""
        if shape.n_way != 1:
            raise UserError(f"sinusoid tasks have one function each: n_way must be 1, but got {shape.n_way}")
        name = StreamName(self.name, self.fingerprint, split, shape, seed)
        return DrawnAhead(SinusoidStream(name, device or torch.device("cpu")), 2)

    def values(self, episodes: Episodes, x: FloatArray) -> FloatArray:
        """Return [T, P] the sinusoids of these T episodes at the inputs ``x`` [P]."""
        amplitude, phase = episodes.identity[:, :1], episodes.identity[:, 1:2]
        return np.asarray(amplitude * np.sin(x - phase), dtype=np.float64)

    def examples(self, seed: int, device: torch.device | None = None) -> ExampleStream:
        """Pooled points of the training distribution."""
        key = key_of(self.name, self.fingerprint, "examples", seed)
        return SinusoidExamples(key, device or torch.device("cpu"))


@register(
    "sinusoid",
    kind="regression",
    family="sinusoid",
    summary="regression on y = A sin(x - phase); generated",
    paper="Finn et al. 2017, arXiv 1703.03400",
    input_shape=(1,),
    traits=("sinusoids",),
)
def load(root: Path) -> Dataset:
    """The dataset for the registry; it needs nothing under ``root``."""
    return Sinusoid()
