"""The speed limit of an outer step on this machine: the rate of its convolutions, and the operations needed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench.speed.workloads import Workload
from datasets import UserError

SHAPES = ((75, 64, 64, 14, 2), (75, 32, 32, 42, 1), (256, 64, 64, 28, 1))  # images, channels in and out, height, stride
LEAST_SECONDS = 0.2


def operations(workload: Workload) -> float:
    """Floating-point operations of the work done once, by the plain loop, in units of 10^9; matrix products and
    convolutions only.

    Raises:
        UserError: none was counted.
    """
    algorithm, state = workload.made(workload.algorithm, "loop", torch.float32)
    tasks = min(workload.tasks, 2)
    episodes = workload.episodes(tasks=tasks)
    with _threads(1), FlopCounterMode(display=False) as counter:  # it sees nothing of what other threads do
        if workload.work == "outer step":
            algorithm.outer_step(state, episodes)
        else:
            list(algorithm.outputs(state, episodes.support, episodes.query_x, algorithm.test_steps, True))
    counted = counter.get_total_flops()
    if not counted:
        raise UserError(f"{workload.name}: no operation was counted, so that there is no rate to show; leave it out")
    return float(counted) / 1e9 * workload.tasks / tasks


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """PyTorch on ``n`` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def convolution_peak(threads: int) -> float:
    """The best rate of a few 3x3 convolutions, channels last, float32: 10^9 operations per second."""
    with _threads(threads):
        return max(_rate(*shape) for shape in SHAPES)


def _rate(images: int, n_in: int, n_out: int, height: int, stride: int) -> float:
    x = torch.rand(images, n_in, height, height).contiguous(memory_format=torch.channels_last)
    kernel = torch.rand(n_out, n_in, 3, 3)
    work = images * (height // stride) ** 2 * n_in * n_out * 9 * 2 / 1e9
    best, spent = 0.0, 0.0
    with torch.no_grad():
        while spent < LEAST_SECONDS:
            start = time.perf_counter()
            F.conv2d(x, kernel, stride=stride, padding=1)
            seconds = time.perf_counter() - start
            best, spent = max(best, work / seconds), spent + seconds
    return best
