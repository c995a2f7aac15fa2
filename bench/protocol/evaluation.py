"""Meta-validation, and the meta-test after every inner step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from algorithms.control.algorithm import ControlAlgorithm
from algorithms.control.rollouts import Trajectories, roll_out
from algorithms.core.algorithm import MODES
from algorithms.core.losses import metrics
from algorithms.core.meta_state import State
from bench.protocol.outcome import Diverged
from bench.protocol.setup import EVALUATION_SEED, CellSetup, test_shape
from bench.spec.cell import Cell
from datasets import Dataset
from datasets.core.control import ControlEpisodes
from datasets.core.episodes import Episodes, EpisodeStream, Kind, Shape

EPISODES_AT_ONCE = 25  # evaluated together at most
WITHOUT_MODES: Mapping[str, str] = {"regression": "mse", "control": "return"}  # metric by kind, if it is one
VALUES_AT_ONCE = 2**23  # of their inputs, so that large images and many shots fit memory too


def validate(setup: CellSetup, state: State) -> dict[str, float]:
    """Mean over the meta-validation list of the metrics after the last inner step."""
    batches: list[dict[str, np.ndarray]] = []
    for episodes in episode_batches(setup, setup.val, setup.cell.evaluation.val_episodes):
        for _, measured in measured_steps(setup, state, episodes, last_only=True):
            batches.append(measured)
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    if (name := WITHOUT_MODES.get(setup.dataset.kind)) is not None:
        return {f"val_{name}": float(columns[name].mean())}
    n_query = setup.cell.n_way * setup.cell.evaluation.n_query
    return {f"val_accuracy_{mode}": float(columns[f"n_correct_{mode}"].mean()) / n_query for mode in MODES}


def evaluate(setup: CellSetup, test: EpisodeStream, state: State) -> pd.DataFrame:
    """One row per meta-test episode and inner step."""
    frames: list[pd.DataFrame] = []
    for episodes in episode_batches(setup, test, setup.cell.evaluation.test_episodes):
        for step, measured in measured_steps(setup, state, episodes):
            columns: dict[str, Any] = {
                "episode": episodes.index,
                "step": step,
                "class_ids": list(episodes.class_ids),
                "n_query": _queries_of(episodes),
                **measured,
            }
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True).sort_values(["episode", "step"], ignore_index=True)


def test_means(episodes: pd.DataFrame, cell: Cell, kind: str) -> dict[str, float]:
    """Means over the meta-test list after the last inner step."""
    last = episodes[episodes["step"] == episodes["step"].max()]
    if (name := WITHOUT_MODES.get(kind)) is not None:
        return {f"test_{name}": float(last[name].mean())}
    return {f"test_accuracy_{mode}": float((last[f"n_correct_{mode}"] / last["n_query"]).mean()) for mode in MODES}


def check_finite(episodes: pd.DataFrame) -> None:
    """Raises Diverged where adapting to a test episode ended in a loss that is not finite."""
    last = episodes[episodes["step"] == episodes["step"].max()]
    losses = last[[name for name in episodes.columns if name in ("mse", "return") or name.startswith("nll_")]]
    bad = ~np.isfinite(losses.to_numpy()).all(axis=1)
    if bad.any():
        raise Diverged(f"adaptation diverged on {bad.sum()} of {len(last)} test episodes")


def selection_value(values: Mapping[str, Any], cell: Cell) -> float:
    """Larger is better: accuracy in the chosen mode, the return, or minus the squared error."""
    if "val_mse" in values:
        return -float(values["val_mse"])
    if "val_return" in values:
        return float(values["val_return"])
    return float(values[f"val_accuracy_{cell.evaluation.select_by}"])


def shown_value(selection: float, kind: Kind) -> float:
    """Return accuracy, return or squared error from a selection value."""
    return abs(selection) if kind == "regression" else selection


def measured_steps(
    setup: CellSetup, state: State, episodes: Episodes | ControlEpisodes, last_only: bool = False
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Yield each episode's metrics by column after each test step, or the last one: ``mse``, ``return``, or
    ``n_correct_<mode>`` and ``nll_<mode>``."""
    if isinstance(episodes, ControlEpisodes):
        for step, returns in setup.returns(state, episodes, last_only):
            yield step, {"return": returns.cpu().numpy()}
        return
    for step, outputs in setup.outputs(state, episodes.support, episodes.query_x, last_only):
        yield step, _metrics_of(outputs, episodes.query_y, setup.dataset.kind)


def _queries_of(episodes: Episodes | ControlEpisodes) -> int:
    """Return the queries of each episode: examples, or trajectories."""
    if isinstance(episodes, ControlEpisodes):
        return episodes.query.n_trajectories
    return int(episodes.query_y.shape[1])


def adapted_outputs(
    cell: Cell, dataset: Dataset, state: State, episodes: Sequence[int], query_x: Tensor
) -> tuple[Episodes, Iterator[tuple[int, Tensor]]]:
    """The cell's test episodes of these numbers, and its transductive outputs [T, Q, n_outputs] for other queries.

    Args:
        cell: the cell.
        dataset: its dataset.
        state: its selected meta-state.
        episodes: T numbers of test episodes.
        query_x: [T, Q, *input_shape].
    """
    setup = CellSetup(cell, dataset, torch.device("cpu"))
    batch = dataset.stream("test", test_shape(cell), EVALUATION_SEED).batch(list(episodes))
    steps = setup.outputs(state, batch.support, query_x)
    return batch, ((step, outputs["transductive"]) for step, outputs in steps)


def adapted_trajectories(
    cell: Cell, dataset: Dataset, state: State, episodes: Sequence[int]
) -> tuple[ControlEpisodes, dict[int, Trajectories]]:
    """Return the cell's test episodes of these numbers, and their query trajectories after each test step."""
    setup = CellSetup(cell, dataset, torch.device("cpu"))
    algorithm = setup.algorithm
    assert isinstance(algorithm, ControlAlgorithm)
    stream: Any = dataset.stream("test", test_shape(cell), EVALUATION_SEED)
    batch: ControlEpisodes = stream.batch(list(episodes))
    steps = algorithm.adapt(state, batch.support, algorithm.test_steps)
    return batch, {step: roll_out(algorithm.net, weights, batch.query, 0, algorithm.told) for step, weights in steps}


def episodes_at_once(input_shape: Sequence[int], shape: Shape) -> int:
    """Return how many episodes are evaluated together, by their size alone: no bit depends on the machine."""
    return max(1, min(EPISODES_AT_ONCE, VALUES_AT_ONCE // (math.prod(input_shape) * shape.examples)))


def episode_batches(setup: CellSetup, stream: EpisodeStream, n_episodes: int) -> Iterator[Episodes]:
    """Yield the stream's first episodes."""
    at_once = episodes_at_once(setup.dataset.input_shape, stream.name.shape)
    for start in range(0, n_episodes, at_once):
        yield stream.batch(range(start, min(start + at_once, n_episodes)))


def _metrics_of(outputs: Mapping[Any, Tensor], targets: Tensor, kind: Any) -> dict[str, np.ndarray]:
    """Each episode's metrics by column: ``mse``, or ``n_correct_<mode>`` and ``nll_<mode>``."""
    if kind == "regression":
        return {"mse": metrics(outputs["transductive"], targets, kind)["mse"].cpu().numpy()}
    return {
        f"{name}_{mode}": value.cpu().numpy()
        for mode in MODES
        for name, value in metrics(outputs[mode], targets, kind).items()
    }
