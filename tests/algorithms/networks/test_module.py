"""Any module as a network: equal to the built-in ones where they are the same, and refused where it cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from algorithms import ALGORITHMS, Problem
from algorithms.engines.names import EngineName
from algorithms.engines.task_network import TaskNetwork, engine_choice
from algorithms.networks import attention
from algorithms.networks.conv4 import Conv4
from algorithms.networks.entry import NETWORKS
from algorithms.networks.module import ModuleNetwork
from algorithms.networks.network import Network
from algorithms.testing import assert_network_conforms
from datasets import UserError
from datasets.core.episodes import Episodes, Examples
from tests.algorithms.helpers import (
    POINTS,
    POOLED,
    SMALL_MLP,
    THREE_WAY,
    flat,
    made_episodes,
    make,
    relative_error,
    start,
    weights_of,
)
from tests.algorithms.networks import modules as made

IMAGES = Conv4((1, 8, 8), 3, channels=2)  # for episodes of such images alone


def small(norm: str = "batch", dropout: float = 0.0) -> ModuleNetwork:
    return ModuleNetwork(lambda: made.SmallCNN(norm=norm, dropout=dropout), (1, 8, 8), 3)


def algorithm_on(name: str, network: Network, engine: EngineName = "loop", **hparams: Any) -> Any:
    """A classification method of the registry."""
    entry = ALGORITHMS[name]
    problem = Problem("classification", THREE_WAY, 7, 10)
    return entry.factory(entry.hparams.model_validate(hparams), problem, network, engine)


@pytest.mark.parametrize("engine", ["loop", "vmap"])
@pytest.mark.parametrize(
    ("name", "hparams"),
    [("maml", {"adapt_norm": False}), ("maml", {"adapt_norm": True}), ("meta-sgd", {}), ("anil", {})],
)
def test_conv4_as_a_module_has_the_same_meta_gradient(name: str, hparams: dict[str, Any], engine: EngineName) -> None:
    module = ModuleNetwork(lambda: made.plain_conv4(POOLED), POOLED.input_shape, POOLED.n_outputs)
    episodes = made_episodes(POOLED, THREE_WAY, 2)
    ours = algorithm_on(name, POOLED, train_steps=2, **hparams)
    theirs = algorithm_on(name, module, engine, train_steps=2, **hparams)
    state = start(ours)
    renamed = {renamed_key(key): value for key, value in state.items()}
    expected, loss = ours.meta_gradient(state, episodes)
    found, other_loss = theirs.meta_gradient(renamed, episodes)
    assert other_loss == pytest.approx(loss, rel=1e-10)
    assert relative_error(found, {renamed_key(key): value for key, value in expected.items()}) < 1e-8
    for mode in ("transductive", "inductive"):
        *_, (_, ours_out) = ours.outputs(state, episodes.support, episodes.query_x, 1)
        *_, (_, theirs_out) = theirs.outputs(renamed, episodes.support, episodes.query_x, 1)
        torch.testing.assert_close(theirs_out[mode], ours_out[mode], rtol=1e-8, atol=1e-9)


def renamed_key(key: str) -> str:
    group, _, name = key.rpartition("/")
    return key if name.startswith("head.") or group not in ("weights", "rates") else f"{group}/backbone.{name}"


def test_mlp_as_a_module_has_the_same_meta_gradient() -> None:
    module = ModuleNetwork(lambda: made.plain_mlp(SMALL_MLP), (1,), 1)
    entry, problem = ALGORITHMS["maml"], Problem("regression", POINTS, 1, 10)
    theirs: Any = entry.factory(entry.hparams(train_steps=2), problem, module, "loop")
    ours: Any = make("maml", SMALL_MLP, POINTS, train_steps=2)
    state, episodes = start(ours), made_episodes(SMALL_MLP, POINTS, 3)
    expected, _ = ours.meta_gradient(state, episodes)
    found, _ = theirs.meta_gradient({renamed_key(key): value for key, value in state.items()}, episodes)
    assert relative_error(found, {renamed_key(key): value for key, value in expected.items()}) < 1e-8


@pytest.mark.parametrize("name", [entry.name for entry in ALGORITHMS if "classification" in entry.kinds])
def test_every_method_trains_and_adapts_a_module(name: str) -> None:
    if reason := ALGORITHMS[name].missing():
        pytest.skip(reason)
    network, episodes = small(), made_episodes(IMAGES, THREE_WAY, 2)
    algorithm = algorithm_on(name, network)
    state = algorithm.init(weights_of(network), Generator().manual_seed(1))
    batch: Episodes | Examples = episodes
    if algorithm.consumes == "examples":
        batch = Examples(episodes.query_x.flatten(0, 1), episodes.query_y.flatten(), 7)
    after, measured = algorithm.outer_step(state, batch)
    assert measured["loss"] > 0
    changed = [key for key in state if key.startswith("weights/") and not torch.equal(after[key], state[key])]
    assert bool(changed) == algorithm.trains
    *_, (_, outputs) = algorithm.outputs(after, episodes.support, episodes.query_x, algorithm.test_steps, True)
    assert not torch.equal(outputs["transductive"], outputs["inductive"])
    assert all(torch.isfinite(value).all() for value in outputs.values())


def stacked(network: Network, n_tasks: int) -> dict[str, Tensor]:
    tasks = [weights_of(network, seed) for seed in range(n_tasks)]
    return {name: torch.stack([one[name] for one in tasks]) for name in tasks[0]}


@pytest.mark.parametrize("norm", ["batch", "batch without running averages"])
def test_batch_norm_uses_the_batch_or_what_is_given_and_keeps_nothing(norm: str) -> None:
    network, x = small(norm), torch.randn(6, 1, 8, 8, dtype=torch.float64)
    weights = weights_of(network)
    assert network.norm_layers == ("norm",)
    assert {network.role(name) for name in weights if "norm" in name} == {"norm"}
    own = network.statistics(weights, x)
    first = network.features(weights, x)
    torch.testing.assert_close(network.features(weights, x, own), first)
    torch.testing.assert_close(network.features(weights, x[:3], own), first[:3])
    assert not torch.allclose(network.features(weights, x[:3]), first[:3])
    assert torch.equal(network.features(weights, x), first)


@pytest.mark.parametrize("norm", ["group", "instance"])
def test_other_normalisation_makes_both_modes_the_same(norm: str) -> None:
    network, x = small(norm), torch.randn(6, 1, 8, 8, dtype=torch.float64)
    weights = weights_of(network)
    assert network.norm_layers == ()
    assert {network.role(name) for name in weights if "norm" in name} == {"norm"}
    torch.testing.assert_close(network.features(weights, x[:3]), network.features(weights, x)[:3])


def test_dropout_is_drawn_from_the_tasks_seed_and_off_in_evaluation() -> None:
    net = TaskNetwork(small(dropout=0.5), "loop")
    weights, x = stacked(net.network, 2), torch.randn(2, 6, 1, 8, 8, dtype=torch.float64)
    one, other = net.dropout_seeds([7, 8], 1), net.dropout_seeds([7, 8], 2)
    assert one is not None
    first = net(weights, x, dropout=one)
    before = torch.get_rng_state()
    assert torch.equal(net(weights, x, dropout=one), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(net(weights, x, dropout=other), first)
    assert not torch.equal(net(weights, x), first)
    assert torch.equal(net(weights, x), TaskNetwork(small(), "loop")(weights, x))
    alone = net({name: value[1:] for name, value in weights.items()}, x[1:], dropout=one[1:])
    torch.testing.assert_close(alone[0], first[1])


def test_dropout_so_rare_that_a_trial_drops_nothing_is_drawn() -> None:
    assert small(dropout=1e-9).draws
    assert not small().draws


@pytest.mark.parametrize("name", ["maml", "anil", "reptile", "protonet", "finetune"])
def test_training_draws_dropout_and_is_repeated_to_the_bit(name: str) -> None:
    episodes = made_episodes(IMAGES, THREE_WAY, 2)
    batch: Any = episodes
    results = []
    for dropout in (0.5, 0.5, 0.0):
        network = small(dropout=dropout)
        algorithm = algorithm_on(name, network)
        if algorithm.consumes == "examples":
            batch = Examples(episodes.query_x.flatten(0, 1), episodes.query_y.flatten(), 7)
        state = algorithm.init(weights_of(network), Generator().manual_seed(1))
        state, _ = algorithm.outer_step(state, batch)
        state, _ = algorithm.outer_step(state, batch)
        results.append({key: value for key, value in state.items() if key.startswith("weights/")})
    assert all(torch.equal(results[0][key], results[1][key]) for key in results[0])
    assert flat(results[0]).tolist() != flat(results[2]).tolist()


def test_shared_weights_are_one_weight() -> None:
    network = ModuleNetwork(made.Tied, (4,), 2)
    weights = {name: value.requires_grad_() for name, value in weights_of(network).items()}
    assert sorted(name for name in weights if "head" not in name) == [
        "backbone.first.bias",
        "backbone.first.weight",
        "backbone.norm.bias",
        "backbone.norm.weight",
    ]
    assert network.norm_layers == ("norm", "norm#2")
    x = torch.randn(5, 4, dtype=torch.float64)
    with torch.no_grad():
        own = network.statistics(weights, x)
        torch.testing.assert_close(network.features(weights, x, own), network.features(weights, x))
    weight = weights["backbone.first.weight"]

    def features(value: Tensor) -> Tensor:
        return network.features({**weights, "backbone.first.weight": value}, x)

    assert torch.autograd.gradcheck(features, (weight,))


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_transformer_layer_trains_by_maml(dropout: float) -> None:
    network = ModuleNetwork(lambda: made.Transformer(dropout), (1, 8, 8), 3)
    algorithm, episodes = algorithm_on("maml", network, train_steps=2), made_episodes(IMAGES, THREE_WAY, 2)
    state = start(algorithm)
    gradient, _ = algorithm.meta_gradient(state, episodes)
    assert all(torch.isfinite(value).all() for value in gradient.values())
    assert {network.role(name) for name in network.init(Generator())} == {"body", "norm", "head"}
    again, _ = algorithm.meta_gradient(state, episodes)
    assert all(torch.equal(again[key], gradient[key]) for key in gradient)


def test_attention_is_as_it_was_after_a_pass() -> None:
    network = ModuleNetwork(made.Transformer, (1, 8, 8), 3)
    before = [read() for read, _ in attention._SWITCHES]
    assert any(before)
    with attention.plain_attention():
        network.features(weights_of(network), torch.randn(2, 1, 8, 8, dtype=torch.float64))
        assert not any(read() for read, _ in attention._SWITCHES)
    assert [read() for read, _ in attention._SWITCHES] == before


def test_a_weight_that_features_do_not_use_stays_as_it_is() -> None:
    class Unused(nn.Linear):
        def __init__(self) -> None:
            super().__init__(64, 3)
            self.never = nn.Parameter(torch.ones(2))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.flatten(1))

    algorithm = algorithm_on("maml", ModuleNetwork(Unused, (1, 8, 8), 3), train_steps=2)
    state = start(algorithm)
    after, _ = algorithm.outer_step(state, made_episodes(IMAGES, THREE_WAY, 2))
    assert torch.equal(after["weights/backbone.never"], state["weights/backbone.never"])
    assert not torch.equal(after["weights/backbone.weight"], state["weights/backbone.weight"])


def test_all_weights_come_from_the_generator() -> None:
    network = small()
    first, same, other = (network.init(Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["backbone.convolution.weight"], other["backbone.convolution.weight"])


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (
            lambda: made.KeepsShape(1, 2, 3),
            (1, 8, 8),
            r"gives \(3, 2, 6, 6\) for 3 examples .* must give features \[3, F\]",
        ),
        (made.Counts, (4,), "changes its buffer 'calls'"),
        (made.Frozen, (4,), "the parameter 'bias' cannot be trained"),
        (lambda: made.OwnNorm(4), (4,), "is a OwnNorm, a batch norm of its own"),
        (lambda: made.Noisy(4, 3), (4,), "gives other features for the same examples"),
        (lambda: made.Narrow(5, 3), (4,), r"fails on 3 examples of shape \(4,\): RuntimeError"),
        (lambda: 7, (4,), "gives a int, but must give an nn.Module"),
    ],
)
def test_a_module_that_cannot_be_used_is_refused_in_one_line(
    make: Callable[[], nn.Module], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        ModuleNetwork(make, shape, 3, label="mine")
    assert str(refused.value).startswith("mine")
    assert "\n" not in str(refused.value)


def test_an_engine_that_cannot_map_a_module_says_which_can() -> None:
    class ByValue(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (2.0 if float(x.sum()) > 0 else 1.0)

    network = ModuleNetwork(lambda: ByValue(4, 3), (4,), 2)
    with pytest.raises(ValueError, match=r"cannot map .* over tasks .*; use engine 'loop'"):
        TaskNetwork(network, "vmap")
    assert TaskNetwork(network, "loop").engine == "loop"
    choice = engine_choice(network, torch.device("cuda"))
    assert choice.name == "loop"
    assert choice.reason.startswith("vmap cannot map the network: RuntimeError: vmap")
    assert engine_choice(small(), torch.device("cuda")).name == "vmap"
    assert engine_choice(small(), torch.device("cpu")).name == "loop"


def test_resnet12_has_the_size_of_the_papers() -> None:
    entry = NETWORKS["resnet12"]
    network = entry.build(entry.options(), (3, 16, 16), 5)
    weights = network.init(Generator().manual_seed(0))
    assert network.n_features == 640
    assert sum(value.numel() for name, value in weights.items() if "head" not in name) == 12_424_320


def test_wrn_28_10_has_the_size_of_the_paper() -> None:
    entry = NETWORKS["wrn-28-10"]
    with torch.device("meta"):  # 36.5 million weights, without their values
        module = entry.factory((3, 32, 32), **entry.options().model_dump(exclude={"head_init"}))
    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    classifier = 641 * 10  # of the ten classes of CIFAR-10
    assert sum(value.numel() for value in module.parameters()) + classifier == 36_479_194
    assert len([layer for layer in convolutions if layer.kernel_size == (3, 3)]) == 1 + 2 * 12


def test_a_small_wrn_keeps_what_a_network_promises() -> None:
    entry = NETWORKS["wrn-28-10"]
    options = entry.options.model_validate({"depth": 10, "width": 1, "dropout": 0.2})
    assert_network_conforms(entry.build(options, (1, 8, 8), 3), (1, 8, 8))
    with pytest.raises(ValueError, match="must be 6 n \\+ 4, such as 10, 16, 22 or 28, but got 12"):
        entry.options.model_validate({"depth": 12})


@pytest.mark.parametrize("name", ["maml", "meta-sgd"])
def test_resnet12_through_learn2learn_has_the_same_meta_gradient(name: str) -> None:
    if reason := ALGORITHMS[f"{name}@learn2learn"].missing():
        pytest.skip(reason)
    entry = NETWORKS["resnet12"]
    network = entry.build(entry.options.model_validate({"channels": (2, 3)}), (1, 8, 8), 3)
    ours, theirs = (algorithm_on(n, network, train_steps=2) for n in (name, f"{name}@learn2learn"))
    episodes, state = made_episodes(IMAGES, THREE_WAY, 2), start(ours)
    found, loss = ours.meta_gradient(state, episodes)
    expected, expected_loss = theirs.meta_gradient(state, episodes)
    assert loss == pytest.approx(expected_loss, rel=1e-10)
    assert relative_error(found, expected) < 1e-8


def test_registered_networks_say_what_they_take() -> None:
    assert {"mlp", "conv4", "resnet12"} <= set(NETWORKS.names())
    for entry in NETWORKS:
        assert entry.paper
        assert entry.summary
    with pytest.raises(UserError, match=r"mlp takes vectors, but the inputs have shape \(1, 8, 8\)"):
        NETWORKS["mlp"].build(NETWORKS["mlp"].options(), (1, 8, 8), 3)
    built = NETWORKS["conv4"].build(NETWORKS["conv4"].options(), (1, 28, 28), 5)
    assert built == Conv4((1, 28, 28), 5)
