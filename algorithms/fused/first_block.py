"""The first block without a pass of batch norm over its output, which is the largest of the network.

The first convolution's input is data. Over the patches p_i of a task's images (9 C values each), with mean m and
covariance S, the output of a filter w has the mean w.m and the variance w'S w: both follow from moments that are
computed once for all filters and all inner steps. So batch norm, with r = 1 / sqrt(w'S w + eps), scale s and shift b,
is part of the convolution,

    s r (w.p_i - w.m) + b = (s r w).p_i + (b - s r w.m),

and its derivatives are those of a few small products, left to PyTorch. What remains is piecewise linear in the folded
weights: the second derivative by them is zero, and that by the gradient of the output a convolution again.

The idea is that of folding batch norm at inference (Jacob et al. 2018, arXiv 1712.05877, section 3.2), with the batch's
statistics instead of running ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from algorithms.fused.convolution import correlation
from algorithms.fused.layout import VALUES_AT_ONCE, batch, from_channels_first, images, kernels, positions, rows
from algorithms.fused.pooling import from_places, pool, to_places

aten = torch.ops.aten


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
        """Those of images x [T, B, C, H, W]; a patch is ordered as a filter's weights are."""
        n_tasks, n_images, channels, height, width = x.shape
        size = (9 * channels + 1) * n_images * math.prod(positions(height, width, stride))
        flat = None if pooled else x.new_empty(n_tasks, 9 * channels + 1, size // (9 * channels + 1))
        moments = []
        for tasks in torch.split(torch.arange(n_tasks), max(1, VALUES_AT_ONCE // size)):
            part = slice(int(tasks[0]), int(tasks[-1]) + 1)
            padded = F.pad(x[part], (1, 1, 1, 1))
            if flat is None:
                at_once = max(1, VALUES_AT_ONCE * n_images // size)
                moments.append(sum(_moments(_patches(some, stride)) for some in torch.split(padded, at_once, dim=1)))
            else:
                flat[part] = _patches(padded, stride)
                moments.append(_moments(flat[part]))
        sums = torch.cat(moments)
        exact = sums / sums[:, -1:, -1:]
        mean = exact[:, :-1, -1]
        covariance = exact[:, :-1, :-1] - mean.unsqueeze(2) * mean.unsqueeze(1)
        return cls(from_channels_first(x), stride, flat, mean, covariance)

    def of_tasks(self, tasks: slice) -> Patches:
        """Those of some of the tasks."""
        flat = None if self.flat is None else self.flat[tasks]
        return replace(
            self, images=self.images[tasks], flat=flat, mean=self.mean[tasks], covariance=self.covariance[tasks]
        )


def _patches(padded: Tensor, stride: int) -> Tensor:
    """[T, 9 C + 1, N] patches of padded images [T, B, C, H + 2, W + 2], with a row of ones."""
    windows = padded.unfold(3, 3, stride).unfold(4, 3, stride)  # [T, B, C, H', W', 3, 3]
    rows = windows.permute(0, 2, 5, 6, 1, 3, 4).reshape(len(padded), 9 * padded.shape[2], -1)
    return F.pad(rows, (0, 0, 0, 1), value=1.0)


def _moments(patches: Tensor) -> Tensor:
    """[T, 9 C + 1, 9 C + 1] sums of products, in float64."""
    exact = patches.double()
    return exact @ exact.mT


def output_statistics(weight: Tensor, patches: Patches) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [T, n_out] of the outputs of filters [T, n_out, C, 3, 3]."""
    filters = weight.flatten(2).double()
    mean = (filters @ patches.mean.unsqueeze(2)).squeeze(2)
    variance = ((filters @ patches.covariance) * filters).sum(2)
    return mean.to(weight), variance.to(weight)


def folded(
    weight: Tensor, shift: Tensor, scale: Tensor | None, mean: Tensor, variance: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Filters [T, n_out, C, 3, 3] and biases [T, n_out] that convolve and normalise at once."""
    factor = torch.rsqrt(variance + epsilon)
    if scale is not None:
        factor = factor * scale
    return weight * factor[:, :, None, None, None], shift - factor * mean


def convolve_relu(patches: Patches, weight: Tensor, bias: Tensor) -> Tensor:
    """relu(pool(convolution)) of data, pooled where the patches say so.

    Args:
        patches: of the images, which are not differentiated by.
        weight: [T, n_out, C, 3, 3].
        bias: [T, n_out].

    Returns:
        [T, B, H', W', n_out]; twice differentiable by weight and bias.
    """
    if patches.flat is None:
        found = _ConvolvePoolRelu.apply(patches.images, weight, bias, patches.stride)
    else:
        filters = torch.cat([weight.flatten(2), bias.unsqueeze(2)], dim=2)
        found = _ConvolveRelu.apply(patches, filters)
    assert isinstance(found, Tensor)
    return found


class _ConvolveRelu(torch.autograd.Function):
    """relu(filters . patches) with filters [T, n_out, 9 C + 1], the last of whose weights are biases."""

    @staticmethod
    def forward(ctx: Any, patches: Patches, filters: Tensor) -> Tensor:
        y = _product(patches, filters).relu_()
        ctx.save_for_backward(y)
        ctx.patches = patches
        return y

    @staticmethod
    def backward(ctx: Any, by_y: Tensor) -> Any:
        return None, _ConvolveReluBackward.apply(by_y, *ctx.saved_tensors, ctx.patches)


class _ConvolveReluBackward(torch.autograd.Function):
    """From the gradient by y to that by the filters; it is linear in the former and depends on no filter."""

    @staticmethod
    def forward(ctx: Any, by_y: Tensor, y: Tensor, patches: Patches) -> Tensor:
        ctx.save_for_backward(y)
        ctx.patches = patches
        passed = aten.threshold_backward(by_y.contiguous(), y, 0)
        return (patches.flat @ rows(passed)).mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        by_by_y = _product(ctx.patches, u)
        return aten.threshold_backward.grad_input(by_by_y, y, 0, grad_input=by_by_y), None, None


def _product(patches: Patches, filters: Tensor) -> Tensor:
    """[T, B, H', W', n_out]."""
    assert patches.flat is not None
    x = patches.images
    found = patches.flat.mT @ filters.mT
    return found.view(*x.shape[:2], *positions(x.shape[2], x.shape[3], patches.stride), -1)


def _parts(x: Tensor, n_out: int) -> list[tuple[int, slice]]:
    """Tasks, and parts of their images that are worked on at once, so that what is pooled is still in the cache."""
    _, n_images, height, width, _ = x.shape
    at_once = max(1, VALUES_AT_ONCE // (height * width * n_out))
    return [(t, slice(start, start + at_once)) for t in range(len(x)) for start in range(0, n_images, at_once)]


def _convolved(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """[1, B, H', W', n_out] of one task."""
    return images(F.conv2d(batch(x), weight, bias, stride=stride, padding=1), 1)


class _ConvolvePoolRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        pooled = [
            pool(_convolved(x[t : t + 1, part], weight[t], bias[t], stride)) for t, part in _parts(x, weight.shape[1])
        ]
        whole = [torch.cat(parts, dim=1).flatten(0, 1) for parts in zip(*pooled, strict=True)]
        y, places = (found.view(*x.shape[:2], *found.shape[1:]) for found in whole)
        y = y.relu_()
        ctx.save_for_backward(x, weight, y, places)
        ctx.stride = stride
        return y

    @staticmethod
    def backward(ctx: Any, by_y: Tensor) -> Any:
        return None, *_ConvolvePoolReluBackward.apply(by_y, *ctx.saved_tensors, ctx.stride), None


class _ConvolvePoolReluBackward(torch.autograd.Function):
    """From the gradient by y to those by weight and bias; it is linear in the former and depends on no weight."""

    @staticmethod
    def forward(
        ctx: Any, by_y: Tensor, x: Tensor, weight: Tensor, y: Tensor, places: Tensor, stride: int
    ) -> tuple[Tensor, Tensor]:
        passed = aten.threshold_backward(by_y.contiguous(), y, 0)
        found = [torch.zeros_like(weight[t]) for t in range(len(x))]
        for t, part in _parts(x, weight.shape[1]):
            given, g = x[t : t + 1, part], passed[t : t + 1, part]
            g = to_places(g, places[t : t + 1, part], torch.Size((*given.shape[:4], g.shape[4])))
            found[t] += correlation(g, given, weight[t], stride)
        ctx.save_for_backward(x, y, places)
        ctx.stride = stride
        return kernels(found), passed.sum((1, 2, 3))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor, a: Tensor) -> Any:
        x, y, places = ctx.saved_tensors
        parts = [
            from_places(_convolved(x[t : t + 1, part], u[t], a[t], ctx.stride), places[t : t + 1, part])
            for t, part in _parts(x, u.shape[1])
        ]
        by_by_y = aten.threshold_backward(torch.cat(parts, dim=1).view(y.shape), y, 0)
        return by_by_y, None, None, None, None, None
