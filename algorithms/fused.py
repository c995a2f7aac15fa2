"""Batch norm, ReLU and max-pooling as one function with closed-form first and second derivatives, channels last.

PyTorch differentiates its batch norm a second time by some thirty passes over memory, and a ReLU whose gradient has
another layout than its output costs more than the convolution beside it. Here every tensor keeps one layout, and the
second derivative is two affine combinations of what is there already.

With rows i = 1..N (images and positions) and for each channel: x_i the input, m its mean, r = 1 / sqrt(var + eps),
h_i = (x_i - m) r, scale s and shift b, the output is

    y = relu(pool(z)),   z_i = s h_i + b

(the ReLU after the pooling gives what it gives before it, on a quarter of the values). Let g be the gradient by z. The
first derivatives are those of Ioffe and Szegedy 2015 (arXiv 1502.03167, section 3):

    by x_i:  s r (g_i - mean(g) - h_i mean(g h))       by b:  N mean(g)       by s:  N mean(g h)

Second derivatives: let v_i, a and c be the gradients by these three. What stands in brackets is a projection, which is
its own transpose, so that with V = mean(v), W = mean(v h), G = mean(g), H = mean(g h)

    by g_i:  s r (v_i - V - h_i W) + a + c h_i
    by s:    N r K                                      with K = mean(v g) - V G - W H

and by x_i through r (dr/dx_i = -r^2 h_i / N) and through h (whose gradient is u_i = -s r (v_i H + g_i W) + c g_i, taken
back to x by the same projection)

    by x_i:  r (u_i - mean(u) - h_i mean(u h)) - s r^2 K h_i,
             mean(u) = -s r (V H + G W) + c G,   mean(u h) = -2 s r W H + c H.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

aten = torch.ops.aten
POOL = ([2, 2], [2, 2], [0, 0], [1, 1], False)  # size, stride, padding, dilation, ceil


def channels_last(x: Tensor) -> Tensor:
    """The same [B, C, H, W] with its channels next to each other in memory.

    With one channel both layouts are the same memory; the strides then say which is meant, for a convolution's output
    takes the layout of its input.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    _, channels, height, width = x.shape
    return x if channels > 1 else x.as_strided(x.shape, (height * width, 1, width, 1))


def rows(x: Tensor) -> Tensor:
    """[B * H * W, C] view of x [B, C, H, W] whose channels are last in memory."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _like(values: Tensor, x: Tensor) -> Tensor:
    """[B, C, H, W] view of rows in the shape of ``x``."""
    return values.reshape(x.shape[0], x.shape[2], x.shape[3], x.shape[1]).permute(0, 3, 1, 2)


def norm_relu(x: Tensor, shift: Tensor, scale: Tensor | None, epsilon: float, pool: bool) -> Tensor:
    """relu(pool(scale * normalised x + shift)) over the batch's own statistics.

    Args:
        x: [B, C, H, W], channels last.
        shift: [C].
        scale: [C], or None for ones.
        epsilon: added to the variance.
        pool: whether to take the maximum of 2 x 2 positions.

    Returns:
        [B, C, H, W], or [B, C, H // 2, W // 2] with ``pool``, channels last; twice differentiable.
    """
    found = _NormRelu.apply(x, shift, torch.ones_like(shift) if scale is None else scale, epsilon, pool)
    assert isinstance(found, Tensor)
    return found


class _NormRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shift: Tensor, scale: Tensor, epsilon: float, pool: bool) -> Tensor:
        z, mean, inverse = torch.native_batch_norm(x, scale, shift, None, None, True, 0.0, epsilon)
        places = None
        if pool:
            z, places = aten.max_pool2d_with_indices(z, *POOL)
        y = z.relu_()
        ctx.save_for_backward(x, scale, mean, inverse, y, places)
        return y

    @staticmethod
    def backward(ctx: Any, by_y: Tensor) -> Any:
        return *_NormReluBackward.apply(by_y, *ctx.saved_tensors), None, None


class _NormReluBackward(torch.autograd.Function):
    """From the gradient by y to those by x, b and s; differentiable once more, by y's gradient, x and s."""

    @staticmethod
    def forward(
        ctx: Any,
        by_y: Tensor,
        x: Tensor,
        scale: Tensor,
        mean: Tensor,
        inverse: Tensor,
        y: Tensor,
        places: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        g = _by_z(by_y, x, y, places)
        by_x, by_scale, by_shift = aten.native_batch_norm_backward(
            g, x, scale, None, None, mean, inverse, True, 0.0, [True, True, True]
        )
        ctx.save_for_backward(g, x, scale, mean, inverse, y, places, by_shift, by_scale)
        return by_x, by_shift, by_scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor, a: Tensor, c: Tensor) -> Any:
        g, x, s, m, r, y, places, by_shift, by_scale = ctx.saved_tensors
        v_rows, g_rows, x_rows = rows(channels_last(v)), rows(g), rows(x)
        n = len(x_rows)
        G, H, V = by_shift / n, by_scale / n, v_rows.mean(0)  # noqa: N806 - the derivation's names
        W = r * ((v_rows * x_rows).mean(0) - m * V)  # noqa: N806
        K = (v_rows * g_rows).mean(0) - V * G - W * H  # noqa: N806
        sr = s * r
        # both gradients are affine in v, g and x, since h = r x - r m
        of_h = c - sr * W
        by_g = torch.addcmul(torch.addcmul(a - sr * V - of_h * r * m, x_rows, of_h * r), v_rows, sr)
        mean_u, mean_uh = c * G - sr * (V * H + G * W), c * H - 2 * sr * W * H
        by_h = -r * mean_uh - sr * r * K
        by_x = torch.addcmul(-r * mean_u - by_h * r * m, x_rows, by_h * r)
        by_x = by_x.addcmul_(v_rows, -sr * r * H).addcmul_(g_rows, r * of_h)
        return _by_y(_like(by_g, x), y, places), _like(by_x, x), n * r * K, None, None, None, None


def _by_z(by_y: Tensor, x: Tensor, y: Tensor, places: Tensor | None) -> Tensor:
    """The gradient by z from that by y: through the ReLU, and to the places of the maxima."""
    passed: Tensor = aten.threshold_backward(channels_last(by_y), y, 0)
    if places is not None:
        passed = aten.max_pool2d_with_indices_backward(passed, x, *POOL, places)
    return passed


def _by_y(by_z: Tensor, y: Tensor, places: Tensor | None) -> Tensor:
    """The transpose of ``_by_z``."""
    if places is not None:
        by_z = channels_last(by_z.flatten(2).gather(2, places.flatten(2)).reshape(places.shape))
    found: Tensor = aten.threshold_backward(by_z, y, 0)
    return found
