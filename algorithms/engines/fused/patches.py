"""The patches that the first convolution sees, and their moments.

The network's input is data: what is known of it is computed once for all filters and all inner steps, in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.engines.fused.layout import VALUES_AT_ONCE, from_channels_first


@dataclass(frozen=True)
class Patches:
    """The first convolution's inputs, and what is known of them.

    Attributes:
        images: [T, B, H, W, C].
        stride: of the convolution.
        flat: [T, 9 C + 1, B * H' * W'] patches, and a one beneath each, by which a filter's bias is one more weight;
            None where maxima are pooled, which is done in parts.
        mean: [T, 9 C] in float64.
        covariance: [T, 9 C, 9 C] in float64: for smooth images the variance of a filter that finds edges is a small
            difference of large numbers.
    """

    images: Tensor
    stride: int
    flat: Tensor | None
    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, x: Tensor, stride: int, pooled: bool) -> Patches:
        """Those of images x [T, B, C, H, W]; a patch is ordered as a filter's weights are.

        They share memory with ``x`` where its layout allows, but do not refer to the tensor itself, so that a weak
        reference to it ends when its last user does.

        Raises:
            ValueError: ``x`` requires a gradient; patches are constants, and it would be wrong.
        """
        if x.requires_grad:
            raise ValueError(
                "engine 'fused' takes images as data and has no gradient by them, but got images that require one; "
                "detach them, or use engine 'loop' or 'vmap'"
            )
        x = x.detach()  # a view of x would keep it: images of one channel, or with channels last in memory, are one
        if pooled:
            flat, moments = None, [_moments_by_rows(task) for task in x]
        else:
            flat = _patches(x, stride)
            moments = [_moments(some) for some in torch.split(flat, max(1, VALUES_AT_ONCE // flat[0].numel()))]
        mean, covariance = (torch.cat(parts) for parts in zip(*moments, strict=True))
        return cls(from_channels_first(x), stride, flat, mean, covariance)

    def of_tasks(self, tasks: slice) -> Patches:
        """Those of some of the tasks."""
        flat = None if self.flat is None else self.flat[tasks]
        return replace(
            self, images=self.images[tasks], flat=flat, mean=self.mean[tasks], covariance=self.covariance[tasks]
        )


def _patches(x: Tensor, stride: int) -> Tensor:
    """[T, 9 C + 1, N] patches of images [T, B, C, H, W], with a row of ones."""
    windows = F.pad(x, (1, 1, 1, 1)).unfold(3, 3, stride).unfold(4, 3, stride).permute(0, 2, 5, 6, 1, 3, 4)
    flat = x.new_empty(len(x), 9 * x.shape[2] + 1, math.prod(windows.shape[4:]))
    flat[:, :-1].view(windows.shape).copy_(windows)  # [T, C, 3, 3, B, H', W']
    flat[:, -1] = 1.0
    return flat


def _moments(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Means [T, 9 C] and covariances [T, 9 C, 9 C] of patches [T, 9 C + 1, N], in float64."""
    n_tasks, n_rows, n = flat.shape[0], flat.shape[1] - 1, flat.shape[2]
    exact = flat.new_empty(n_tasks, _padded(n_rows), n, dtype=torch.float64)
    exact[:, :n_rows] = flat[:, :-1]
    exact[:, n_rows:] = 0.0
    mean = exact.mean(2)
    exact -= mean.unsqueeze(2)
    return mean[:, :n_rows], (exact @ exact.mT)[:, :n_rows, :n_rows] / n


def _padded(n_rows: int) -> int:
    """A multiple of four: BLAS is much quicker there at products of few rows."""
    return -(-n_rows // 4) * 4


def _moments_by_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """The same of one task's images [B, C, H, W], for a stride of one, by a third of the products and no patches.

    The rows of a patch are the rows y - 1, y and y + 1 of the image. With R_y such a row, of three columns, what is
    needed are the sums over y of R_y R_y', R_y R_{y+1}' and R_y R_{y+2}', less what the last row adds where y - 1 does
    not come to it, and the first where y + 1 does not.
    """
    n_images, channels, height, width = x.shape
    size = _padded(3 * channels + 1)  # ones beneath the columns
    sums = x.new_zeros(5, size, size, dtype=torch.float64)
    for part in torch.split(x, max(1, VALUES_AT_ONCE // (2 * size * height * width))):
        columns = F.pad(part, (1, 1)).unfold(3, 3, 1).permute(0, 1, 4, 2, 3)  # [B, C, 3, H, W]
        exact = x.new_ones(len(part), size, height, width, dtype=torch.float64)
        exact[:, : 3 * channels] = columns.flatten(1, 2)
        first, last = exact[:, :, :1], exact[:, :, -1:]
        lagged = [(exact[:, :, : max(0, height - lag)], exact[:, :, lag:]) for lag in range(3)]
        for total, (a, b) in zip(sums, [*lagged, (first, first), (last, last)], strict=True):
            total += (a.flatten(2) @ b.flatten(2).mT).sum(0)
    same, next_, after, of_first, of_last = sums
    blocks = [[same - of_last, next_, after], [next_.T, same, next_], [after.T, next_.T, same - of_first]]
    square = torch.stack([torch.stack([block[: 3 * channels, : 3 * channels] for block in line]) for line in blocks])
    by_filter = square.view(3, 3, channels, 3, channels, 3).permute(2, 0, 3, 4, 1, 5).reshape(9 * channels, -1)
    of_rows = torch.stack([line[i][: 3 * channels, -1] for i, line in enumerate(blocks)])
    n = n_images * height * width
    mean = of_rows.view(3, channels, 3).movedim(1, 0).flatten() / n
    return mean[None], (by_filter / n - torch.outer(mean, mean))[None]


def output_statistics(weight: Tensor, patches: Patches) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [T, n_out] of the outputs of filters [T, n_out, C, 3, 3]."""
    filters = weight.flatten(2).double()
    mean = (filters @ patches.mean.unsqueeze(2)).squeeze(2)
    variance = ((filters @ patches.covariance) * filters).sum(2)
    return mean.to(weight), variance.to(weight)
