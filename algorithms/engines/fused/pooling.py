"""Maximum of 2 x 2 positions, the places of the maxima, and both ways through them."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.engines.fused.layout import batch, images

_WINDOW = ([2, 2], [2, 2], [0, 0], [1, 1])  # size, stride, padding, dilation


def pool(z: Tensor) -> tuple[Tensor, Tensor]:
    """The maxima [T, B, H // 2, W // 2, C] of images [T, B, H, W, C], and their places in H * W."""
    y, places = torch.ops.aten.max_pool2d_with_indices(batch(z), *_WINDOW, False)
    return images(y, len(z)), images(places, len(z))


def to_places(values: Tensor, places: Tensor, shape: torch.Size) -> Tensor:
    """Images of ``shape`` with the values at their places and zero elsewhere."""
    like = batch(values.new_empty(shape))
    spread = torch.ops.aten.max_pool2d_with_indices_backward(batch(values), like, *_WINDOW, False, batch(places))
    return images(spread, shape[0])


def from_places(z: Tensor, places: Tensor) -> Tensor:
    """The transpose: what images hold at the places, in the shape of ``places``."""
    maxima = z.flatten(2, 3).gather(2, places.flatten(2, 3))
    return maxima.view(places.shape)
