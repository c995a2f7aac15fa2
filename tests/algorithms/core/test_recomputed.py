"""Gradient checkpointing of inner steps: the same gradients as with the graph kept, in the memory of one step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator
from torch.utils.checkpoint import checkpoint

from algorithms import ALGORITHMS, Problem
from algorithms.core.recomputed import recomputed
from algorithms.engines.names import EngineName
from algorithms.networks.conv4 import Conv4
from algorithms.networks.entry import NETWORKS
from algorithms.networks.network import Network
from bench.protocol.cell_run import run_cell
from bench.spec.cell import Cell
from datasets import UserError, load
from tests.algorithms.helpers import CONV, POINTS, SMALL_MLP, THREE_WAY, kind_of, made_episodes, relative_error, start
from tests.bench.helpers import one_cell

OPTIONS = NETWORKS["resnet12"].options.model_validate({"channels": (2, 3), "dropout": 0.3})
RESNET = NETWORKS["resnet12"].build(OPTIONS, (1, 8, 8), 3)
IMAGES = Conv4((1, 8, 8), 3, channels=2)  # for episodes of such images alone


def pair(name: str, network: Network, engine: EngineName, **hparams: Any) -> list[Any]:
    """The algorithm with the graph of inner steps kept, and computed again."""
    entry, kind = ALGORITHMS[name], kind_of(network)
    problem = Problem(kind, POINTS if kind == "regression" else THREE_WAY, 7 if kind == "classification" else 1, 10)
    given = entry.hparams.model_validate({"train_steps": 3, **hparams})
    return [entry.factory(given, problem, network, engine, checkpoint_steps=again) for again in (False, True)]


@pytest.mark.parametrize(
    ("network", "engine"),
    [(RESNET, "loop"), (CONV, "fused"), (CONV, "vmap"), (SMALL_MLP, "stacked")],
    ids=["resnet12 with dropout", "fused", "vmap", "stacked"],
)
@pytest.mark.parametrize(
    ("name", "hparams"), [("maml", {}), ("maml", {"adapt_norm": True}), ("meta-sgd", {}), ("fomaml", {}), ("anil", {})]
)
def test_gradients_are_the_same(name: str, hparams: dict[str, Any], network: Network, engine: EngineName) -> None:
    kept, again = pair(name, network, engine, **hparams)
    shape = POINTS if kind_of(network) == "regression" else THREE_WAY
    episodes, state = made_episodes(IMAGES if network is RESNET else network, shape, 2), start(kept)
    expected, loss = kept.meta_gradient(state, episodes)
    gradient, other_loss = again.meta_gradient(state, episodes)
    assert other_loss == pytest.approx(loss, rel=1e-12)
    assert relative_error(gradient, expected) < 1e-8


def test_pytorchs_checkpoint_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """``torch.utils.checkpoint`` of the same step, whose inner gradient is differentiated again."""
    kept, again = pair("maml", SMALL_MLP, "loop")
    episodes, state = made_episodes(SMALL_MLP, POINTS, 2), start(kept)
    ours, _ = again.meta_gradient(state, episodes)

    def theirs(step: Any, meta: Any, weights: Any) -> Any:
        return checkpoint(step, meta, weights, use_reentrant=False)

    monkeypatch.setattr("algorithms.maml.recomputed", theirs)
    expected, _ = again.meta_gradient(state, episodes)
    assert relative_error(ours, expected) < 1e-12


def test_the_graph_of_a_step_is_not_kept() -> None:
    weights = {"w": torch.ones(3, requires_grad=True)}
    for _ in range(4):
        weights = recomputed(lambda meta, own: {"w": (own["w"].exp() * own["w"]).exp()}, {}, weights)
    nodes, names = [weights["w"].grad_fn], []
    while nodes:
        node = nodes.pop()
        if node is not None:
            names.append(node.name())
            nodes += [following for following, _ in node.next_functions]
    assert names == [*["_RecomputedBackward"] * 4, "torch::autograd::AccumulateGrad"]


def test_a_cell_gives_the_same_bytes_and_has_an_id_of_its_own() -> None:
    train = {"episodes": 8, "n_query": 2, "eval_every": 1}
    settings = [{"set": {"meta_batch": 4, "test_steps": 2, "train_steps": 2}}]
    plain, named, checkpointed = (
        one_cell(train=train | more, settings=settings)
        for more in ({}, {"checkpoint_steps": False}, {"checkpoint_steps": True})
    )
    assert plain.id == named.id
    assert plain.id != checkpointed.id
    assert "checkpoint_steps" not in plain.content["train"]
    assert Cell.model_validate(checkpointed.content) == checkpointed
    outcomes = [run_cell(cell, load("sinusoid")) for cell in (plain, checkpointed)]
    assert outcomes[0].episodes.equals(outcomes[1].episodes)
    assert outcomes[0].engine == {"name": "stacked", "reason": "the quicker one for an MLP"}


def test_learn2learn_refuses_it() -> None:
    if reason := ALGORITHMS["maml@learn2learn"].missing():
        pytest.skip(reason)
    _, again = pair("maml@learn2learn", SMALL_MLP, "loop")
    with pytest.raises(UserError, match=r"leave out train\.checkpoint_steps"):
        again.outer_step(again.init(SMALL_MLP.init(Generator()), Generator()), made_episodes(SMALL_MLP, POINTS, 2))
