"""Networks in bfloat16: rounded where autocast rounds, in float32 elsewhere, and refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from algorithms import ALGORITHMS, Problem
from algorithms.engines import precision
from algorithms.engines.precision import BF16Network, check_precision, check_processor
from algorithms.engines.task_network import TaskNetwork
from algorithms.networks.conv4 import Conv4
from algorithms.networks.entry import NETWORKS
from algorithms.networks.module import ModuleNetwork
from algorithms.networks.network import Network
from datasets import UserError
from datasets.core.episodes import Episodes
from tests.algorithms.helpers import CONV, SMALL_MLP, THREE_WAY, made_episodes, relative_error
from tests.bench.helpers import GLYPHS, Main, write_grid

OPTIONS = NETWORKS["resnet12"].options.model_validate({"channels": (4, 6), "dropout": 0.3})
RESNET = NETWORKS["resnet12"].build(OPTIONS, (1, 20, 20), 3)
IMAGES = Conv4((1, 20, 20), 3, channels=8)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _processor_with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch computes with bfloat16 on every processor; on others than these it is slow."""
    monkeypatch.setattr(precision, "_flags", lambda: frozenset({"amx_bf16"}))


def made(name: str, network: Network, rounded: bool, **hparams: Any) -> Any:
    entry = ALGORITHMS[name]
    given = entry.hparams.model_validate(hparams)
    options = {"precision": "bf16"} if rounded else {}
    return entry.factory(given, Problem("classification", THREE_WAY, 7, 10), network, "loop", **options)


def start(algorithm: Any) -> dict[str, Tensor]:
    return dict(algorithm.init(algorithm.net.network.init(Generator().manual_seed(0)), Generator().manual_seed(0)))


def episodes() -> Episodes:
    """Two tasks in float32."""
    exact = made_episodes(IMAGES, THREE_WAY, 2)
    support = replace(exact.support, x=exact.support.x.float())
    return replace(exact, support=support, query_x=exact.query_x.float())


def dtypes(state: dict[str, Tensor]) -> set[torch.dtype]:
    return {value.dtype for value in state.values()}


def test_a_convolution_takes_bfloat16_and_the_head_float32() -> None:
    class Convolution(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 5, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(x)
            return out.flatten(1)

    network = ModuleNetwork(Convolution, (3, 3, 3), 2, "small", "Convolution")
    weights, x = network.init(Generator().manual_seed(0)), torch.randn(4, 3, 3, 3, generator=Generator().manual_seed(1))
    kernel, bias = (weights[f"backbone.layer.{name}"].bfloat16() for name in ("weight", "bias"))
    features = F.conv2d(x.bfloat16(), kernel, bias).flatten(1).float()
    assert torch.equal(BF16Network(network).features(weights, x), features)
    net = TaskNetwork(network, "loop", "bf16")
    stacked = net.stack(weights, 1)
    assert torch.equal(net(stacked, x[None])[0], F.linear(features, weights["head.weight"], weights["head.bias"]))


@pytest.mark.parametrize("network", [RESNET, IMAGES], ids=["resnet12", "conv4"])
def test_statistics_are_taken_in_float32(network: Network) -> None:
    """Rounded to the eight bits of bfloat16 they would be off by up to 0.4%."""
    weights = network.init(Generator().manual_seed(0))
    x = torch.randn(6, 1, 20, 20, generator=Generator().manual_seed(1))
    found = BF16Network(network).statistics(weights, x)
    assert found.keys() == network.statistics(weights, x).keys()
    assert dtypes(found) == {torch.float32}
    assert any(not torch.equal(value, value.bfloat16().float()) for value in found.values())


@pytest.mark.parametrize("network", [RESNET, IMAGES], ids=["resnet12 with dropout", "conv4"])
@pytest.mark.parametrize("name", ["maml", "fomaml", "meta-sgd", "anil"])
def test_meta_gradients_are_near_those_of_float32(name: str, network: Network) -> None:
    plain, rounded = (made(name, network, rounded, train_steps=2) for rounded in (False, True))
    tasks, state = episodes(), start(plain)
    expected, loss = plain.meta_gradient(state, tasks)
    gradient, other_loss = rounded.meta_gradient(state, tasks)
    assert dtypes(gradient) == {torch.float32}
    assert other_loss != loss
    assert other_loss == pytest.approx(loss, rel=0.05)
    flat, near = (torch.cat([value.flatten() for value in each.values()]) for each in (expected, gradient))
    assert relative_error(gradient, expected) > 1e-4
    assert float(F.cosine_similarity(flat, near, dim=0)) > 0.97


@pytest.mark.parametrize("name", ["protonet", "reptile", "logreg", "finetune"])
def test_states_and_outputs_of_other_methods_are_float32(name: str) -> None:
    rounded = made(name, RESNET, True)
    tasks, state = episodes(), start(rounded)
    *_, (_, outputs) = rounded.outputs(state, tasks.support, tasks.query_x, min(2, rounded.test_steps))
    assert dtypes(outputs) == {torch.float32}
    *_, (_, of_plain) = made(name, RESNET, False).outputs(
        state, tasks.support, tasks.query_x, min(2, rounded.test_steps)
    )
    assert not torch.equal(outputs["inductive"], of_plain["inductive"])


def test_float32_does_not_pass_through_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(precision, "_autocast", refuse)
    plain = made("maml", RESNET, False)
    assert plain.net.precision is None
    plain.outer_step(start(plain), episodes())


@pytest.mark.parametrize(
    ("network", "engine", "device", "expected"),
    [
        (CONV, "fused", CPU, "the engine fused computes in float32"),
        (CONV, "vmap", CPU, "is for the engine loop"),
        (SMALL_MLP, "stacked", CPU, "is for Conv4 and modules, not for MLP"),
        (RESNET, "loop", torch.device("cuda"), "is for the device cpu, not for cuda"),
    ],
)
def test_what_has_no_bf16_is_refused(network: Network, engine: Any, device: torch.device, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        check_precision("bf16", engine, network, device)
    check_precision(None, engine, network, device)


def test_a_module_that_fails_under_autocast_is_refused_by_its_error() -> None:
    class Strict(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(x)
            if out.dtype != torch.float32:
                raise TypeError("float32 wanted\nand nothing else")
            return out

    network = ModuleNetwork(Strict, (3,), 2, "small", "Strict")
    with pytest.raises(UserError, match=r"Strict\) cannot be computed in 'bf16' \(TypeError: float32 wanted\)"):
        TaskNetwork(network, "loop", "bf16")
    TaskNetwork(network, "loop")


@pytest.fixture
def _tried_anew() -> Iterator[None]:
    """Networks are tried again, and what comes out is forgotten."""
    precision._reason_against.cache_clear()
    yield
    precision._reason_against.cache_clear()


@pytest.mark.usefixtures("_tried_anew")
def test_a_convolution_with_a_wrong_gradient_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_is_right", lambda of_image, *how: of_image != (8, 5, 5))
    with pytest.raises(UserError, match=r"gradient of its convolution of \[8, 5, 5\] is wrong"):
        TaskNetwork(IMAGES, "loop", "bf16")


def test_the_trial_of_a_convolution_sees_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    how = ((2, 2), (1, 1), (1, 1), False, (0, 0), 1)
    is_right = precision._is_right.__wrapped__
    assert is_right((8, 5, 5), (4, 8, 3, 3), *how)
    backward = torch.ops.aten.convolution_backward

    class Wrong:
        convolution = torch.ops.aten.convolution

        @staticmethod
        def convolution_backward(by_y: Tensor, *rest: Any) -> Any:
            by_x, by_weight, by_bias = backward(by_y, *rest)
            return by_x, by_weight * (1.05 if by_y.dtype == torch.bfloat16 else 1.0), by_bias

    monkeypatch.setattr(precision.torch.ops, "aten", Wrong)
    assert not is_right((8, 5, 5), (4, 8, 3, 3), *how)


def test_learn2learn_is_refused() -> None:
    pytest.importorskip("learn2learn")
    rounded = made("maml@learn2learn", IMAGES, True)
    with pytest.raises(UserError, match="learn2learn gets the network in float32"):
        rounded.outer_step(start(rounded), episodes())


def test_a_processor_without_it_is_refused(monkeypatch: pytest.MonkeyPatch, main: Main, tmp_path: Any) -> None:
    check_processor("bf16")
    monkeypatch.setattr(precision, "_flags", lambda: frozenset({"avx512f"}))
    check_processor(None)
    grid = write_grid(tmp_path / "mine.yaml", datasets=[dict(GLYPHS)], settings=[])
    for verb in ((), ("--dry-run",)):
        code, _, err = main("run", grid, "--precision", "bf16", "--engine", "loop", *verb)
        assert code == 2
        assert "this processor has no products of 'bf16'" in err
        assert len(err.strip().splitlines()) == 1
