"""Products of matrices on a CPU, by whichever library of PyTorch's is quicker.

PyTorch multiplies float32 matrices by MKL, which uses half of what AMD's processors can do. oneDNN, by which it
convolves, uses all of it on either make, and is reached by an operation that PyTorch's compiler emits for linear
layers. It costs some microseconds more a call, and knows no float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

MANY = 2**20  # multiplications in a product from which on oneDNN is quicker
FEW = 32  # columns, below which it is slow at a transposed left factor


def products(a: Tensor, b: Tensor, relu: bool = False) -> Tensor:
    """[T, n, m] products a b' of a [T, n, k] and b [T, m, k], of any strides; not differentiable.

    Args:
        a: left factors.
        b: right factors.
        relu: whether to take the positive part of the result.
    """
    if a[0].numel() * b.shape[1] < MANY or not _has_onednn(a):
        product = a @ b.mT
        return product.relu_() if relu else product
    if a.shape[2] < FEW:
        a = a.contiguous()
    then = "relu" if relu else "none"
    parts = [torch.ops.mkldnn._linear_pointwise(*pair, None, then, [], "") for pair in zip(a, b, strict=True)]
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(parts)


def _has_onednn(x: Tensor) -> bool:
    is_there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return is_there and x.dtype == torch.float32 and x.device.type == "cpu"
