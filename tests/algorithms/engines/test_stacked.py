"""The MLP's closed forms against autograd and finite differences, and their rounding errors against the loop's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms import ALGORITHMS, Problem
from algorithms.core.meta_state import State
from algorithms.engines.descent import Descent
from algorithms.engines.names import EngineName
from algorithms.engines.stacked import meta_gradient
from algorithms.engines.stacked.layers import Change, Matrices, Pass
from algorithms.engines.stacked.meta_gradient import ClosedForm
from algorithms.engines.stacked.outputs import loss_of
from algorithms.maml import MAML, GradientThroughAdaptation
from algorithms.networks.mlp import MLP
from algorithms.networks.network import Weights, forward
from algorithms.testing.synthetic import episodes_of, labels_of
from datasets.core.episodes import Episodes, Kind, Shape, Support
from tests.algorithms.helpers import POINTS, SMALL_MLP, made_episodes, make, relative_error, start, weights_of

N_TASKS, N_EXAMPLES = 3, 6
DEPTHS = [(), (5,), (4, 6, 3)]
KINDS: list[Kind] = ["regression", "classification"]
THREE_OF_FOUR = Shape(3, 2, 4)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filled(network: MLP, weights: Weights) -> Matrices:
    """Matrices of these weights [T, ...]."""
    one = next(iter(weights.values()))
    matrices = Matrices(network, len(one), one)
    for name, view in matrices.named.items():
        view.copy_(weights[name])
    return matrices


def direction(network: MLP, n_tasks: int) -> dict[str, Tensor]:
    """A direction of the weights, of each task its own."""
    return {
        name: drawn(n_tasks, *value.shape, seed=7 + i) for i, (name, value) in enumerate(weights_of(network).items())
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", DEPTHS, ids=str)
@pytest.mark.parametrize("shared", [False, True], ids=["own weights", "shared weights"])
class TestPasses:
    """A pass, its gradient and the product with the Hessian on three tasks, against autograd on each task alone."""

    @staticmethod
    def of(kind: Kind, hidden: tuple[int, ...], shared: bool) -> tuple[MLP, list[dict[str, Tensor]], Tensor, Tensor]:
        """The network, each task's weights, inputs and targets."""
        network = MLP(2, 3, hidden)
        weights = [weights_of(network, 0 if shared else t) for t in range(N_TASKS)]
        y = drawn(N_TASKS, N_EXAMPLES, 3, seed=2)
        return network, weights, drawn(N_TASKS, N_EXAMPLES, 2, seed=1), y if kind == "regression" else y.argmax(2)

    @staticmethod
    def loss(network: MLP, kind: Kind, x: Tensor, y: Tensor) -> Callable[..., Tensor]:
        """One task's loss as a function of the values of its weights."""

        def of(*values: Tensor) -> Tensor:
            outputs = forward(network, dict(zip(weights_of(network), values, strict=True)), x)
            return F.mse_loss(outputs, y) if kind == "regression" else F.cross_entropy(outputs, y)

        return of

    def passed(self, kind: Kind, hidden: tuple[int, ...], shared: bool, factor: float) -> tuple[Pass, Matrices, Any]:
        """The pass with its slopes, the weights, and the loss."""
        network, weights, x, y = self.of(kind, hidden, shared)
        tasks = weights[:1] if shared else weights
        stacked = filled(network, {name: torch.stack([own[name] for own in tasks]) for name in weights[0]})
        done, loss = Pass(stacked, N_TASKS, N_EXAMPLES), loss_of(kind)
        done.x.copy_(x)
        done.forward(stacked)
        loss.slope(done.outputs.tasks, y, factor, done.slopes[-1].tasks)
        done.backward(stacked)
        return done, stacked, loss

    def test_outputs_and_losses(self, kind: Kind, hidden: tuple[int, ...], shared: bool) -> None:
        network, weights, x, y = self.of(kind, hidden, shared)
        done, _, loss = self.passed(kind, hidden, shared, 1.0)
        expected = torch.stack([forward(network, own, x[t]) for t, own in enumerate(weights)])
        torch.testing.assert_close(done.outputs.tasks, expected)
        losses = [self.loss(network, kind, x[t], y[t])(*own.values()) for t, own in enumerate(weights)]
        assert loss.total(done.outputs.tasks, y) == pytest.approx(float(sum(losses)), rel=1e-12)

    def test_gradients(self, kind: Kind, hidden: tuple[int, ...], shared: bool) -> None:
        network, weights, x, y = self.of(kind, hidden, shared)
        done, _, _ = self.passed(kind, hidden, shared, 3.0)
        each, summed = (Matrices(network, n, x) for n in (N_TASKS, 1))
        done.gradient(each)
        done.gradient(summed)
        total = dict.fromkeys(weights[0], 0.0)
        for t, own in enumerate(weights):
            values = tuple(own.values())
            expected = torch.autograd.functional.jacobian(self.loss(network, kind, x[t], y[t]), values)
            for name, value in zip(own, expected, strict=True):
                torch.testing.assert_close(each.named[name][t], 3.0 * value)
                total[name] = total[name] + 3.0 * value
        for name, value in total.items():
            torch.testing.assert_close(summed.named[name][0], value)

    def test_products_with_the_hessian(self, kind: Kind, hidden: tuple[int, ...], shared: bool) -> None:
        network, weights, x, y = self.of(kind, hidden, shared)
        done, stacked, loss = self.passed(kind, hidden, shared, 3.0)
        way = direction(network, N_TASKS)
        along = filled(network, way)
        for layer in along.layers[:-1]:
            layer[:, -1] = 0.0  # constants
        change, each, summed = Change(done), Matrices(network, N_TASKS, x), Matrices(network, 1, x)
        change.forward(done, stacked, along)
        loss.change(change.outputs.tasks, 3.0, change.slopes[-1].tasks)
        change.backward(done, stacked, along)
        change.subtract_from(each, done)
        change.subtract_from(summed, done)
        total = dict.fromkeys(weights[0], 0.0)
        for t, own in enumerate(weights):
            tangent = tuple(way[name][t] for name in own)
            _, expected = torch.autograd.functional.hvp(
                self.loss(network, kind, x[t], y[t]), tuple(own.values()), tangent
            )
            for name, value in zip(own, expected, strict=True):
                torch.testing.assert_close(each.named[name][t], -3.0 * value)
                total[name] = total[name] - 3.0 * value
        for name, value in total.items():
            torch.testing.assert_close(summed.named[name][0], value)


def classes(network: MLP, n_tasks: int) -> Episodes:
    """Three-way episodes of vectors around a mean of each class."""
    labels = labels_of(THREE_OF_FOUR)
    means, noise = drawn(n_tasks, 3, network.n_inputs), drawn(n_tasks, len(labels), network.n_inputs, seed=1)
    index = np.arange(n_tasks)
    return episodes_of(means[:, labels] + noise, None, THREE_OF_FOUR, index, index, index[:, None].repeat(3, axis=1))


def method(name: str, network: MLP, kind: Kind, engine: EngineName, **hparams: Any) -> GradientThroughAdaptation[Any]:
    entry = ALGORITHMS[name]
    shape = POINTS if kind == "regression" else THREE_OF_FOUR
    problem = Problem(kind, shape, 1 if kind == "regression" else 7, 10)
    algorithm = entry.factory(entry.hparams.model_validate(hparams), problem, network, engine)
    assert isinstance(algorithm, GradientThroughAdaptation)
    return algorithm


def problem_of(kind: Kind, hidden: tuple[int, ...], n_tasks: int = 4) -> tuple[MLP, Episodes]:
    if kind == "regression":
        network = MLP(1, 1, hidden)
        return network, made_episodes(network, POINTS, n_tasks)
    network = MLP(2, 3, hidden)
    return network, classes(network, n_tasks)


@pytest.mark.parametrize("at_once", [1, 10**9], ids=["a task at once", "all tasks at once"])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("hidden", DEPTHS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "hparams"),
    [
        ("maml", {"inner_lr": 0.1}),
        ("fomaml", {"inner_lr": 0.1}),
        ("meta-sgd", {}),
        ("maml", {"inner_lr": 0.1, "loss_reduction": "sum_over_classes"}),
    ],
    ids=["maml", "fomaml", "meta-sgd", "maml, summed over classes"],
)
def test_it_is_the_loops_gradient(
    name: str,
    hparams: dict[str, Any],
    kind: Kind,
    hidden: tuple[int, ...],
    steps: int,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(meta_gradient, "VALUES_AT_ONCE", at_once)
    network, episodes = problem_of(kind, hidden)
    loop, closed = (method(name, network, kind, engine, train_steps=steps, **hparams) for engine in ("loop", "stacked"))
    state = start(loop)
    monkeypatch.setattr(closed.net, "mean_gradient", None)  # autograd's way is not taken
    expected, expected_loss = loop.meta_gradient(state, episodes)
    found, loss = closed.meta_gradient(state, episodes)
    assert list(found) == list(expected)
    assert all(found[key].shape == expected[key].shape and found[key].is_contiguous() for key in expected)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert relative_error(found, expected) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("learned", [False, True], ids=["fixed rates", "learned rates"])
def test_it_is_the_slope_of_its_loss(kind: Kind, learned: bool) -> None:
    """By finite differences, which share nothing with the derivation."""
    network, episodes = problem_of(kind, (4, 3))
    closed = ClosedForm(network)
    weights = weights_of(network)
    rates = {name: 0.05 + 0.01 * torch.rand(value.shape).double() for name, value in weights.items()}

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *values: Tensor) -> Tensor:
            given = dict(zip(weights, values, strict=False))
            used = dict(zip(weights, values[len(weights) :], strict=True)) if learned else dict.fromkeys(weights, 0.05)
            gradient, loss = closed.mean_gradient(Descent(given, used, (1.0, 0.5), True, kind), episodes)
            ctx.save_for_backward(*gradient.values())
            return torch.tensor(loss, dtype=torch.float64)

        @staticmethod
        def backward(ctx: Any, by_loss: Tensor) -> Any:
            return tuple(by_loss * value for value in ctx.saved_tensors)

    values = [*weights.values(), *(rates.values() if learned else ())]
    assert torch.autograd.gradcheck(Loss.apply, [value.requires_grad_() for value in values])


def in_type(episodes: Episodes, dtype: torch.dtype) -> Episodes:
    """The same episodes with inputs, and targets that are no labels, of another type."""
    y, query_y = (y.to(dtype) if y.is_floating_point() else y for y in (episodes.support.y, episodes.query_y))
    support = replace(episodes.support, x=episodes.support.x.to(dtype), y=y)
    return replace(episodes, support=support, query_x=episodes.query_x.to(dtype), query_y=query_y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["maml", "meta-sgd"])
def test_rounding_is_no_worse_than_twice_the_loops(name: str, kind: Kind) -> None:
    network, episodes = problem_of(kind, (40, 40), n_tasks=8)

    def gradient(engine: EngineName, dtype: torch.dtype) -> Tensor:
        algorithm = method(name, network, kind, engine, train_steps=5)
        state = {key: value.to(dtype) for key, value in start(algorithm).items()}
        found, _ = algorithm.meta_gradient(state, in_type(episodes, dtype))
        return torch.cat([value.double().flatten() for value in found.values()])

    exact = gradient("loop", torch.float64)
    errors = {engine: float((gradient(engine, torch.float32) - exact).norm()) for engine in ("loop", "stacked")}
    assert 0 < errors["stacked"] <= 2 * errors["loop"]


@pytest.mark.parametrize("at_once", [5000, 10**9], ids=["parts", "all at once"])
@pytest.mark.parametrize("kind", KINDS)
def test_bytes_do_not_depend_on_threads(kind: Kind, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_gradient, "VALUES_AT_ONCE", at_once)
    network, episodes = problem_of(kind, (20, 20), n_tasks=7)
    algorithm = method("maml", network, kind, "stacked", train_steps=2)
    state, found = start(algorithm), []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        gradient, loss = algorithm.meta_gradient(state, episodes)
        found.append((loss, {name: value.numpy().tobytes() for name, value in gradient.items()}))
        assert torch.get_num_threads() == threads
    assert found[0] == found[1] == found[2]


def test_a_call_leaves_nothing_to_the_next() -> None:
    """The buffers are kept; what was returned before stays as it was, and other inputs show in nothing."""
    algorithm = method("meta-sgd", SMALL_MLP, "regression", "stacked", train_steps=2)
    episodes, others = made_episodes(SMALL_MLP, POINTS, 3), made_episodes(SMALL_MLP, POINTS, 3, seed=5)
    first, loss = algorithm.meta_gradient(start(algorithm), episodes)
    kept = {name: value.clone() for name, value in first.items()}
    algorithm.meta_gradient(start(algorithm, seed=3), others)
    assert all(torch.equal(first[name], kept[name]) for name in kept)
    again, other_loss = algorithm.meta_gradient(start(algorithm), episodes)
    assert other_loss == loss
    assert all(torch.equal(again[name], kept[name]) for name in kept)


def test_buffers_of_few_sizes_are_kept() -> None:
    algorithm = method("maml", SMALL_MLP, "regression", "stacked")
    for n_tasks in (1, 2, 3, 4):
        algorithm.meta_gradient(start(algorithm), made_episodes(SMALL_MLP, POINTS, n_tasks))
    closed = algorithm.net._closed_form
    assert closed is not None
    assert len(closed._kept.__dict__) == meta_gradient.PART_SIZES


class HalvedSteps(MAML):
    """Another inner loop: half of the step."""

    def inner_step(
        self, meta: State, weights: Weights, support: Support, step: int, training: bool
    ) -> dict[str, Tensor]:
        new = super().inner_step(meta, weights, support, step, training)
        return {name: (weights[name] + new[name]) / 2 for name in new}


class HeadOnly(MAML):
    """Adapts some of the weights."""

    def is_adapted(self, name: str) -> bool:
        return self.net.role(name) == "head"


class SquaredRates(MAML):
    """Rates that are computed from the weights."""

    def rate(self, meta: State, name: str) -> Any:
        return meta[f"weights/{name}"].square()


class FallingRates(MAML):
    """Gradient descent still: the factor falls from step to step."""

    def rate_factor(self, step: int, training: bool) -> float:
        return 1.0 / step


@pytest.mark.parametrize("derived", [HalvedSteps, HeadOnly, SquaredRates, FallingRates])
def test_other_inner_loops_keep_their_own_derivative(derived: type[MAML]) -> None:
    episodes = made_episodes(SMALL_MLP, POINTS, 3)
    found = []
    for engine in ("loop", "stacked"):
        algorithm = derived(
            make("maml", SMALL_MLP, POINTS, train_steps=2, inner_lr=0.1).hparams,
            Problem("regression", POINTS, 1, 10),
            SMALL_MLP,
            engine,  # type: ignore[arg-type]
        )
        has_one = algorithm.descent(algorithm.learned_part(start(algorithm)), episodes.support) is not None
        assert has_one == (derived is FallingRates)
        found.append(algorithm.meta_gradient(start(algorithm), episodes)[0])
    plain, _ = method("maml", SMALL_MLP, "regression", "loop", train_steps=2, inner_lr=0.1).meta_gradient(
        start(algorithm), episodes
    )
    assert relative_error(found[1], found[0]) < 1e-12
    assert relative_error(found[1], plain) > 1e-3
