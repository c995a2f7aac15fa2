"""The conformance check of networks: tests of the contract in ``algorithms.networks.network``, without data.

Every check works on random examples in float64, with weights that are the initial ones moved at random. In a pytest
test of one's own:

    def test_my_network_conforms() -> None:
        assert_network_conforms(ModuleNetwork(SmallCNN, (3, 32, 32), n_outputs=5), (3, 32, 32))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Generator, Tensor

from algorithms.core.inner_loop import gradients, leaves
from algorithms.core.losses import task_losses
from algorithms.engines.names import EngineName
from algorithms.engines.task_network import TaskNetwork, choose_engine, reason_against_vmap
from algorithms.networks.module import ModuleNetwork
from algorithms.networks.network import Network, Role, Weights, forward
from algorithms.testing.findings import Broken, Finding, NotPromised, finding, raise_where_failed

N_TASKS = 3  # in a stack
N_EXAMPLES = 6  # of a task
N_FEW = 4  # of them, of which features may not depend on the others
TOLERANCE = 1e-6  # of the largest number: for float64 sums in another order
N_DIRECTIONS = 3  # in which gradients are differentiated by finite differences
STEP = 1e-7  # of a finite difference: few of the kinks of ReLU and max-pooling are so near
DIFFERENCES = 1e-3  # relative error of the second derivative
ROUNDING = 1e-6  # of the gradient's length, below which a second derivative is not told from rounding
MOVED = 0.1  # standard deviations of a weight by which it is moved


@dataclass(frozen=True)
class NetworkSubject:
    """A network and made-up examples for it.

    Attributes:
        network: the network.
        input_shape: of one example.
    """

    network: Network
    input_shape: tuple[int, ...]

    def weights(self, seed: int = 0) -> dict[str, Tensor]:
        """Return weights in float64 of which none is zero only by its initialization."""
        noise = Generator().manual_seed(seed)
        moved = {}
        for name, value in self.network.init(Generator().manual_seed(seed)).items():
            spread = float(value.std()) if value.numel() > 1 else 0.0
            moved[name] = value.double() + MOVED * (spread or 1.0) * torch.randn(value.shape, generator=noise)
        return moved

    def examples(self, seed: int = 0) -> Tensor:
        """Return [N_EXAMPLES, *input_shape] in float64; token ids where the network takes those."""
        generator = Generator().manual_seed(seed)
        if isinstance(self.network, ModuleNetwork) and self.network.n_tokens is not None:
            return self.network.made_up(N_EXAMPLES, generator)
        return torch.randn(N_EXAMPLES, *self.input_shape, generator=generator, dtype=torch.float64)

    def labels(self) -> Tensor:
        """Return [N_EXAMPLES] classes."""
        return torch.arange(N_EXAMPLES) % self.network.n_outputs


def check_network(network: Network, input_shape: Sequence[int]) -> list[Finding]:
    """Run every check on a network for inputs of that shape."""
    subject = NetworkSubject(network, tuple(input_shape))
    return [finding(name, run, subject) for name, run in NETWORK_CHECKS.items()]


def assert_network_conforms(network: Network, input_shape: Sequence[int]) -> None:
    """Raise AssertionError with the checks that fail, if any do."""
    raise_where_failed(check_network(network, input_shape))


def _gap(value: Tensor, expected: Tensor) -> float:
    """Return the largest difference as a part of the largest number that is expected."""
    if value.shape != expected.shape:
        raise Broken(f"the shape {tuple(value.shape)} should be {tuple(expected.shape)}")
    largest = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    return float((value - expected).abs().max()) / largest if expected.numel() else 0.0


def _check_shapes(subject: NetworkSubject) -> None:
    """Features are [B, F] for any B, in the weights' precision; the head and the roles are there."""
    network, weights = subject.network, subject.weights()
    shapes = {name: tuple(weights[name].shape) for name in ("head.weight", "head.bias") if name in weights}
    expected = {"head.weight": (network.n_outputs, network.n_features), "head.bias": (network.n_outputs,)}
    if shapes != expected:
        raise Broken(f"the weights of the head have the shapes {shapes}, but should have {expected}")
    if strange := sorted({network.role(name) for name in weights} - set(get_args(Role))):
        raise Broken(f"there is no role '{strange[0]}' of a weight; use one of {', '.join(get_args(Role))}")
    for n_examples in (N_FEW, N_EXAMPLES):
        features = network.features(weights, subject.examples()[:n_examples])
        if tuple(features.shape) != (n_examples, network.n_features) or features.dtype != torch.float64:
            raise Broken(
                f"features are {features.dtype} {tuple(features.shape)}; for {n_examples} examples and weights in "
                f"float64 they must be float64 {(n_examples, network.n_features)}"
            )


def _check_determinism(subject: NetworkSubject) -> None:
    """Initial weights and dropout come from their seeds alone, and evaluation draws nothing."""
    before, network = torch.get_rng_state(), subject.network
    first, same, other = (network.init(Generator().manual_seed(seed)) for seed in (1, 1, 2))
    if differing := [name for name in first if not torch.equal(first[name], same[name])]:
        raise Broken(f"two draws of '{differing[0]}' from the same seed differ; draw from the generator that is given")
    drawn = [name for name, value in first.items() if network.role(name) != "head" and float(value.std()) > 0]
    if drawn and all(torch.equal(first[name], other[name]) for name in drawn):
        raise Broken("initial weights are the same under two seeds, all but the head's; draw from the generator")
    if infinite := [name for name, value in first.items() if not torch.isfinite(value).all()]:
        raise Broken(f"the initial '{infinite[0]}' is not finite")
    weights, x, net = subject.weights(), subject.examples(), TaskNetwork(network, "loop")
    if net.draws:
        stack, seeds = net.stack(weights, 1), net.dropout_seeds([7], 1)
        if not torch.equal(*(net.features(stack, x[None], dropout=seeds) for _ in range(2))):
            raise Broken("two training passes that draw from the same seed differ")
    if not torch.equal(network.features(weights, x), network.features(weights, x)):
        raise Broken("the features of the same examples differ in evaluation mode; draw in training mode alone")
    if not torch.equal(before, torch.get_rng_state()):
        raise Broken("it draws from PyTorch's own generator outside a training pass; nothing then gives the same again")


def _check_purity(subject: NetworkSubject) -> None:
    """Nothing of one call is seen in the next, and what is given is not changed."""
    network, net = subject.network, TaskNetwork(subject.network, "loop")
    weights, x = subject.weights(), subject.examples()
    given = {**{f"the weight '{name}'": value for name, value in weights.items()}, "the examples": x}
    before = {what: value.clone() for what, value in given.items()}
    first, own = network.features(weights, x), network.statistics(weights, x)
    others, other_x = subject.weights(1), subject.examples(1)
    between: tuple[tuple[str, Callable[[], object]], ...] = (
        ("features of other examples", lambda: network.features(others, other_x[:N_FEW])),
        ("statistics of other examples", lambda: network.statistics(others, other_x)),
        ("a gradient", lambda: _gradient(subject, others)),
        (
            "a training pass",
            lambda: net.features(net.stack(others, 1), other_x[None], dropout=net.dropout_seeds([7], 1)),
        ),
    )
    for what, call in between:
        call()
        gap = _gap(network.features(weights, x), first)
        if gap:
            raise Broken(f"after {what}, the features of the first ones differ by up to {gap:.1e}; keep nothing")
    for name, value in network.statistics(weights, x).items():
        if not torch.equal(value, own[name]):
            raise Broken(f"two calls give other statistics '{name}'; keep nothing between calls")
    if changed := [what for what, value in given.items() if not torch.equal(value, before[what])]:
        raise Broken(f"it changes {changed[0]} that it is given; return new tensors")


def _check_engine(subject: NetworkSubject, engine: EngineName) -> None:
    """Raise Broken where tasks that the engine maps together give other numbers than each alone."""
    network, net = subject.network, TaskNetwork(subject.network, engine)
    tasks = [subject.weights(seed) for seed in range(N_TASKS)]
    inputs = [subject.examples(seed) for seed in range(N_TASKS)]
    stacked = {name: torch.stack([one[name] for one in tasks]).requires_grad_() for name in tasks[0]}
    x = torch.stack(inputs)
    losses = task_losses(net(stacked, x), subject.labels().expand(N_TASKS, -1), "classification")
    gradient = torch.autograd.grad(losses.sum(), list(stacked.values()), materialize_grads=True)
    with torch.no_grad():
        statistics = net.statistics(stacked, x)
        together: dict[str, Tensor] = {
            "outputs": net(stacked, x),
            "features": net.features(stacked, x),
            **{f"statistics '{name}'": value for name, value in statistics.items()},
            **{f"gradient with respect to '{name}'": value for name, value in zip(stacked, gradient, strict=True)},
        }
        if statistics:
            together["features at given statistics"] = net.features(stacked, x, statistics)
    for t in range(N_TASKS):
        own = network.statistics(tasks[t], inputs[t])
        alone: dict[str, Tensor] = {
            "outputs": forward(network, tasks[t], inputs[t]),
            "features": network.features(tasks[t], inputs[t]),
            "features at given statistics": network.features(tasks[t], inputs[t], own),
            **{f"statistics '{name}'": value for name, value in own.items()},
            **{f"gradient with respect to '{name}'": value for name, value in _gradient(subject, tasks[t], t).items()},
        }
        for what, value in together.items():
            gap = _gap(value[t], alone[what])
            if not gap <= TOLERANCE:
                raise Broken(
                    f"the {what} of task {t} differ by up to {gap:.1e} between {N_TASKS} tasks that engine '{engine}' "
                    "maps and that task alone"
                )


def _check_stack(subject: NetworkSubject) -> None:
    """Each task of a stack gives what it gives alone, one after another and in the quicker engine."""
    quicker = choose_engine(subject.network, torch.device("cpu"))
    for engine in dict.fromkeys(("loop", quicker)):
        _check_engine(subject, engine)


def _check_vmap(subject: NetworkSubject) -> None:
    """``torch.func.vmap`` gives each task what it gives alone, where a trial shows that it can map the network."""
    if reason := reason_against_vmap(subject.network):
        raise NotPromised(f"{reason}; tasks are mapped one after another")
    _check_engine(subject, "vmap")


def _check_statistics(subject: NetworkSubject) -> None:
    """At given statistics, and always without batch norm, an example's features do not depend on the others."""
    network, weights, x = subject.network, subject.weights(), subject.examples()
    features, own = network.features(weights, x), network.statistics(weights, x)
    names = sorted(f"{layer}.{what}" for layer in network.norm_layers for what in ("mean", "var"))
    if sorted(own) != names:
        raise Broken(f"statistics are given for {sorted(own)}, but the batch-norm layers ask for {names}")
    if own:
        gap = _gap(network.features(weights, x, own), features)
        if not gap <= TOLERANCE:
            raise Broken(f"features normalized by the batch's own statistics, given, differ by up to {gap:.1e}")
    gap = _gap(network.features(weights, x[:N_FEW], own or None), features[:N_FEW])
    if not gap <= TOLERANCE:
        how = "at given statistics" if own else "without batch norm"
        raise Broken(
            f"{how}, the features of {N_FEW} examples differ by up to {gap:.1e} with those beside them; normalize by "
            "PyTorch's batch norms, whose statistics can be given, or within an example"
        )


def _gradient(
    subject: NetworkSubject, weights: Weights, seed: int = 0, training: bool = False, create_graph: bool = False
) -> dict[str, Tensor]:
    """Return the gradient of the examples' cross-entropy by the weights, which are leaves if it has a graph.

    Args:
        subject: the network.
        weights: of the network.
        seed: of the examples.
        training: whether in a training pass, where the network draws what it draws.
        create_graph: whether it can be differentiated again.
    """
    net = TaskNetwork(subject.network, "loop")
    if not create_graph:
        weights = leaves(weights)
    x = subject.examples(seed)
    if x.is_floating_point():
        x = x.to(next(iter(weights.values())).dtype)
    outputs = net(net.stack(weights, 1), x[None], dropout=net.dropout_seeds([7], 1) if training else None)
    losses = task_losses(outputs, subject.labels()[None], "classification")
    return gradients(losses, weights, create_graph)


def _directional_derivative(
    subject: NetworkSubject, weights: Weights, direction: Weights
) -> tuple[dict[str, Tensor], float]:
    """Return the derivative of the gradient in a direction, by the weights, and its part in that direction."""
    ends = leaves(weights)
    gradient = _gradient(subject, ends, training=True, create_graph=True)
    slope = torch.stack([(gradient[name] * direction[name]).sum() for name in ends]).sum()
    if not slope.requires_grad:
        raise Broken("its gradient cannot be differentiated again, which second-order methods do")
    second = torch.autograd.grad(slope, list(ends.values()), materialize_grads=True)
    found = dict(zip(ends, second, strict=True))
    return found, sum(float((found[name] * direction[name]).sum()) for name in ends)


def _direction(weights: Weights, seed: int) -> dict[str, Tensor]:
    """Return a random direction of length 1 in the space of the weights."""
    generator = Generator().manual_seed(seed)
    drawn = {name: torch.randn(value.shape, generator=generator).to(value) for name, value in weights.items()}
    length = math.sqrt(sum(float(value.square().sum()) for value in drawn.values()))
    return {name: value / length for name, value in drawn.items()}


def _check_gradients(subject: NetworkSubject) -> None:
    """Gradients by all weights are finite, and reach the body."""
    for weights in (subject.network.init(Generator().manual_seed(0)), subject.weights()):
        gradient = _gradient(subject, weights)
        _check_finite("gradient", gradient)
        body = [value for name, value in gradient.items() if subject.network.role(name) != "head"]
        if body and not any(value.any() for value in body):
            raise Broken("the gradient with respect to every weight but the head's is zero; do not detach features")


def _check_second_derivatives(subject: NetworkSubject) -> None:
    """Gradients of gradients are finite, by all weights and through a training pass."""
    for weights in (subject.network.init(Generator().manual_seed(0)), subject.weights()):
        _check_finite("second derivative", _directional_derivative(subject, weights, _direction(weights, 0))[0])


def _check_finite_differences(subject: NetworkSubject) -> None:
    """Gradients of gradients are those of finite differences, in a direction in which no kink is near."""
    weights, gaps = subject.weights(), []
    for seed in range(N_DIRECTIONS):
        direction, ends = _direction(weights, seed), []
        for sign in (1, -1):
            moved = {name: value + sign * STEP * direction[name] for name, value in weights.items()}
            gradient = _gradient(subject, moved, training=True)
            ends.append(sum(float((gradient[name] * direction[name]).sum()) for name in weights))
        expected, value = (ends[0] - ends[1]) / (2 * STEP), _directional_derivative(subject, weights, direction)[1]
        scale = math.sqrt(sum(float(part.square().sum()) for part in gradient.values()))
        gaps.append(abs(value - expected) / max(abs(expected), ROUNDING * scale, 1e-300))
        if gaps[-1] <= DIFFERENCES:
            return
    raise Broken(
        f"second derivatives differ by at least {min(gaps):.1e} (relative) from finite differences of the gradient; "
        "write the backward pass of a function of your own so that it can be differentiated, and detach nothing"
    )


def _check_finite(what: str, values: Mapping[str, Tensor]) -> None:
    if wrong := [name for name, value in values.items() if not torch.isfinite(value).all()]:
        raise Broken(f"the {what} by '{wrong[0]}' is not finite")


NETWORK_CHECKS: dict[str, Callable[[NetworkSubject], None]] = {
    "features have the right shape": _check_shapes,
    "deterministic under a seed": _check_determinism,
    "nothing is kept between calls": _check_purity,
    "the same alone and in a stack": _check_stack,
    "the same under vmap": _check_vmap,
    "statistics are as promised": _check_statistics,
    "gradients are finite": _check_gradients,
    "second derivatives are finite": _check_second_derivatives,
    "second derivatives are right": _check_finite_differences,
}
