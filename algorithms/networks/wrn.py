"""Wide residual networks (Zagoruyko and Komodakis 2016, arXiv 1605.07146)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.networks.entry import register_network
from algorithms.networks.options import WRNOptions

FIRST = 16  # filters of the first convolution
STRIDES = (1, 2, 2)  # of the groups' first blocks


class _Block(nn.Module):
    """Two pre-activated 3 x 3 convolutions with dropout between them, beside the input or a 1 x 1 convolution of it."""

    def __init__(self, n_in: int, n_out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(n_in), nn.BatchNorm2d(n_out)
        self.convolution1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.convolution2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)
        changes = n_in != n_out or stride != 1
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x))
        y: Tensor = self.dropout(F.relu(self.norm2(self.convolution1(activated))))
        change: Tensor = self.convolution2(y)
        return change + (x if self.shortcut is None else self.shortcut(activated))


@register_network(
    "wrn-28-10",
    options=WRNOptions,
    paper="Zagoruyko and Komodakis 2016, arXiv 1605.07146",
    summary="wide residual network: three groups of four pre-activated blocks, 160 to 640 filters, average pooling",
)
class WideResNet(nn.Module):
    """WRN-depth-width: images [B, channels, height, width] to features [B, 64 * width].

    Convolutions are drawn by Kaiming's rule, as in the authors' code.

    Args:
        input_shape: (channels, height, width).
        depth: convolutional layers, 6 n + 4 with n blocks a group.
        width: factor of the filters 16, 32 and 64 of the three groups.
        dropout: the part of the outputs between a block's convolutions that is dropped in training.
    """

    def __init__(self, input_shape: tuple[int, ...], depth: int, width: int, dropout: float) -> None:
        super().__init__()
        sizes = [FIRST, *(FIRST * 2**group * width for group in range(len(STRIDES)))]
        self.first = nn.Conv2d(input_shape[0], FIRST, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(
            *(
                _Block(sizes[group + (place > 0)], sizes[group + 1], stride if place == 0 else 1, dropout)
                for group, stride in enumerate(STRIDES)
                for place in range((depth - 4) // 6)
            )
        )
        self.last = nn.BatchNorm2d(sizes[-1])
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of images x."""
        features: Tensor = F.relu(self.last(self.blocks(self.first(x))))
        return features.mean(dim=(2, 3))
