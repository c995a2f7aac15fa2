"""Batch norm, ReLU and max-pooling of T tasks' images as one function with closed-form first and second derivatives.

PyTorch differentiates its batch norm a second time by some thirty passes over memory. Here the second derivative is two
affine combinations of what is there already.

With rows i = 1..N of a task (images and positions) and for each channel: x_i the input, m its mean,
r = 1 / sqrt(var + eps), h_i = (x_i - m) r, scale s and shift b, the output is

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

from algorithms.engines.fused.layout import rows
from algorithms.engines.fused.pooling import from_places, pool, to_places


def norm_relu(x: Tensor, shift: Tensor, scale: Tensor | None, epsilon: float, pooled: bool) -> Tensor:
    """relu(pool(scale * normalized x + shift)) over each task's own statistics.

    Args:
        x: [T, B, H, W, C].
        shift: [T, C].
        scale: [T, C], or None for ones.
        epsilon: added to the variance.
        pooled: whether to take the maximum of 2 x 2 positions.

    Returns:
        [T, B, H, W, C], or [T, B, H // 2, W // 2, C] where pooled; twice differentiable.
    """
    y = _NormRelu.apply(x, shift, torch.ones_like(shift) if scale is None else scale, epsilon, pooled)
    assert isinstance(y, Tensor)
    return y


def _mean(values: Tensor) -> Tensor:
    """[T, 1, C] from rows [T, N, C]."""
    return values.mean(1, keepdim=True)


class _NormRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shift: Tensor, scale: Tensor, epsilon: float, pooled: bool) -> Tensor:
        m = _mean(rows(x))
        r = torch.rsqrt(_mean((rows(x) - m).square_()) + epsilon)
        sr = scale.unsqueeze(1) * r
        z = torch.addcmul(torch.addcmul(shift.unsqueeze(1), sr, m, value=-1), rows(x), sr).view(x.shape)
        y, places = pool(z) if pooled else (z, None)
        y = y.relu_()
        ctx.save_for_backward(x, scale, m, r, y, places)
        return y

    @staticmethod
    def backward(ctx: Any, by_y: Tensor) -> Any:
        return *_NormReluBackward.apply(by_y, *ctx.saved_tensors), None, None


class _NormReluBackward(torch.autograd.Function):
    """From the gradient by y to those by x, b and s; differentiable once more, by y's gradient, x and s."""

    @staticmethod
    def forward(
        ctx: Any, by_y: Tensor, x: Tensor, scale: Tensor, m: Tensor, r: Tensor, y: Tensor, places: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        passed = torch.ops.aten.threshold_backward(by_y.contiguous(), y, 0)
        g = rows(passed if places is None else to_places(passed, places, x.shape))
        n, sr = g.shape[1], scale.unsqueeze(1) * r
        G = _mean(g)  # noqa: N806 - the derivation's names
        H = torch.addcmul(_mean(g * rows(x)), m, G, value=-1).mul_(r)  # noqa: N806
        of_x = sr * r * H
        by_x = torch.addcmul(torch.addcmul(of_x * m, sr, G, value=-1), rows(x), of_x, value=-1).addcmul_(g, sr)
        ctx.save_for_backward(g, x, scale, m, r, y, places, G, H)
        return by_x.view(x.shape), n * G.squeeze(1), n * H.squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_by_x: Tensor, by_by_shift: Tensor, by_by_scale: Tensor) -> Any:
        g, x, scale, m, r, y, places, G, H = ctx.saved_tensors  # noqa: N806 - the derivation's names
        v, x_rows = rows(by_by_x.contiguous()), rows(x)
        a, c, s = by_by_shift.unsqueeze(1), by_by_scale.unsqueeze(1), scale.unsqueeze(1)
        V = _mean(v)  # noqa: N806
        W = r * (_mean(v * x_rows) - m * V)  # noqa: N806
        K = _mean(v * g) - V * G - W * H  # noqa: N806
        sr = s * r
        # both gradients are affine in v, g and x, since h = r x - r m
        of_h = c - sr * W
        by_g = torch.addcmul(a - sr * V - of_h * r * m, x_rows, of_h * r).addcmul_(v, sr).view(x.shape)
        mean_u, mean_uh = c * G - sr * (V * H + G * W), c * H - 2 * sr * W * H
        by_h = -r * mean_uh - sr * r * K
        by_x = torch.addcmul(-r * mean_u - by_h * r * m, x_rows, by_h * r)
        by_x = by_x.addcmul_(v, -sr * r * H).addcmul_(g, r * of_h)
        by_y = by_g if places is None else from_places(by_g, places)
        by_by_y = torch.ops.aten.threshold_backward(by_y, y, 0)
        return by_by_y, by_x.view(x.shape), (v.shape[1] * r * K).squeeze(1), None, None, None, None
