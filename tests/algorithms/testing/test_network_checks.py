"""The check of networks: it passes what is right, and every check catches a network that is broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from algorithms.networks.conv4 import Conv4
from algorithms.networks.entry import NETWORKS
from algorithms.networks.mlp import MLP
from algorithms.networks.module import ModuleNetwork
from algorithms.networks.network import Network, Weights
from algorithms.testing import assert_network_conforms, check_network
from algorithms.testing import network_checks as checks
from tests.algorithms.networks import modules as made
from tests.bench.helpers import Main

VECTOR = (4,)


class Plain(MLP):
    """An MLP that is no exact ``MLP``, so that no engine has a form of its own for it."""

    def __init__(self) -> None:
        super().__init__(4, 3, (5,))


class WrongShape(Plain):
    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        return super().features(weights, x)[:, :-1]


class WrongPrecision(Plain):
    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        return super().features(weights, x).float()


class NoSuchRole(Plain):
    def role(self, name: str) -> Any:
        return "hand"


class NotFromTheGenerator(Plain):
    def init(self, generator: Generator) -> dict[str, Tensor]:
        weights = super().init(generator)
        return {**weights, "layer1.bias": torch.rand(5)}


class NoSeed(Plain):
    def init(self, generator: Generator) -> dict[str, Tensor]:
        return super().init(Generator().manual_seed(0))


class Draws(Plain):
    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        return super().features(weights, x) + 1e-9 * torch.rand(1)


class Remembers(Plain):
    """Centres by the examples of the call before."""

    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        before = self.__dict__.get("_before", 0.0)
        self.__dict__["_before"] = x.detach().mean()
        return super().features(weights, x - before)


class ChangesInputs(Plain):
    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        with torch.no_grad():
            x.mul_(2.0)
        return super().features(weights, x)


class MixesTasks(Plain):
    """Is written for stacks of tasks, whose examples it adds."""

    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        return super().features(weights, x - x.mean(dim=0, keepdim=True) if x.dim() == 3 else x)


class DependsOnValues(Conv4):
    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        return super().features(weights, x, statistics) * (2.0 if float(x.sum()) > 0 else 1.0)


class CentresTheBatch(Plain):
    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        return super().features(weights, x - x.mean(dim=0))


class IgnoresStatistics(Conv4):
    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        return super().features(weights, x)


class HidesANorm(Conv4):
    @property
    def norm_layers(self) -> tuple[str, ...]:
        return ("norm1",)


class Detaches(Plain):
    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        return super().features(weights, x).detach()


class InfiniteSlope(Plain):
    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        features = super().features(weights, x)
        return (features - features.detach()).abs().sqrt()


class InfiniteCurve(Plain):
    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        features = super().features(weights, x)
        return features + (features - features.detach()).abs().pow(1.5)  # which has the slope 0 at 0


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_y: Tensor) -> Tensor:
        return 2 * by_y


class FirstOrder(Plain):
    """Has a backward pass that cannot be differentiated, which PyTorch passes over where others can."""

    def features(self, weights: Weights, x: Tensor, statistics: Any = None) -> Tensor:
        return Once.apply(super().features(weights, x))  # type: ignore[no-any-return]


def conv(kind: type[Conv4]) -> Callable[[], Network]:
    return lambda: kind((1, 8, 8), 3, channels=2)


BROKEN: list[tuple[str, Callable[[], Network], str, str]] = [
    ("WrongShape", WrongShape, "features have the right shape", "(4, 4); for 4 examples"),
    ("WrongPrecision", WrongPrecision, "features have the right shape", "torch.float32"),
    ("NoSuchRole", NoSuchRole, "features have the right shape", "no role 'hand'"),
    ("NotFromTheGenerator", NotFromTheGenerator, "deterministic under a seed", "two draws of 'layer1.bias'"),
    ("NoSeed", NoSeed, "deterministic under a seed", "the same under two seeds"),
    ("Draws", Draws, "deterministic under a seed", "differ in evaluation mode"),
    ("Remembers", Remembers, "nothing is kept between calls", "after features of other examples"),
    ("ChangesInputs", ChangesInputs, "nothing is kept between calls", "keep nothing"),
    ("MixesTasks", MixesTasks, "the same alone and in a stack", "that engine 'stacked' maps"),
    ("DependsOnValues", conv(DependsOnValues), "the same under vmap", "RuntimeError: vmap"),
    ("CentresTheBatch", CentresTheBatch, "statistics are as promised", "without batch norm, the features of 4"),
    ("IgnoresStatistics", conv(IgnoresStatistics), "statistics are as promised", "at given statistics"),
    ("HidesANorm", conv(HidesANorm), "statistics are as promised", "but the batch-norm layers ask for"),
    ("Detaches", Detaches, "gradients are finite", "do not detach"),
    ("InfiniteSlope", InfiniteSlope, "gradients are finite", "the gradient by 'layer1.weight' is not finite"),
    ("InfiniteCurve", InfiniteCurve, "second derivatives are finite", "second derivative by 'layer1.weight'"),
    ("FirstOrder", FirstOrder, "second derivatives are right", "from finite differences of the gradient"),
]


@pytest.mark.parametrize(("make", "check", "words"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_network_is_caught(
    make: Callable[[], Network], check: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "NETWORK_CHECKS", {check: checks.NETWORK_CHECKS[check]})
    network = make()
    (finding,) = check_network(network, VECTOR if isinstance(network, MLP) else (1, 8, 8))
    assert finding.passed is False
    assert words in finding.message
    assert "\n" not in finding.message


def test_every_check_has_a_network_that_breaks_it() -> None:
    assert {row[2] for row in BROKEN} == set(checks.NETWORK_CHECKS)


def module(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> Network:
    return ModuleNetwork(make, shape, 3)


RIGHT: dict[str, tuple[Callable[[], Network], tuple[int, ...]]] = {
    "mlp": (Plain, VECTOR),
    "conv4": (conv(Conv4), (1, 8, 8)),
    "batch norm": (lambda: module(made.SmallCNN, (1, 8, 8)), (1, 8, 8)),
    "group norm and dropout": (lambda: module(lambda: made.SmallCNN(norm="group", dropout=0.5), (1, 8, 8)), (1, 8, 8)),
    "shared weights": (lambda: module(made.Tied, VECTOR), VECTOR),
    "transformer": (lambda: module(made.Transformer, (1, 8, 8)), (1, 8, 8)),
    "transformer without dropout": (lambda: module(lambda: made.Transformer(0.0), (1, 8, 8)), (1, 8, 8)),
    "no weights": (lambda: module(nn.Flatten, (1, 8, 8)), (1, 8, 8)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_network_conforms(name: str) -> None:
    make, shape = RIGHT[name]
    assert_network_conforms(make(), shape)


def test_a_network_that_vmap_cannot_map_is_not_asked_for_it() -> None:
    class ByValue(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (2.0 if float(x.detach().sum()) > 0 else 1.0)

    findings = {one.check: one for one in check_network(module(lambda: ByValue(4, 3), VECTOR), VECTOR)}
    assert findings["the same under vmap"].passed is None
    assert "tasks are mapped one after another" in findings["the same under vmap"].message


def test_command_line(main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "networks_to_check.py").write_text(
        "from torch import nn\n\n\nclass Small(nn.Linear):\n"
        "    def __init__(self, width=3):\n        super().__init__(4, width)\n\n"
        "class Centred(Small):\n    def forward(self, x):\n        return super().forward(x - x.mean(dim=0))\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    code, out, err = main("check", "resnet12", "--set", "channels=[2]")
    assert (code, err) == (0, "")
    assert "network resnet12: inputs of shape 1 x 28 x 28, 2 features" in out
    assert "resnet12: conforms" in out
    of_mine = ("--import", "networks_to_check", "--input-shape", "4")
    code, out, _ = main("check", "networks_to_check:Small", *of_mine, "--set", "width=2")
    assert code == 0
    assert "4, 2 features" in out
    code, out, _ = main("check", "networks_to_check:Centred", *of_mine)
    assert code == 1
    assert "FAILS  statistics are as promised: without batch norm" in out
    assert "networks_to_check:Centred: 1 of 9 checks fail" in out
    for arguments, words in (
        (("check", "networks_to_check:Small", "--import", "networks_to_check"), "--input-shape: networks_to_check:Sma"),
        (("check", "resnet12", "--set", "chanels=3"), "chanels: unknown field, did you mean 'channels'?"),
        (("check", "resnet21"), "unknown algorithm or network 'resnet21', did you mean 'resnet12'?"),
        (("check", "maml", "--input-shape", "4"), "--input-shape: maml is an algorithm"),
        (("check", "os:system"), "'os' is imported only where it is named"),
    ):
        code, out, err = main(*arguments)
        assert (code, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1


def test_options_of_networks_are_described() -> None:
    for entry in NETWORKS:
        assert all(field.description for field in entry.options.model_fields.values()), entry.name
