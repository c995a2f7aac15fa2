"""The outer gradients in float64, each against something that shares no code with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algorithms.core.losses import task_losses
from algorithms.maml import GradientThroughAdaptation
from algorithms.networks.mlp import MLP
from algorithms.networks.network import Network
from datasets.core.episodes import Episodes, Shape
from tests.algorithms.helpers import (
    CONV,
    LINEAR,
    POINTS,
    POOLED,
    SMALL_MLP,
    THREE_WAY,
    made_episodes,
    make,
    relative_error,
    start,
)

NETWORKS: list[tuple[Network, Shape]] = [(SMALL_MLP, POINTS), (CONV, THREE_WAY), (POOLED, THREE_WAY)]


def gradient_method(name: str, network: Network, shape: Shape, **kwargs: Any) -> GradientThroughAdaptation[Any]:
    algorithm = make(name, network, shape, **kwargs)
    assert isinstance(algorithm, GradientThroughAdaptation)
    return algorithm


def query_loss(algorithm: GradientThroughAdaptation[Any], state: dict[str, torch.Tensor], episodes: Episodes) -> float:
    """The mean query loss at the weights that ``adapt`` ends with: no derivative through the inner loop anywhere."""
    steps = algorithm.hparams.train_steps
    *_, (_, weights) = algorithm.adapt(state, episodes.support, steps)
    with torch.no_grad():
        outputs = algorithm.net(weights, episodes.query_x)
        return float(task_losses(outputs, episodes.query_y, algorithm.problem.kind).mean())


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", ["maml", "meta-sgd", "anil"])
@pytest.mark.parametrize(
    ("network", "shape", "engine"),
    [(*each, engine) for each in NETWORKS for engine in ("loop", "vmap")] + [(SMALL_MLP, POINTS, "stacked")],
)
def test_second_order_gradient_is_the_slope_of_the_query_loss(
    name: str, network: Network, shape: Shape, steps: int, engine: Any
) -> None:
    """Central differences along random directions of the whole meta-state."""
    rates = {"rate_low": 0.02, "rate_high": 0.1} if name == "meta-sgd" else {"inner_lr": 0.05}
    algorithm = gradient_method(name, network, shape, engine=engine, train_steps=steps, **rates)
    episodes, state = made_episodes(network, shape, 3), start(algorithm)
    gradient, loss = algorithm.meta_gradient(state, episodes)
    assert loss == pytest.approx(query_loss(algorithm, state, episodes), rel=1e-12)
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        way = {key: torch.randn(value.shape, generator=generator).double() for key, value in gradient.items()}
        step = 1e-8  # small, for a ReLU that switches within it would show
        ahead, behind = (
            query_loss(algorithm, {**state, **{key: state[key] + sign * step * way[key] for key in way}}, episodes)
            for sign in (1, -1)
        )
        along = sum(float((gradient[key] * way[key]).sum()) for key in way)
        assert along == pytest.approx((ahead - behind) / (2 * step), rel=1e-5, abs=1e-6)


def linear_parts(episodes: Episodes, t: int, part: str) -> tuple[np.ndarray, np.ndarray]:
    """H = 2/n Z'Z and c = 2/n Z'y of the squared loss, with Z = [x, 1]."""
    x, y = (episodes.support.x, episodes.support.y) if part == "support" else (episodes.query_x, episodes.query_y)
    z = np.concatenate([x[t].numpy(), np.ones((x.shape[1], 1))], axis=1)
    return 2 / len(z) * z.T @ z, 2 / len(z) * z.T @ y[t, :, 0].numpy()


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", ["maml", "fomaml"])
def test_linear_model_in_closed_form(name: str, steps: int) -> None:
    """With theta = (w, b), Z = [x, 1] and the mean squared loss |Z theta - y|^2 / n, the gradient is H theta - c.

    An inner step gives theta' = P theta + alpha c with P = I - alpha H (H, c of the support set), so k steps give
    d theta_k / d theta = P^k. With H_q, c_q of the query set the meta-gradient of a task is

        second order:  (P^k)' (H_q theta_k - c_q),       first order:  H_q theta_k - c_q.
    """
    rate, episodes = 0.07, made_episodes(LINEAR, POINTS, 4)
    algorithm = gradient_method(name, LINEAR, POINTS, train_steps=steps, inner_lr=rate)
    state = start(algorithm)
    expected = np.zeros(4)
    for t in range(4):
        theta = np.append(state["weights/head.weight"][0].numpy(), state["weights/head.bias"].numpy())
        h, c = linear_parts(episodes, t, "support")
        hq, cq = linear_parts(episodes, t, "query")
        p = np.eye(4) - rate * h
        for _ in range(steps):
            theta = p @ theta + rate * c
        outer = hq @ theta - cq
        expected += (np.linalg.matrix_power(p, steps).T @ outer if name == "maml" else outer) / 4
    gradient, _ = algorithm.meta_gradient(state, episodes)
    np.testing.assert_allclose(gradient["weights/head.weight"][0].numpy(), expected[:3], rtol=1e-11)
    np.testing.assert_allclose(gradient["weights/head.bias"].numpy(), expected[3:], rtol=1e-11)


@pytest.mark.parametrize("steps", [1, 2])
def test_meta_sgd_on_a_linear_model_in_closed_form(steps: int) -> None:
    """As for MAML with a rate a_i for each weight: theta_{j+1} = theta_j - a * g_j, g_j = H theta_j - c.

    With P = I - diag(a) H and q = H_q theta_k - c_q the meta-gradient of a task is (P^k)' q by theta, and
    - sum_j g_j * ((P^(k-1-j))' q) by a, where * is element by element.
    """
    algorithm = gradient_method("meta-sgd", LINEAR, POINTS, train_steps=steps)
    episodes, state = made_episodes(LINEAR, POINTS, 4), start(algorithm)
    by_weight, by_rate = np.zeros(4), np.zeros(4)
    rates = np.append(state["rates/head.weight"][0].numpy(), state["rates/head.bias"].numpy())
    for t in range(4):
        theta = np.append(state["weights/head.weight"][0].numpy(), state["weights/head.bias"].numpy())
        h, c = linear_parts(episodes, t, "support")
        hq, cq = linear_parts(episodes, t, "query")
        p, slopes = np.eye(4) - rates[:, None] * h, []
        for _ in range(steps):
            slopes.append(h @ theta - c)
            theta = theta - rates * slopes[-1]
        q = hq @ theta - cq
        by_weight += np.linalg.matrix_power(p, steps).T @ q / 4
        for j, slope in enumerate(slopes):
            by_rate -= slope * (np.linalg.matrix_power(p, steps - 1 - j).T @ q) / 4
    gradient, _ = algorithm.meta_gradient(state, episodes)
    for group, expected in (("weights", by_weight), ("rates", by_rate)):
        found = np.append(gradient[f"{group}/head.weight"][0].numpy(), gradient[f"{group}/head.bias"].numpy())
        np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_first_order_gradient_of_a_network_in_numpy() -> None:
    """FOMAML on one hidden ReLU layer with hand-written backward passes, two inner steps."""
    network, rate = MLP(1, 1, hidden=(6,)), 0.05
    algorithm = gradient_method("fomaml", network, POINTS, train_steps=2, inner_lr=rate)
    episodes, state = made_episodes(network, POINTS, 3), start(algorithm)
    names = ["layer1.weight", "layer1.bias", "head.weight", "head.bias"]

    def slope(w: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
        hidden = np.maximum(x @ w[0].T + w[1], 0)
        error = 2 * (hidden @ w[2].T + w[3] - y) / len(x)
        back = (error @ w[2]) * (hidden > 0)
        return [back.T @ x, back.sum(axis=0), error.T @ hidden, error.sum(axis=0)]

    total = [np.zeros_like(state[f"weights/{name}"].numpy()) for name in names]
    for t in range(3):
        w = [state[f"weights/{name}"].numpy() for name in names]
        for _ in range(2):
            w = [a - rate * b for a, b in zip(w, slope(w, *(_xy(episodes, t, "support"))), strict=True)]
        total = [a + b / 3 for a, b in zip(total, slope(w, *_xy(episodes, t, "query")), strict=True)]
    gradient, _ = algorithm.meta_gradient(state, episodes)
    for name, expected in zip(names, total, strict=True):
        np.testing.assert_allclose(gradient[f"weights/{name}"].numpy(), expected, rtol=1e-10, atol=1e-14)


def _xy(episodes: Episodes, t: int, part: str) -> tuple[np.ndarray, np.ndarray]:
    if part == "support":
        return episodes.support.x[t].numpy(), episodes.support.y[t].numpy()
    return episodes.query_x[t].numpy(), episodes.query_y[t].numpy()


@pytest.mark.parametrize("name", ["maml", "fomaml", "meta-sgd", "anil"])
@pytest.mark.parametrize(("network", "shape"), NETWORKS, ids=["mlp", "stride", "max-pool"])
def test_engines_give_the_same_gradient(name: str, network: Network, shape: Shape) -> None:
    """Mapping tasks by vmap, by stacks, or one after another, changes nothing but rounding."""
    episodes = made_episodes(network, shape, 4)
    loop = gradient_method(name, network, shape, engine="loop", train_steps=3)
    expected, expected_loss = loop.meta_gradient(start(loop), episodes)
    for engine in ("vmap", "stacked") if isinstance(network, MLP) else ("vmap", "fused"):
        other = gradient_method(name, network, shape, engine=engine, train_steps=3)
        found, loss = other.meta_gradient(start(other), episodes)
        assert loss == pytest.approx(expected_loss, rel=1e-10)
        assert relative_error(found, expected) < 1e-8


@pytest.mark.parametrize("name", ["maml", "meta-sgd", "fomaml"])
def test_meta_gradient_is_the_mean_over_tasks(name: str) -> None:
    algorithm = gradient_method(name, CONV, THREE_WAY, train_steps=2)
    episodes, state = made_episodes(CONV, THREE_WAY, 3), start(algorithm)
    together, _ = algorithm.meta_gradient(state, episodes)
    alone = [algorithm.meta_gradient(state, episodes[t : t + 1])[0] for t in range(3)]
    mean = {key: sum(one[key] for one in alone) / 3 for key in together}
    assert relative_error(together, mean) < 1e-12  # type: ignore[arg-type]
