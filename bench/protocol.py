"""What one cell does: train, select, test. No files and no processes; every number is defined in docs/protocol.md."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Generator, Tensor

from algorithms import ALGORITHMS, Algorithm, Problem
from algorithms.base import MODES
from algorithms.objectives import metrics
from algorithms.state import State
from bench.cell import Cell
from bench.measure import Stopwatch, quartiles
from datasets import Dataset
from datasets.draws import key_of
from datasets.episodes import Episodes, EpisodeStream, Examples, Shape, digest

EVALUATION_SEED = (
    0  # of the meta-validation and meta-test lists: one for all cells, so that seeds x episodes is crossed
)
EPISODES_AT_ONCE = 25  # evaluated together
PROGRESS_EVERY = 10  # outer steps between two reports of progress
LATENCY_EPISODES = 20  # adapted one at a time to measure the time that adapting a task takes


class Diverged(ArithmeticError):
    """The training loss, the trained weights or what was measured with them is not finite."""


@dataclass(frozen=True)
class Progress:
    """How far a cell is: outer steps done and to do, and the latest validation value (None before the first)."""

    done: int
    total: int
    validation: float | None


@dataclass(frozen=True)
class Outcome:
    """What a cell gives.

    Attributes:
        summary: numbers of the whole cell by name, JSON-ready.
        digests: SHA-256 of the train, val and test episode lists, and the dataset's fingerprint.
        episodes: a row per test episode and inner step.
        curve: a row per measurement during training.
        state: the selected meta-state.
    """

    summary: Mapping[str, Any]
    digests: Mapping[str, str]
    episodes: pd.DataFrame
    curve: pd.DataFrame
    state: State


def train_shape(cell: Cell) -> Shape:
    """The shape of the cell's training episodes: the grid's, or what the algorithm's paper trained on."""
    entry = ALGORITHMS[cell.algorithm]
    return entry.factory.train_shape(entry.hparams.model_validate(cell.hparams), _asked_shape(cell))


def _asked_shape(cell: Cell) -> Shape:
    return Shape(cell.n_way, cell.train.n_shot or cell.n_shot, cell.train.n_query)


def test_shape(cell: Cell) -> Shape:
    """The shape of the cell's meta-validation and meta-test episodes."""
    return Shape(cell.n_way, cell.n_shot, cell.evaluation.n_query)


@dataclass
class _Run:
    """The pieces of one cell, made once."""

    cell: Cell
    dataset: Dataset
    device: torch.device
    algorithm: Algorithm[Any] = field(init=False)
    train: EpisodeStream = field(init=False)
    val: EpisodeStream = field(init=False)
    test: EpisodeStream = field(init=False)

    def __post_init__(self) -> None:
        cell, dataset = self.cell, self.dataset
        entry = ALGORITHMS[cell.algorithm]
        self.hparams = entry.hparams.model_validate(cell.hparams)
        shape = train_shape(cell)
        self.train = dataset.stream("train", shape, cell.seed, self.device)
        self.val = dataset.stream("val", test_shape(cell), EVALUATION_SEED, self.device)
        self.test = dataset.stream("test", test_shape(cell), EVALUATION_SEED, self.device)
        self.examples = dataset.examples(cell.seed, self.device)
        n_outputs = cell.n_way if dataset.kind == "classification" else 1
        self.network = cell.network.build(cell.entry.family, dataset.input_shape, n_outputs)
        budget = cell.train.episodes
        self.n_outer = math.ceil(budget / self.hparams.meta_batch) if budget else None
        if not entry.factory.trains:
            self.n_outer = 1
        n_classes = self.examples.batch(0, 1).n_classes
        problem = Problem(dataset.kind, shape, n_classes, self.n_outer or 0)
        self.algorithm = entry.factory(self.hparams, problem, self.network, device=self.device)

    def first_state(self) -> State:
        """The seed's initial weights, which all algorithms share, and the algorithm's own first draws."""
        weights = self.network.init(self._generator("weights"))
        weights = {name: value.to(self.device) for name, value in weights.items()}
        return self.algorithm.init(weights, self._generator(self.cell.algorithm))

    def _generator(self, purpose: str) -> Generator:
        return Generator().manual_seed(int(key_of(purpose, self.cell.seed) >> np.uint64(1)))

    def batch(self, step: int) -> Episodes | Examples:
        """The training data of outer step ``step``; the last one is smaller where the budget does not divide."""
        size = self.hparams.meta_batch
        start = step * size
        if self.cell.train.episodes:
            size = min(size, self.cell.train.episodes - start)
        if self.algorithm.consumes == "examples":
            per_episode = _asked_shape(self.cell).examples
            return self.examples.batch(start * per_episode, size * per_episode)
        return self.train.batch(np.arange(start, start + size))


def run_cell(cell: Cell, dataset: Dataset, on_progress: Callable[[Progress], None] = lambda progress: None) -> Outcome:
    """Train the cell's algorithm on its budget, select by meta-validation, test the selected meta-state once.

    Raises:
        Diverged: the training loss stopped being finite, or nothing finite could be measured.
        UserError: the dataset cannot give episodes of the shape.
    """
    device = torch.device(cell.device)
    run = _Run(cell, dataset, device)
    state = run.first_state()
    warm_up, training, validating, testing = (Stopwatch(device) for _ in range(4))
    with warm_up():  # its result is thrown away: outer_step does not change the state
        run.algorithm.outer_step(state, run.batch(0))
    best, best_value, best_step = state, -math.inf, 0
    curve: list[dict[str, Any]] = []
    trained = 0
    shown: float | None = None
    for step in _steps(run, training):
        with training():
            state, measured = run.algorithm.outer_step(state, run.batch(step))
        trained = step + 1
        if not math.isfinite(measured["loss"]):
            raise Diverged(f"the training loss is {measured['loss']} at outer step {trained}")
        if trained % cell.train.eval_every == 0 or trained == run.n_outer:
            with validating():
                values = _validation(run, state)
            curve.append({"outer_step": trained, "train_loss": measured["loss"], **values})
            value = _selection_value(values, cell)
            shown = abs(value)
            if value > best_value and _is_finite(state):
                best, best_value, best_step = state, value, trained
        if trained % PROGRESS_EVERY == 0 or trained == run.n_outer:
            on_progress(Progress(trained, run.n_outer or trained, shown))
    if (
        not curve or cell.evaluation.select == "last"
    ):  # no curve: a budget in seconds ended before the first measurement
        best, best_step = state, trained
    elif not best_step:
        raise Diverged(f"no measurement on the validation episodes is finite ({len(curve)} were made)")
    with testing():
        episodes = _test(run, best)
    _check_finite(episodes)
    latency = _latency(run, best)
    episodes_used = min(cell.train.episodes or trained * run.hparams.meta_batch, trained * run.hparams.meta_batch)
    images = episodes_used * _images_per_episode(run)
    summary = {
        **_accuracies(episodes, cell, dataset.kind),
        "outer_steps": trained,
        "selected_outer_step": best_step,
        "train_episodes": episodes_used,
        "train_examples": images,
        "warm_up_seconds": warm_up.wall,
        "train_seconds": training.wall,
        "train_cpu_seconds": training.cpu,
        "validation_seconds": validating.wall,
        "test_seconds": testing.wall,
        **dict(zip(("outer_step_q1_ms", "outer_step_ms", "outer_step_q3_ms"), _ms(training.laps), strict=True)),
        "tasks_per_second": episodes_used / training.wall,
        **dict(zip(("adapt_q1_ms", "adapt_ms", "adapt_q3_ms"), _ms(latency), strict=True)),
        "parameters": sum(value.numel() for value in run.network.init(Generator()).values()),
    }
    return Outcome(summary, _digests(run, episodes_used), episodes, pd.DataFrame(curve), best)


def _steps(run: _Run, training: Stopwatch) -> Iterator[int]:
    if run.n_outer is not None:
        yield from range(run.n_outer)
        return
    seconds = run.cell.train.seconds
    assert seconds is not None
    yield from itertools.takewhile(lambda step: training.wall < seconds, itertools.count())


def _is_finite(state: State) -> bool:
    """Whether all weights are; accuracy alone does not tell, because the largest of NaNs is a class too."""
    return all(bool(torch.isfinite(value).all()) for value in state.values())


def _check_finite(episodes: pd.DataFrame) -> None:
    """Raises Diverged where adapting to a test episode ended in a loss that is not finite."""
    last = episodes[episodes["step"] == episodes["step"].max()]
    losses = last[[name for name in episodes.columns if name == "mse" or name.startswith("nll_")]]
    bad = ~np.isfinite(losses.to_numpy()).all(axis=1)
    if bad.any():
        raise Diverged(f"adaptation diverged on {bad.sum()} of {len(last)} test episodes")


def _images_per_episode(run: _Run) -> int:
    if run.algorithm.consumes == "examples":
        return _asked_shape(run.cell).examples
    return run.train.name.shape.examples


def _ms(seconds: list[float]) -> list[float]:
    return [1000 * value for value in quartiles(seconds)]


def _selection_value(values: Mapping[str, Any], cell: Cell) -> float:
    """Larger is better: accuracy in the chosen mode, or minus the squared error."""
    if "val_mse" in values:
        return -float(values["val_mse"])
    return float(values[f"val_accuracy_{cell.evaluation.select_by}"])


def _digests(run: _Run, n_train: int) -> dict[str, str]:
    evaluation = run.cell.evaluation
    return {
        "dataset": run.dataset.fingerprint,
        "train": digest(run.train, n_train) if run.algorithm.consumes == "episodes" else "plain batches",
        "val": digest(run.val, evaluation.val_episodes),
        "test": digest(run.test, evaluation.test_episodes),
    }


def _batches(stream: EpisodeStream, n_episodes: int) -> Iterator[Episodes]:
    for start in range(0, n_episodes, EPISODES_AT_ONCE):
        yield stream.batch(np.arange(start, min(start + EPISODES_AT_ONCE, n_episodes)))


def _measure(outputs: Mapping[Any, Tensor], targets: Tensor, kind: Any) -> dict[str, np.ndarray]:
    """Each episode's metrics by column: ``mse``, or ``n_correct_<mode>`` and ``nll_<mode>``."""
    if kind == "regression":
        return {"mse": metrics(outputs["transductive"], targets, kind)["mse"].cpu().numpy()}
    return {
        f"{name}_{mode}": value.cpu().numpy()
        for mode in MODES
        for name, value in metrics(outputs[mode], targets, kind).items()
    }


def _validation(run: _Run, state: State) -> dict[str, float]:
    """Mean over the meta-validation list of the metrics after the last inner step."""
    steps = run.algorithm.test_steps
    found: list[dict[str, np.ndarray]] = []
    for episodes in _batches(run.val, run.cell.evaluation.val_episodes):
        for _, outputs in run.algorithm.outputs(state, episodes.support, episodes.query_x, steps, last_only=True):
            found.append(_measure(outputs, episodes.query_y, run.dataset.kind))
    columns = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    if run.dataset.kind == "regression":
        return {"val_mse": float(columns["mse"].mean())}
    n_query = run.cell.n_way * run.cell.evaluation.n_query
    return {f"val_accuracy_{mode}": float(columns[f"n_correct_{mode}"].mean()) / n_query for mode in MODES}


def _test(run: _Run, state: State) -> pd.DataFrame:
    """One row per meta-test episode and inner step."""
    frames: list[pd.DataFrame] = []
    for episodes in _batches(run.test, run.cell.evaluation.test_episodes):
        steps = run.algorithm.outputs(state, episodes.support, episodes.query_x, run.algorithm.test_steps)
        for step, outputs in steps:
            columns: dict[str, Any] = {
                "episode": episodes.index,
                "step": step,
                "class_ids": list(episodes.class_ids),
                "n_query": episodes.query_y.shape[1],
                **_measure(outputs, episodes.query_y, run.dataset.kind),
            }
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True).sort_values(["episode", "step"], ignore_index=True)


def _accuracies(episodes: pd.DataFrame, cell: Cell, kind: str) -> dict[str, float]:
    """Means over the meta-test list after the last inner step."""
    last = episodes[episodes["step"] == episodes["step"].max()]
    if kind == "regression":
        return {"test_mse": float(last["mse"].mean())}
    return {f"test_accuracy_{mode}": float((last[f"n_correct_{mode}"] / last["n_query"]).mean()) for mode in MODES}


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
    run = _Run(cell, dataset, torch.device("cpu"))
    batch = run.test.batch(list(episodes))
    steps = run.algorithm.outputs(state, batch.support, query_x, run.algorithm.test_steps)
    return batch, ((step, outputs["transductive"]) for step, outputs in steps)


def _latency(run: _Run, state: State) -> list[float]:
    """Wall seconds of adapting single tasks with all test steps, one warm-up apart."""
    watch = Stopwatch(run.device)
    for index in range(-1, min(LATENCY_EPISODES, run.cell.evaluation.test_episodes)):
        support = run.test.batch([max(index, 0)]).support
        with watch():
            for _ in run.algorithm.adapt(state, support, run.algorithm.test_steps):
                pass
    return watch.laps[1:]


def time_whole_cell(cell: Cell, dataset: Dataset) -> float:
    """Seconds that the cell would take, from two outer steps and the evaluation of a few episodes."""
    run = _Run(cell, dataset, torch.device(cell.device))
    state, few = run.first_state(), run.val.batch(range(min(5, cell.evaluation.val_episodes)))
    outer, last, every = (Stopwatch(run.device) for _ in range(3))
    run.algorithm.outer_step(state, run.batch(0))
    for step in (0, 1):
        with outer():
            run.algorithm.outer_step(state, run.batch(min(step, (run.n_outer or 1) - 1)))
    for watch, last_only in ((last, True), (every, False)):
        with watch():
            for _ in run.algorithm.outputs(state, few.support, few.query_x, run.algorithm.test_steps, last_only):
                pass
    n_outer = run.n_outer or 0
    validations = math.ceil(n_outer / cell.train.eval_every) * cell.evaluation.val_episodes
    training = n_outer * min(outer.laps) if run.n_outer else cell.train.seconds or 0.0
    return training + (validations * last.wall + cell.evaluation.test_episodes * every.wall) / len(few)
