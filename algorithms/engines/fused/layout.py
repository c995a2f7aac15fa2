"""The two views of a stack of images: rows for element-wise work, batches for PyTorch's convolutions."""

from __future__ import annotations

import torch
from torch import Tensor

VALUES_AT_ONCE = 2**20  # 4 MiB in float32: what is worked on together stays in the cache of one processor


def rows(images: Tensor) -> Tensor:
    """[T, B * H * W, C] view of contiguous images [T, B, H, W, C]."""
    return images.flatten(1, 3)


def batch(images: Tensor) -> Tensor:
    """[T * B, C, H, W] view of contiguous images [T, B, H, W, C], its channels next to each other in memory."""
    return images.flatten(0, 1).permute(0, 3, 1, 2)


def batches(images: Tensor) -> tuple[Tensor, ...]:
    """The same of each task: T views [B, C, H, W]."""
    return torch.split(batch(images), images.shape[1])


def images(x: Tensor, n_tasks: int) -> Tensor:
    """Contiguous [T, B, H, W, C] from x [T * B, C, H, W]: a view where the channels of x are last in memory."""
    moved = x.permute(0, 2, 3, 1).contiguous()
    return moved.view(n_tasks, -1, *moved.shape[1:])


def from_channels_first(x: Tensor) -> Tensor:
    """Contiguous [T, B, H, W, C] from x [T, B, C, H, W]."""
    n_tasks, n_images, channels, height, width = x.shape
    if channels == 1:  # a permutation would keep strides that PyTorch does not take for channels last
        return x.reshape(n_tasks, n_images, height, width, 1)
    return x.movedim(2, 4).contiguous()


def positions(height: int, width: int, stride: int) -> tuple[int, int]:
    """Rows and columns of what a 3 x 3 convolution with a padding of one gives."""
    return (height - 1) // stride + 1, (width - 1) // stride + 1


def is_shared(weights: Tensor) -> bool:
    """Return whether all tasks have the same [T, ...] weights, as far as memory tells."""
    return len(weights) == 1 or weights.stride(0) == 0
