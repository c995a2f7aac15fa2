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

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from algorithms.engines.fused.convolution import correlation
from algorithms.engines.fused.layout import VALUES_AT_ONCE, batch, images, positions, rows
from algorithms.engines.fused.patches import Patches
from algorithms.engines.fused.pooling import from_places, pool, to_places
from algorithms.engines.fused.product import products

aten = torch.ops.aten


def folded(
    weight: Tensor, shift: Tensor, scale: Tensor | None, mean: Tensor, variance: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Filters [T, n_out, C, 3, 3] and biases [T, n_out] that convolve and normalize at once."""
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
        y = _ConvolvePoolRelu.apply(patches.images, weight, bias, patches.stride)
    else:
        filters = torch.cat([weight.flatten(2), bias.unsqueeze(2)], dim=2)
        y = _ConvolveRelu.apply(patches, filters)
    assert isinstance(y, Tensor)
    return y


class _ConvolveRelu(torch.autograd.Function):
    """relu(filters . patches) with filters [T, n_out, 9 C + 1], the last of whose weights are biases."""

    @staticmethod
    def forward(ctx: Any, patches: Patches, filters: Tensor) -> Tensor:
        y = _convolved_patches(patches, filters, relu=True)
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
        assert patches.flat is not None
        return products(patches.flat, rows(passed).mT).mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        by_by_y = _convolved_patches(ctx.patches, u)
        return aten.threshold_backward.grad_input(by_by_y, y, 0, grad_input=by_by_y), None, None


def _convolved_patches(patches: Patches, filters: Tensor, relu: bool = False) -> Tensor:
    """[T, B, H', W', n_out]."""
    assert patches.flat is not None
    x = patches.images
    y = products(patches.flat.mT, filters, relu)
    return y.view(*x.shape[:2], *positions(x.shape[2], x.shape[3], patches.stride), -1)


def _parts(x: Tensor, n_out: int) -> list[tuple[int, slice]]:
    """Tasks, and parts of their images that are worked on at once, so that what is pooled is still in the cache."""
    _, n_images, height, width, _ = x.shape
    at_once = max(1, VALUES_AT_ONCE // (height * width * n_out))
    return [(t, slice(start, start + at_once)) for t in range(len(x)) for start in range(0, n_images, at_once)]


def _convolved(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """[1, B, H', W', n_out] of one task."""
    return images(F.conv2d(batch(x), weight, bias, stride=stride, padding=1), 1)


class _ConvolvePoolRelu(torch.autograd.Function):
    """Convolution, max-pooling and ReLU, part by part: stores the pooled output and the places of the maxima only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        height, width = positions(x.shape[2], x.shape[3], stride)
        y = x.new_empty(*x.shape[:2], height // 2, width // 2, weight.shape[1])
        places = []
        for t, part in _parts(x, weight.shape[1]):
            pooled, of_part = pool(_convolved(x[t : t + 1, part], weight[t], bias[t], stride))
            torch.clamp_min(pooled, 0, out=y[t : t + 1, part])
            places.append(of_part)
        ctx.save_for_backward(x, weight, y, *places)
        ctx.stride = stride
        return y

    @staticmethod
    def backward(ctx: Any, by_y: Tensor) -> Any:
        return None, *_ConvolvePoolReluBackward.apply(by_y, ctx.stride, *ctx.saved_tensors), None


class _ConvolvePoolReluBackward(torch.autograd.Function):
    """From the gradient by y to those by weight and bias; it is linear in the former and depends on no weight."""

    @staticmethod
    def forward(
        ctx: Any, by_y: Tensor, stride: int, x: Tensor, weight: Tensor, y: Tensor, *places: Tensor
    ) -> tuple[Tensor, Tensor]:
        by_y = by_y.contiguous()
        by_weight, by_bias = torch.zeros_like(weight), by_y.new_zeros(weight.shape[:2])
        for (t, part), of_part in zip(_parts(x, weight.shape[1]), places, strict=True):
            inputs = x[t : t + 1, part]
            passed = aten.threshold_backward(by_y[t : t + 1, part], y[t : t + 1, part], 0)
            g = to_places(passed, of_part, torch.Size((*inputs.shape[:4], weight.shape[1])))
            by_weight[t] += correlation(batch(g), batch(inputs), weight[t], stride)
            by_bias[t] += passed.sum((0, 1, 2, 3))
        ctx.save_for_backward(x, y, *places)
        ctx.stride = stride
        return by_weight, by_bias

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor, a: Tensor) -> Any:
        x, y, *places = ctx.saved_tensors
        by_by_y = torch.empty_like(y)
        for (t, part), of_part in zip(_parts(x, u.shape[1]), places, strict=True):
            moved = from_places(_convolved(x[t : t + 1, part], u[t], a[t], ctx.stride), of_part)
            into = by_by_y[t : t + 1, part]
            aten.threshold_backward.grad_input(moved, y[t : t + 1, part], 0, grad_input=into)
        return by_by_y, *(None for _ in range(4 + len(places)))
