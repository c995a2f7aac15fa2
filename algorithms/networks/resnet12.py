"""ResNet-12 as few-shot papers use it (Lee et al. 2019, arXiv 1904.03758; Tian et al. 2020, arXiv 2003.11539)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.networks.entry import register_network
from algorithms.networks.options import ResNet12Options

SLOPE = 0.1  # of leaky ReLU for negative inputs
WITH_DROPBLOCK = 2  # the last residual blocks


class DropBlock(nn.Module):
    """Sets squares of neighbouring outputs to zero in training (Ghiasi et al. 2018, arXiv 1810.12890, algorithm 1).

    The rate is constant: a schedule over training would be a state of the module.

    Args:
        rate: the part of the outputs that is dropped, where squares do not overlap.
        size: height and width of a square; smaller where the outputs are.
    """

    def __init__(self, rate: float, size: int) -> None:
        super().__init__()
        self.rate, self.size = rate, size

    def forward(self, x: Tensor) -> Tensor:
        """Return x [B, channels, height, width] with squares of zeros, scaled to keep its sum on average."""
        if not self.training or self.rate == 0:
            return x
        height, width = x.shape[2:]
        size = min(self.size, height, width)
        places = (height - size + 1, width - size + 1)  # of a square's first corner, all of it inside
        gamma = self.rate * height * width / (size**2 * places[0] * places[1])
        corners = (torch.rand(*x.shape[:2], *places, device=x.device) < gamma).to(x.dtype)
        kept = 1 - F.max_pool2d(F.pad(corners, [size - 1] * 4), size, stride=1)
        return x * kept * (kept.numel() / kept.sum().clamp(min=1))


class _Block(nn.Module):
    """Three 3 x 3 convolutions with batch norm beside a 1 x 1 shortcut, leaky ReLU, 2 x 2 max-pooling and dropout."""

    def __init__(self, n_in: int, n_out: int, dropout: nn.Module) -> None:
        super().__init__()
        sizes = (n_in, n_out, n_out, n_out)
        self.convolutions = nn.ModuleList(nn.Conv2d(sizes[i], n_out, 3, padding=1, bias=False) for i in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(n_out) for _ in range(3))
        self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out))
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            y = norm(convolution(y))
            if i < 2:
                y = F.leaky_relu(y, SLOPE)
        y = F.leaky_relu(y + self.shortcut(x), SLOPE)
        dropped: Tensor = self.dropout(F.max_pool2d(y, 2))
        return dropped


@register_network(
    "resnet12",
    options=ResNet12Options,
    paper="Lee et al. 2019, arXiv 1904.03758; Tian et al. 2020, arXiv 2003.11539",
    summary="four residual blocks of three convolutions, leaky ReLU and max-pooling, then average pooling",
)
class ResNet12(nn.Module):
    """Four residual blocks and average pooling: images [B, channels, height, width] to features [B, channels[-1]].

    Convolutions are drawn by Kaiming's rule for leaky ReLU, as in the authors' code.

    Args:
        input_shape: (channels, height, width); height and width are at least 16.
        channels: of each block.
        dropout: the part of a block's outputs that is dropped in training; 0 for none.
        dropblock: height and width of the squares that are dropped together in the last two blocks; 0 for single
            outputs. Lee et al. have 5, with a rate that rises to 0.1 in training.
    """

    def __init__(self, input_shape: tuple[int, ...], channels: tuple[int, ...], dropout: float, dropblock: int) -> None:
        super().__init__()
        sizes, n_plain = (input_shape[0], *channels), len(channels) - WITH_DROPBLOCK if dropblock else len(channels)
        self.blocks = nn.Sequential(
            *(
                _Block(sizes[i], sizes[i + 1], nn.Dropout(dropout) if i < n_plain else DropBlock(dropout, dropblock))
                for i in range(len(channels))
            )
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=SLOPE, mode="fan_out", nonlinearity="leaky_relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of images x."""
        blocks: Tensor = self.blocks(x)
        return blocks.mean(dim=(2, 3))
