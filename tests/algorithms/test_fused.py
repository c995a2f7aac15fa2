"""The fused pieces against finite differences and PyTorch's own, and their rounding errors against the loop's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.fused import channels_last, norm_relu, rows
from algorithms.fused_conv4 import FusedConv4
from algorithms.maml import GradientThroughAdaptation
from algorithms.networks import MLP, Conv4, forward
from algorithms.task_map import TaskNetwork, choose_engine
from datasets.episodes import Episodes, Shape
from tests.algorithms.helpers import CONV, POOLED, THREE_WAY, made_episodes, make, start

EPSILON = 1e-3


def plain(x: Tensor, shift: Tensor, scale: Tensor | None, pool: bool) -> Tensor:
    """What PyTorch makes of it."""
    ones = torch.ones_like(shift) if scale is None else scale
    y = F.relu(F.batch_norm(x, None, None, ones, shift, training=True, eps=EPSILON))
    return F.max_pool2d(y, 2) if pool else y


def inputs(scaled: bool, size: tuple[int, ...] = (3, 4, 6, 5)) -> list[Tensor]:
    """x, shift and, if ``scaled``, a scale of either sign."""
    generator = torch.Generator().manual_seed(0)
    x = channels_last(torch.randn(size, generator=generator, dtype=torch.float64))
    vectors = [torch.randn(size[1], generator=generator, dtype=torch.float64) for _ in range(1 + scaled)]
    return [value.requires_grad_() for value in (x, *vectors)]


def fused(x: Tensor, shift: Tensor, scale: Tensor | None, pool: bool) -> Tensor:
    return norm_relu(x, shift, scale, EPSILON, pool)


@pytest.mark.parametrize("scaled", [False, True], ids=["no scale", "scale"])
@pytest.mark.parametrize("pool", [False, True], ids=["no pool", "pool"])
class TestNormRelu:
    def test_is_pytorchs_function(self, pool: bool, scaled: bool) -> None:
        x, shift, *scale = inputs(scaled)
        torch.testing.assert_close(
            fused(x, shift, scale[0] if scale else None, pool), plain(x, shift, scale[0] if scale else None, pool)
        )

    def test_first_derivatives(self, pool: bool, scaled: bool) -> None:
        assert torch.autograd.gradcheck(lambda x, b, *s: fused(x, b, s[0] if s else None, pool), inputs(scaled))

    def test_second_derivatives(self, pool: bool, scaled: bool) -> None:
        assert torch.autograd.gradgradcheck(lambda x, b, *s: fused(x, b, s[0] if s else None, pool), inputs(scaled))

    def test_takes_any_layout_of_gradients(self, pool: bool, scaled: bool) -> None:
        x, shift, *scale = inputs(scaled)
        y = fused(x, shift, scale[0] if scale else None, pool)
        by_y = torch.randn(y.shape, dtype=torch.float64)
        one, other = (
            torch.autograd.grad(y, [x, shift, *scale], by_y.contiguous(memory_format=layout), retain_graph=True)
            for layout in (torch.contiguous_format, torch.channels_last)
        )
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_says_so_even_with_one_channel(channels: int) -> None:
    x = channels_last(torch.arange(2.0 * channels * 4 * 4).reshape(2, channels, 4, 4))
    out = F.conv2d(x, torch.ones(8, channels, 3, 3), padding=1)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert rows(out).data_ptr() == out.data_ptr()
    assert torch.equal(x, torch.arange(2.0 * channels * 4 * 4).reshape(2, channels, 4, 4))


@pytest.mark.parametrize("network", [CONV, POOLED], ids=["stride", "max-pool"])
def test_the_network_is_the_same_function(network: Conv4) -> None:
    weights = {name: value.double() for name, value in network.init(torch.Generator().manual_seed(0)).items()}
    episodes = made_episodes(network, THREE_WAY, 1)
    x, other = episodes.support.x[0], episodes.query_x[0]
    torch.testing.assert_close(forward(FusedConv4(network), weights, x), forward(network, weights, x))
    expected, found = network.statistics(weights, x), FusedConv4(network).statistics(weights, x)
    assert list(found) == list(expected)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        forward(FusedConv4(network), weights, other, found), forward(network, weights, other, expected)
    )


def in_type(episodes: Episodes, dtype: torch.dtype) -> Episodes:
    """The same episodes with inputs of another type."""
    support = replace(episodes.support, x=episodes.support.x.to(dtype))
    return replace(episodes, support=support, query_x=episodes.query_x.to(dtype))


@pytest.mark.parametrize("name", ["maml", "meta-sgd"])
@pytest.mark.parametrize(("network", "shape"), [(CONV, THREE_WAY), (POOLED, THREE_WAY)], ids=["stride", "max-pool"])
def test_rounding_is_no_worse_than_twice_the_loops(name: str, network: Conv4, shape: Shape) -> None:
    """Five second-order steps are ill-conditioned in float32: what counts is the error against float64."""

    def gradient(engine: str, dtype: torch.dtype) -> Tensor:
        algorithm = make(name, network, shape, engine=engine, train_steps=5)  # type: ignore[arg-type]
        assert isinstance(algorithm, GradientThroughAdaptation)
        state = {key: value.to(dtype) for key, value in start(algorithm).items()}
        found, _ = algorithm.meta_gradient(state, in_type(made_episodes(network, shape, 6), dtype))
        return torch.cat([value.flatten().double() for value in found.values()])

    exact = gradient("loop", torch.float64)
    errors = {engine: float((gradient(engine, torch.float32) - exact).norm()) for engine in ("loop", "fused")}
    assert errors["fused"] <= 2 * errors["loop"]
    assert errors["fused"] < 0.05 * float(exact.norm())


def test_it_is_chosen_for_convolutions_on_a_cpu() -> None:
    assert choose_engine(CONV, torch.device("cpu")) == "fused"
    assert choose_engine(CONV, torch.device("cuda")) == "vmap"


def test_what_is_not_fused_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing of MLP is fused"):
        TaskNetwork(MLP(1, 1), "fused")
