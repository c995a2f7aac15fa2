"""Conv4 for CPUs: the same function as ``networks.Conv4`` for stacks of tasks, put together from the parts here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from algorithms.engines.fused.convolution import convolve
from algorithms.engines.fused.first_block import convolve_relu, folded
from algorithms.engines.fused.layout import VALUES_AT_ONCE, rows
from algorithms.engines.fused.norm import norm_relu
from algorithms.engines.fused.patches import Patches, output_statistics
from algorithms.engines.fused.pooling import pool
from algorithms.networks.conv4 import Conv4
from algorithms.networks.network import NORM_EPSILON, SameWeights, Statistics, Weights


@dataclass(frozen=True)
class FusedConv4(SameWeights):
    """A network of T tasks: weights [T, ...], images [T, B, channels, height, width].

    Attributes:
        plain: the network whose function this is.
    """

    plain: Conv4
    _known: WeakTensorKeyDictionary = field(default_factory=WeakTensorKeyDictionary, repr=False, compare=False)

    @property
    def _stride(self) -> int:
        return 2 if self.plain.downsample == "stride" else 1

    @property
    def _pooled(self) -> bool:
        return self.plain.downsample == "max-pool"

    def tasks_at_once(self, n_images: int) -> int:
        """Return how many tasks of so many images are worked on together: as many as a processor's cache holds."""
        _, height, width = self.plain.input_shape
        values = n_images * self.plain.channels * height * width // 4  # of the first block's output
        return max(1, VALUES_AT_ONCE // values)

    def stack(self, weights: Weights, n_tasks: int) -> dict[str, Tensor]:
        """The same weights for each task, with the channels of kernels last in memory, as those of images are."""
        return {name: _stacked(value, n_tasks) for name, value in weights.items()}

    def _norm(self, weights: Weights, i: int) -> tuple[Tensor, Tensor | None]:
        """Shift and scale of block ``i``."""
        return weights[f"norm{i}.bias"], weights[f"norm{i}.weight"] if self.plain.norm_scale else None

    def _patches(self, x: Tensor) -> Patches:
        """Those of ``x``; kept as long as ``x`` is, because each inner step asks again."""
        if x not in self._known or self._known[x][0] != x._version:
            self._known[x] = x._version, Patches.of(x, self._stride, self._pooled)
        patches: Patches = self._known[x][1]
        return patches

    def _parts(self, weights: Weights, x: Tensor) -> Iterator[tuple[slice, Weights, Patches]]:
        """As many tasks at once as the cache holds."""
        patches, at_once = self._patches(x), self.tasks_at_once(x.shape[1])
        if len(x) <= at_once:
            yield slice(None), weights, patches
            return
        parts = {name: torch.split(value, at_once) for name, value in weights.items()}  # not slices: quicker gradients
        for i, start in enumerate(range(0, len(x), at_once)):
            tasks = slice(start, start + at_once)
            yield tasks, {name: of_parts[i] for name, of_parts in parts.items()}, patches.of_tasks(tasks)

    def _folded_block(self, weights: Weights, i: int, x: Tensor | Patches, mean: Tensor, variance: Tensor) -> Tensor:
        """Block ``i`` with these statistics of its convolution's output."""
        shift, scale = self._norm(weights, i)
        kernel, bias = folded(weights[f"conv{i}.weight"], shift, scale, mean, variance, NORM_EPSILON)
        if isinstance(x, Patches):
            return convolve_relu(x, kernel, bias)
        z = convolve(x, kernel, self._stride).add_(bias[:, None, None, None])
        return (pool(z)[0] if self._pooled else z).relu_()

    def features(self, weights: Weights, x: Tensor, statistics: Statistics | None = None) -> Tensor:
        """[T, B, n_features] from x [T, B, channels, height, width]."""
        parts = [
            self._features(part, patches, _of_tasks(statistics, tasks) if statistics else None)
            for tasks, part, patches in self._parts(weights, x)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _features(self, weights: Weights, patches: Patches, statistics: Statistics | None) -> Tensor:
        y: Tensor | Patches = patches
        for i in range(1, self.plain.blocks + 1):
            kernel = weights[f"conv{i}.weight"]
            if statistics is not None:
                y = self._folded_block(weights, i, y, statistics[f"norm{i}.mean"], statistics[f"norm{i}.var"])
            elif isinstance(y, Patches):
                y = self._folded_block(weights, i, y, *output_statistics(kernel, y))
            else:
                y = norm_relu(convolve(y, kernel, self._stride), *self._norm(weights, i), NORM_EPSILON, self._pooled)
        assert isinstance(y, Tensor)
        return y.mean((2, 3)) if self.plain.reduce == "mean" else y.movedim(4, 2).flatten(2)

    def statistics(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """Mean and biased variance [T, channels] of every convolution's output on x, over images and positions."""
        parts = [self._statistics(part, patches) for _, part, patches in self._parts(weights, x)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _statistics(self, weights: Weights, patches: Patches) -> dict[str, Tensor]:
        statistics: dict[str, Tensor] = {}
        y: Tensor | Patches = patches
        for i in range(1, self.plain.blocks + 1):
            kernel = weights[f"conv{i}.weight"]
            if isinstance(y, Patches):
                mean, variance = output_statistics(kernel, y)
            else:
                z = rows(convolve(y, kernel, self._stride))
                mean = z.mean(1)
                variance = (z - mean.unsqueeze(1)).square().mean(1)
            statistics[f"norm{i}.mean"], statistics[f"norm{i}.var"] = mean, variance
            y = self._folded_block(weights, i, y, mean, variance)
        return statistics


def _of_tasks(stacked: Weights, tasks: slice) -> dict[str, Tensor]:
    return {name: value[tasks] for name, value in stacked.items()}


def _stacked(value: Tensor, n_tasks: int) -> Tensor:
    """[n_tasks, ...]; a kernel is repeated in the order of its memory, in which sums over the tasks are quick."""
    if value.dim() != 4:
        return value.expand(n_tasks, *value.shape)
    last = value.permute(0, 2, 3, 1).contiguous()
    return last.expand(n_tasks, *last.shape).movedim(4, 2)
