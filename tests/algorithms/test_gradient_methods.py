"""The options of MAML and the methods made from it, and their adaptation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from algorithms import ALGORITHMS
from algorithms.core.losses import task_losses
from algorithms.core.meta_state import group
from algorithms.core.optimizers import Adam
from algorithms.maml import GradientThroughAdaptation
from tests.algorithms.helpers import CONV, POINTS, SMALL_MLP, THREE_WAY, made_episodes, make, relative_error, start


def method(name: str, **hparams: Any) -> GradientThroughAdaptation[Any]:
    return make(name, CONV, THREE_WAY, **hparams)  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["maml", "fomaml", "anil"])
def test_summed_loss_is_n_way_times_the_rate_inside_and_examples_by_shots_outside(name: str) -> None:
    """The authors' code divides a sum over examples by the shots: n_way times the mean for the support set."""
    episodes = made_episodes(CONV, THREE_WAY, 2)
    summed = method(name, inner_lr=0.02, loss_reduction="sum_over_classes", train_steps=2)
    mean = method(name, inner_lr=0.02 * THREE_WAY.n_way, train_steps=2)
    found, loss = summed.meta_gradient(start(summed), episodes)
    expected, expected_loss = mean.meta_gradient(start(mean), episodes)
    outer = THREE_WAY.n_way * THREE_WAY.n_query / THREE_WAY.n_shot
    assert relative_error(found, {key: outer * value for key, value in expected.items()}) < 1e-12
    assert loss == pytest.approx(expected_loss, rel=1e-12)


def test_squared_errors_are_always_averaged() -> None:
    episodes = made_episodes(SMALL_MLP, POINTS, 2)
    both = [make("maml", SMALL_MLP, POINTS, loss_reduction=how) for how in ("mean", "sum_over_classes")]
    found = [algorithm.meta_gradient(start(algorithm), episodes)[0] for algorithm in both]  # type: ignore[attr-defined]
    assert relative_error(*found) == 0


@pytest.mark.parametrize("adapt_norm", [False, True])
@pytest.mark.parametrize("name", ["maml", "fomaml", "meta-sgd"])
def test_batch_norm_adapts_only_where_asked_but_is_always_learned(name: str, adapt_norm: bool) -> None:
    algorithm = method(name, adapt_norm=adapt_norm)
    episodes, state = made_episodes(CONV, THREE_WAY, 2), start(algorithm)
    *_, (_, weights) = algorithm.adapt(state, episodes.support, 1)
    moved = {key for key, value in weights.items() if not torch.equal(value[0], state[f"weights/{key}"])}
    norms = {key for key in weights if key.startswith("norm")}
    assert moved == (set(weights) if adapt_norm else set(weights) - norms)
    if name == "meta-sgd":
        assert set(group(state, "rates")) == moved
    after, _ = algorithm.outer_step(state, episodes)
    assert all(not torch.equal(after[f"weights/{key}"], state[f"weights/{key}"]) for key in norms)


def test_anil_adapts_the_head_alone_and_learns_everything() -> None:
    algorithm = method("anil")
    episodes, state = made_episodes(CONV, THREE_WAY, 2), start(algorithm)
    *_, (_, weights) = algorithm.adapt(state, episodes.support, 2)
    moved = {key for key, value in weights.items() if not torch.equal(value[0], state[f"weights/{key}"])}
    assert moved == {"head.weight", "head.bias"}
    after, _ = algorithm.outer_step(state, episodes)
    assert all(not torch.equal(after[key], state[key]) for key in state if key.startswith("weights/"))


def test_clip_bounds_the_outer_gradient() -> None:
    episodes = made_episodes(CONV, THREE_WAY, 2)
    clipped, plain = method("maml", clip=1e-3), method("maml")
    gradient, _ = plain.meta_gradient(start(plain), episodes)
    assert max(float(value.abs().max()) for value in gradient.values()) > 1e-3
    state, _ = clipped.outer_step(start(clipped), episodes)
    for key, value in gradient.items():
        torch.testing.assert_close(state[f"adam/mean.{key}"], 0.1 * value.clamp(-1e-3, 1e-3), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", ["maml", "meta-sgd"])
def test_outer_step_is_adam_on_the_meta_gradient(name: str) -> None:
    algorithm = method(name, outer_lr=0.01)
    episodes, state = made_episodes(CONV, THREE_WAY, 2), start(algorithm)
    gradient, _ = algorithm.meta_gradient(state, episodes)
    learned = {key: value for key, value in state.items() if not key.startswith("adam/")}
    expected, _ = Adam(0.01).update(learned, gradient, Adam(0.01).init(learned))
    after, _ = algorithm.outer_step(state, episodes)
    assert relative_error({key: after[key] for key in expected}, expected) < 1e-12


def test_meta_sgd_draws_its_rates_within_the_papers_bounds_and_learns_them() -> None:
    algorithm = method("meta-sgd", rate_low=0.005, rate_high=0.1)
    state = start(algorithm)
    rates = torch.cat([value.reshape(-1) for value in group(state, "rates").values()])
    assert 0.005 <= float(rates.min()) < 0.01
    assert 0.095 < float(rates.max()) <= 0.1
    assert float(rates.mean()) == pytest.approx(0.0525, rel=0.05)
    after, _ = algorithm.outer_step(state, made_episodes(CONV, THREE_WAY, 2))
    assert all(not torch.equal(after[f"rates/{key}"], state[f"rates/{key}"]) for key in group(state, "rates"))


@pytest.mark.parametrize("name", ["maml", "meta-sgd"])
def test_adaptation_steps_down_the_support_loss(name: str) -> None:
    algorithm = method(name)
    episodes, state = made_episodes(CONV, THREE_WAY, 2), start(algorithm)
    losses = []
    for _, weights in algorithm.adapt(state, episodes.support, 3):
        with torch.no_grad():
            outputs = algorithm.net(weights, episodes.support.x)
            losses.append(float(task_losses(outputs, episodes.support.y, "classification").mean()))
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("name", ["maml", "anil", "maml@learn2learn"])
def test_later_steps_at_test_are_shorter_by_the_factor(name: str) -> None:
    if reason := ALGORITHMS[name].missing():
        pytest.skip(reason)
    support = made_episodes(CONV, THREE_WAY, 2).support
    whole, halved = method(name, inner_lr=0.02), method(name, inner_lr=0.02, later_steps=0.5)
    state = start(whole)
    (_, _), (_, first), (_, second) = whole.adapt(state, support, 2)
    (_, _), (_, same), (_, shorter) = halved.adapt(state, support, 2)
    for key in first:
        assert torch.equal(first[key], same[key])
        torch.testing.assert_close(shorter[key] - same[key], (second[key] - first[key]) / 2, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("name", "built"), [("maml", True), ("fomaml", False)])
def test_first_order_builds_no_graph_of_the_inner_gradient(name: str, built: bool) -> None:
    """Second order keeps in memory the graph behind the inner gradients; first order must not build it."""
    algorithm = method(name)
    episodes = made_episodes(CONV, THREE_WAY, 2)
    meta = {key: value.requires_grad_() for key, value in start(algorithm).items() if key.startswith("weights/")}
    weights = algorithm.net.stack(group(meta, "weights"), len(episodes))
    adapted = algorithm.inner_step(meta, weights, episodes.support, 1, training=True)["head.weight"]
    nodes, waiting = set(), [adapted.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            waiting += [parent for parent, _ in node.next_functions]
    assert any("Backward" in type(node).__name__ and "onvolution" in type(node).__name__ for node in nodes) == built
