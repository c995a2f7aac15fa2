"""The fused pieces against finite differences and PyTorch's own, and their rounding errors against the loop's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.engines.fused import convolution, layout, product
from algorithms.engines.fused.conv4 import FusedConv4
from algorithms.engines.fused.convolution import convolve
from algorithms.engines.fused.first_block import convolve_relu, folded
from algorithms.engines.fused.norm import norm_relu
from algorithms.engines.fused.patches import Patches, output_statistics
from algorithms.engines.fused.pooling import from_places, pool, to_places
from algorithms.engines.shared_weights import summed_over_tasks
from algorithms.engines.task_network import TaskNetwork, choose_engine
from algorithms.maml import GradientThroughAdaptation
from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP
from datasets.core.episodes import Episodes, Shape
from tests.algorithms.helpers import CONV, POOLED, THREE_WAY, made_episodes, make, start

EPSILON = 1e-3


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def each(function: Callable[..., Tensor], *stacked: Tensor) -> Tensor:
    """``function`` of one task's [B, C, H, W] images and weights, over stacks whose images are [T, B, H, W, C]."""
    done = [function(x.permute(0, 3, 1, 2), *rest).permute(0, 2, 3, 1) for x, *rest in zip(*stacked, strict=True)]
    return torch.stack(done)


@pytest.mark.parametrize("scaled", [False, True], ids=["no scale", "scale"])
@pytest.mark.parametrize("pooled", [False, True], ids=["no pool", "pool"])
class TestNormRelu:
    @staticmethod
    def inputs(scaled: bool) -> list[Tensor]:
        """x, shift and, if ``scaled``, a scale of either sign, for two tasks."""
        values = [drawn(2, 3, 6, 5, 4), *(drawn(2, 4, seed=seed) for seed in range(1, 2 + scaled))]
        return [value.requires_grad_() for value in values]

    @staticmethod
    def fused(pooled: bool) -> Callable[..., Tensor]:
        return lambda x, shift, scale=None: norm_relu(x, shift, scale, EPSILON, pooled)

    def test_is_pytorchs_function(self, pooled: bool, scaled: bool) -> None:
        def plain(x: Tensor, shift: Tensor, scale: Tensor | None = None) -> Tensor:
            ones = torch.ones_like(shift) if scale is None else scale
            y = F.relu(F.batch_norm(x, None, None, ones, shift, training=True, eps=EPSILON))
            return F.max_pool2d(y, 2) if pooled else y

        inputs = self.inputs(scaled)
        torch.testing.assert_close(self.fused(pooled)(*inputs), each(plain, *inputs))

    def test_first_derivatives(self, pooled: bool, scaled: bool) -> None:
        assert torch.autograd.gradcheck(self.fused(pooled), self.inputs(scaled))

    def test_second_derivatives(self, pooled: bool, scaled: bool) -> None:
        assert torch.autograd.gradgradcheck(self.fused(pooled), self.inputs(scaled), fast_mode=True)

    def test_takes_any_layout_of_gradients(self, pooled: bool, scaled: bool) -> None:
        inputs = self.inputs(scaled)
        y = self.fused(pooled)(*inputs)
        by_y = drawn(*y.shape)
        other = by_y.movedim(4, 2).contiguous().movedim(2, 4)
        assert not other.is_contiguous()
        one, two = (torch.autograd.grad(y, inputs, each, retain_graph=True) for each in (by_y, other))
        torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize("few_rows", [0, 10**9], ids=["convolutions", "product of patches"])
@pytest.mark.parametrize("stride", [1, 2])
class TestConvolve:
    @pytest.fixture(autouse=True)
    def _way(self, few_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(convolution, "FEW_ROWS", few_rows)
        monkeypatch.setattr(convolution, "FEW_POSITIONS", 0)

    @staticmethod
    def inputs() -> list[Tensor]:
        return [drawn(2, 2, 5, 4, 3).requires_grad_(), drawn(2, 2, 3, 3, 3, seed=1).requires_grad_()]

    def test_is_pytorchs_function(self, stride: int) -> None:
        def plain(x: Tensor, weight: Tensor) -> Tensor:
            return F.conv2d(x, weight, stride=stride, padding=1)

        x, weight = self.inputs()
        torch.testing.assert_close(convolve(x, weight, stride), each(plain, x, weight))
        shared = weight[:1].expand_as(weight)
        assert layout.is_shared(shared)
        assert not layout.is_shared(weight)
        torch.testing.assert_close(convolve(x, shared, stride), each(plain, x, shared))

    def test_first_derivatives(self, stride: int) -> None:
        assert torch.autograd.gradcheck(lambda x, w: convolve(x, w, stride), self.inputs())

    def test_second_derivatives(self, stride: int) -> None:
        assert torch.autograd.gradgradcheck(lambda x, w: convolve(x, w, stride), self.inputs(), fast_mode=True)

    def test_derivatives_where_tasks_share_a_kernel(self, stride: int) -> None:
        x, weight = self.inputs()
        one = weight.detach()[0].requires_grad_()

        def shared(x: Tensor, kernel: Tensor) -> Tensor:
            return convolve(x, kernel.expand(2, *kernel.shape), stride)

        assert torch.autograd.gradcheck(shared, [x, one])
        assert torch.autograd.gradgradcheck(shared, [x, one], fast_mode=True)

    def test_sums_over_tasks_where_only_sums_are_read(self, stride: int) -> None:
        """The same gradient by a kernel that tasks share, from one correlation, first and second."""
        x, weight = self.inputs()
        kernel = weight.detach()[0].requires_grad_()
        v, u = drawn(*x.shape, seed=3), drawn(2, *kernel.shape, seed=4)

        def second() -> tuple[Tensor, ...]:
            shared = kernel.expand(2, *kernel.shape)
            gradients = torch.autograd.grad(convolve(x, shared, stride).square().sum(), [x, shared], create_graph=True)
            pushed = sum(((g * by_g).sum() for g, by_g in zip(gradients, (v, u), strict=True)), torch.zeros(()))
            with summed_over_tasks() if summed else nullcontext():
                return torch.autograd.grad(pushed, [x, kernel])

        summed = False
        expected = second()
        summed = True
        torch.testing.assert_close(second(), expected)

    def test_each_tasks_own_gradient_by_a_shared_kernel_elsewhere(self, stride: int) -> None:
        x, weight = self.inputs()
        shared = weight.detach()[:1].expand_as(weight).requires_grad_()
        own = weight.detach()[:1].repeat(2, 1, 1, 1, 1).requires_grad_()
        found, expected = (torch.autograd.grad(convolve(x, w, stride).square().sum(), w)[0] for w in (shared, own))
        torch.testing.assert_close(found, expected)
        assert not torch.allclose(found[0], found[1])

    def test_a_correlation_in_parts_is_the_same(self, stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
        x, weight = (value.detach().float() for value in self.inputs())
        images, kernel = layout.batch(x), weight[0]
        by_y = torch.randn_like(F.conv2d(images, kernel, stride=stride, padding=1))
        whole = convolution.correlation(by_y, images, kernel, stride)
        monkeypatch.setattr(convolution, "VALUES_AT_ONCE", 3 * x[0, 0].numel())
        torch.testing.assert_close(convolution.correlation(by_y, images, kernel, stride), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("many", [0, 2**60], ids=["oneDNN", "MKL"])
@pytest.mark.parametrize(("n", "k", "m"), [(40, 50, 30), (5, 300, 7), (300, 5, 9)])
def test_products_of_any_strides(
    n: int, k: int, m: int, many: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "MANY", many)
    a, b = drawn(3, n, k).to(dtype), drawn(3, m, k, seed=1).to(dtype)
    expected = torch.einsum("tnk,tmk->tnm", a.double(), b.double()).to(dtype)
    transposed_a, transposed_b = a.mT.contiguous().mT, b.mT.contiguous().mT
    for one in (a, transposed_a):
        for other in (b, transposed_b):
            torch.testing.assert_close(product.products(one, other), expected, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(product.products(one[:1], other[:1]), expected[:1], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(product.products(one, other, relu=True), expected.relu(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("height", [1, 2, 3, 6])
@pytest.mark.parametrize(("stride", "pooled"), [(2, False), (1, True)], ids=["stride", "max-pool"])
def test_moments_of_patches(stride: int, pooled: bool, height: int) -> None:
    x = drawn(2, 3, 2, height, 5)
    found = Patches.of(x, stride, pooled)
    for task, mean, covariance in zip(x, found.mean, found.covariance, strict=True):
        patches = F.unfold(task, 3, padding=1, stride=stride).movedim(1, 0).flatten(1)  # [9 C, N]
        torch.testing.assert_close(mean, patches.mean(1))
        torch.testing.assert_close(covariance, torch.cov(patches, correction=0))


@pytest.mark.parametrize(("stride", "pooled"), [(2, False), (1, True)], ids=["stride", "max-pool"])
class TestFirstBlock:
    @pytest.fixture(autouse=True, params=[2**20, 1], ids=["all images", "one image at once"])
    def _cache(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("first_block", "patches", "convolution"):
            monkeypatch.setattr(f"algorithms.engines.fused.{module}.VALUES_AT_ONCE", request.param)

    @staticmethod
    def images() -> Tensor:
        """[T, B, C, H, W]."""
        return drawn(2, 3, 2, 6, 5)

    @staticmethod
    def weights() -> list[Tensor]:
        values = (drawn(2, 4, 2, 3, 3, seed=1), drawn(2, 4, seed=2))
        return [value.requires_grad_() for value in values]

    def test_statistics_are_those_of_the_convolutions_output(self, stride: int, pooled: bool) -> None:
        x, (weight, _) = self.images(), self.weights()
        mean, variance = output_statistics(weight, Patches.of(x, stride, pooled))
        outputs = [F.conv2d(one, kernel, stride=stride, padding=1) for one, kernel in zip(x, weight, strict=True)]
        torch.testing.assert_close(mean, torch.stack([y.mean((0, 2, 3)) for y in outputs]))
        torch.testing.assert_close(variance, torch.stack([y.var((0, 2, 3), correction=0) for y in outputs]))

    def test_folding_gives_the_normalised_output(self, stride: int, pooled: bool) -> None:
        x, (weight, shift) = self.images(), self.weights()
        scale, patches = drawn(2, 4, seed=3), Patches.of(x, stride, pooled)
        found = convolve_relu(
            patches, *folded(weight, shift, scale, *output_statistics(weight, patches), epsilon=EPSILON)
        )

        def plain(x: Tensor, kernel: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
            y = F.conv2d(x, kernel, stride=stride, padding=1)
            y = F.relu(F.batch_norm(y, None, None, scale, shift, training=True, eps=EPSILON))
            return F.max_pool2d(y, 2) if pooled else y

        torch.testing.assert_close(found, each(plain, x.movedim(2, 4), weight, shift, scale))

    def test_first_derivatives(self, stride: int, pooled: bool) -> None:
        patches = Patches.of(self.images(), stride, pooled)
        assert torch.autograd.gradcheck(lambda w, b: convolve_relu(patches, w, b), self.weights())

    def test_second_derivatives(self, stride: int, pooled: bool) -> None:
        patches = Patches.of(self.images(), stride, pooled)
        assert torch.autograd.gradgradcheck(lambda w, b: convolve_relu(patches, w, b), self.weights(), fast_mode=True)

    def test_the_variance_of_an_edge_filter_on_smooth_images_keeps_its_digits(self, stride: int, pooled: bool) -> None:
        """It is a difference of large numbers: in float32 throughout, nothing would be left of it here."""
        ramp = torch.linspace(0.5, 0.502, 32).expand(1, 1, 1, 32, 32)
        kernel = torch.zeros(1, 1, 1, 3, 3)
        kernel[..., 1, 1], kernel[..., 1, 2] = 1.0, -1.0
        x = ramp + 1e-5 * drawn(1, 1, 1, 32, 32).float()
        _, found = output_statistics(kernel, Patches.of(x, stride, pooled))
        y = F.conv2d(x[0].double(), kernel[0].double(), stride=stride, padding=1)
        torch.testing.assert_close(found.double(), y.var((0, 2, 3), correction=0)[None], rtol=1e-6, atol=0)


def test_pooling_and_its_places_are_transposes() -> None:
    z, g = drawn(2, 3, 5, 4, 2), drawn(2, 3, 2, 2, 2, seed=1)
    y, places = pool(z)
    torch.testing.assert_close(y, each(lambda x: F.max_pool2d(x, 2), z))
    assert torch.equal(from_places(z, places), y)
    spread = to_places(g, places, z.shape)
    torch.testing.assert_close((spread * z).sum(), (g * from_places(z, places)).sum())
    assert int((spread != 0).sum()) == g.numel()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_what_pytorch_takes_for_channels_last(channels: int) -> None:
    x = torch.arange(2.0 * 3 * channels * 4 * 4).reshape(2, 3, channels, 4, 4)
    images = layout.from_channels_first(x)
    assert torch.equal(images.movedim(4, 2), x)
    out = F.conv2d(layout.batch(images[1:, :2]), torch.ones(8, channels, 3, 3), padding=1)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert layout.images(out, 1).data_ptr() == out.data_ptr()
    assert layout.rows(images).data_ptr() == images.data_ptr()


@pytest.mark.parametrize("at_once", [2**20, 1], ids=["all tasks", "one task at once"])
@pytest.mark.parametrize("network", [CONV, POOLED], ids=["stride", "max-pool"])
def test_the_network_is_the_same_function(network: Conv4, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("algorithms.engines.fused.conv4.VALUES_AT_ONCE", at_once)
    drawn = [network.init(torch.Generator().manual_seed(seed)) for seed in range(3)]
    weights = {name: torch.stack([one[name] for one in drawn]).double() for name in drawn[0]}
    episodes = made_episodes(network, THREE_WAY, 3)
    x, other = episodes.support.x, episodes.query_x
    loop, fused = TaskNetwork(network, "loop"), TaskNetwork(network, "fused")
    torch.testing.assert_close(fused(weights, x), loop(weights, x))
    torch.testing.assert_close(fused.features(weights, x), loop.features(weights, x))
    expected, found = loop.statistics(weights, x), fused.statistics(weights, x)
    assert list(found) == list(expected)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(fused(weights, other, found), loop(weights, other, expected))


def test_what_is_known_of_images_is_forgotten_when_they_change() -> None:
    network = FusedConv4(CONV)
    weights = {name: value.double()[None] for name, value in CONV.init(torch.Generator().manual_seed(0)).items()}
    x = made_episodes(CONV, THREE_WAY, 1).support.x.clone()
    before = network.features(weights, x)
    x.mul_(2.0)
    assert not torch.equal(network.features(weights, x), before)
    torch.testing.assert_close(network.features(weights, x), FusedConv4(CONV).features(weights, x.clone()))


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
    with pytest.raises(ValueError, match="not for MLP; use one of: loop, vmap, stacked"):
        TaskNetwork(MLP(1, 1), "fused")
