"""Outer steps with convolutions in bfloat16 and in another layout, beside those that are used.

``python -m tests.benchmarks.convolution_variants [--rounds 9] [--problems omniglot mini-imagenet resnet12-32 ...]``
takes outer steps of MAML and of first-order MAML with one inner step, 5-way 1-shot with five queries per class. On
Conv4 the variants are the engines ``fused`` and ``loop``, each in float32 and with bfloat16: ``loop`` by
``precision="bf16"``, ``fused``, which has no such option, by its convolutions rounded here. On ResNet-12 (84 x 84 and
32 x 32, one task) they are ``loop`` in either precision, with images and kernels as they are and with channels last.
All take turns in one process on one thread. A row has the least processor time, and the geometric mean over rounds of
the first variant's time over it, with its 95% interval: above one, the variant is quicker.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from algorithms import ALGORITHMS, Problem
from algorithms.engines.fused import convolution, first_block
from algorithms.engines.names import EngineName, PrecisionName
from algorithms.engines.precision import check_processor
from algorithms.networks.entry import NETWORKS
from algorithms.networks.module import ModuleNetwork
from algorithms.networks.network import Network
from bench.process.allocator import keep_large_buffers
from bench.speed.table import ratio
from bench.speed.workloads import MINI_IMAGENET, OMNIGLOT, Workload
from datasets.core.episodes import Shape

SHAPE = Shape(5, 1, 5)
WARM_UPS = 2
METHODS = ("maml", "fomaml")
Step = Callable[[], object]


def _resnet12(size: int) -> Network:
    entry = NETWORKS["resnet12"]
    return entry.build(entry.options.model_validate({}), (3, size, size), SHAPE.n_way)


PROBLEMS: Mapping[str, tuple[Callable[[], Any], int]] = {
    "omniglot": (lambda: OMNIGLOT, 8),
    "mini-imagenet": (lambda: MINI_IMAGENET, 2),
    "resnet12-32": (lambda: _resnet12(32), 1),
    "resnet12-84": (lambda: _resnet12(84), 1),
}
"""A network, and the tasks of an outer step."""


@contextmanager
def fused_in_bf16() -> Iterator[None]:
    """Around steps of the engine ``fused``, whose convolutions take bfloat16 and give float32."""
    conv2d, backward = torch.nn.functional.conv2d, convolution._backward

    def rounded(x: Tensor, weight: Tensor, bias: Tensor | None = None, **how: Any) -> Tensor:
        bias = None if bias is None else bias.bfloat16()
        return conv2d(x.bfloat16(), weight.bfloat16(), bias, **how).float()

    def rounded_backward(by_y: Tensor, x: Tensor, weight: Tensor, stride: int, by_x: bool) -> Tensor:
        return backward(by_y.bfloat16(), x.bfloat16(), weight.bfloat16(), stride, by_x).float()

    with (
        patch.object(torch.nn.functional, "conv2d", rounded),
        patch.object(convolution, "_backward", rounded_backward),
    ):
        assert convolution.F is first_block.F is torch.nn.functional
        yield


@contextmanager
def channels_last() -> Iterator[None]:
    """Around steps on a module, whose images and kernels are laid out with their channels last."""
    values, in_pass = ModuleNetwork._values, ModuleNetwork._pass

    def last(value: Tensor) -> Tensor:
        return value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value

    def laid_out(network: ModuleNetwork, weights: Any, x: Tensor) -> dict[str, Tensor]:
        return {name: last(value) for name, value in values(network, weights, x).items()}

    def passed(network: ModuleNetwork, weights: Any, x: Tensor, *rest: Any) -> Any:
        return in_pass(network, weights, last(x), *rest)

    with patch.object(ModuleNetwork, "_values", laid_out), patch.object(ModuleNetwork, "_pass", passed):
        yield


def variants(problem: str, method: str) -> dict[str, Step]:
    """Return an outer step of each variant; the first is the one that is used."""
    make, tasks = PROBLEMS[problem]
    network = make()

    def step(engine: EngineName, precision: PrecisionName | None, *around: Callable[[], Any]) -> Step:
        workload = Workload("", method, network, SHAPE, tasks, {"train_steps": 1, "inner_lr": 0.01})
        entry = ALGORITHMS[method]
        algorithm: Any = entry.factory(
            entry.hparams.model_validate(workload.hparams),
            Problem("classification", SHAPE, 64, 1),
            network,
            engine,
            precision=precision,
        )
        state = algorithm.init(network.init(torch.Generator().manual_seed(0)), torch.Generator())
        episodes = workload.episodes()

        def work() -> None:
            with ExitStack() as stack:
                for context in around:
                    stack.enter_context(context())
                algorithm.outer_step(state, episodes)

        return work

    if isinstance(network, ModuleNetwork):
        return {
            "loop": step("loop", None),
            "loop, bf16": step("loop", "bf16"),
            "loop, channels last": step("loop", None, channels_last),
            "loop, bf16, channels last": step("loop", "bf16", channels_last),
        }
    return {
        "fused": step("fused", None),
        "fused, bf16": step("fused", None, fused_in_bf16),
        "loop": step("loop", None),
        "loop, bf16": step("loop", "bf16"),
    }


def main() -> None:
    """Print a row per problem, method and variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    check_processor("bf16")
    torch.set_num_threads(1)
    keep_large_buffers()
    rng = np.random.default_rng(0)
    print("| problem | method | variant | least ms | speed over the first |\n| --- | --- | --- | --- | --- |")
    for problem in options.problems:
        for method in options.methods:
            steps = variants(problem, method)
            seconds: dict[str, list[float]] = {name: [] for name in steps}
            for i in range(WARM_UPS + options.rounds):
                for name in rng.permutation(list(steps)):
                    start = time.process_time()
                    steps[name]()
                    if i >= WARM_UPS:
                        seconds[name].append(time.process_time() - start)
            first = next(iter(seconds.values()))
            for name, taken in seconds.items():
                mean, low, high = ratio(first, taken)
                over = "1" if taken is first else f"{mean:.2f} ({low:.2f} to {high:.2f})"
                print(f"| {problem} | {method} | {name} | {1000 * min(taken):.1f} | {over} |", flush=True)


if __name__ == "__main__":
    main()
