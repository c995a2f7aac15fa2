"""Memory stays constant over outer steps and evaluations, for every algorithm and engine."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms import ALGORITHMS, Algorithm
from algorithms.engines.fused.conv4 import FusedConv4
from algorithms.engines.task_network import ENGINES, check_engine, choose_engine
from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP
from algorithms.networks.network import Network
from bench.process.allocator import bytes_in_use
from datasets.core.episodes import Episodes, Examples, Shape, Support
from tests.algorithms.helpers import CONV, kind_of, made_episodes, make, start

WARM_UP = 11  # with three evaluations
STEPS, STEPS_OF_OTHERS = 100, 20  # with the engine that a network gets by itself, and otherwise
# The C library's bytes in use go up and down by a few KiB, as caches of Python's and PyTorch's fill; of the smallest
# images here two a step come to 20 KiB in the shorter run.
ALLOWED = 16 * 1024

STRIDED = Conv4((1, 8, 8), 2, channels=2)
POOLED = Conv4((3, 16, 16), 2, channels=2, downsample="max-pool", reduce="flatten")
POINTS = MLP(1, 1, hidden=(4,))
NETWORKS: dict[str, Network] = {"one channel": STRIDED, "three channels, pooled": POOLED, "points": POINTS}
HPARAMS = {"train_steps": 1, "test_steps": 1, "inner_batch": 2, "head_batch": 2, "batch_size": 4}


def in_use() -> int:
    """Bytes that this process has allocated and not freed, cyclic garbage apart."""
    gc.collect()
    found = bytes_in_use()
    if found is None:
        pytest.skip("this C library does not say how many bytes are in use")
    return found


@pytest.fixture(autouse=True)
def quick_collections() -> Iterator[None]:
    """Take what is there already out of the garbage collector's sight."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def fresh(made: Episodes) -> Episodes:
    """The same episodes in tensors that are views of nothing, as a dataset gives them."""
    support = Support(made.support.x.clone(), made.support.y.clone(), made.support.seeds, made.support.n_way)
    return Episodes(made.index, support, made.query_x.clone(), made.query_y.clone(), made.identity, made.class_ids)


def rounds(algorithm: Algorithm[Any], network: Network, shape: Shape) -> Iterator[None]:
    """An outer step with each ``next``, and an evaluation with every fifth, on fresh tensors."""
    state: Any = start(algorithm)
    made = made_episodes(network, shape, 2)
    for step in itertools.count():
        batch: Episodes | Examples = fresh(made)
        evaluated = fresh(made)
        if algorithm.consumes == "examples":
            n_classes = shape.n_way if algorithm.problem.kind == "classification" else 1
            batch = Examples(evaluated.query_x.flatten(0, 1).clone(), evaluated.query_y.flatten().clone(), n_classes)
            batch = batch if n_classes > 1 else Examples(batch.x, batch.y[:, None], 1)
        state, _ = algorithm.outer_step(state, batch)
        if step % 5 == 0:
            for _ in algorithm.outputs(state, evaluated.support, evaluated.query_x, algorithm.test_steps):
                pass
        yield


def cases() -> Iterator[Any]:
    """Yield the cases; libraries' rows, methods with an engine of their own and the second network have the default."""
    for label, network in NETWORKS.items():
        kind = kind_of(network)
        for engine in ENGINES:
            try:
                check_engine(engine, type(network))
            except ValueError:
                continue
            chosen = engine == choose_engine(network, torch.device("cpu"))
            for entry in ALGORITHMS:
                if kind in entry.kinds and (chosen or not (network is POOLED or "@" in entry.name)):
                    yield pytest.param(
                        entry,
                        network,
                        engine,
                        STEPS if chosen and network is not POOLED else STEPS_OF_OTHERS,
                        id=f"{entry.name}-{engine}-{label}",
                    )


@pytest.mark.parametrize(("entry", "network", "engine", "steps"), list(cases()))
def test_memory_is_constant(entry: Any, network: Network, engine: Any, steps: int) -> None:
    if reason := entry.missing():
        pytest.skip(reason)
    shape = Shape(2, 1, 1) if kind_of(network) == "classification" else Shape(1, 2, 2)
    hparams = {name: value for name, value in HPARAMS.items() if name in entry.hparams.model_fields}
    running = rounds(make(entry.name, network, shape, engine, n_train_classes=2, **hparams), network, shape)
    for _ in range(WARM_UP):
        next(running)
    before = in_use()
    for _ in range(steps):
        next(running)
    assert in_use() - before < ALLOWED


def laid_out(n_channels: int, last: bool) -> Tensor:
    """Images [1, 2, C, 16, 16] that are a view of nothing, the channels first or last in memory."""
    if not last:
        return torch.rand(1, 2, n_channels, 16, 16)
    strides = (2 * 256 * n_channels, 256 * n_channels, 1, 16 * n_channels, n_channels)
    return torch.empty_strided((1, 2, n_channels, 16, 16), strides).uniform_()


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("downsample", ["stride", "max-pool"])
def test_the_fused_engine_keeps_no_images(downsample: Any, n_channels: int, last: bool) -> None:
    """Whatever their layout, images end with their last user, and what was known of them ends too."""
    network = FusedConv4(Conv4((n_channels, 16, 16), 2, channels=2, downsample=downsample))
    weights = network.stack(network.init(torch.Generator().manual_seed(0)), 1)
    x = laid_out(n_channels, last)
    assert x._base is None
    network.features(weights, x)
    assert len(network._known) == 1
    gone = weakref.ref(x)
    del x
    assert gone() is None
    assert len(network._known) == 0


def test_the_fused_engine_refuses_to_differentiate_by_images() -> None:
    network = FusedConv4(CONV)
    weights = network.stack(network.init(torch.Generator().manual_seed(0)), 1)
    with pytest.raises(ValueError, match="has no gradient by them"):
        network.features(weights, torch.rand(1, 2, *CONV.input_shape, requires_grad=True))
