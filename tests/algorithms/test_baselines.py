"""Baselines without episodes, prototypes, the floor and the ceiling, each against an independent computation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import nn

from algorithms.core.meta_state import group
from algorithms.core.pretraining import Pretrained
from algorithms.networks.conv4 import Conv4
from algorithms.protonet import ProtoNet, ProtoNetHyperParameters
from datasets.core.episodes import Examples, Shape
from datasets.sinusoid import Sinusoid
from tests.algorithms.helpers import CONV, POINTS, SMALL_MLP, THREE_WAY, made_episodes, make, start


def pretrained(name: str, **hparams: Any) -> Pretrained[Any]:
    return make(name, CONV, THREE_WAY, **hparams)  # type: ignore[return-value]


def examples(n: int, n_classes: int) -> Examples:
    rng = np.random.default_rng(0)
    return Examples(
        torch.from_numpy(rng.normal(size=(n, *CONV.input_shape))), torch.from_numpy(rng.integers(0, n_classes, n)), n
    )


def test_new_head_is_torch_sgd_with_momentum_dampening_and_weight_decay() -> None:
    algorithm = pretrained("finetune", head_batch=4, head_momentum=0.9, head_dampening=0.7, head_weight_decay=0.01)
    episodes, state = made_episodes(CONV, THREE_WAY, 2), start(algorithm)
    (_, first), *_, (_, found) = algorithm.adapt(state, episodes.support, 3)
    for t in range(2):
        with torch.no_grad():
            features = CONV.features({key: value[t] for key, value in first.items()}, episodes.support.x[t])
        linear = nn.Linear(4, 3).double()
        linear.weight.data, linear.bias.data = first["head.weight"][t].clone(), first["head.bias"][t].clone()
        optimizer = torch.optim.SGD(linear.parameters(), lr=0.01, momentum=0.9, dampening=0.7, weight_decay=0.01)
        generator = np.random.Generator(np.random.PCG64(int(episodes.support.seeds[t])))
        for _ in range(3):
            order = generator.permutation(6)
            for rows in (order[:4], order[4:]):
                optimizer.zero_grad()
                F.cross_entropy(linear(features[rows]), episodes.support.y[t][rows]).backward()
                optimizer.step()
        torch.testing.assert_close(found["head.weight"][t], linear.weight.detach(), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(found["head.bias"][t], linear.bias.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["finetune", "finetune-cosine", "logreg"])
def test_the_body_is_frozen_at_test(name: str) -> None:
    algorithm = pretrained(name)
    support, state = made_episodes(CONV, THREE_WAY, 2).support, start(algorithm)
    *_, (_, weights) = algorithm.adapt(state, support, min(algorithm.test_steps, 3))
    for key, value in group(state, "weights").items():
        if not key.startswith("head."):
            assert torch.equal(weights[key][1], value)


@pytest.mark.parametrize("name", ["finetune", "finetune-cosine", "logreg"])
def test_pretraining_is_adam_on_cross_entropy_over_all_training_classes(name: str) -> None:
    algorithm = pretrained(name, batch_size=16, train_lr=0.01)
    batch, state = examples(40, 7), start(algorithm)
    after, metrics = algorithm.outer_step(state, batch)
    weights = {key: nn.Parameter(value.clone()) for key, value in group(state, "weights").items()}
    assert weights.get("head.weight", weights.get("head.direction")).shape == (7, 4)  # type: ignore[union-attr]
    optimizer = torch.optim.Adam(weights.values(), lr=0.01)
    total = 0.0
    for rows in (slice(0, 16), slice(16, 32), slice(32, 40)):
        features = CONV.features(weights, batch.x[rows])
        stacked = {key: value[None] for key, value in weights.items()}
        loss = F.cross_entropy(algorithm.logits(stacked, features[None])[0], batch.y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * (rows.stop - rows.start)
    assert metrics["loss"] == pytest.approx(total / 40, rel=1e-10)
    for key, value in weights.items():
        torch.testing.assert_close(after[f"weights/{key}"], value.detach(), rtol=1e-6, atol=1e-8)


def test_cosine_head_scores_are_scaled_cosines_times_a_learned_length() -> None:
    algorithm = pretrained("finetune-cosine")
    head = {key: value[None].double() for key, value in algorithm.fresh_head(3, torch.Generator()).items()}
    features = torch.randn(1, 5, 4).double()
    lengths = head["head.direction"].norm(dim=-1)
    torch.testing.assert_close(head["head.length"][..., 0], lengths)
    scores = algorithm.logits(head, features)
    cosines = F.cosine_similarity(features[0][:, None], head["head.direction"][0][None], dim=-1)
    torch.testing.assert_close(scores[0], 2.0 * cosines * lengths[0])
    longer = algorithm.logits(head | {"head.direction": 3 * head["head.direction"]}, 7 * features)
    torch.testing.assert_close(longer, scores)
    many = {key: value[None].double() for key, value in algorithm.fresh_head(201, torch.Generator()).items()}
    cosine = F.cosine_similarity(features[0, 0], many["head.direction"][0, 200], dim=-1)
    assert float(algorithm.logits(many, features)[0, 0, 200]) == pytest.approx(
        10 * float(cosine * many["head.length"][0, 200, 0])
    )


@pytest.mark.parametrize("n_way", [2, 3])
def test_logreg_predicts_what_scikit_learn_predicts(n_way: int) -> None:
    network, shape = Conv4((1, 10, 10), n_way, channels=4), Shape(n_way, 3, 4)
    algorithm = make("logreg", network, shape)
    episodes, state = made_episodes(network, shape, 2), start(algorithm)
    ((step, outputs),) = algorithm.outputs(state, episodes.support, episodes.query_x, 0)
    assert step == 0
    body = group(state, "weights")
    for t in range(2):
        inputs, queries = (
            F.normalize(network.features(body, x[t]), dim=-1).numpy() for x in (episodes.support.x, episodes.query_x)
        )
        model = LogisticRegression(max_iter=1000).fit(inputs, episodes.support.y[t].numpy())
        found = outputs["transductive"][t].softmax(dim=-1).numpy()
        np.testing.assert_allclose(found, model.predict_proba(queries), rtol=1e-6)


def test_regression_fine_tunes_all_weights_by_plain_gradient_steps() -> None:
    algorithm = make("finetune", SMALL_MLP, POINTS, head_lr=0.05)
    episodes, state = made_episodes(SMALL_MLP, POINTS, 2), start(algorithm)
    maml = make("maml", SMALL_MLP, POINTS, inner_lr=0.05)
    for (_, found), (_, expected) in zip(
        algorithm.adapt(state, episodes.support, 3), maml.adapt(state, episodes.support, 3), strict=True
    ):
        for key in found:
            torch.testing.assert_close(found[key], expected[key], rtol=1e-10, atol=1e-12)


def test_prototypes_are_class_means_and_scores_order_like_distances() -> None:
    algorithm = make("protonet", CONV, THREE_WAY)
    episodes, state = made_episodes(CONV, THREE_WAY, 2), start(algorithm)
    ((_, outputs),) = algorithm.outputs(state, episodes.support, episodes.query_x, 0)
    body = group(state, "weights")
    for t in range(2):
        features = CONV.features(body, episodes.support.x[t])
        prototypes = torch.stack([features[2 * c : 2 * c + 2].mean(dim=0) for c in range(3)])
        distances = torch.cdist(CONV.features(body, episodes.query_x[t]), prototypes).square()
        torch.testing.assert_close(outputs["transductive"][t].softmax(dim=-1), (-distances).softmax(dim=-1))


def test_protonet_trains_by_the_gradient_of_the_query_loss_and_halves_its_rate() -> None:
    algorithm = make("protonet", CONV, THREE_WAY, lr=0.01, halve_every=2)
    state: Any = start(algorithm)
    weights = {key: nn.Parameter(value.clone()) for key, value in group(state, "weights").items()}
    optimizer = torch.optim.Adam(weights.values(), lr=0.01)
    for step in range(4):
        episodes = made_episodes(CONV, THREE_WAY, 1, seed=step)
        optimizer.param_groups[0]["lr"] = 0.01 * 0.5 ** (step // 2)
        features = CONV.features(weights, episodes.support.x[0])
        prototypes = torch.stack([features[2 * c : 2 * c + 2].mean(dim=0) for c in range(3)])
        distances = (CONV.features(weights, episodes.query_x[0])[:, None] - prototypes).square().sum(dim=-1)
        loss = F.cross_entropy(-distances, episodes.query_y[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state, metrics = algorithm.outer_step(state, episodes)
        assert metrics["loss"] == pytest.approx(float(loss.detach()), rel=1e-7)
    for key, value in weights.items():
        torch.testing.assert_close(state[f"weights/{key}"], value.detach(), rtol=1e-6, atol=1e-8)


def test_protonet_trains_on_more_ways() -> None:
    hparams = ProtoNetHyperParameters(train_ways=30, train_queries=7)
    assert ProtoNet.train_shape(hparams, Shape(5, 1, 15)) == Shape(30, 1, 7)
    assert ProtoNet.train_shape(ProtoNetHyperParameters(), Shape(5, 1, 15)) == Shape(5, 1, 15)


def test_scratch_learns_nothing_before_and_is_adam_at_test() -> None:
    algorithm = make("scratch", CONV, THREE_WAY, inner_lr=0.01)
    episodes, state = made_episodes(CONV, THREE_WAY, 2), start(algorithm)
    after, _ = algorithm.outer_step(state, episodes)
    assert after is state
    *_, (_, found) = algorithm.adapt(state, episodes.support, 3)
    weights = {key: nn.Parameter(value.clone()) for key, value in group(state, "weights").items()}
    optimizer = torch.optim.Adam(weights.values(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        features = CONV.features(weights, episodes.support.x[1])
        logits = features @ weights["head.weight"].T + weights["head.bias"]
        F.cross_entropy(logits, episodes.support.y[1]).backward()
        optimizer.step()
    for key, value in weights.items():
        torch.testing.assert_close(found[key][1], value.detach(), rtol=1e-6, atol=1e-8)


def test_oracle_finds_amplitude_and_phase_from_few_points() -> None:
    stream = Sinusoid().stream("test", Shape(1, 3, 50), 0)
    episodes = stream.batch(np.arange(200))
    algorithm = make("oracle", SMALL_MLP, Shape(1, 3, 50))
    state = algorithm.init({}, torch.Generator())
    ((_, weights),) = algorithm.adapt(state, episodes.support, 0)
    amplitude, phase = episodes.identity[:, 0], episodes.identity[:, 1]
    expected = np.stack([amplitude * np.cos(phase), -amplitude * np.sin(phase)], axis=1)
    found = weights["coefficients"][..., 0].numpy()
    assert np.median(np.abs(found - expected)) < 1e-5
    _, metrics = algorithm.outer_step(state, episodes)
    assert metrics["loss"] < 1e-4
