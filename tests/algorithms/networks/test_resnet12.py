"""ResNet-12's DropBlock, against its paper."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Generator

from algorithms.networks.entry import NETWORKS
from algorithms.networks.resnet12 import DropBlock, ResNet12


@pytest.mark.parametrize(("rate", "size"), [(0.1, 5), (0.2, 3), (0.3, 1), (0.1, 40)])
def test_dropblock_drops_squares_at_its_rate(rate: float, size: int) -> None:
    torch.manual_seed(0)
    x = torch.ones(40, 20, 16, 16)
    y = DropBlock(rate, size)(x)
    dropped = y == 0
    side = min(size, 16)
    # each output lies in as many squares as overlap it; the paper's rate counts none twice
    expected = 1 - (1 - rate / side**2) ** (side**2)
    assert float(dropped.float().mean()) == pytest.approx(expected, rel=0.2)
    assert float(y.mean()) == pytest.approx(1.0, abs=1e-5)
    assert len(y.unique()) == 2
    corners = (F.avg_pool2d(dropped.float(), side, stride=1) == 1).float()  # of squares that are dropped as a whole
    assert torch.equal(F.max_pool2d(F.pad(corners, [side - 1] * 4), side, stride=1), dropped.float())


def test_dropblock_is_off_in_evaluation() -> None:
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(DropBlock(0.5, 3).eval()(x), x)


def test_dropblock_is_an_option_of_the_last_two_blocks() -> None:
    entry = NETWORKS["resnet12"]
    plain = entry.options.model_validate({"channels": (2, 3, 4), "dropout": 0.1})
    assert "dropblock" not in plain.model_dump()  # so that stored cells keep their ids
    options = entry.options.model_validate({"channels": (2, 3, 4), "dropout": 0.1, "dropblock": 5})
    assert options.model_dump(mode="json")["dropblock"] == 5
    module = ResNet12((1, 16, 16), (2, 3, 4), 0.1, 5)
    kinds = [type(block.dropout).__name__ for block in module.blocks]
    assert kinds == ["Dropout", "DropBlock", "DropBlock"]
    without, with_blocks = (entry.build(given, (1, 16, 16), 3) for given in (plain, options))
    first, second = (network.init(Generator().manual_seed(0)) for network in (without, with_blocks))
    assert all(torch.equal(first[name], second[name]) for name in first)
