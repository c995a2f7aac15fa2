"""3 x 3 convolution of T tasks' images with weights of their own, differentiable twice.

With y = x * w, and g the gradient by y, the first derivatives are a transposed convolution and a correlation,

    by x:  g *' w       by w:  corr(x, g)

both bilinear, so that with v and u the gradients by these two

    by g:  v * w + x * u       by x:  g *' u       by w:  corr(v, g)

are convolutions, transposed convolutions and correlations again. PyTorch makes of the last one a convolution of the
weights' size with images as kernels, which is slow; here all are the three operations that oneDNN is written for.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from algorithms.engines.fused.layout import VALUES_AT_ONCE, batch, batches, images, is_shared, positions, rows
from algorithms.engines.fused.product import products
from algorithms.engines.shared_weights import are_summed

aten = torch.ops.aten
# outputs of a task, or of an image, up to which products of patches are quicker than a convolution for each task: most
# of that is its set-up, or falls on the padding
FEW_ROWS = 64
FEW_POSITIONS = 4


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Convolution with a padding of one.

    Args:
        x: [T, B, H, W, C] images.
        weight: [T, n_out, C, 3, 3]; tasks that share it in memory are convolved together.
        stride: of the convolution.

    Returns:
        [T, B, H', W', n_out].
    """
    y = _Convolve.apply(x, weight, stride)
    assert isinstance(y, Tensor)
    return y


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return _convolution(x, weight, stride)

    @staticmethod
    def backward(ctx: Any, by_y: Tensor) -> Any:
        return *_ConvolveBackward.apply(by_y, *ctx.saved_tensors, ctx.stride), None


class _ConvolveBackward(torch.autograd.Function):
    """From the gradient by y to those by x and w."""

    @staticmethod
    def forward(ctx: Any, by_y: Tensor, x: Tensor, weight: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        by_y = by_y.contiguous()
        ctx.save_for_backward(by_y, x, weight)
        ctx.stride = stride
        return _transposed(by_y, x, weight, stride), _correlation(by_y, x, weight, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor, u: Tensor) -> Any:
        by_y, x, weight = ctx.saved_tensors
        v, stride = v.contiguous(), ctx.stride
        by_by_y = _convolution(v, weight, stride).add_(_convolution(x, u, stride))
        return by_by_y, _transposed(by_y, x, u, stride), _correlation(by_y, v, weight, stride), None


def _convolution(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    shape = *x.shape[:2], *positions(x.shape[2], x.shape[3], stride), weight.shape[1]
    if _is_small(x, weight, stride):
        return products(_patches(x, stride), _matrices(weight)).view(shape)
    if is_shared(weight):
        return images(F.conv2d(batch(x), weight[0], stride=stride, padding=1), len(x))
    y = x.new_empty(shape)
    for image, kernel, into in zip(batches(x), weight.unbind(0), batches(y), strict=True):
        into.copy_(F.conv2d(image, kernel, stride=stride, padding=1))
    return y


def _transposed(by_y: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    if _is_small(x, weight, stride):
        return _put_back(products(rows(by_y), _matrices(weight).mT), x.shape, stride)
    if is_shared(weight):
        return images(_backward(batch(by_y), batch(x), weight[0], stride, by_x=True), len(x))
    by_x = torch.empty_like(x)
    for g, like, kernel, into in zip(batches(by_y), batches(x), weight.unbind(0), batches(by_x), strict=True):
        into.copy_(_backward(g, like, kernel, stride, by_x=True))
    return by_x


def _correlation(by_y: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    if is_shared(weight) and are_summed():
        total = correlation(batch(by_y), batch(x), weight[0], stride)
        return (total / len(x)).expand(weight.shape)
    if _has_few_outputs(x, stride):
        by_w = products(rows(by_y).mT, _patches(x, stride).mT)
        return by_w.view(*by_w.shape[:2], 3, 3, -1).movedim(4, 2)
    parts = zip(batches(by_y), batches(x), weight.unbind(0), strict=True)
    return torch.cat([correlation(*part, stride) for part in parts]).view_as(weight)


def correlation(by_y: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The gradient by a kernel in the shape of ``weight`` [n_out, C, 3, 3], of by_y and x in batches [B, ., H, W]."""
    at_once = max(1, VALUES_AT_ONCE // x[0].numel())
    if len(x) <= at_once:
        return _backward(by_y, x, weight, stride, by_x=False)
    parts = zip(torch.split(by_y, at_once), torch.split(x, at_once), strict=True)
    return torch.stack([_backward(*part, weight, stride, by_x=False) for part in parts]).sum(0)


def _backward(by_y: Tensor, x: Tensor, weight: Tensor, stride: int, by_x: bool) -> Tensor:
    """The gradient of one convolution by its images or by its kernel."""
    of, once = [by_x, not by_x, False], [1, 1]
    gradients = aten.convolution_backward(by_y, x, weight, None, [stride] * 2, once, once, False, [0, 0], 1, of)
    gradient: Tensor = gradients[0 if by_x else 1]
    return gradient


def _is_small(x: Tensor, weight: Tensor, stride: int) -> bool:
    """Return whether products of patches are quicker than convolutions with these weights."""
    return _has_few_outputs(x, stride) and (len(x) == 1 or not is_shared(weight))


def _has_few_outputs(x: Tensor, stride: int) -> bool:
    of_image = math.prod(positions(x.shape[2], x.shape[3], stride))
    return of_image <= FEW_POSITIONS or x.shape[1] * of_image <= FEW_ROWS


def _matrices(weight: Tensor) -> Tensor:
    """[T, n_out, 9 C] from weights [T, n_out, C, 3, 3] whose channels are last in memory, as those of patches."""
    return weight.movedim(2, 4).reshape(*weight.shape[:2], -1)


def _patches(x: Tensor, stride: int) -> Tensor:
    """[T, B * H' * W', 9 C] of images [T, B, H, W, C]."""
    n_tasks, _, height, width, channels = x.shape
    padded = F.pad(x.flatten(2, 3), (0, 0, 0, 1))  # a zero behind the last position
    places = _places(height, width, stride).to(x.device)
    return padded.index_select(2, places).view(n_tasks, -1, 9 * channels)


def _put_back(patches: Tensor, shape: torch.Size, stride: int) -> Tensor:
    """The transpose: images of ``shape`` [T, B, H, W, C] with what the patches add up to at each position."""
    n_tasks, n_images, height, width, channels = shape
    places = _places(height, width, stride).to(patches.device)
    padded = patches.new_zeros(n_tasks, n_images, height * width + 1, channels)
    padded.index_add_(2, places, patches.view(n_tasks, n_images, -1, channels))
    return padded[:, :, :-1].reshape(shape)


@cache
def _places(height: int, width: int, stride: int) -> Tensor:
    """For each output and each of its nine inputs, where that is in height * width; outside, behind the end."""
    index = F.pad(torch.arange(height * width).view(height, width), (1, 1, 1, 1), value=height * width)
    return index.unfold(0, 3, stride).unfold(1, 3, stride).flatten()
