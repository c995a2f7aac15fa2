"""Reptile's outer step beside first-order MAML's that takes as many gradients, on as many images.

``python -m tests.benchmarks.reptile_steps [--rounds 15] [--problems omniglot mini-imagenet sinusoid]`` takes outer
steps of Reptile, whose K inner steps on B examples are K gradients a task, with the inner optimizer's moments carried
over from task to task and without, and of first-order MAML with K - 1 inner steps on B examples and B queries. They
take turns in one process on one thread. A row has the median of the processor time, the geometric mean over rounds of
the time over first-order MAML's with its 95% interval, and how many operations PyTorch's profiler counts in a step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from bench.process.allocator import keep_large_buffers
from bench.speed.table import ratio
from bench.speed.workloads import MINI_IMAGENET, OMNIGLOT, SINUSOID, Workload
from datasets.core.episodes import Shape

WARM_UPS = 2
# network, classes, tasks, inner steps, examples of a step and of a task: those of the papers' settings
PROBLEMS: dict[str, tuple[Any, int, int, int, int, int]] = {
    "omniglot": (OMNIGLOT, 5, 5, 5, 10, 50),
    "mini-imagenet": (MINI_IMAGENET, 5, 5, 8, 10, 75),
    "sinusoid": (SINUSOID, 1, 25, 10, 10, 20),
}


def outer_steps(problem: str) -> dict[str, Callable[[], object]]:
    """Return an outer step of each method."""
    network, n_way, tasks, steps, size, pool = PROBLEMS[problem]
    reptile = {"train_steps": steps, "inner_batch": size, "meta_batch": tasks}
    fomaml = {"train_steps": steps - 1, "inner_lr": 0.01, "meta_batch": tasks}
    each, half = Shape(n_way, pool // n_way, 0), Shape(n_way, size // n_way, size // n_way)
    return {
        "first-order MAML": _step(Workload("", "fomaml", network, half, tasks, fomaml)),
        "Reptile": _step(Workload("", "reptile", network, each, tasks, reptile)),
        "Reptile without carried moments": _step(
            Workload("", "reptile", network, each, tasks, {**reptile, "carry_moments": False})
        ),
    }


def operations(step: Callable[[], object]) -> int:
    """Return the number of operations of an outer step, those that operations call included."""
    with profile(activities=[ProfilerActivity.CPU]) as counted:
        step()
    return sum(int(event.count) for event in counted.key_averages())


def _step(workload: Workload) -> Callable[[], object]:
    algorithm, state = workload.made(workload.algorithm, None, torch.float32)
    episodes = workload.episodes()
    return lambda: algorithm.outer_step(state, episodes)


def main() -> None:
    """Print a row per problem and method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_large_buffers()
    rng = np.random.default_rng(0)
    print("| problem | outer step | ms | times first-order MAML's | operations |")
    print("| --- | --- | --- | --- | --- |")
    for problem in options.problems:
        methods = outer_steps(problem)
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        for i in range(WARM_UPS + options.rounds):
            for name in rng.permutation(list(methods)):
                start = time.process_time()
                methods[name]()
                if i >= WARM_UPS:
                    seconds[name].append(time.process_time() - start)
        for name, taken in seconds.items():
            mean, low, high = ratio(taken, seconds["first-order MAML"])
            of_first = "1" if name == "first-order MAML" else f"{mean:.2f} ({low:.2f} to {high:.2f})"
            milliseconds, count = 1000 * float(np.median(taken)), operations(methods[name])
            print(f"| {problem} | {name} | {milliseconds:.1f} | {of_first} | {count:,} |", flush=True)


if __name__ == "__main__":
    main()
