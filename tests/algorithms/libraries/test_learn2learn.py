"""Ours against learn2learn 0.2.0: the same outer gradients, and the same losses over twenty outer steps."""

from __future__ import annotations

from typing import Any

import pytest

import algorithms.libraries.learn2learn
from algorithms import ALGORITHMS
from algorithms.maml import GradientThroughAdaptation
from algorithms.networks.conv4 import Conv4
from algorithms.networks.network import Network
from datasets.core.episodes import Shape
from tests.algorithms.helpers import POINTS, SMALL_MLP, made_episodes, make, relative_error, start

CONV = Conv4((1, 28, 28), 5, channels=8)
FIVE_WAY = Shape(5, 1, 3)
PAIRS = ["maml", "fomaml", "meta-sgd"]

needs_library = pytest.mark.skipif(
    algorithms.libraries.learn2learn.reason_to_skip() is not None, reason="learn2learn is not installed"
)


def pair(name: str, network: Network, shape: Shape, **hparams: Any) -> list[GradientThroughAdaptation[Any]]:
    return [make(n, network, shape, **hparams) for n in (name, f"{name}@learn2learn")]  # type: ignore[misc]


@needs_library
@pytest.mark.parametrize("adapt_norm", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum_over_classes"])
@pytest.mark.parametrize("name", PAIRS)
def test_meta_gradient_on_conv4(name: str, reduction: str, adapt_norm: bool) -> None:
    ours, theirs = pair(name, CONV, FIVE_WAY, train_steps=2, loss_reduction=reduction, adapt_norm=adapt_norm)
    episodes, state = made_episodes(CONV, FIVE_WAY, 2), start(ours)
    found, loss = ours.meta_gradient(state, episodes)
    expected, expected_loss = theirs.meta_gradient(state, episodes)
    assert loss == pytest.approx(expected_loss, rel=1e-10)
    assert relative_error(found, expected) < 1e-8


@needs_library
@pytest.mark.parametrize(("network", "shape"), [(CONV, FIVE_WAY), (SMALL_MLP, POINTS)], ids=["conv4", "mlp"])
@pytest.mark.parametrize("name", PAIRS)
def test_twenty_outer_steps_have_the_same_losses(name: str, network: Network, shape: Shape) -> None:
    losses: list[list[float]] = []
    for algorithm in pair(name, network, shape, train_steps=1, outer_lr=3e-3):
        state: Any = start(algorithm)
        losses.append([])
        for step in range(20):
            state, metrics = algorithm.outer_step(state, made_episodes(network, shape, 2, seed=step))
            losses[-1].append(metrics["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0][0] != pytest.approx(losses[0][-1], rel=1e-3)


@needs_library
@pytest.mark.parametrize("name", PAIRS)
def test_adapted_weights_are_the_same_after_every_step(name: str) -> None:
    ours, theirs = pair(name, CONV, FIVE_WAY)
    support, state = made_episodes(CONV, FIVE_WAY, 3).support, start(ours)
    for (step, found), (their_step, expected) in zip(
        ours.adapt(state, support, 3), theirs.adapt(state, support, 3), strict=True
    ):
        assert step == their_step
        assert relative_error(found, expected) < 1e-9


def test_an_absent_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algorithms.libraries.learn2learn, "find_spec", lambda name: None)
    for name in PAIRS:
        assert "uv pip install" in str(ALGORITHMS[f"{name}@learn2learn"].missing())
        assert ALGORITHMS[name].missing() is None
