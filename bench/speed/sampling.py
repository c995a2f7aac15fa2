"""The time to draw a meta-batch of episodes, ours beside learn2learn's TaskDataset.

Both engines serve the same pools of noise from memory (sampling does not look at the pixels), with the shapes of the
datasets that they stand for, and give float images in [0, 1] split into support and query. The rounds of the two
engines alternate, so that whatever else the machine does falls on both; everything runs on one thread. learn2learn's
tasks are not rotated, which spares it work that ours does.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from algorithms.engines.threads import on_one_thread
from datasets.core.episodes import Shape, Split
from datasets.core.errors import UserError
from datasets.core.image_pools import ImageDataset, pools_from_classes

Engine = Callable[[int], Tensor]
"""Gives the query images of the meta-batch of a round, to be sure that it was made."""


@dataclass(frozen=True)
class Workload:
    """A meta-batch to draw: ``tasks`` episodes of ``shape`` from a pool of ``classes`` x ``per_class`` images."""

    name: str
    classes: int
    per_class: int
    image_shape: tuple[int, int, int]
    rotations: bool
    shape: Shape
    tasks: int


WORKLOADS = (
    Workload("omniglot-5w1s", 1100, 20, (1, 28, 28), True, Shape(5, 1, 15), 32),
    Workload("omniglot-5w1s-q1", 1100, 20, (1, 28, 28), True, Shape(5, 1, 1), 32),
    Workload("cifar-fs-5w1s", 64, 600, (3, 32, 32), False, Shape(5, 1, 15), 4),
    Workload("mini-5w1s", 64, 100, (3, 84, 84), False, Shape(5, 1, 15), 4),
)


def compare(rounds: int = 30, workloads: tuple[Workload, ...] = WORKLOADS) -> pd.DataFrame:
    """Time both engines on each workload.

    Args:
        rounds: timed meta-batches of each engine, after two that warm up.
        workloads: what to draw.

    Returns:
        One row per workload and engine: ``workload``, ``engine``, ``median_ms``, ``q1_ms`` and ``q3_ms`` of one
        meta-batch, ``tasks_per_second``, and ``times_ours`` (the median over our median).

    Raises:
        UserError: learn2learn is not installed.
    """
    with on_one_thread():
        return pd.concat([_measure(workload, rounds) for workload in workloads], ignore_index=True)


def _measure(workload: Workload, rounds: int) -> pd.DataFrame:
    dataset = _noise(workload)
    engines: dict[str, Engine] = {"bench": _ours(workload, dataset), "learn2learn": _theirs(workload, dataset)}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(rounds + 2):
        for name, draw in engines.items():
            start = time.perf_counter()
            images = draw(turn)
            seconds[name].append(time.perf_counter() - start)
            expected = (workload.tasks, workload.shape.n_way * workload.shape.n_query, *workload.image_shape)
            if images.shape != expected or images.dtype != torch.float32:
                raise AssertionError(f"{name} drew {images.dtype} {tuple(images.shape)}, not float32 {expected}")
    rows = []
    for name, times in seconds.items():
        first, median, third = np.quantile(np.array(times[2:]) * 1e3, [0.25, 0.5, 0.75])
        rows.append((workload.name, name, median, first, third, workload.tasks / median * 1e3))
    table = pd.DataFrame(rows, columns=["workload", "engine", "median_ms", "q1_ms", "q3_ms", "tasks_per_second"])
    ours = table.loc[table["engine"] == "bench", "median_ms"].item()
    return table.assign(times_ours=table["median_ms"] / ours)


def _noise(workload: Workload) -> ImageDataset:
    rng = np.random.default_rng(0)
    size = (workload.per_class, *workload.image_shape)
    classes = [rng.integers(0, 256, size, dtype=np.uint8) for _ in range(workload.classes)]
    splits: dict[Split, range] = {"train": range(workload.classes), "val": range(5), "test": range(5)}
    pools = pools_from_classes(classes, splits, rotate_train=workload.rotations)
    return ImageDataset(workload.name, "noise", pools, tuple(map(str, range(workload.classes))))


def _ours(workload: Workload, dataset: ImageDataset) -> Engine:
    stream = dataset.stream("train", workload.shape, seed=0)
    return lambda turn: stream.batch(range(turn * workload.tasks, (turn + 1) * workload.tasks)).query_x


def _theirs(workload: Workload, dataset: ImageDataset) -> Engine:
    try:
        with redirect_stderr(io.StringIO()):  # one of its dependencies prints advertising when imported
            from learn2learn.data import MetaDataset, Taskset
            from learn2learn.data.transforms import ConsecutiveLabels, KShots, LoadData, NWays, RemapLabels
    except ImportError as error:
        raise UserError(f"the comparison needs learn2learn ({error}); run: uv sync --extra learn2learn") from error
    shape, pool = workload.shape, dataset.pools["train"]
    labels = torch.arange(workload.classes).repeat_interleave(workload.per_class)
    images = torch.from_numpy(pool.images)
    pairs = MetaDataset(torch.utils.data.TensorDataset(images, labels))
    per_class = shape.n_shot + shape.n_query
    tasks = Taskset(
        pairs,
        task_transforms=[
            NWays(pairs, shape.n_way),
            KShots(pairs, per_class),
            LoadData(pairs),
            RemapLabels(pairs),
            ConsecutiveLabels(pairs),
        ],
    )
    query = torch.arange(per_class).repeat(shape.n_way) >= shape.n_shot

    def draw(turn: int) -> Tensor:
        drawn = []
        for _ in range(workload.tasks):
            x, _y = tasks.sample()
            pixels = x.to(torch.float32).div_(255.0)
            _support, of_query = pixels[~query], pixels[query]
            drawn.append(of_query)
        return torch.stack(drawn)

    return draw
